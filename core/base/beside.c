/* Where libmien.so lies, and opening what lies beside it.
 * Not here: the versions of plugins (backend/discovery.c). */
#define _GNU_SOURCE /* dladdr */
#include "beside.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

void *mien__library_at(const char *path, char *why, size_t size) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *text = library ? NULL : dlerror();
    if (!library) snprintf(why, size, "%s", text ? text : "dlopen failed");
    return library;
}

void *mien__library_beside(const char *name, char *why, size_t size) {
    static const char here;
    char path[4096];
    Dl_info self;
    if (!dladdr(&here, &self) || !self.dli_fname) {
        snprintf(why, size, "the place of libmien.so is unknown");
        return NULL;
    }
    const char *slash = strrchr(self.dli_fname, '/');
    int folder = slash ? (int)(slash - self.dli_fname) + 1 : 0;
    snprintf(path, sizeof path, "%.*s%s", folder, self.dli_fname, name);
    return mien__library_at(path, why, size);
}
