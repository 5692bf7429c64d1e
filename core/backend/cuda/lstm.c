/* LSTM layers whose sizes the own kernel takes: its time loop, and the products around it.
 * Not here: the loop (kernels/lstm.cu), other layers (recurrent.c). */
#include "blas.h"
#include "convert.h"
#include "epilogue.h"
#include "kernels/lstm.h"
#include "pack.h"

/* Both passes must decide alike, since the loop and cuDNN keep different things in `reserve`: only
 * sizes and the device count. */
static bool fits(const mien_op_call *call) {
    const mien_tensor *x = call->in[0];
    int64_t batch = x->shape[0], steps = x->shape[1], h = call->in[2]->shape[1];
    if (batch < 1 || batch > 64 || h > 4096 || x->shape[2] < 1 || steps > 1 << 24) return false;
    return mien__lstm_loop_fits(x->dtype, (int)batch, (int)h);
}

/* What other sizes are left to. */
static mien_op_fn other_forward, other_backward;

/* A retained plain tensor, or NULL for NULL; a failure goes into *status. */
static mien_tensor *plain(mien_tensor *t, mien_dtype dtype, mien_status *status) {
    if (!t || *status != MIEN_OK) return NULL;
    mien_tensor *made = mien__cuda_as_plain(t, dtype);
    if (!made) *status = mien_error_last()->code;
    return made;
}

static mien_tensor *vector(mien_dtype dtype, int64_t n, mien_status *status) {
    if (*status != MIEN_OK) return NULL;
    mien_tensor *made = mien__cuda_vector(dtype, n);
    if (!made) *status = mien_error_last()->code;
    return made;
}

static mien_tensor *weight(mien_tensor *t, mien_dtype dtype, mien_status *status) {
    if (*status != MIEN_OK) return NULL;
    mien_tensor *made = mien__cuda_weight(t, dtype, 0);
    if (!made) *status = mien_error_last()->code;
    return made;
}

static void let_go(mien_tensor **tensors, int n) {
    for (int i = 0; i < n; i++) mien_tensor_release(tensors[i]);
}

/* An f32 vector as the elements of the header `t`. */
static mien_status put(mien_tensor *t, const mien_tensor *numbers) {
    MIEN_TRY(mien__cuda_alloc(t));
    return mien__cuda_convert(mien__cuda_ptr(t), t->dtype, mien__cuda_ptr(numbers), MIEN_F32,
                              mien_tensor_count(t));
}

/* ---- forward -----------------------------------------------------------------------------------
 */

/* The input's share of the gates for all frames at once: x [rows,D] W_ih' + bias -> f32 [rows,4H].
 */
static mien_status input_share(mien_tensor *x, mien_tensor *w_ih, mien_tensor *bias, int64_t rows,
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

static mien_status lstm_forward(mien_op_call *call) {
    if (!fits(call)) return other_forward(call);
    const int64_t *size = call->in[0]->shape;
    int64_t batch = size[0], steps = size[1], h = call->in[2]->shape[1];
    mien_dtype dtype = call->in[0]->dtype;
    mien_status status = MIEN_OK;
    enum { X, W_IH, W_HH, BIAS, H0, C0, GATES, H, C, COUNT };
    mien_tensor *t[COUNT] = {0};
    t[X] = plain(call->in[0], dtype, &status);
    t[W_IH] = weight(call->in[1], dtype, &status);
    t[W_HH] = weight(call->in[2], dtype, &status);
    t[BIAS] = plain(call->in[3], MIEN_F32, &status);
    t[H0] = plain(call->in[4], MIEN_F32, &status);
    t[C0] = plain(call->in[5], MIEN_F32, &status);
    t[GATES] = vector(MIEN_F32, batch * steps * 4 * h, &status);
    t[H] = vector(MIEN_F32, batch * h, &status);
    t[C] = vector(MIEN_F32, batch * h, &status);
    if (status == MIEN_OK) status = mien__cuda_alloc(call->out[0]);
    if (status == MIEN_OK) status = mien__cuda_alloc(call->out[3]);
    if (status == MIEN_OK) status = input_share(t[X], t[W_IH], t[BIAS], batch * steps, t[GATES]);
    if (status == MIEN_OK) {
        mien__lstm_loop l = {.dtype = dtype,
                             .batch = (int)batch,
                             .steps = (int)steps,
                             .hidden = (int)h,
                             .weight = mien__cuda_ptr(t[W_HH]),
                             .gates = mien__cuda_ptr(t[GATES]),
                             .h0 = mien__cuda_ptr(t[H0]),
                             .c0 = mien__cuda_ptr(t[C0]),
                             .y = mien__cuda_ptr(call->out[0]),
                             .h = mien__cuda_ptr(t[H]),
                             .c = mien__cuda_ptr(t[C]),
                             .reserve = call->recording ? mien__cuda_ptr(call->out[3]) : NULL};
        status = mien__lstm_loop_forward(&l);
    }
    if (status == MIEN_OK) status = put(call->out[1], t[H]);
    if (status == MIEN_OK) status = put(call->out[2], t[C]);
    mien__cuda_says(call, "own:lstm");
    let_go(t, COUNT);
    return status;
}

/* ---- backward ----------------------------------------------------------------------------------
 */

/* [h0, y without its last frame] as [B,T,H]: the state that each frame starts from. */
static mien_status states_before(mien_tensor *before, mien_tensor *y, mien_tensor *h0) {
    int64_t steps = y->shape[1];
    mien_tensor first = *before, rest = *before, source = *y;
    first.shape[1] = 1;
    rest.shape[1] = source.shape[1] = steps - 1;
    rest.offset += before->stride[1];
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

/* din [m,n] = da' or da times something, in the header's dtype. */
static mien_status product(mien_tensor *din, bool transpose, int64_t m, int64_t n, int64_t k,
                           mien_tensor *da, mien_tensor *other) {
    mien__product p = {.batch = 1,
                       .m = m,
                       .n = n,
                       .k = k,
                       .transpose_a = transpose,
                       .in = da->dtype,
                       .out = din->dtype};
    MIEN_TRY(mien__cuda_alloc(din));
    return mien__cuda_multiply(&p, mien__cuda_ptr(da), mien__cuda_ptr(other), mien__cuda_ptr(din));
}

static mien_status bias_gradient(mien_tensor *din, mien_tensor *da, int64_t rows) {
    mien_status status = MIEN_OK;
    mien_tensor *sums = vector(MIEN_F32, mien_tensor_count(din), &status);
    if (status == MIEN_OK)
        status = mien__cuda_column_sums(mien__cuda_ptr(sums), mien__cuda_ptr(da), da->dtype, rows,
                                        mien_tensor_count(din));
    if (status == MIEN_OK) status = put(din, sums);
    mien_tensor_release(sums);
    return status;
}

static mien_status parameter_gradients(mien_op_call *call, mien_tensor *da, int64_t rows) {
    int64_t d = call->in[0]->shape[2], h = call->in[2]->shape[1];
    mien_status status = MIEN_OK;
    mien_tensor *x = NULL, *y = NULL, *before = NULL;
    if (call->want[1]) {
        x = plain(call->in[0], da->dtype, &status);
        if (status == MIEN_OK) status = product(call->din[1], true, 4 * h, d, rows, da, x);
    }
    if (call->want[2] && status == MIEN_OK) {
        y = plain(call->out[0], da->dtype, &status);
        before = status == MIEN_OK
                     ? mien_tensor_new(da->dtype, MIEN_DEVICE_CUDA, 3, call->out[0]->shape)
                     : NULL;
        if (status == MIEN_OK && !before) status = mien_error_last()->code;
        if (status == MIEN_OK) status = states_before(before, y, call->in[4]);
        if (status == MIEN_OK) status = product(call->din[2], true, 4 * h, h, rows, da, before);
    }
    if (call->want[3] && status == MIEN_OK) status = bias_gradient(call->din[3], da, rows);
    mien_tensor_release(x);
    mien_tensor_release(y);
    mien_tensor_release(before);
    return status;
}

static mien_status lstm_backward(mien_op_call *call) {
    if (!fits(call)) return other_backward(call);
    const int64_t *size = call->in[0]->shape;
    int64_t batch = size[0], rows = batch * size[1], h = call->in[2]->shape[1];
    mien_dtype dtype = call->in[0]->dtype;
    mien_status status = MIEN_OK;
    enum { W_IH, W_HH, C0, DY, DH, DC, DA, DH0, DC0, COUNT };
    mien_tensor *t[COUNT] = {0};
    t[W_HH] = weight(call->in[2], dtype, &status);
    t[C0] = plain(call->in[5], MIEN_F32, &status);
    t[DY] = plain(call->dout[0], dtype, &status);
    t[DH] = plain(call->dout[1], MIEN_F32, &status);
    t[DC] = plain(call->dout[2], MIEN_F32, &status);
    t[DA] = vector(dtype, rows * 4 * h, &status);
    if (call->want[4]) t[DH0] = vector(MIEN_F32, batch * h, &status);
    if (call->want[5]) t[DC0] = vector(MIEN_F32, batch * h, &status);
    if (status == MIEN_OK) {
        mien__lstm_loop l = {.dtype = dtype,
                             .batch = (int)batch,
                             .steps = (int)size[1],
                             .hidden = (int)h,
                             .weight = mien__cuda_ptr(t[W_HH]),
                             .c0 = mien__cuda_ptr(t[C0]),
                             .reserve = mien__cuda_ptr(call->out[3]),
                             .dy = mien__cuda_ptr(t[DY]),
                             .dh = mien__cuda_ptr(t[DH]),
                             .dc = mien__cuda_ptr(t[DC]),
                             .da = mien__cuda_ptr(t[DA]),
                             .dh0 = mien__cuda_ptr(t[DH0]),
                             .dc0 = mien__cuda_ptr(t[DC0])};
        status = mien__lstm_loop_backward(&l);
    }
    if (status == MIEN_OK && call->want[0]) {
        t[W_IH] = weight(call->in[1], dtype, &status);
        if (status == MIEN_OK)
            status = product(call->din[0], false, rows, size[2], 4 * h, t[DA], t[W_IH]);
    }
    if (status == MIEN_OK) status = parameter_gradients(call, t[DA], rows);
    if (status == MIEN_OK && t[DH0]) status = put(call->din[4], t[DH0]);
    if (status == MIEN_OK && t[DC0]) status = put(call->din[5], t[DC0]);
    mien__cuda_says(call, "own:lstm");
    let_go(t, COUNT);
    return status;
}

/* After recurrent.c's part, whose functions serve what does not fit. */
void mien__cuda_part_lstm(mien_backend *table) {
    other_forward = table->forward[MIEN_OP_lstm];
    other_backward = table->backward[MIEN_OP_lstm];
    table->forward[MIEN_OP_lstm] = lstm_forward;
    table->backward[MIEN_OP_lstm] = lstm_backward;
}
