/* The one NaN that Lua may see. LuaJIT keeps tables, texts and functions in the bits of NaNs and
 * takes a double from C as it stands: any other NaN may come out as an object at an address of the
 * sender's choice. Not here: arithmetic with NaNs, which is each op's own. */
#ifndef MIEN_NAN_H
#define MIEN_NAN_H
#include <math.h>
#include <stdint.h>
#include "status.h"

/* v, or the NaN without payload: for every double that a public function gives back. */
static inline double mien__canonical(double v) {
    return v == v ? v : (double)NAN;
}

/* The same for n elements in place. Nothing is written where none is NaN. */
void mien__canonical_doubles(double *values, int64_t n);
void mien__canonical_floats(float *values, int64_t n);
#endif
