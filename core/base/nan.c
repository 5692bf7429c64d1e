/* The one NaN that Lua may see, in many elements at once. Not here: what it is for (nan.h). */
#include "nan.h"

#include <stdbool.h>

#include "isa.h"

#define CANONICAL(name, type)                                                                      \
    MIEN_CLONES(bool, holds_nan_##type, (const type *values, int64_t n), (values, n)) {            \
        int found = 0;                                                                             \
        for (int64_t i = 0; i < n; i++) found |= values[i] != values[i];                           \
        return found;                                                                              \
    }                                                                                              \
    void name(type *values, int64_t n) {                                                           \
        if (!holds_nan_##type(values, n)) return;                                                  \
        for (int64_t i = 0; i < n; i++)                                                            \
            if (values[i] != values[i]) values[i] = (type)NAN;                                     \
    }
CANONICAL(mien__canonical_doubles, double)
CANONICAL(mien__canonical_floats, float)
