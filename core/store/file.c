/* What keeping results on disk needs beside a database: files that appear whole, folders.
 * Not here: hashes (hash.c), what is written to those files (core/data/hdf5.c,
 * lua/mien/checkpoint/init.lua). */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ----------------------------------------------------------------------------------- */

/* Where the bytes of a path go: into what is open already or cannot be replaced, else aside. */
typedef struct {
    char *target; /* the path behind symbolic links */
    bool direct;  /* a device, a FIFO, or one of our descriptors */
    int number;   /* that descriptor, or -1 */
} place;

/* The path that a symbolic link names; "" where it cannot be had. */
static char *linked(const char *link) {
    char name[4096];
    ssize_t n = readlink(link, name, sizeof name - 1);
    name[n < 0 ? 0 : n] = 0;
    const char *slash = strrchr(link, '/');
    int folder = name[0] != '/' && slash ? (int)(slash - link) + 1 : 0;
    size_t size = (size_t)folder + strlen(name) + 1;
    char *path = malloc(size);
    if (path) snprintf(path, size, "%.*s%s", folder, link, name);
    return path;
}

/* Follows `path` to its end, which need not be there yet; *found frees with free(found->target). */
static mien_status find_place(const char *path, place *found) {
    struct stat info;
    *found = (place){.target = path ? strdup(path) : NULL, .number = -1};
    if (!path || !*path) MIEN_FAIL(MIEN_ERR_ARGUMENT, "file: the path is empty");
    for (int hops = 0; found->target && lstat(found->target, &info) == 0; hops++) {
        if (!S_ISLNK(info.st_mode)) {
            if (S_ISDIR(info.st_mode))
                MIEN_FAIL(MIEN_ERR_IO, "cannot write %s: it is a folder", path);
            if (S_ISBLK(info.st_mode))
                MIEN_FAIL(MIEN_ERR_IO, "cannot write %s: it is a whole disk", path);
            found->direct = !S_ISREG(info.st_mode);
            return MIEN_OK;
        }
        /* /dev/stdout leads here, and further on to a file that must not be taken away from under
         * whoever opened it */
        if (sscanf(found->target, "/proc/self/fd/%d", &found->number) == 1 ||
            sscanf(found->target, "/dev/fd/%d", &found->number) == 1) {
            found->direct = true;
            return MIEN_OK;
        }
        if (hops == 40) MIEN_FAIL(MIEN_ERR_IO, "cannot write %s: its links go round", path);
        char *next = linked(found->target);
        free(found->target);
        found->target = next;
    }
    if (!found->target) MIEN_FAIL(MIEN_ERR_MEMORY, "cannot write %s: out of memory", path);
    return MIEN_OK;
}

/* A signal cuts calls short. A file is finished all the same; where somebody else may never read (a
 * FIFO) the wish to stop is heeded. */
static bool goes_on(bool direct) {
    return errno == EINTR && !(direct && mien_interrupt_requested());
}

/* All of it; false with errno. */
static bool write_all(int fd, const char *bytes, int64_t n, bool direct) {
    while (n > 0) {
        ssize_t wrote = write(fd, bytes, (size_t)n);
        if (wrote < 0 && !goes_on(direct)) return false;
        if (wrote > 0) bytes += wrote, n -= wrote;
    }
    return true;
}

static int open_for(const char *path, int flags, bool direct) {
    int fd;
    do fd = open(path, flags | O_CLOEXEC, 0666);
    while (fd < 0 && goes_on(direct));
    return fd;
}

static mien_status write_direct(const char *path, const place *to, const void *bytes, int64_t n) {
    int fd = to->number >= 0 ? dup(to->number) : open_for(to->target, O_WRONLY | O_NOCTTY, true);
    bool good = fd >= 0 && write_all(fd, bytes, n, true);
    int problem = errno;
    if (fd >= 0 && close(fd) < 0 && good && errno != EINTR) good = false, problem = errno;
    if (good) return MIEN_OK;
    MIEN_FAIL(problem == EINTR ? MIEN_ERR_INTERRUPTED : MIEN_ERR_IO, "cannot write %s: %s", path,
              strerror(problem));
}

static bool synced(int fd) {
    int result;
    do result = fsync(fd);
    while (result < 0 && errno == EINTR);
    return result == 0;
}

/* The rename stands without this; some file systems refuse to sync a folder. */
static void sync_folder_of(const char *path) {
    char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) slash[slash == folder] = 0;
    int fd = folder ? open_for(slash ? folder : ".", O_RDONLY | O_DIRECTORY, false) : -1;
    if (fd >= 0) {
        synced(fd);
        close(fd);
    }
    free(folder);
}

/* "TARGET.partial" and what tells writers of one file apart. */
static char *partial_name(const char *target, const char *mark) {
    size_t size = strlen(target) + sizeof ".partial" + strlen(mark);
    char *name = malloc(size);
    if (name) snprintf(name, size, "%s.partial%s", target, mark);
    return name;
}

static mien_status write_aside(const char *path, const char *target, const void *bytes, int64_t n) {
    char mark[24];
    snprintf(mark, sizeof mark, ".%d", (int)getpid());
    char *aside = partial_name(target, mark);
    if (!aside) MIEN_FAIL(MIEN_ERR_MEMORY, "cannot write %s: out of memory", path);
    int fd = open_for(aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, false);
    bool good = fd >= 0 && write_all(fd, bytes, n, false) && synced(fd);
    int problem = errno;
    if (fd >= 0 && close(fd) < 0 && good && errno != EINTR) good = false, problem = errno;
    if (good && rename(aside, target) < 0) good = false, problem = errno;
    if (good)
        sync_folder_of(target);
    else if (fd >= 0)
        unlink(aside);
    free(aside);
    if (good) return MIEN_OK;
    MIEN_FAIL(problem == EINTR ? MIEN_ERR_INTERRUPTED : MIEN_ERR_IO, "cannot write %s: %s", path,
              strerror(problem));
}

mien_status mien_file_write(const char *path, const void *bytes, int64_t n) {
    MIEN_CALL_THAT_WRITES("putting a file on disk");
    place to;
    mien_status status = find_place(path, &to);
    if (status == MIEN_OK)
        status =
            to.direct ? write_direct(path, &to, bytes, n) : write_aside(path, to.target, bytes, n);
    free(to.target);
    return status;
}

/* The target of what must be a regular file or not there yet; NULL with an error. */
static char *replaceable(const char *path) {
    place to;
    mien_status status = find_place(path, &to);
    if (status == MIEN_OK && to.direct)
        status = mien__fail(MIEN_ERR_IO, __FILE__, __LINE__,
                            "cannot write %s: it is a device or a FIFO, a file is wanted", path);
    if (status == MIEN_OK) return to.target;
    free(to.target);
    return NULL;
}

char *mien__file_temporary(const char *path) {
    char *target = replaceable(path), *aside = target ? partial_name(target, "") : NULL;
    if (target && !aside)
        mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "cannot write %s: out of memory", path);
    free(target);
    return aside;
}

mien_status mien__file_commit(const char *aside, const char *path) {
    MIEN_CALL_THAT_WRITES("putting a file on disk");
    int fd = open_for(aside, O_RDONLY, false);
    bool good = fd >= 0 && synced(fd);
    int problem = errno;
    if (fd >= 0) close(fd);
    if (!good) MIEN_FAIL(MIEN_ERR_IO, "cannot write %s to disk: %s", aside, strerror(problem));
    char *target = replaceable(path); /* once more: time has passed */
    if (!target) return mien_error_last()->code;
    good = rename(aside, target) == 0;
    problem = errno;
    if (good) sync_folder_of(target);
    free(target);
    if (!good) MIEN_FAIL(MIEN_ERR_IO, "cannot rename %s to %s: %s", aside, path, strerror(problem));
    return MIEN_OK;
}

/* ---- folders --------------------------------------------------------------------------------- */

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
