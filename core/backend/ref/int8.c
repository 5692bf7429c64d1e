/* Inference in whole numbers: quantise and conv2d_int8.
 * Not here: pooling of u8 and i8, which is pooling (pool.c). */
#include "ref.h"
#include <math.h>

static double saturate(double y, mien_dtype dtype) {
    double low = dtype == MIEN_I8 ? INT8_MIN : 0, high = dtype == MIEN_I8 ? INT8_MAX : UINT8_MAX;
    y = rint(y);                                  /* half to even */
    return y > low ? (y < high ? y : high) : low; /* NaN gives low */
}

mien_status mien__ref_quantise_forward(mien__ref *r) {
    const mien_quantise_attr *a = r->attr;
    const mien_tensor *out = r->call->out[0];
    for (int64_t i = 0; i < mien_tensor_count(out); i++)
        r->out[0][i] = saturate(r->in[0][i] / a->scale, out->dtype);
    return MIEN_OK;
}

/* Sums of products of whole numbers below 2^53 are exact in double. */
mien_status mien__ref_conv2d_int8_forward(mien__ref *r) {
    const mien_conv2d_int8_attr *a = r->attr;
    const mien_tensor *out = r->call->out[0];
    MIEN_TRY(mien__ref_conv2d_forward(r));
    int64_t plane = out->shape[2] * out->shape[3];
    for (int64_t i = 0; i < mien_tensor_count(out); i++) {
        double y = r->in[3][i / plane % out->shape[1]] * r->out[0][i];
        if (r->in[4]) y += a->residual_scale * r->in[4][i];
        if (a->relu && y < 0) y = 0;
        r->out[0][i] = saturate(y, out->dtype);
    }
    return MIEN_OK;
}
