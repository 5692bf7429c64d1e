/* Open addressing with linear probing in a table at most half full; an entry that goes leaves no
 * mark, the ones behind it move up. Not here: what is kept (backend/cuda, backend/cpu). */
#include "cache.h"

#include <stdbool.h>
#include <string.h>

#include "allocate.h"
#include "hash.h"

/* An entry: when it was used last (0: a free slot), the value, the key. */
typedef uint64_t entry;

static entry *entry_at(const mien__cache *c, size_t at) {
    return (entry *)(c->table + at * c->stride);
}
static char *key_of(const mien__cache *c, entry *e) {
    return (char *)(e + 1) + c->value_bytes;
}

/* Where a key would like to lie. */
static size_t home_of(const mien__cache *c, const void *key) {
    uint64_t hash = mien__hash(MIEN_HASH_START, key, c->key_bytes);
    return (hash ^ hash >> 29) % c->slots;
}

/* Where it lies, or may be put. */
static entry *place_of(const mien__cache *c, const void *key) {
    for (size_t at = home_of(c, key);; at = (at + 1) % c->slots) {
        entry *e = entry_at(c, at);
        if (!*e || memcmp(key_of(c, e), key, c->key_bytes) == 0) return e;
    }
}

void *mien__cache_find(mien__cache *c, const void *key) {
    entry *e = c->table ? place_of(c, key) : NULL;
    if (!e || !*e) return NULL;
    *e = ++c->uses;
    return e + 1;
}

static bool make_table(mien__cache *c) {
    c->stride = (sizeof(entry) + c->value_bytes + c->key_bytes + 7) / 8 * 8;
    c->slots = 2 * (size_t)c->most;
    return (c->table = mien__calloc(c->slots, c->stride));
}

void *mien__cache_add(mien__cache *c, const void *key) {
    if (c->count >= c->most || (!c->table && !make_table(c))) return NULL;
    entry *e = place_of(c, key);
    memset(e, 0, c->stride);
    memcpy(key_of(c, e), key, c->key_bytes);
    *e = ++c->uses;
    c->count++;
    return e + 1;
}

static void remove_at(mien__cache *c, size_t hole) {
    if (c->drop) c->drop(entry_at(c, hole) + 1);
    c->count--;
    for (size_t at = (hole + 1) % c->slots; *entry_at(c, at); at = (at + 1) % c->slots) {
        size_t home = home_of(c, key_of(c, entry_at(c, at))); /* it does not move in front of it */
        if ((at + c->slots - home) % c->slots < (at + c->slots - hole) % c->slots) continue;
        memcpy(entry_at(c, hole), entry_at(c, at), c->stride);
        hole = at;
    }
    *entry_at(c, hole) = 0;
}

void mien__cache_shrink(mien__cache *c, int keep) {
    while (c->count > keep) {
        size_t oldest = c->slots;
        for (size_t at = 0; at < c->slots; at++)
            if (*entry_at(c, at) && (oldest == c->slots || *entry_at(c, at) < *entry_at(c, oldest)))
                oldest = at;
        remove_at(c, oldest);
    }
}
