/* What the executable offers to its Lua: the terminal, a child process, line editing.
 * Not here: what the REPL does with a line (lua/mien/repl). */
#ifndef MIEN_HOST_H
#define MIEN_HOST_H
#include "base/status.h"

/* cdef:begin */
bool mien_terminal(int fd);
int mien_terminal_columns(void);
/* A child process with pipes (gnuplot). argv ends with NULL; the child does not get variables of
 * the environment whose names begin with `without` (NULL: it gets all). NULL: the program is not
 * there. */
typedef struct mien_child mien_child;
mien_child *mien_child_start(const char *const *argv, const char *without);
mien_status mien_child_write(mien_child *child, const char *text, int64_t bytes);
/* What became of a child; both texts end with a zero and are valid until the next close of this
 * thread. */
typedef struct mien_child_end {
    int status;         /* exit status, or 128 and its signal */
    const char *output; /* standard output */
    int64_t output_bytes;
    const char *errors; /* standard error */
} mien_child_end;
/* Closes the pipe to its standard input, waits (at most `seconds`, then kills); `end` may be NULL.
 */
mien_status mien_child_close(mien_child *child, double seconds, mien_child_end *end);
/* cdef:end */
#endif
