/* What one thread's long calls say of themselves, for other threads to read: whoever answers Ctrl-C
 * must tell a call that will come back from a compiled loop that never will.
 * Not here: saying it (MIEN_CALL in status.h), what is done about it (core/host/watch.h). */
#ifndef MIEN_CALL_H
#define MIEN_CALL_H
#include <stdatomic.h>
#include <stdbool.h>

typedef struct mien__calls {
    _Atomic(const char *) doing; /* "sha256 of a file"; NULL outside of such calls */
    atomic_bool writes;          /* a file is being written */
    atomic_ulong begun;          /* how many began: the same number twice is the same call */
    int depth;
} mien__calls;

/* The calling thread's own. */
mien__calls *mien__calls_here(void);
#endif
