/* The terminal's properties, and a child process fed through a pipe (gnuplot).
 * Not here: what is said to the child (lua/mien/plot.lua). */
#define _GNU_SOURCE /* pipe2 */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

bool mien_terminal(int fd) {
    return isatty(fd) == 1;
}

int mien_terminal_columns(void) {
    struct winsize size;
    for (int fd = 0; fd < 3; fd++)
        if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}

/* ---- child ----------------------------------------------------------------------------------- */

struct mien_child {
    pid_t pid;
    int input;  /* we write, -1 once closed */
    int errors; /* we read, non-blocking */
    char *text; /* what the child said on standard error so far */
    size_t used, room;
};

static _Thread_local char *last_text;

static bool keep(mien_child *child, const char *bytes, size_t n) {
    if (child->used + n + 1 > child->room) {
        size_t room = 2 * (child->used + n) + 256;
        char *grown = realloc(child->text, room);
        if (!grown) return false;
        child->text = grown;
        child->room = room;
    }
    memcpy(child->text + child->used, bytes, n);
    child->used += n;
    child->text[child->used] = 0;
    return true;
}

/* Takes what is there without waiting; true while the child may still say something. */
static bool drain(mien_child *child) {
    char block[4096];
    for (;;) {
        ssize_t got = read(child->errors, block, sizeof block);
        if (got > 0) {
            if (!keep(child, block, (size_t)got)) return false;
        } else if (got < 0 && errno == EINTR) {
            continue;
        } else {
            return got < 0 && errno == EAGAIN;
        }
    }
}

mien_child *mien_child_start(const char *const *argv) {
    if (!argv || !argv[0]) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "child: no program was named");
    int in[2], err[2];
    if (pipe2(in, O_CLOEXEC) < 0)
        MIEN_FAIL_NULL(MIEN_ERR_IO, "%s: no pipe: %s", argv[0], strerror(errno));
    if (pipe2(err, O_CLOEXEC) < 0) {
        close(in[0]), close(in[1]);
        MIEN_FAIL_NULL(MIEN_ERR_IO, "%s: no pipe: %s", argv[0], strerror(errno));
    }
    mien_child *child = calloc(1, sizeof *child);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    int problem =
        child ? posix_spawnp(&child->pid, argv[0], &actions, NULL, (char *const *)argv, environ)
              : ENOMEM;
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]), close(err[1]);
    if (problem) {
        close(in[1]), close(err[0]);
        free(child);
        MIEN_FAIL_NULL(problem == ENOENT ? MIEN_ERR_UNSUPPORTED : MIEN_ERR_IO,
                       "%s cannot be started: %s%s", argv[0], strerror(problem),
                       problem == ENOENT ? " (is it installed?)" : "");
    }
    child->input = in[1];
    child->errors = err[0];
    fcntl(child->input, F_SETFL, O_NONBLOCK);
    fcntl(child->errors, F_SETFL, O_NONBLOCK);
    return child;
}

/* write(2) with SIGPIPE held back in this thread: a dead child is an error code, not our end. */
static ssize_t write_quietly(int fd, const char *text, size_t n) {
    sigset_t pipe_only, before, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t wrote = write(fd, text, n);
    int problem = errno;
    if (wrote < 0 && problem == EPIPE && !was_pending) {
        struct timespec none = {0, 0};
        while (sigtimedwait(&pipe_only, NULL, &none) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = problem;
    return wrote;
}

mien_status mien_child_write(mien_child *child, const char *text, int64_t bytes) {
    MIEN_CALL("writing to another program");
    while (bytes > 0) {
        ssize_t wrote = write_quietly(child->input, text, (size_t)bytes);
        if (wrote >= 0) {
            text += wrote;
            bytes -= wrote;
        } else if (errno == EAGAIN) {
            /* A child that talks much and reads little would block both sides: read while waiting
             */
            struct pollfd wait[2] = {{child->input, POLLOUT, 0}, {child->errors, POLLIN, 0}};
            if (poll(wait, 2, 100) > 0 && wait[1].revents && !drain(child)) wait[1].fd = -1;
            if (mien_interrupt_requested())
                MIEN_FAIL(MIEN_ERR_INTERRUPTED, "child: interrupted while writing");
        } else if (errno != EINTR) {
            MIEN_FAIL(MIEN_ERR_IO, "child: it no longer reads: %s", strerror(errno));
        }
    }
    return MIEN_OK;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

mien_status mien_child_close(mien_child *child, double seconds, int *exit_status,
                             const char **stderr_text) {
    MIEN_CALL("waiting for another program");
    double end = now() + seconds;
    close(child->input);
    int status = 0;
    bool talks = true, late = false;
    pid_t ended = 0;
    while (ended == 0) {
        if (talks) {
            struct pollfd wait = {child->errors, POLLIN, 0};
            if (poll(&wait, 1, 20) > 0) talks = drain(child);
        } else {
            nanosleep(&(struct timespec){0, 2000000}, NULL);
        }
        ended = waitpid(child->pid, &status, WNOHANG);
        if (ended == 0 && !late && now() > end) {
            late = true;
            kill(child->pid, SIGKILL);
        }
    }
    if (talks) drain(child);
    close(child->errors);
    free(last_text);
    last_text = child->text;
    free(child);
    if (stderr_text) *stderr_text = last_text ? last_text : "";
    if (exit_status)
        *exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (late) MIEN_FAIL(MIEN_ERR_IO, "child: did not end within %g s and was stopped", seconds);
    return MIEN_OK;
}
