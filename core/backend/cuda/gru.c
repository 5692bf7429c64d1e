/* The loop of GRU layers whose reset comes before the product, which cuDNN does not have, for
 * layer.c: two products and two kernels a step. Correct, not fast: a step waits for four small
 * launches. Not here: the kernels (kernels/gru.cu). */
#include "backend/cuda/kernels/gru.h"

#include "blas.h"
#include "convert.h"
#include "layer.h"

static mien__gru_loop loop_of(const mien__layer_pass *p) {
    return (mien__gru_loop){.dtype = p->dtype,
                            .batch = p->batch,
                            .steps = p->steps,
                            .hidden = p->hidden,
                            .reserve = mien__cuda_ptr(p->call->out[2])};
}

/* sums [B,n] = rows [B,k] times the weights [n,k] transposed, or as [k,n]; of weight_hh [3H,H] the
 * H-rows from `gate` on. */
static mien_status recurrent(const mien__gru_loop *l, const void *rows, mien_tensor *w_hh, int gate,
                             int gates, bool transpose, mien_tensor *sums) {
    int64_t h = l->hidden;
    int64_t n = transpose ? gates * h : h, k = transpose ? h : gates * h;
    mien__cuda_product p = {1, l->batch, n, k, false, transpose, l->dtype, MIEN_F32};
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

static mien_status gru_forward(mien__layer_pass *p) {
    mien_op_call *call = p->call;
    mien__gru_loop l = loop_of(p);
    int64_t state = l.batch * l.hidden;
    mien_status status = MIEN_OK;
    enum { BIAS, H, RESET, SUMS, COUNT };
    mien_tensor *t[COUNT] = {0};
    t[BIAS] = mien__layer_plain(call->in[4], MIEN_F32, &status);
    t[H] = first_state(call->in[5], &l, &status);
    t[RESET] = mien__layer_vector(l.dtype, state, &status);
    t[SUMS] = mien__layer_vector(MIEN_F32, 2 * state, &status);
    if (status == MIEN_OK) {
        l.gates = mien__cuda_ptr(p->gates);
        l.bias = mien__cuda_ptr(t[BIAS]);
        l.h = mien__cuda_ptr(t[H]);
        l.reset = mien__cuda_ptr(t[RESET]);
        l.y = mien__cuda_ptr(call->out[0]);
        status = steps_forward(&l, p->w_hh, t[SUMS]);
    }
    if (status == MIEN_OK) status = mien__layer_assign(call->out[1], t[H]);
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

static mien_status gru_backward(mien__layer_pass *p) {
    mien_op_call *call = p->call;
    mien__gru_loop l = loop_of(p);
    int64_t state = l.batch * l.hidden;
    mien_status status = MIEN_OK;
    enum { DH, CARRY, OPEN, CANDIDATE, SUMS, COUNT };
    mien_tensor *t[COUNT] = {0};
    t[DH] = mien__layer_plain(call->dout[1], MIEN_F32, &status);
    t[CARRY] = mien__layer_vector(MIEN_F32, state, &status);
    t[OPEN] = mien__layer_vector(l.dtype, 2 * state, &status);
    t[CANDIDATE] = mien__layer_vector(l.dtype, state, &status);
    t[SUMS] = mien__layer_vector(MIEN_F32, state, &status);
    if (call->want[2]) p->gated = mien__layer_vector(l.dtype, l.steps * state, &status);
    if (status == MIEN_OK)
        status = t[DH] ? mien__cuda_convert(mien__cuda_ptr(t[CARRY]), MIEN_F32,
                                            mien__cuda_ptr(t[DH]), MIEN_F32, state)
                       : mien__cuda_fill(t[CARRY], 0);
    if (status == MIEN_OK) {
        l.before = mien__cuda_ptr(p->states);
        l.dy = mien__cuda_ptr(p->dy);
        l.carry = mien__cuda_ptr(t[CARRY]);
        l.da = mien__cuda_ptr(p->da);
        l.open = mien__cuda_ptr(t[OPEN]);
        l.candidate = mien__cuda_ptr(t[CANDIDATE]);
        l.gated = mien__cuda_ptr(p->gated);
        status = steps_backward(&l, p->w_hh, t[SUMS]);
    }
    if (status == MIEN_OK && call->want[5]) status = mien__layer_assign(call->din[5], t[CARRY]);
    mien__layer_release(t, COUNT);
    return status;
}

const mien__layer mien__gru_layer = {.name = "own:gru",
                                     .gates = 3,
                                     .biases = 2,
                                     .reserve = 2,
                                     .reads_states = true,
                                     .forward = gru_forward,
                                     .backward = gru_backward};
