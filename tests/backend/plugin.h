/* Functions of libmien_cuda.so for tests that run without a GPU.
 * Not here: the tests (test_cudnn_support.c, test_device.c). */
#ifndef MIEN_TEST_PLUGIN_H
#define MIEN_TEST_PLUGIN_H
#include <dlfcn.h> /* the test defines _GNU_SOURCE */
#include <stdio.h>
#include <string.h>

#include "base/status.h"

/* libmien_cuda.so beside libmien.so; NULL where it was not built. */
static inline void *plugin_open(void) {
    Dl_info core;
    char path[4096];
    if (!dladdr((void *)mien_error_last, &core)) return NULL;
    const char *slash = strrchr(core.dli_fname, '/');
    int folder = slash ? (int)(slash - core.dli_fname) + 1 : 0;
    snprintf(path, sizeof path, "%.*slibmien_cuda.so", folder, core.dli_fname);
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

/* cuDNN compiles fused operations only where a libcuda.so.1 is to be had; the toolkit has a stub
 * with that name inside, which serves as long as nothing runs. False where there is none. */
static inline int plugin_driver_stub(void) {
    if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL)) return 1;
#ifdef MIEN_CUDA_STUB
    return dlopen(MIEN_CUDA_STUB, RTLD_NOW | RTLD_GLOBAL) != NULL;
#else
    return 0;
#endif
}
#endif
