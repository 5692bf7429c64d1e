/* Checks that the shape rules of many ops share; every message names the op and the input.
 * Not here: the rules themselves (infer_*.c). */
#ifndef MIEN_INFER_H
#define MIEN_INFER_H
#include "ops.h"

/* Name of input i, and of the attribute at `slot`, as ops.def writes them. */
const char *mien__input_name(const mien_op_call *call, int i, char *buffer, size_t size);
const char *mien__attr_name(const mien_op_call *call, int slot, char *buffer, size_t size);

/* Every present input with a bit in `mask` is a float tensor of the same dtype as input 0; one with
 * a bit in `wide` may also be f32 beside bf16 or f16 (parameters, statistics, labels). */
mien_status mien__want_floats(const mien_op_call *call, unsigned mask, unsigned wide);
/* Input i, when present, is one of the two. */
mien_status mien__want_dtypes(const mien_op_call *call, int i, mien_dtype a, mien_dtype b);
/* Input i has between lo and hi dimensions; layout: "[N,C,H,W]". */
mien_status mien__want_ndim(const mien_op_call *call, int i, int lo, int hi, const char *layout);
/* Input i, when present, has this shape; why: "[4H,H] with H from weight_hh". */
mien_status mien__want_shape(const mien_op_call *call, int i, int ndim, const int64_t *shape,
                             const char *why);
/* The attribute is a whole number in [lo, hi]. */
mien_status mien__want_whole(const mien_op_call *call, const double *attr, int64_t lo, int64_t hi);
/* Makes the header of output i on the device of input 0. */
mien_status mien__make_output(mien_op_call *call, int i, mien_dtype dtype, int ndim,
                              const int64_t *shape);
/* u8 or i8: what quantise gives. */
static inline bool mien__is_quantised(const mien_tensor *t) {
    return t->dtype == MIEN_U8 || t->dtype == MIEN_I8;
}
/* f32, or f64 beside f64: statistics and losses. */
mien_dtype mien__at_least_f32(mien_dtype dtype);

#define MIEN_ALL_INPUTS 0xffu
#define MIEN_INPUT(i)   (1u << (i))
#endif
