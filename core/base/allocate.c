/* The allocation that fails on demand. Not here: malloc and its kin (allocate.h). */
#include "allocate.h"

_Thread_local int64_t mien__allocations_left;

int64_t mien__fail_allocation(int64_t n) {
    int64_t left = mien__allocations_left;
    mien__allocations_left = n;
    return left;
}
