/* A lock on a file: one holder at a time, for as long as its process lives.
 * Not here: whose turn it is when there are none (lua/mien/results/run.lua). */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct mien_lock {
    char *path;
    int fd;
};

/* Is this still the file of that name? Whoever held the lock before removes it at the end. */
static bool is_current(int fd, const char *path) {
    struct stat ours, named;
    return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

/* 0, or errno; EWOULDBLOCK: somebody else holds it. */
static int take(const char *path, int *fd) {
    do {
        *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (*fd < 0) return errno;
        int result;
        do result = flock(*fd, LOCK_EX | LOCK_NB);
        while (result < 0 && errno == EINTR);
        if (result == 0 && is_current(*fd, path)) return 0;
        int problem = errno;
        close(*fd);
        if (result < 0) return problem;
    } while (true);
}

mien_lock *mien_lock_take(const char *path, bool *busy) {
    if (busy) *busy = false;
    if (!path || !*path) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "lock: the path is empty");
    mien_lock *lock = malloc(sizeof *lock);
    char *copy = strdup(path);
    int problem = lock && copy ? take(path, &lock->fd) : ENOMEM;
    if (problem == 0) {
        lock->path = copy;
        return lock;
    }
    free(lock);
    free(copy);
    switch (problem) {
    case EWOULDBLOCK:
        if (busy) *busy = true;
        MIEN_FAIL_NULL(MIEN_ERR_IO, "%s is locked by another holder", path);
    case ENOLCK:
    case ENOSYS:
    case EOPNOTSUPP:
    case EINVAL:
        MIEN_FAIL_NULL(MIEN_ERR_UNSUPPORTED, "%s: its file system has no locks: %s", path,
                       strerror(problem));
    default:
        MIEN_FAIL_NULL(MIEN_ERR_IO, "cannot lock %s: %s", path, strerror(problem));
    }
}

void mien_lock_release(mien_lock *lock) {
    if (!lock) return;
    unlink(lock->path); /* while it is held: who comes next sees that this file has no name */
    close(lock->fd);
    free(lock->path);
    free(lock);
}
