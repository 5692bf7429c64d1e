/* The op batch_norm: any layout of its tensors becomes rows of channels.
 * Not here: the kernels (norm_kernels.cu). */
#include "norm.h"

#include <string.h>

#include "kernels.h"

namespace {

/* ---- tensors as rows of channels ------------------------------------------------------------------ */

/* Strides in which the channels of t [N,C,...] lie innermost. */
static void channels_last(const mien_tensor *t, int64_t *stride) {
    int64_t step = t->shape[1];
    stride[1] = 1;
    for (int d = t->ndim - 1; d >= 0; d--) {
        if (d == 1) continue;
        stride[d] = step;
        step *= t->shape[d];
    }
}

/* A retained tensor with t's elements in that order. */
static mien_tensor *as_rows(mien_tensor *t, mien_dtype dtype) {
    mien_tensor model = *t; /* only its shape and strides are looked at */
    channels_last(t, model.stride);
    return mien__cuda_as_like(t, &model, dtype);
}

static mien_status alloc_rows(mien_tensor *t) {
    MIEN_TRY(mien__cuda_alloc(t));
    channels_last(t, t->stride);
    return MIEN_OK;
}

static int64_t rows_of(const mien_tensor *t) {
    return t->shape[1] ? mien_tensor_count(t) / t->shape[1] : 0;
}

/* ---- forward ---------------------------------------------------------------------------------------- */

/* A parameter or statistic as f32. */
static mien_tensor *vector(mien_tensor *t) {
    return mien__cuda_as_plain(t, MIEN_F32);
}

/* Back to where it came from, when `vector` made a copy. */
static mien_status give_back(mien_tensor *t, mien_tensor *made) {
    if (made != t) return mien__cuda_copy(t, made);
    mien__tensor_touch(t);
    return MIEN_OK;
}

static mien_status norm_forward(mien_op_call *call) {
    const mien_batch_norm_attr *a = (const mien_batch_norm_attr *)call->attr;
    mien_tensor *out = call->out[0], *mean = call->out[1], *rstd = call->out[2];
    mien__cuda_set_implementation(call, "own:norm");
    MIEN_TRY(mien__cuda_check());
    MIEN_TRY(alloc_rows(out));
    MIEN_TRY(mien__cuda_alloc(mean));
    MIEN_TRY(mien__cuda_alloc(rstd));
    if (out->shape[1] == 0) return MIEN_OK;
    mien_held x(as_rows(call->in[0], out->dtype)), weight(vector(call->in[1]));
    mien_held bias(vector(call->in[2])), run_mean(vector(call->in[3]));
    mien_held run_var(vector(call->in[4]));
    mien_held residual(call->in[5] ? as_rows(call->in[5], out->dtype) : NULL);
    if (x.failed() || weight.failed() || bias.failed() || run_mean.failed() || run_var.failed() ||
        (call->in[5] && residual.failed()))
        return mien_last();
    bool aligned = mien_aligned(x.data<void>()) && mien_aligned(mien__cuda_ptr(out)) &&
                   mien_aligned(residual.t ? residual.data<void>() : NULL);
    mien_norm_grid g = mien__norm_grid(rows_of(out), (int)out->shape[1], out->dtype, aligned);
    float *m = (float *)mien__cuda_ptr(mean), *r = (float *)mien__cuda_ptr(rstd);
    if (a->training && g.rows > 0) {
        MIEN_TRY(mien__norm_statistics(g, out->dtype, x.data<void>(), m, r, run_mean.data<float>(),
                                       run_var.data<float>(), a->momentum, a->eps));
        MIEN_TRY(give_back(call->in[3], run_mean.t));
        MIEN_TRY(give_back(call->in[4], run_var.t));
    } else {
        MIEN_TRY(mien__norm_running(g.channels, run_mean.data<float>(), run_var.data<float>(),
                                    a->eps, m, r));
    }
    if (g.rows == 0) return MIEN_OK;
    return mien__norm_apply(g, out->dtype, mien__cuda_ptr(out), x.data<void>(),
                            residual.t ? residual.data<void>() : NULL, m, r, weight.data<float>(),
                            bias.data<float>(), a->relu != 0);
}

/* ---- backward --------------------------------------------------------------------------------------- */

/* Gradient of a parameter from its f32 form. */
static mien_status give_vector(mien_op_call *call, int i, mien_tensor *sums) {
    if (!call->want[i]) return MIEN_OK;
    MIEN_TRY(mien__cuda_alloc(call->din[i]));
    return mien__cuda_copy(call->din[i], sums);
}

static mien_status norm_backward(mien_op_call *call) {
    const mien_batch_norm_attr *a = (const mien_batch_norm_attr *)call->attr;
    mien_tensor *dy = call->dout[0];
    mien_dtype dtype = call->in[0]->dtype;
    mien__cuda_set_implementation(call, "own:norm");
    MIEN_TRY(mien__cuda_check());
    if (call->want[3] || call->want[4])
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "batch_norm: the running statistics have no gradient");
    mien_held x(as_rows(call->in[0], dtype)), d(as_rows(dy, dtype)), weight(vector(call->in[1]));
    mien_held mean(vector(call->out[1])), rstd(vector(call->out[2]));
    mien_held y(a->relu ? as_rows(call->out[0], dtype) : NULL);
    int64_t channels = dy->shape[1];
    mien_held dw(mien__cuda_vector(MIEN_F32, channels)), db(mien__cuda_vector(MIEN_F32, channels));
    if (x.failed() || d.failed() || weight.failed() || mean.failed() || rstd.failed() ||
        dw.failed() || db.failed() || (a->relu && y.failed()))
        return mien_last();
    void *dx = NULL, *dz = NULL;
    if (call->want[0]) MIEN_TRY(alloc_rows(call->din[0]));
    if (call->want[0]) dx = mien__cuda_ptr(call->din[0]);
    if (call->want[5]) MIEN_TRY(alloc_rows(call->din[5]));
    if (call->want[5]) dz = mien__cuda_ptr(call->din[5]);
    const void *out = y.t ? y.data<void>() : NULL;
    bool aligned = mien_aligned(x.data<void>()) && mien_aligned(d.data<void>()) &&
                   mien_aligned(out) && mien_aligned(dx) && mien_aligned(dz);
    mien_norm_grid g = mien__norm_grid(rows_of(dy), (int)channels, dtype, aligned);
    if (channels == 0) return MIEN_OK;
    bool sums = call->want[1] || call->want[2] || (dx && a->training);
    if (sums)
        MIEN_TRY(mien__norm_sums(g, dtype, d.data<void>(), out, x.data<void>(), mean.data<float>(),
                                 rstd.data<float>(), dw.data<float>(), db.data<float>()));
    MIEN_TRY(give_vector(call, 1, dw.t));
    MIEN_TRY(give_vector(call, 2, db.t));
    if ((!dx && !dz) || g.rows == 0) return MIEN_OK;
    return mien__norm_back(g, dtype, dx, dz, d.data<void>(), out, x.data<void>(),
                           mean.data<float>(), rstd.data<float>(), weight.data<float>(),
                           a->training ? dw.data<float>() : NULL, db.data<float>());
}

} // namespace

void mien__cuda_part_norm(mien_backend *table) {
    table->forward[MIEN_OP_batch_norm] = norm_forward;
    table->backward[MIEN_OP_batch_norm] = norm_backward;
}
