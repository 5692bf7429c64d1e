/* Weights in a primitive's own layout, kept with the weights' storage from one use to the next.
 * Not here: which layout (conv.c asks the primitive). */
#ifndef MIEN_PACK_H
#define MIEN_PACK_H
#include "onednn.h"

/* The address of `weight` (plain f32) as primitive `p` wants it: the tensor's own elements,
 * or a copy that is made anew when the tensor was written since. One copy per use:
 * 0 forward, 1 data gradient, 2 inference. NULL with an error record on failure. */
#define MIEN_PACK_USES 3
void *mien__pack(mien_tensor *weight, mien__primitive *p, int use);
/* The same in a layout of `bytes` that `make` makes of the plain elements; `key` tells it from
 * others. */
void *mien__pack_own(mien_tensor *weight, int use, const mien__primitive_key *key, int64_t bytes,
                     void (*make)(const void *context, const float *weights, float *to),
                     const void *context);
/* The same in bf16, otherwise as they lie (plain). */
void *mien__pack_rounded(mien_tensor *weight);
#endif
