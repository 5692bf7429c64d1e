/* Which oneDNN primitive runs a convolution pass: shapes in, primitive out.
 * Not here: tensors (conv.c). */
#ifndef MIEN_CONV_PLAN_H
#define MIEN_CONV_PLAN_H
#include "onednn.h"

typedef enum mien__conv_use {
    MIEN_CONV_FORWARD,
    MIEN_CONV_DATA_GRADIENT,
    MIEN_CONV_INFERENCE,
    MIEN_CONV_WEIGHTS_GRADIENT
} mien__conv_use;

typedef struct mien__conv_case {
    mien__conv_use use;
    dnnl_dims_t src, weight, dst; /* NCHW, OIHW, NCHW */
    dnnl_dims_t stride, pad_before, pad_after;
    bool bias, residual, relu;
    mien_dtype dtype; /* of activations: f32 or bf16; a weights gradient is f32 in any case */
    int src_block, dst_block; /* the layouts that the plan settled on */
} mien__conv_case;

/* Looks the primitive up or builds it, and sets the two layouts in `c`. Arguments in order:
 * forward, inference  src, weights, dst, bias?, residual?
 * data gradient       diff_dst, weights, diff_src
 * weights gradient    src, diff_dst, diff_weights, diff_bias?
 * A residual that the primitive cannot add from elsewhere has to lie in dst beforehand: then
 * n_args is one less. To be called under the lock. */
mien_status mien__conv_plan(mien__conv_case *c, mien__primitive **primitive);
/* Is Winograd's algorithm the fastest that oneDNN has for this pass? */
bool mien__winograd_pays(const mien__conv_case *c);
#endif
