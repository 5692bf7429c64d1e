/* What recurrent layers do for all frames at once: products around a loop over time.
 * Not here: the loops (kernels/). */
#include "layer.h"

#include "blas.h"
#include "convert.h"
#include "epilogue.h"
#include "pack.h"

/* ---- tensors --------------------------------------------------------------------------------- */

static mien_tensor *made(mien_tensor *t, mien_status *status) {
    if (!t) *status = mien_error_last()->code;
    return t;
}

mien_tensor *mien__layer_plain(mien_tensor *t, mien_dtype dtype, mien_status *status) {
    if (!t || *status != MIEN_OK) return NULL;
    return made(mien__cuda_as_plain(t, dtype), status);
}

mien_tensor *mien__layer_weight(mien_tensor *t, mien_dtype dtype, mien_status *status) {
    return *status == MIEN_OK ? made(mien__cuda_weight(t, dtype, 0), status) : NULL;
}

mien_tensor *mien__layer_vector(mien_dtype dtype, int64_t n, mien_status *status) {
    return *status == MIEN_OK ? made(mien__cuda_vector(dtype, n), status) : NULL;
}

void mien__layer_release(mien_tensor **tensors, int n) {
    for (int i = 0; i < n; i++) mien_tensor_release(tensors[i]);
}

static mien_status fill_states(mien_tensor *states, mien_tensor *y, mien_tensor *h0) {
    int64_t steps = y->shape[1];
    mien_tensor first = *states, rest = *states, source = *y;
    first.shape[1] = 1;
    rest.shape[1] = source.shape[1] = steps - 1;
    rest.offset += states->stride[1];
    if (h0) {
        mien_tensor from = *h0; /* [B,H] as [B,1,H] */
        from.ndim = 3;
        from.shape[2] = h0->shape[1], from.stride[2] = h0->stride[1];
        from.shape[1] = 1, from.stride[1] = h0->stride[0];
        MIEN_TRY(mien__cuda_copy(&first, &from));
    } else {
        MIEN_TRY(mien__cuda_fill(&first, 0));
    }
    return steps > 1 ? mien__cuda_copy(&rest, &source) : MIEN_OK;
}

mien_tensor *mien__layer_states(mien_tensor *y, mien_tensor *h0, mien_dtype dtype,
                                mien_status *status) {
    if (*status != MIEN_OK) return NULL;
    mien_tensor *states = made(mien_tensor_new(dtype, MIEN_DEVICE_CUDA, 3, y->shape), status);
    if (states) *status = fill_states(states, y, h0);
    return states;
}

mien_status mien__layer_put(mien_tensor *t, const mien_tensor *vector) {
    MIEN_TRY(mien__cuda_alloc(t));
    return mien__cuda_convert(mien__cuda_ptr(t), t->dtype, mien__cuda_ptr(vector), vector->dtype,
                              mien_tensor_count(t));
}

mien_status mien__layer_zeros(mien_tensor *const *tensors, int n) {
    for (int i = 0; i < n; i++) {
        if (!tensors[i]) continue;
        MIEN_TRY(mien__cuda_alloc(tensors[i]));
        MIEN_TRY(mien__cuda_fill(tensors[i], 0));
    }
    return MIEN_OK;
}

/* ---- products -------------------------------------------------------------------------------- */

mien_status mien__layer_input(mien_tensor *x, mien_tensor *w_ih, mien_tensor *bias, int64_t rows,
                              mien_tensor *gates) {
    int64_t d = w_ih->shape[1], n = w_ih->shape[0];
    mien__product p = {.batch = 1,
                       .m = rows,
                       .n = n,
                       .k = d,
                       .transpose_b = true,
                       .in = x->dtype,
                       .out = MIEN_F32};
    MIEN_TRY(
        mien__cuda_multiply(&p, mien__cuda_ptr(x), mien__cuda_ptr(w_ih), mien__cuda_ptr(gates)));
    return mien__cuda_epilogue(mien__cuda_ptr(gates), MIEN_F32, rows, n, mien__cuda_ptr(bias), NULL,
                               false);
}

static mien_status product(mien_tensor *din, const mien__product *p, mien_tensor *da,
                           mien_tensor *other) {
    MIEN_TRY(mien__cuda_alloc(din));
    return mien__cuda_multiply(p, mien__cuda_ptr(da), mien__cuda_ptr(other), mien__cuda_ptr(din));
}

mien_status mien__layer_input_gradient(mien_tensor *din, mien_tensor *da, mien_tensor *w,
                                       int64_t rows) {
    mien__product p = {.batch = 1,
                       .m = rows,
                       .n = w->shape[1],
                       .k = w->shape[0],
                       .in = da->dtype,
                       .out = din->dtype};
    return product(din, &p, da, w);
}

mien_status mien__layer_weight_gradient(mien_tensor *din, mien_tensor *da, mien_tensor *x,
                                        int64_t rows) {
    mien__product p = {.batch = 1,
                       .m = din->shape[0],
                       .n = din->shape[1],
                       .k = rows,
                       .transpose_a = true,
                       .in = da->dtype,
                       .out = din->dtype};
    return product(din, &p, da, x);
}

mien_status mien__layer_bias_gradient(mien_tensor *din, mien_tensor *da, int64_t rows) {
    mien_status status = MIEN_OK;
    mien_tensor *sums = mien__layer_vector(MIEN_F32, mien_tensor_count(din), &status);
    if (status == MIEN_OK)
        status = mien__cuda_column_sums(mien__cuda_ptr(sums), mien__cuda_ptr(da), da->dtype, rows,
                                        mien_tensor_count(din));
    if (status == MIEN_OK) status = mien__layer_put(din, sums);
    mien_tensor_release(sums);
    return status;
}
