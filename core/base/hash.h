/* FNV-1a, the one hash of tables, of random streams' names and of files in the cache folder; the
 * latter two must not change. Not here: SHA-256 of files and texts (store/hash.c). */
#ifndef MIEN_HASH_H
#define MIEN_HASH_H
#include <stddef.h>
#include <stdint.h>

/* What a hash starts with; that of some bytes, to go on with the next. */
#define MIEN_HASH_START 14695981039346656037u

static inline uint64_t mien__hash(uint64_t start, const void *bytes, size_t n) {
    const unsigned char *at = (const unsigned char *)bytes;
    for (size_t i = 0; i < n; i++) start = (start ^ at[i]) * 1099511628211u;
    return start;
}
#endif
