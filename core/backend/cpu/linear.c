/* linear and matmul, forward and backward.
 * Not here: the products themselves (gemm.c), recurrent layers (recurrent.c). */
#include "pack.h"

/* out[i] += bias for each of `rows` rows of k. */
MIEN_CLONES(void, add_bias,
            (float *restrict out, const float *restrict bias, int64_t rows, int64_t k),
            (out, bias, rows, k)) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < k; i++) out[r * k + i] += bias[i];
}

MIEN_CLONES(void, sum_rows,
            (float *restrict sum, const float *restrict x, int64_t rows, int64_t k, int64_t stride),
            (sum, x, rows, k, stride)) {
    double part[64];
    for (int64_t i0 = 0; i0 < k; i0 += 64) {
        int64_t width = mien__min64(64, k - i0);
        memset(part, 0, sizeof part);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < width; i++) part[i] += x[r * stride + i0 + i];
        for (int64_t i = 0; i < width; i++) sum[i0 + i] = (float)part[i];
    }
}

void mien__cpu_sum_rows(float *sum, const float *x, int64_t rows, int64_t k) {
    int64_t grain = 64;
#pragma omp parallel for if (rows * k > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < k; i += grain)
        sum_rows(sum + i, x + i, rows, mien__min64(grain, k - i), k);
}

static bool needs_f32(const mien_op_call *call) {
    return mien__cpu_is_half(call) && !(mien__cpu_has_bf16() && mien__cpu_f32_parameters(call));
}

/* The weights as the product wants them: bf16 for bf16 rows. NULL: no memory. */
static void *factor(const mien_op_call *call, mien_tensor *w) {
    return mien__cpu_is_half(call) ? mien__pack_rounded(w) : mien__cpu_f32(w);
}

mien_status mien__cpu_linear_forward(mien_op_call *call) {
    if (needs_f32(call)) return mien__cpu_in_f32(call, mien__cpu_linear_forward);
    mien_tensor *x = mien__cpu_as_layout(call->in[0], 0), *w = mien__cpu_as_layout(call->in[1], 0);
    mien_tensor *b = call->in[2] ? mien__cpu_as_layout(call->in[2], 0) : NULL, *out = call->out[0];
    mien_tensor *sums = NULL; /* f32, until the bias is added */
    void *weights = w ? factor(call, w) : NULL;
    mien_status status = mien_error_last()->code; /* of what is NULL, if anything */
    if (!x || !weights || (call->in[2] && !b)) goto done;
    if ((status = mien__tensor_alloc(out, 0)) != MIEN_OK) goto done;
    int64_t k = w->shape[0], d = w->shape[1], rows = k ? mien_tensor_count(out) / k : 0;
    if (mien__failed(sums = x->dtype == MIEN_F32 ? mien_tensor_retain(out)
                                                 : mien__cpu_scratch(rows * k),
                     &status))
        goto done;
    float *y = mien__cpu_f32(sums);
    status = mien__gemm(&(mien__product){false, true, rows, k, d, d, d, k, x->dtype, MIEN_F32},
                        mien__cpu_ptr(x), weights, y);
    if (status == MIEN_OK && b) add_bias(y, mien__cpu_f32(b), rows, k);
    if (status == MIEN_OK) mien__cpu_written(out, 0, rows * k, y);
    mien__cpu_set_implementation(call, x->dtype == MIEN_F32 ? "gemm" : "gemm:bf16");
done:
    mien_tensor_release(sums);
    mien_tensor_release(x);
    mien_tensor_release(w);
    mien_tensor_release(b);
    return status;
}

mien_status mien__cpu_linear_backward(mien_op_call *call) {
    if (needs_f32(call)) return mien__cpu_in_f32(call, mien__cpu_linear_backward);
    mien_tensor *x = mien__cpu_as_layout(call->in[0], 0), *w = mien__cpu_as_layout(call->in[1], 0);
    mien_tensor *dout = mien__cpu_as_layout(call->dout[0], 0), *wide = NULL;
    void *weights = w ? factor(call, w) : NULL;
    mien_status status = mien_error_last()->code; /* of what is NULL, if anything */
    if (!x || !weights || !dout) goto done;
    if (call->want[2] && mien__failed(wide = mien__cpu_as_dtype(dout, 0, MIEN_F32), &status))
        goto done;
    status = MIEN_OK;
    for (int i = 0; i < 3; i++)
        if (call->want[i] && (status = mien__tensor_alloc(call->din[i], 0)) != MIEN_OK) goto done;
    int64_t k = w->shape[0], d = w->shape[1], rows = k ? mien_tensor_count(dout) / k : 0;
    mien_dtype t = x->dtype;
    if (call->want[0])
        status = mien__gemm(&(mien__product){false, false, rows, d, k, k, d, d, t, t},
                            mien__cpu_ptr(dout), weights, mien__cpu_ptr(call->din[0]));
    if (status == MIEN_OK && call->want[1])
        status = mien__gemm(&(mien__product){true, false, k, d, rows, k, d, d, t, MIEN_F32},
                            mien__cpu_ptr(dout), mien__cpu_ptr(x), mien__cpu_ptr(call->din[1]));
    if (status == MIEN_OK && call->want[2])
        mien__cpu_sum_rows(mien__cpu_f32(call->din[2]), mien__cpu_f32(wide), rows, k);
    mien__cpu_set_implementation(call, t == MIEN_F32 ? "gemm" : "gemm:bf16");
done:
    mien_tensor_release(wide);
    mien_tensor_release(x);
    mien_tensor_release(w);
    mien_tensor_release(dout);
    return status;
}

/* ---- matmul ---------------------------------------------------------------------------------- */

typedef struct product {
    int64_t batch, m, k, n;
} product;

static product product_of(const mien_tensor *a, const mien_tensor *b) {
    int s = a->ndim == 3;
    return (product){s ? a->shape[0] : 1, a->shape[s], a->shape[s + 1], b->shape[s + 1]};
}

mien_status mien__cpu_matmul_forward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_matmul_forward);
    mien_tensor *a = mien__cpu_as_layout(call->in[0], 0), *b = mien__cpu_as_layout(call->in[1], 0);
    mien_status status = mien_error_last()->code; /* of what is NULL, if anything */
    if (!a || !b) goto done;
    if ((status = mien__tensor_alloc(call->out[0], 0)) != MIEN_OK) goto done;
    product p = product_of(a, b);
    status = mien__sgemm_batch(false, false, p.batch, p.m, p.n, p.k, mien__cpu_f32(a),
                               mien__cpu_f32(b), mien__cpu_f32(call->out[0]));
    mien__cpu_set_implementation(call, "sgemm");
done:
    mien_tensor_release(a);
    mien_tensor_release(b);
    return status;
}

mien_status mien__cpu_matmul_backward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_matmul_backward);
    mien_tensor *a = mien__cpu_as_layout(call->in[0], 0), *b = mien__cpu_as_layout(call->in[1], 0);
    mien_tensor *dout = mien__cpu_as_layout(call->dout[0], 0);
    mien_status status = mien_error_last()->code; /* of what is NULL, if anything */
    if (!a || !b || !dout) goto done;
    status = MIEN_OK;
    for (int i = 0; i < 2; i++)
        if (call->want[i] && (status = mien__tensor_alloc(call->din[i], 0)) != MIEN_OK) goto done;
    product p = product_of(a, b);
    if (call->want[0])
        status = mien__sgemm_batch(false, true, p.batch, p.m, p.k, p.n, mien__cpu_f32(dout),
                                   mien__cpu_f32(b), mien__cpu_f32(call->din[0]));
    if (call->want[1] && status == MIEN_OK)
        status = mien__sgemm_batch(true, false, p.batch, p.k, p.n, p.m, mien__cpu_f32(a),
                                   mien__cpu_f32(dout), mien__cpu_f32(call->din[1]));
    mien__cpu_set_implementation(call, "sgemm");
done:
    mien_tensor_release(a);
    mien_tensor_release(b);
    mien_tensor_release(dout);
    return status;
}
