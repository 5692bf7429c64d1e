/* The error record of each thread, notices, and the wish to stop.
 * Not here: how errors are shown to people (lua/mien/base/check.lua). */
#include "status.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assert.h"

static _Thread_local mien_error last_error;
static volatile sig_atomic_t interrupt_flag;

/* ---- errors -------------------------------------------------------------------------------- */

const mien_error *mien_error_last(void) {
    return &last_error;
}

const char *mien_status_name(mien_status code) {
    switch (code) {
    case MIEN_OK:
        return "ok";
    case MIEN_ERR_ARGUMENT:
        return "argument";
    case MIEN_ERR_SHAPE:
        return "shape";
    case MIEN_ERR_DTYPE:
        return "dtype";
    case MIEN_ERR_DEVICE:
        return "device";
    case MIEN_ERR_MEMORY:
        return "memory";
    case MIEN_ERR_IO:
        return "io";
    case MIEN_ERR_FORMAT:
        return "format";
    case MIEN_ERR_UNSUPPORTED:
        return "unsupported";
    case MIEN_ERR_VENDOR:
        return "vendor";
    case MIEN_ERR_NUMERIC:
        return "numeric";
    case MIEN_ERR_INTERRUPTED:
        return "interrupted";
    case MIEN_ERR_INTERNAL:
        return "internal";
    }
    return "unknown";
}

mien_status mien__fail(mien_status code, const char *file, int line, const char *fmt, ...) {
    /* Formatted aside first: an argument may point into the record itself. */
    char message[sizeof last_error.message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    memcpy(last_error.message, message, sizeof message);
    last_error.code = code;
    last_error.file = file;
    last_error.line = line;
    last_error.cause[0] = '\0';
    return code;
}

mien_status mien__fail_with(const mien_error *error) {
    last_error = *error;
    return error->code;
}

void mien__fail_cause(const char *fmt, ...) {
    char cause[sizeof last_error.cause];
    va_list args;
    va_start(args, fmt);
    vsnprintf(cause, sizeof cause, fmt, args);
    va_end(args);
    memcpy(last_error.cause, cause, sizeof cause);
}

/* ---- notices ------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    char texts[32][640];
    int said, taken;
} notices = {.lock = PTHREAD_MUTEX_INITIALIZER};

void mien_notice(const char *text) {
    enum { MOST = sizeof notices.texts / sizeof notices.texts[0] };
    pthread_mutex_lock(&notices.lock);
    bool known = notices.said == MOST;
    for (int i = 0; i < notices.said && !known; i++)
        known = strncmp(notices.texts[i], text, sizeof notices.texts[i] - 1) == 0;
    if (!known)
        snprintf(notices.texts[notices.said], sizeof notices.texts[0], "%s",
                 notices.said < MOST - 1 ? text : "there are more notices than can be kept");
    notices.said += !known;
    pthread_mutex_unlock(&notices.lock);
}

void mien__notice(const char *fmt, ...) {
    char text[sizeof notices.texts[0]];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    mien_notice(text);
}

bool mien_notice_take(char *text, size_t size) {
    pthread_mutex_lock(&notices.lock);
    bool any = notices.taken < notices.said;
    if (any) snprintf(text, size, "%s", notices.texts[notices.taken++]);
    pthread_mutex_unlock(&notices.lock);
    return any;
}

/* ---- promises, in debug builds -------------------------------------------------------------- */

#ifdef MIEN_DEBUG
void mien__broken(const char *promise, const char *file, int line) {
    fprintf(stderr, "%s:%d: a defect of mien: not true: %s\n", file, line, promise);
    abort();
}

bool mien__on_lua_thread(void) {
    static _Thread_local char here;
    static char *owner;
    char *nobody = NULL;
    return __atomic_compare_exchange_n(&owner, &nobody, &here, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE) ||
           nobody == &here;
}
#endif

/* ---- interrupts: all three are safe in a signal handler ------------------------------------ */

void mien_interrupt_request(void) {
    interrupt_flag = 1;
}
bool mien_interrupt_requested(void) {
    return interrupt_flag != 0;
}
void mien_interrupt_clear(void) {
    interrupt_flag = 0;
}
