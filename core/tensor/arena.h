/* The host's large blocks: cut out of one range of addresses, joined again when they come back.
 * Not here: small blocks, other devices, locks and figures (storage.c). */
#ifndef MIEN_ARENA_H
#define MIEN_ARENA_H
#include <stddef.h>

/* `bytes`, a multiple of 64 KiB. *fresh: how many of them no block has had before, or lost their
 * pages since. NULL, with no change and no error record, when that would be more than `room`. */
void *mien__arena_alloc(size_t bytes, size_t room, size_t *fresh);
void mien__arena_give(void *data, size_t bytes);
/* Gives the pages of all gaps back to the system. */
void mien__arena_trim(void);
#endif
