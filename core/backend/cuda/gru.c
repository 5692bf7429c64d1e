/* GRU layers whose reset comes before the product, which cuDNN does not have: a loop over time of
 * two products and two kernels a step. Correct, not fast: a step waits for four small launches.
 * Not here: the other form (recurrent.c), the kernels (kernels/gru.cu). */
#include "backend/cuda/kernels/gru.h"

#include "blas.h"
#include "convert.h"
#include "backend/cuda/kernels/kernels.h"
#include "layer.h"

/* Layers whose reset comes after the product are left to it. */
static mien_op_fn other_forward, other_backward;

static bool is_own(const mien_op_call *call) {
    return !((const mien_gru_attr *)call->attr)->reset_after;
}

static mien__gru_loop loop_of(const mien_op_call *call) {
    const mien_tensor *x = call->in[0];
    return (mien__gru_loop){.dtype = x->dtype,
                            .batch = x->shape[0],
                            .steps = x->shape[1],
                            .hidden = call->in[2]->shape[1]};
}

/* sums [B,n] = rows [B,k] times the weights [n,k] transposed, or as [k,n]; of weight_hh [3H,H] the
 * H-rows from `gate` on. */
static mien_status recurrent(const mien__gru_loop *l, const void *rows, mien_tensor *w_hh, int gate,
                             int gates, bool transpose, mien_tensor *sums) {
    int64_t h = l->hidden;
    mien__product p = {.batch = 1,
                       .m = l->batch,
                       .n = transpose ? gates * h : h,
                       .k = transpose ? h : gates * h,
                       .transpose_b = transpose,
                       .in = l->dtype,
                       .out = MIEN_F32};
    const char *weight = mien__cuda_ptr(w_hh);
    weight += (size_t)(gate * h * h) * mien_dtype_size(l->dtype);
    return mien__cuda_multiply(&p, rows, weight, mien__cuda_ptr(sums));
}

/* ---- forward --------------------------------------------------------------------------------- */

static mien_status steps_forward(const mien__gru_loop *l, mien_tensor *w_hh, mien_tensor *sums) {
    for (int64_t t = 0; t < l->steps; t++) {
        MIEN_TRY(recurrent(l, l->h, w_hh, 0, 2, true, sums));
        MIEN_TRY(mien__gru_open(l, t, mien__cuda_ptr(sums)));
        MIEN_TRY(recurrent(l, l->reset, w_hh, 2, 1, true, sums));
        MIEN_TRY(mien__gru_next(l, t, mien__cuda_ptr(sums)));
    }
    return MIEN_OK;
}

/* A copy of h0, or zeros. */
static mien_tensor *first_state(mien_tensor *h0, const mien__gru_loop *l, mien_status *status) {
    int64_t shape[] = {l->batch, l->hidden};
    mien_tensor *h =
        *status == MIEN_OK ? mien_tensor_new(l->dtype, MIEN_DEVICE_CUDA, 2, shape) : NULL;
    if (h)
        *status = h0 ? mien__cuda_copy(h, h0) : mien__cuda_fill(h, 0);
    else if (*status == MIEN_OK)
        *status = mien_error_last()->code;
    return h;
}

static mien_status own_forward(mien_op_call *call) {
    mien__gru_loop l = loop_of(call);
    int64_t state = l.batch * l.hidden, rows = l.batch * l.steps;
    mien_status status = MIEN_OK;
    enum { X, W_IH, W_HH, BIAS_IH, BIAS_HH, GATES, H, RESET, SUMS, COUNT };
    mien_tensor *t[COUNT] = {0};
    t[X] = mien__layer_plain(call->in[0], l.dtype, &status);
    t[W_IH] = mien__layer_weight(call->in[1], l.dtype, &status);
    t[W_HH] = mien__layer_weight(call->in[2], l.dtype, &status);
    t[BIAS_IH] = mien__layer_plain(call->in[3], MIEN_F32, &status);
    t[BIAS_HH] = mien__layer_plain(call->in[4], MIEN_F32, &status);
    t[GATES] = mien__layer_vector(MIEN_F32, rows * 3 * l.hidden, &status);
    t[H] = first_state(call->in[5], &l, &status);
    t[RESET] = mien__layer_vector(l.dtype, state, &status);
    t[SUMS] = mien__layer_vector(MIEN_F32, 2 * state, &status);
    if (status == MIEN_OK) status = mien__cuda_alloc(call->out[0]);
    if (status == MIEN_OK) status = mien__cuda_alloc(call->out[2]);
    if (status == MIEN_OK) status = mien__layer_input(t[X], t[W_IH], t[BIAS_IH], rows, t[GATES]);
    if (status == MIEN_OK) {
        l.reserve = mien__cuda_ptr(call->out[2]);
        l.gates = mien__cuda_ptr(t[GATES]);
        l.bias = mien__cuda_ptr(t[BIAS_HH]);
        l.h = mien__cuda_ptr(t[H]);
        l.reset = mien__cuda_ptr(t[RESET]);
        l.y = mien__cuda_ptr(call->out[0]);
        status = steps_forward(&l, t[W_HH], t[SUMS]);
    }
    if (status == MIEN_OK) status = mien__layer_put(call->out[1], t[H]);
    mien__layer_release(t, COUNT);
    return status;
}

/* ---- backward -------------------------------------------------------------------------------- */

static mien_status steps_backward(const mien__gru_loop *l, mien_tensor *w_hh, mien_tensor *sums) {
    for (int64_t t = l->steps - 1; t >= 0; t--) {
        MIEN_TRY(mien__gru_next_back(l, t, t + 1 < l->steps ? mien__cuda_ptr(sums) : NULL));
        MIEN_TRY(recurrent(l, l->candidate, w_hh, 2, 1, false, sums));
        MIEN_TRY(mien__gru_open_back(l, t, mien__cuda_ptr(sums)));
        MIEN_TRY(recurrent(l, l->open, w_hh, 0, 2, false, sums));
    }
    return mien__gru_next_back(l, -1, mien__cuda_ptr(sums));
}

/* r and z multiplied h, n multiplied r h: of [3H,H] each, the rows that are meant. */
static mien_status recurrent_weights(mien_op_call *call, mien_tensor *da, mien_tensor *before,
                                     mien_tensor *gated) {
    mien_tensor *din = call->din[2];
    int64_t h = din->shape[1], rows = before->shape[0] * before->shape[1];
    mien_tensor *other = mien__tensor_header(din->dtype, MIEN_DEVICE_CUDA, 2, din->shape);
    mien_status status =
        other ? mien__layer_weight_gradient(other, da, gated, rows) : mien_error_last()->code;
    if (status == MIEN_OK) status = mien__layer_weight_gradient(din, da, before, rows);
    if (status == MIEN_OK) {
        size_t first = (size_t)(2 * h * h) * mien_dtype_size(din->dtype);
        status = mien__cuda_convert((char *)mien__cuda_ptr(din) + first, din->dtype,
                                    (char *)mien__cuda_ptr(other) + first, din->dtype, h * h);
    }
    mien_tensor_release(other);
    return status;
}

static mien_status frame_gradients(mien_op_call *call, mien_tensor *da, mien_tensor *before,
                                   mien_tensor *gated) {
    int64_t rows = before->shape[0] * before->shape[1];
    mien_status status = MIEN_OK;
    mien_tensor *x = NULL, *w_ih = NULL;
    if (call->want[0]) {
        w_ih = mien__layer_weight(call->in[1], da->dtype, &status);
        if (w_ih) status = mien__layer_input_gradient(call->din[0], da, w_ih, rows);
    }
    if (call->want[1]) {
        x = mien__layer_plain(call->in[0], da->dtype, &status);
        if (x) status = mien__layer_weight_gradient(call->din[1], da, x, rows);
    }
    if (call->want[2] && status == MIEN_OK) status = recurrent_weights(call, da, before, gated);
    for (int i = 3; i < 5; i++) /* U h + c goes into the gates as it is: both biases get the same */
        if (call->want[i] && status == MIEN_OK)
            status = mien__layer_bias_gradient(call->din[i], da, rows);
    mien_tensor_release(x);
    mien_tensor_release(w_ih);
    return status;
}

static mien_status own_backward(mien_op_call *call) {
    mien__gru_loop l = loop_of(call);
    int64_t state = l.batch * l.hidden, rows = l.batch * l.steps;
    mien_status status = MIEN_OK;
    enum { W_HH, BEFORE, DY, CARRY, DA, OPEN, CANDIDATE, GATED, SUMS, COUNT };
    mien_tensor *t[COUNT] = {0};
    t[W_HH] = mien__layer_weight(call->in[2], l.dtype, &status);
    t[BEFORE] = mien__layer_states(call->out[0], call->in[5], l.dtype, &status);
    t[DY] = mien__layer_plain(call->dout[0], l.dtype, &status);
    t[CARRY] = mien__layer_vector(MIEN_F32, state, &status);
    t[DA] = mien__layer_vector(l.dtype, rows * 3 * l.hidden, &status);
    t[OPEN] = mien__layer_vector(l.dtype, 2 * state, &status);
    t[CANDIDATE] = mien__layer_vector(l.dtype, state, &status);
    if (call->want[2]) t[GATED] = mien__layer_vector(l.dtype, rows * l.hidden, &status);
    t[SUMS] = mien__layer_vector(MIEN_F32, state, &status);
    if (status == MIEN_OK) {
        mien_tensor *dh = mien__layer_plain(call->dout[1], MIEN_F32, &status);
        if (dh)
            status = mien__cuda_convert(mien__cuda_ptr(t[CARRY]), MIEN_F32, mien__cuda_ptr(dh),
                                        MIEN_F32, state);
        else if (status == MIEN_OK)
            status = mien__cuda_fill(t[CARRY], 0);
        mien_tensor_release(dh);
    }
    if (status == MIEN_OK) {
        l.reserve = mien__cuda_ptr(call->out[2]);
        l.before = mien__cuda_ptr(t[BEFORE]);
        l.dy = mien__cuda_ptr(t[DY]);
        l.carry = mien__cuda_ptr(t[CARRY]);
        l.da = mien__cuda_ptr(t[DA]);
        l.open = mien__cuda_ptr(t[OPEN]);
        l.candidate = mien__cuda_ptr(t[CANDIDATE]);
        l.gated = mien__cuda_ptr(t[GATED]);
        status = steps_backward(&l, t[W_HH], t[SUMS]);
    }
    if (status == MIEN_OK) status = frame_gradients(call, t[DA], t[BEFORE], t[GATED]);
    if (status == MIEN_OK && call->want[5]) status = mien__layer_put(call->din[5], t[CARRY]);
    mien__layer_release(t, COUNT);
    return status;
}

/* ---- who serves a call ----------------------------------------------------------------------- */

static mien_status forward(mien_op_call *call) {
    if (!is_own(call)) return other_forward(call);
    mien__cuda_says(call, "own:gru");
    MIEN_TRY(mien__cuda_alive());
    if (call->in[0]->shape[0] == 0) return mien__layer_zeros(call->out, MIEN_OP_MAX_OUT);
    return own_forward(call);
}

static mien_status backward(mien_op_call *call) {
    if (!is_own(call)) return other_backward(call);
    mien__cuda_says(call, "own:gru");
    MIEN_TRY(mien__cuda_alive());
    if (call->in[0]->shape[0] == 0) return mien__layer_zeros(call->din, MIEN_OP_MAX_IN);
    return own_backward(call);
}

/* After recurrent.c's part, whose functions serve the other form. */
void mien__cuda_part_gru(mien_backend *table) {
    other_forward = table->forward[MIEN_OP_gru];
    other_backward = table->backward[MIEN_OP_gru];
    table->forward[MIEN_OP_gru] = forward;
    table->backward[MIEN_OP_gru] = backward;
}
