/* What the executable offers to its Lua: the terminal, a child process, line editing.
 * Not here: what the REPL does with a line (lua/mien/repl). */
#ifndef MIEN_HOST_H
#define MIEN_HOST_H
#include "../tensor/status.h"

/* cdef:begin */
bool mien_terminal(int fd);
int mien_terminal_columns(void);
/* A child process with a pipe to its standard input (gnuplot). argv ends with NULL.
 * NULL: the program is not there. Its standard error is kept and given back by close. */
typedef struct mien_child mien_child;
mien_child *mien_child_start(const char *const *argv);
mien_status mien_child_write(mien_child *child, const char *text, int64_t bytes);
/* Closes the pipe, waits (at most `seconds`, then kills) and gives exit status and stderr text;
 * the text is valid until the next close of this thread. */
mien_status mien_child_close(mien_child *child, double seconds, int *exit_status,
                             const char **stderr_text);
/* cdef:end */
#endif
