/* LSTM layers whose sizes the own kernel takes: its time loop, and the products around it.
 * Not here: the loop (kernels/lstm.cu), other layers (recurrent.c). */
#include "backend/record.h"
#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/kernels/lstm.h"
#include "layer.h"

#include <math.h>

/* What other sizes are left to. */
static mien_op_fn other_forward, other_backward;

/* ---- forward --------------------------------------------------------------------------------- */

static mien_status own_forward(mien_op_call *call) {
    const int64_t *size = call->in[0]->shape;
    int64_t batch = size[0], steps = size[1], h = call->in[2]->shape[1];
    mien_dtype dtype = call->in[0]->dtype;
    mien_status status = MIEN_OK;
    enum { X, W_IH, W_HH, BIAS, H0, C0, GATES, H, C, COUNT };
    mien_tensor *t[COUNT] = {0};
    t[X] = mien__layer_plain(call->in[0], dtype, &status);
    t[W_IH] = mien__layer_weight(call->in[1], dtype, &status);
    t[W_HH] = mien__layer_weight(call->in[2], dtype, &status);
    t[BIAS] = mien__layer_plain(call->in[3], MIEN_F32, &status);
    t[H0] = mien__layer_plain(call->in[4], MIEN_F32, &status);
    t[C0] = mien__layer_plain(call->in[5], MIEN_F32, &status);
    t[GATES] = mien__layer_vector(MIEN_F32, batch * steps * 4 * h, &status);
    t[H] = mien__layer_vector(MIEN_F32, batch * h, &status);
    t[C] = mien__layer_vector(MIEN_F32, batch * h, &status);
    if (status == MIEN_OK) status = mien__cuda_alloc(call->out[0]);
    if (status == MIEN_OK) status = mien__cuda_alloc(call->out[3]);
    if (status == MIEN_OK)
        status = mien__layer_input(t[X], t[W_IH], t[BIAS], batch * steps, t[GATES]);
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
    if (status == MIEN_OK) status = mien__layer_put(call->out[1], t[H]);
    if (status == MIEN_OK) status = mien__layer_put(call->out[2], t[C]);
    mien__cuda_says(call, "own:lstm");
    mien__layer_release(t, COUNT);
    return status;
}

/* ---- backward -------------------------------------------------------------------------------- */

static mien_status parameter_gradients(mien_op_call *call, mien_tensor *da, int64_t rows) {
    mien_status status = MIEN_OK;
    mien_tensor *x = NULL, *before = NULL;
    if (call->want[1]) {
        x = mien__layer_plain(call->in[0], da->dtype, &status);
        if (x) status = mien__layer_weight_gradient(call->din[1], da, x, rows);
    }
    if (call->want[2]) {
        before = mien__layer_states(call->out[0], call->in[4], da->dtype, &status);
        if (status == MIEN_OK) status = mien__layer_weight_gradient(call->din[2], da, before, rows);
    }
    if (call->want[3] && status == MIEN_OK)
        status = mien__layer_bias_gradient(call->din[3], da, rows);
    mien_tensor_release(x);
    mien_tensor_release(before);
    return status;
}

static mien_status own_backward(mien_op_call *call) {
    const int64_t *size = call->in[0]->shape;
    int64_t batch = size[0], rows = batch * size[1], h = call->in[2]->shape[1];
    mien_dtype dtype = call->in[0]->dtype;
    mien_status status = MIEN_OK;
    enum { W_IH, W_HH, C0, DY, DH, DC, DA, DH0, DC0, COUNT };
    mien_tensor *t[COUNT] = {0};
    t[W_HH] = mien__layer_weight(call->in[2], dtype, &status);
    t[C0] = mien__layer_plain(call->in[5], MIEN_F32, &status);
    t[DY] = mien__layer_plain(call->dout[0], dtype, &status);
    t[DH] = mien__layer_plain(call->dout[1], MIEN_F32, &status);
    t[DC] = mien__layer_plain(call->dout[2], MIEN_F32, &status);
    t[DA] = mien__layer_vector(dtype, rows * 4 * h, &status);
    if (call->want[4]) t[DH0] = mien__layer_vector(MIEN_F32, batch * h, &status);
    if (call->want[5]) t[DC0] = mien__layer_vector(MIEN_F32, batch * h, &status);
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
        t[W_IH] = mien__layer_weight(call->in[1], dtype, &status);
        if (status == MIEN_OK)
            status = mien__layer_input_gradient(call->din[0], t[DA], t[W_IH], rows);
    }
    if (status == MIEN_OK) status = parameter_gradients(call, t[DA], rows);
    if (status == MIEN_OK && t[DH0]) status = mien__layer_put(call->din[4], t[DH0]);
    if (status == MIEN_OK && t[DC0]) status = mien__layer_put(call->din[5], t[DC0]);
    mien__cuda_says(call, "own:lstm");
    mien__layer_release(t, COUNT);
    return status;
}

/* ---- the first use of a size: does the loop agree with cuDNN? -------------------------------- */

enum { CHECK_STEPS = 4, CHECK_INPUT = 8, CHECK_GRADIENTS = 4 };

/* Numbers between -most and most that are the same on every run. */
static mien_tensor *numbers(mien_dtype dtype, int ndim, const int64_t *shape, double most,
                            mien_status *status) {
    uint32_t state = 12345;
    mien_tensor *here = NULL, *made = NULL;
    if (*status == MIEN_OK) here = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, ndim, shape);
    float *values = here ? mien_tensor_data(here) : NULL;
    for (int64_t i = 0; values && i < mien_tensor_count(here); i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(most * (state / 2147483648.0 - 1));
    }
    if (values) made = mien_tensor_to(here, dtype, MIEN_DEVICE_CUDA);
    if (!made && *status == MIEN_OK) *status = mien_error_last()->code;
    mien_tensor_release(here);
    return made;
}

/* Forward and backward on inputs that `call` brings along; outputs and gradients are made. */
static mien_status both_passes(mien_op_call *call, mien_op_fn forward, mien_op_fn backward) {
    MIEN_TRY(mien__infer_lstm(call));
    MIEN_TRY(forward(call));
    for (int i = 0; i < CHECK_GRADIENTS; i++) {
        const mien_tensor *t = call->in[i];
        call->want[i] = true;
        call->din[i] = mien__tensor_header(t->dtype, MIEN_DEVICE_CUDA, t->ndim, t->shape);
        if (!call->din[i]) return mien_error_last()->code;
    }
    return backward(call);
}

/* The largest relative distance of an output or gradient of two calls. */
static mien_status distance_of(const mien_op_call *a, const mien_op_call *b, double *most) {
    *most = 0;
    for (int i = 0; i < 3 + CHECK_GRADIENTS; i++) {
        mien_tensor *x = i < 3 ? a->out[i] : a->din[i - 3], *y = i < 3 ? b->out[i] : b->din[i - 3];
        double apart = 0;
        MIEN_TRY(mien__cuda_distance(mien__cuda_ptr(x), mien__cuda_ptr(y), x->dtype,
                                     mien_tensor_count(x), &apart));
        if (!(apart <= *most)) *most = apart; /* NaN stays */
    }
    return MIEN_OK;
}

static void release_results(mien_op_call *call) {
    mien__layer_release(call->out, MIEN_OP_MAX_OUT);
    mien__layer_release(call->din, MIEN_OP_MAX_IN);
}

/* What rounding may explain; what is wrong is off by far more. */
static double tolerance(mien_dtype dtype) {
    return dtype == MIEN_BF16 ? 5e-2 : dtype == MIEN_F16 || mien__cuda_tf32() ? 1e-2 : 1e-3;
}

/* MIEN_ERR_NUMERIC: the loop gives something else than cuDNN, or does not run here. Any other error
 * says nothing about it. */
static mien_status agrees(mien_dtype dtype, int64_t batch, int64_t h) {
    static const double no_attributes[MIEN_OP_MAX_ATTR];
    int64_t x[] = {batch, CHECK_STEPS, CHECK_INPUT}, w_ih[] = {4 * h, CHECK_INPUT},
            w_hh[] = {4 * h, h}, y[] = {batch, CHECK_STEPS, h};
    double most = 1 / sqrt((double)h), apart = NAN;
    mien_status status = MIEN_OK;
    mien_op_call own = {.op = MIEN_OP_lstm, .attr = no_attributes, .recording = true};
    own.in[0] = numbers(dtype, 3, x, 1, &status);
    own.in[1] = numbers(MIEN_F32, 2, w_ih, 0.3, &status);
    own.in[2] = numbers(MIEN_F32, 2, w_hh, most, &status);
    own.in[3] = numbers(MIEN_F32, 1, w_hh, 0.3, &status);
    own.dout[0] = numbers(dtype, 3, y, 1, &status);
    mien_op_call other = own;
    if (status == MIEN_OK) status = both_passes(&own, own_forward, own_backward);
    if (status == MIEN_ERR_UNSUPPORTED)
        status = mien__fail(MIEN_ERR_NUMERIC, __FILE__, __LINE__, "%s", mien_error_last()->message);
    if (status == MIEN_OK) status = both_passes(&other, other_forward, other_backward);
    if (status == MIEN_OK) status = distance_of(&own, &other, &apart);
    release_results(&own);
    release_results(&other);
    mien__layer_release(own.in, CHECK_GRADIENTS);
    mien__layer_release(own.dout, 1);
    MIEN_TRY(status);
    if (apart <= tolerance(dtype)) return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_NUMERIC, "it is off by %.2g of the norm", apart);
}

/* ---- who serves a call ----------------------------------------------------------------------- */

/* Both passes must decide alike, since the loop and cuDNN keep different things in `reserve`: only
 * sizes, the device, and what the check at the first use has found count. */
static mien_status fits(const mien_op_call *call, bool *own) {
    enum { UNKNOWN, GOOD, BAD };
    static char verdicts[MIEN_I64 + 1][9][5];
    const mien_tensor *x = call->in[0];
    int64_t batch = x->shape[0], steps = x->shape[1], h = call->in[2]->shape[1];
    *own = false;
    if (batch < 1 || batch > 8 || h < 64 || h > 512 || x->shape[2] < 1 || steps > 1 << 24)
        return MIEN_OK;
    if (h != 64 && h != 128 && h != 256 && h != 512) return MIEN_OK;
    if (!mien__lstm_loop_fits(x->dtype, (int)batch, (int)h)) return MIEN_OK;
    char *verdict = &verdicts[x->dtype][batch][h / 128]; /* 64, 128, 256, 512 */
    if (*verdict == UNKNOWN) {
        MIEN_TRY(mien__not_recorded("its first use is checked against cuDNN"));
        mien_status status = agrees(x->dtype, batch, h);
        if (status != MIEN_OK && status != MIEN_ERR_NUMERIC) return status;
        *verdict = status == MIEN_OK ? GOOD : BAD;
        if (*verdict == BAD)
            mien__notice(
                "the GPU's own LSTM kernel (%s, %d sequences, H = %d) is left aside, cuDNN "
                "serves: %s",
                mien_dtype_name(x->dtype), (int)batch, (int)h, mien_error_last()->message);
    }
    *own = *verdict == GOOD;
    return MIEN_OK;
}

static mien_status lstm_forward(mien_op_call *call) {
    bool own;
    MIEN_TRY(fits(call, &own));
    return own ? own_forward(call) : other_forward(call);
}
static mien_status lstm_backward(mien_op_call *call) {
    bool own;
    MIEN_TRY(fits(call, &own));
    return own ? own_backward(call) : other_backward(call);
}

/* After recurrent.c's part, whose functions serve what does not fit. */
void mien__cuda_part_lstm(mien_backend *table) {
    other_forward = table->forward[MIEN_OP_lstm];
    other_backward = table->backward[MIEN_OP_lstm];
    table->forward[MIEN_OP_lstm] = lstm_forward;
    table->backward[MIEN_OP_lstm] = lstm_backward;
}
