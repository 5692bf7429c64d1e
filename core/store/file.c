/* What keeping results on disk needs beside a database: atomic renames, folders, clocks.
 * Not here: hashes (hash.c), what is written to those files (core/data/hdf5.c,
 * lua/mien/checkpoint.lua). */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- files and folders ----------------------------------------------------------------------- */

mien_status mien_file_commit(const char *temporary, const char *path) {
    MIEN_CALL_THAT_WRITES("putting a file on disk");
    int fd = open(temporary, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) {
        int problem = errno;
        if (fd >= 0) close(fd);
        MIEN_FAIL(MIEN_ERR_IO, "cannot write %s to disk: %s", temporary, strerror(problem));
    }
    close(fd);
    if (rename(temporary, path) < 0)
        MIEN_FAIL(MIEN_ERR_IO, "cannot rename %s to %s: %s", temporary, path, strerror(errno));
    /* The rename stands; some file systems refuse to sync a folder. */
    char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) slash[slash == folder] = 0;
    fd = folder ? open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
    return MIEN_OK;
}

static mien_status make_one(const char *path) {
    struct stat info;
    if (mkdir(path, 0777) == 0) return MIEN_OK;
    int problem = errno;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_IO, "cannot make folder %s: %s", path, strerror(problem));
}

mien_status mien_folder_make(const char *path) {
    if (!path || !*path) MIEN_FAIL(MIEN_ERR_ARGUMENT, "folder: the path is empty");
    char *copy = strdup(path);
    if (!copy) MIEN_FAIL(MIEN_ERR_MEMORY, "folder %s: out of memory", path);
    mien_status status = MIEN_OK;
    for (char *slash = strchr(copy + 1, '/'); slash && status == MIEN_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        status = make_one(copy);
        *slash = '/';
    }
    if (status == MIEN_OK) status = make_one(copy);
    free(copy);
    return status;
}

/* ---- clocks ---------------------------------------------------------------------------------- */

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
double mien_time_now(void) {
    return seconds(CLOCK_REALTIME);
}
double mien_time_monotonic(void) {
    return seconds(CLOCK_MONOTONIC);
}

void mien_time_sleep(double seconds) {
    MIEN_CALL("waiting");
    time_t whole = (time_t)seconds;
    nanosleep(&(struct timespec){whole, (long)((seconds - (double)whole) * 1e9)}, NULL);
}
