/* Which oneDNN primitive runs a convolution of whole numbers: shapes and scales in, primitive out.
 * Not here: tensors (int8.c). */
#ifndef MIEN_INT8_PLAN_H
#define MIEN_INT8_PLAN_H
#include "onednn.h"

typedef struct mien__int8_case {
    dnnl_dims_t src, weight, dst; /* NCHW, OIHW, NCHW; activations lie channels-last */
    dnnl_dims_t stride, pad_before, pad_after;
    dnnl_data_type_t src_type, dst_type, residual_type; /* undef: no residual */
    bool relu;
    float residual_scale;
    const float *scale; /* one per filter */
} mien__int8_case;

/* Looks the primitive up or builds it; the scales are part of it. Arguments in order: src, weights,
 * dst, bias, residual?. To be called under the lock. */
mien_status mien__int8_plan(const mien__int8_case *c, mien__primitive **primitive);
#endif
