/* Recurrent layers whose loop over time is our own: what is done for all frames at once, the
 * products before and after the loop. Not here: the loops (lstm.c, gru.c). */
#include "layer.h"

#include "blas.h"
#include "convert.h"
#include "epilogue.h"
#include "weights.h"

/* ---- tensors --------------------------------------------------------------------------------- */

static mien_tensor *made(mien_tensor *t, mien_status *status) {
    if (!t) *status = mien_error_last()->code;
    return t;
}

mien_tensor *mien__layer_plain(mien_tensor *t, mien_dtype dtype, mien_status *status) {
    if (!t || *status != MIEN_OK) return NULL;
    return made(mien__cuda_as_plain(t, dtype), status);
}

/* The same of a weight, whose copy stays with its storage. */
static mien_tensor *weight_of(mien_tensor *t, mien_dtype dtype, mien_status *status) {
    return *status == MIEN_OK ? made(mien__cuda_weight(t, dtype, 0), status) : NULL;
}

mien_tensor *mien__layer_vector(mien_dtype dtype, int64_t n, mien_status *status) {
    return *status == MIEN_OK ? made(mien__cuda_vector(dtype, n), status) : NULL;
}

void mien__layer_release(mien_tensor **tensors, int n) {
    for (int i = 0; i < n; i++) mien_tensor_release(tensors[i]);
}

mien_status mien__layer_assign(mien_tensor *t, const mien_tensor *vector) {
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

/* The state that each frame starts from, [B,T,H]: h0 [B,H] (NULL: zeros), then y [B,T,H] without
 * its last frame. */
static mien_tensor *states_of(mien_tensor *y, mien_tensor *h0, mien_dtype dtype,
                              mien_status *status) {
    if (*status != MIEN_OK) return NULL;
    mien_tensor *states = made(mien_tensor_new(dtype, MIEN_DEVICE_CUDA, 3, y->shape), status);
    if (states) *status = fill_states(states, y, h0);
    return states;
}

/* ---- products -------------------------------------------------------------------------------- */

/* The dense out [m,n] = op(a) op(b). */
static mien_status multiply(mien_tensor *a, bool transpose_a, mien_tensor *b, bool transpose_b,
                            int64_t m, int64_t n, int64_t k, mien_tensor *out) {
    mien__cuda_product p = {1, m, n, k, transpose_a, transpose_b, a->dtype, out->dtype};
    return mien__cuda_multiply(&p, mien__cuda_ptr(a), mien__cuda_ptr(b), mien__cuda_ptr(out));
}

/* The input's share of the gates: x [rows,D] w_ih [G,D]' + bias -> f32 [rows,G]. */
static mien_status input_share(mien_tensor *x, mien_tensor *w_ih, mien_tensor *bias, int64_t rows,
                               mien_tensor *gates) {
    int64_t n = w_ih->shape[0];
    MIEN_TRY(multiply(x, false, w_ih, true, rows, n, w_ih->shape[1], gates));
    return mien__cuda_epilogue(mien__cuda_ptr(gates), MIEN_F32, rows, n, mien__cuda_ptr(bias), NULL,
                               false);
}

/* The header din = da w, [rows,k] by [k,n]. */
static mien_status input_gradient(mien_tensor *din, mien_tensor *da, mien_tensor *w, int64_t rows) {
    MIEN_TRY(mien__cuda_alloc(din));
    return multiply(da, false, w, false, rows, w->shape[1], w->shape[0], din);
}

/* The header din = da' x, [rows,m] by [rows,n]. */
static mien_status weight_gradient(mien_tensor *din, mien_tensor *da, mien_tensor *x,
                                   int64_t rows) {
    MIEN_TRY(mien__cuda_alloc(din));
    return multiply(da, true, x, false, din->shape[0], din->shape[1], rows, din);
}

/* The header din = sums over the rows of da. */
static mien_status bias_gradient(mien_tensor *din, mien_tensor *da, int64_t rows) {
    mien_status status = MIEN_OK;
    mien_tensor *sums = mien__layer_vector(MIEN_F32, mien_tensor_count(din), &status);
    if (status == MIEN_OK)
        status = mien__cuda_column_sums(mien__cuda_ptr(sums), mien__cuda_ptr(da), da->dtype, rows,
                                        mien_tensor_count(din));
    if (status == MIEN_OK) status = mien__layer_assign(din, sums);
    mien_tensor_release(sums);
    return status;
}

/* ---- the two passes -------------------------------------------------------------------------- */

static mien__layer_pass pass_of(const mien__layer *layer, mien_op_call *call, mien_status *status) {
    const mien_tensor *x = call->in[0];
    return (mien__layer_pass){.layer = layer,
                              .call = call,
                              .dtype = x->dtype,
                              .batch = x->shape[0],
                              .steps = x->shape[1],
                              .hidden = call->in[2]->shape[1],
                              .w_hh = weight_of(call->in[2], x->dtype, status)};
}

mien_status mien__layer_forward(const mien__layer *layer, mien_op_call *call) {
    mien_status status = mien__cuda_check();
    mien__cuda_set_implementation(call, layer->name);
    if (status == MIEN_OK && call->in[0]->shape[0] == 0)
        return mien__layer_zeros(call->out, MIEN_OP_MAX_OUT);
    mien__layer_pass p = pass_of(layer, call, &status);
    int64_t rows = p.batch * p.steps;
    mien_tensor *x = mien__layer_plain(call->in[0], p.dtype, &status);
    mien_tensor *w_ih = weight_of(call->in[1], p.dtype, &status);
    mien_tensor *bias = mien__layer_plain(call->in[3], MIEN_F32, &status);
    p.gates = mien__layer_vector(MIEN_F32, rows * layer->gates * p.hidden, &status);
    if (status == MIEN_OK) status = mien__cuda_alloc(call->out[0]);
    if (status == MIEN_OK) status = mien__cuda_alloc(call->out[layer->reserve]);
    if (status == MIEN_OK) status = input_share(x, w_ih, bias, rows, p.gates);
    if (status == MIEN_OK) status = layer->forward(&p);
    mien__layer_release((mien_tensor *[]){x, w_ih, bias, p.w_hh, p.gates}, 5);
    return status;
}

/* The last gate's rows of W_hh multiplied `gated`, the others the states. */
static mien_status recurrent_weights(const mien__layer_pass *p, int64_t rows) {
    mien_tensor *din = p->call->din[2];
    MIEN_TRY(weight_gradient(din, p->da, p->states, rows));
    if (!p->gated) return MIEN_OK;
    int64_t count = p->hidden * p->hidden;
    size_t first = (size_t)((p->layer->gates - 1) * count) * mien_dtype_size(din->dtype);
    mien_tensor *last = mien__tensor_header(din->dtype, MIEN_DEVICE_CUDA, 2, din->shape);
    mien_status status =
        last ? weight_gradient(last, p->da, p->gated, rows) : mien_error_last()->code;
    if (status == MIEN_OK)
        status = mien__cuda_convert((char *)mien__cuda_ptr(din) + first, din->dtype,
                                    (char *)mien__cuda_ptr(last) + first, din->dtype, count);
    mien_tensor_release(last);
    return status;
}

static mien_status frame_gradients(const mien__layer_pass *p) {
    mien_op_call *call = p->call;
    int64_t rows = p->batch * p->steps;
    mien_status status = MIEN_OK;
    mien_tensor *w_ih = call->want[0] ? weight_of(call->in[1], p->dtype, &status) : NULL;
    mien_tensor *x = call->want[1] ? mien__layer_plain(call->in[0], p->dtype, &status) : NULL;
    if (w_ih && status == MIEN_OK) status = input_gradient(call->din[0], p->da, w_ih, rows);
    if (x && status == MIEN_OK) status = weight_gradient(call->din[1], p->da, x, rows);
    if (call->want[2] && status == MIEN_OK) status = recurrent_weights(p, rows);
    for (int i = 3; i < 3 + p->layer->biases; i++) /* all go into the gates as they are */
        if (call->want[i] && status == MIEN_OK) status = bias_gradient(call->din[i], p->da, rows);
    mien_tensor_release(w_ih);
    mien_tensor_release(x);
    return status;
}

mien_status mien__layer_backward(const mien__layer *layer, mien_op_call *call) {
    mien_status status = mien__cuda_check();
    mien__cuda_set_implementation(call, layer->name);
    if (status == MIEN_OK && call->in[0]->shape[0] == 0)
        return mien__layer_zeros(call->din, MIEN_OP_MAX_IN);
    mien__layer_pass p = pass_of(layer, call, &status);
    p.dy = mien__layer_plain(call->dout[0], p.dtype, &status);
    if (layer->reads_states || call->want[2])
        p.states = states_of(call->out[0], call->in[3 + layer->biases], p.dtype, &status);
    p.da = mien__layer_vector(p.dtype, p.batch * p.steps * layer->gates * p.hidden, &status);
    if (status == MIEN_OK) status = layer->backward(&p);
    if (status == MIEN_OK) status = frame_gradients(&p);
    mien__layer_release((mien_tensor *[]){p.w_hh, p.dy, p.states, p.da, p.gated}, 5);
    return status;
}
