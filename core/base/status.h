/* Status codes and the error record that C and Lua both see.
 * Not here: how errors are shown to people (lua/mien/base/check.lua). */
#ifndef MIEN_STATUS_H
#define MIEN_STATUS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* cdef:begin */
typedef enum mien_status {
    MIEN_OK = 0,
    MIEN_ERR_ARGUMENT,    /* a value that the function does not take */
    MIEN_ERR_SHAPE,       /* shapes that do not fit together */
    MIEN_ERR_DTYPE,       /* an element type that the function does not take */
    MIEN_ERR_DEVICE,      /* no such device, or tensors on different devices */
    MIEN_ERR_MEMORY,      /* out of memory, or a tensor that was freed */
    MIEN_ERR_IO,          /* a file cannot be opened, read or written */
    MIEN_ERR_FORMAT,      /* a file holds something else than expected */
    MIEN_ERR_UNSUPPORTED, /* a missing op or optional part */
    MIEN_ERR_VENDOR,      /* oneDNN, HDF5, SQLite, FFmpeg ... refused */
    MIEN_ERR_NUMERIC,     /* NaN or infinity where none may be */
    MIEN_ERR_INTERRUPTED, /* Ctrl-C or SIGTERM was asked for */
    MIEN_ERR_INTERNAL     /* a defect of mien itself */
} mien_status;

typedef struct mien_error {
    mien_status code;
    int line;
    const char *file;
    char message[1024]; /* names the op, what was given, what was wanted, and a hint */
    char cause[512];    /* what the library below said; empty when there was none */
} mien_error;

/* The last error of this thread; never NULL. Valid until the next failing call of this thread. */
const mien_error *mien_error_last(void);
/* A short name such as "shape" for a code. */
const char *mien_status_name(mien_status code);

/* Notes something that a user should know and that is no error: a slower path, a cache that cannot
 * be kept. The same text is noted once in a process; any thread may. */
void mien_notice(const char *text);
/* Takes the oldest notice that nobody has taken, cut to `size`; false when there is none. Who runs
 * the program shows them (lua/mien/base/notices.lua). */
bool mien_notice_take(char *text, size_t size);

/* A wish to stop, set by the signal handler or by hand; every op and loader call polls it and
 * fails with MIEN_ERR_INTERRUPTED. `clear` starts afresh. */
void mien_interrupt_request(void);
bool mien_interrupt_requested(void);
void mien_interrupt_clear(void);
/* cdef:end */

/* Records an error of this thread and returns its code. */
mien_status mien__fail(mien_status code, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* mien_notice with a format. */
void mien__notice(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Records once more an error that was kept aside. */
mien_status mien__fail_with(const mien_error *error);
/* Adds what the library below said to the error recorded last. */
void mien__fail_cause(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define MIEN_FAIL(code, ...) return mien__fail((code), __FILE__, __LINE__, __VA_ARGS__)
/* For constructors: records the error and returns NULL. */
#define MIEN_FAIL_NULL(code, ...) return mien__fail((code), __FILE__, __LINE__, __VA_ARGS__), NULL
#define MIEN_TRY(call)                                                                             \
    do {                                                                                           \
        mien_status mien_try_status = (call);                                                      \
        if (mien_try_status != MIEN_OK) return mien_try_status;                                    \
    } while (0)

/* A call that may take seconds says what it does until the function returns; of calls inside calls
 * the outermost counts. doing: a literal, as the watchdog reads it when the call may be over. */
#define MIEN_CALL(doing) MIEN__CALL(doing, false)
/* The same while a file is being written, which gets more time. */
#define MIEN_CALL_THAT_WRITES(doing) MIEN__CALL(doing, true)
#define MIEN__CALL(doing, writes)                                                                  \
    mien__call_begin(doing, writes);                                                               \
    const char mien_call_here __attribute__((cleanup(mien__call_left), unused)) = 0
void mien__call_begin(const char *doing, bool writes);
void mien__call_end(void);
static inline void mien__call_left(const char *unused) {
    (void)unused;
    mien__call_end();
}
#endif
