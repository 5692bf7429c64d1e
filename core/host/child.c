/* The terminal's properties, and a child process fed through a pipe (gnuplot).
 * Not here: what is said to the child (lua/mien/plot.lua). */
#define _GNU_SOURCE /* pipe2 */
#include "host.h"

#include "../store/store.h"

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

/* What comes back from one of its two outputs. */
typedef struct {
    int fd;    /* non-blocking */
    bool open; /* more may come */
    char *text;
    size_t used, room;
} stream;

struct mien_child {
    pid_t pid;
    int input; /* we write */
    stream output, errors;
};

static _Thread_local char *last_output, *last_errors;

static bool keep(stream *from, const char *bytes, size_t n) {
    if (from->used + n + 1 > from->room) {
        size_t room = 2 * (from->used + n) + 256;
        char *grown = realloc(from->text, room);
        if (!grown) return false;
        from->text = grown;
        from->room = room;
    }
    memcpy(from->text + from->used, bytes, n);
    from->used += n;
    from->text[from->used] = 0;
    return true;
}

/* Takes what is there without waiting. */
static void drain(stream *from) {
    char block[4096];
    while (from->open) {
        ssize_t got = read(from->fd, block, sizeof block);
        if (got > 0 && keep(from, block, (size_t)got)) continue;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        from->open = false;
    }
}

/* Waits until one of them has something, the child reads again (input >= 0), or ms are over. */
static void listen_to(mien_child *child, int input, int ms) {
    struct pollfd wait[3] = {{input, POLLOUT, 0},
                             {child->output.open ? child->output.fd : -1, POLLIN, 0},
                             {child->errors.open ? child->errors.fd : -1, POLLIN, 0}};
    if (poll(wait, 3, ms) <= 0) return;
    if (wait[1].revents) drain(&child->output);
    if (wait[2].revents) drain(&child->errors);
}

/* The environment but for names that begin with `without`; the entries are not copied. */
static char **environment(const char *without) {
    size_t n = 0, kept = 0, length = without ? strlen(without) : 0;
    while (environ[n]) n++;
    char **list = calloc(n + 1, sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        if (length == 0 || strncmp(environ[i], without, length) != 0) list[kept++] = environ[i];
    return list;
}

static mien_status spawn(mien_child *child, const char *const *argv, const char *without) {
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}, problem = 0;
    for (int i = 0; i < 3 && !problem; i++)
        if (pipe2(pipes[i], O_CLOEXEC) < 0) problem = errno;
    char **variables = environment(without);
    if (!problem && !variables) problem = ENOMEM;
    if (!problem) {
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        for (int i = 0; i < 3; i++) posix_spawn_file_actions_adddup2(&actions, pipes[i][i > 0], i);
        problem =
            posix_spawnp(&child->pid, argv[0], &actions, NULL, (char *const *)argv, variables);
        posix_spawn_file_actions_destroy(&actions);
    }
    free(variables);
    for (int i = 0; i < 3; i++)
        for (int end = 0; end < 2; end++)
            if (pipes[i][end] >= 0 && (problem || end == (i > 0))) close(pipes[i][end]);
    if (problem)
        MIEN_FAIL(problem == ENOENT ? MIEN_ERR_UNSUPPORTED : MIEN_ERR_IO,
                  "%s cannot be started: %s%s", argv[0], strerror(problem),
                  problem == ENOENT ? " (is it installed?)" : "");
    child->input = pipes[0][1];
    child->output = (stream){.fd = pipes[1][0], .open = true};
    child->errors = (stream){.fd = pipes[2][0], .open = true};
    fcntl(child->input, F_SETFL, O_NONBLOCK);
    fcntl(child->output.fd, F_SETFL, O_NONBLOCK);
    fcntl(child->errors.fd, F_SETFL, O_NONBLOCK);
    return MIEN_OK;
}

mien_child *mien_child_start(const char *const *argv, const char *without) {
    if (!argv || !argv[0]) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "child: no program was named");
    mien_child *child = calloc(1, sizeof *child);
    if (!child) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "%s: out of memory", argv[0]);
    if (spawn(child, argv, without) == MIEN_OK) return child;
    free(child);
    return NULL;
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
            /* A child that talks much and reads little would block both sides: read meanwhile. */
            listen_to(child, child->input, 100);
            if (mien_interrupt_requested())
                MIEN_FAIL(MIEN_ERR_INTERRUPTED, "child: interrupted while writing");
        } else if (errno != EINTR) {
            MIEN_FAIL(MIEN_ERR_IO, "child: it no longer reads: %s", strerror(errno));
        }
    }
    return MIEN_OK;
}

mien_status mien_child_close(mien_child *child, double seconds, mien_child_end *end) {
    MIEN_CALL("waiting for another program");
    double latest = mien_time_monotonic() + seconds;
    close(child->input);
    int status = 0;
    bool late = false;
    pid_t ended = 0;
    while (ended == 0) {
        if (child->output.open || child->errors.open)
            listen_to(child, -1, 20);
        else
            nanosleep(&(struct timespec){0, 2000000}, NULL);
        ended = waitpid(child->pid, &status, WNOHANG);
        if (ended == 0 && !late && mien_time_monotonic() > latest) {
            late = true;
            kill(child->pid, SIGKILL);
        }
    }
    drain(&child->output);
    drain(&child->errors);
    close(child->output.fd);
    close(child->errors.fd);
    free(last_output);
    free(last_errors);
    last_output = child->output.text;
    last_errors = child->errors.text;
    if (end)
        *end = (mien_child_end){
            .status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            .output = last_output ? last_output : "",
            .output_bytes = (int64_t)child->output.used,
            .errors = last_errors ? last_errors : "",
        };
    free(child);
    if (late) MIEN_FAIL(MIEN_ERR_IO, "child: did not end within %g s and was stopped", seconds);
    return MIEN_OK;
}
