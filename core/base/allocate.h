/* malloc and its kin for what a step needs, which fail on demand: tests see what follows.
 * Not here: the pool of elements (tensor/storage.c), which asks here as well. */
#ifndef MIEN_ALLOCATE_H
#define MIEN_ALLOCATE_H
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* This thread's n-th allocation from now on fails, once; 0: none does. Gives how many were still to
 * come before: 0 when the last one asked for has failed. */
int64_t mien__fail_allocation(int64_t n);

extern _Thread_local int64_t mien__allocations_left; /* until the one that fails; 0: none does */
static inline bool mien__no_memory(void) {
    return __builtin_expect(mien__allocations_left > 0, 0) && --mien__allocations_left == 0;
}
static inline void *mien__malloc(size_t bytes) {
    return mien__no_memory() ? NULL : malloc(bytes);
}
static inline void *mien__calloc(size_t n, size_t bytes) {
    return mien__no_memory() ? NULL : calloc(n, bytes);
}
static inline void *mien__realloc(void *data, size_t bytes) {
    return mien__no_memory() ? NULL : realloc(data, bytes);
}
#endif
