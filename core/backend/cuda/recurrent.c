/* LSTM and GRU layers on the GPU: which ones run the own loop (layer.c), the others cuDNN's
 * (cudnn_rnn.c). Not here: what either does. */
#include <math.h>

#include "backend/record.h"
#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/kernels/lstm.h"
#include "layer.h"

/* own NULL: through cuDNN. */
static mien_status recurrent_forward_by(mien_op_call *call, const mien__layer *own) {
    return own ? mien__layer_forward(own, call) : mien__cudnn_rnn_forward(call);
}
static mien_status recurrent_backward_by(mien_op_call *call, const mien__layer *own) {
    return own ? mien__layer_backward(own, call) : mien__cudnn_rnn_backward(call);
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
static mien_status both_passes(mien_op_call *call, const mien__layer *own) {
    MIEN_TRY(mien__infer_lstm(call));
    MIEN_TRY(recurrent_forward_by(call, own));
    for (int i = 0; i < CHECK_GRADIENTS; i++) {
        const mien_tensor *t = call->in[i];
        call->want[i] = true;
        call->din[i] = mien__tensor_header(t->dtype, MIEN_DEVICE_CUDA, t->ndim, t->shape);
        if (!call->din[i]) return mien_error_last()->code;
    }
    return recurrent_backward_by(call, own);
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
    mien_op_call cudnn = own;
    if (status == MIEN_OK) status = both_passes(&own, &mien__lstm_layer);
    if (status == MIEN_ERR_UNSUPPORTED)
        status = mien__fail(MIEN_ERR_NUMERIC, __FILE__, __LINE__, "%s", mien_error_last()->message);
    if (status == MIEN_OK) status = both_passes(&cudnn, NULL);
    if (status == MIEN_OK) status = distance_of(&own, &cudnn, &apart);
    release_results(&own);
    release_results(&cudnn);
    mien__layer_release(own.in, CHECK_GRADIENTS);
    mien__layer_release(own.dout, 1);
    MIEN_TRY(status);
    if (apart <= tolerance(dtype)) return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_NUMERIC, "it is off by %.2g of the norm", apart);
}

/* ---- the choice ------------------------------------------------------------------------------ */

/* Both passes must decide alike, since the loop and cuDNN keep different things in `reserve`: only
 * sizes, the device, and what the check at the first use has found count. */
static mien_status lstm_fits(const mien_op_call *call, bool *own) {
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

/* The own layer that serves a call; NULL: cuDNN does. It has no GRU with its reset before the
 * product. */
static mien_status choose(const mien_op_call *call, const mien__layer **own) {
    bool fits = false;
    *own = NULL;
    if (call->op == MIEN_OP_gru) {
        if (!((const mien_gru_attr *)call->attr)->reset_after) *own = &mien__gru_layer;
        return MIEN_OK;
    }
    MIEN_TRY(lstm_fits(call, &fits));
    if (fits) *own = &mien__lstm_layer;
    return MIEN_OK;
}

static mien_status recurrent_forward(mien_op_call *call) {
    const mien__layer *own;
    MIEN_TRY(choose(call, &own));
    return recurrent_forward_by(call, own);
}
static mien_status recurrent_backward(mien_op_call *call) {
    const mien__layer *own;
    MIEN_TRY(choose(call, &own));
    return recurrent_backward_by(call, own);
}

bool mien__cuda_supports_recurrent(const mien_op_call *call, bool backward) {
    (void)backward;
    if (call->op != MIEN_OP_lstm && call->op != MIEN_OP_gru) return true;
    mien_dtype dtype = call->in[0]->dtype;
    return dtype == MIEN_F32 || dtype == MIEN_BF16 || dtype == MIEN_F16;
}

void mien__cuda_part_recurrent(mien_backend *table) {
    table->forward[MIEN_OP_lstm] = table->forward[MIEN_OP_gru] = recurrent_forward;
    table->backward[MIEN_OP_lstm] = table->backward[MIEN_OP_gru] = recurrent_backward;
}
