/* A bounded table from keys to values, each of a fixed size, keys compared byte by byte.
 * Not here: locks; a table is its user's, who holds one. */
#ifndef MIEN_CACHE_H
#define MIEN_CACHE_H
#include <stddef.h>
#include <stdint.h>

/* The first four are given, the rest starts as zeros: {.key_bytes = sizeof(key), ...}. Padding in a
 * key counts, so a key has none or is cleared first. */
typedef struct mien__cache {
    size_t key_bytes, value_bytes;
    int most;                  /* entries */
    void (*drop)(void *value); /* frees what an entry holds, when it goes; NULL: nothing */
    int count;                 /* entries there are */
    size_t slots, stride;
    uint64_t uses;
    char *table;
} mien__cache;

/* The value of a key, for which that is a use; NULL: there is none. Good until an entry goes. */
void *mien__cache_find(mien__cache *c, const void *key);
/* The value of a new key, all zeros. NULL: out of memory, or `most` entries are there, of which
 * mien__cache_shrink makes some go. */
void *mien__cache_add(mien__cache *c, const void *key);
/* Leaves the `keep` entries that were used last. */
void mien__cache_shrink(mien__cache *c, int keep);
#endif
