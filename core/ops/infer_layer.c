/* Shape rules of batch normalisation, linear layers, matrix products and recurrent layers.
 * Not here: convolution and pooling (infer_conv.c). */
#include "infer.h"

mien_status mien__infer_batch_norm(mien_op_call *call) {
    const mien_batch_norm_attr *a = call->attr;
    const mien_tensor *x = call->in[0];
    char text[128];
    unsigned statistics = MIEN_INPUT(1) | MIEN_INPUT(2) | MIEN_INPUT(3) | MIEN_INPUT(4);
    MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, statistics));
    MIEN_TRY(mien__want_ndim(call, 0, 2, MIEN_MAX_DIMS, "[N,C,H,W] or [N,C]"));
    MIEN_TRY(mien__want_whole(call, &a->training, 0, 1));
    MIEN_TRY(mien__want_whole(call, &a->relu, 0, 1));
    if (!(a->momentum >= 0 && a->momentum <= 1) || !(a->eps >= 0))
        MIEN_FAIL(MIEN_ERR_ARGUMENT,
                  "batch_norm: momentum is %g and eps is %g but momentum must lie in [0,1] and eps "
                  "be at least 0",
                  a->momentum, a->eps);
    for (int i = 1; i <= 4; i++)
        MIEN_TRY(mien__want_shape(call, i, 1, &x->shape[1], "[C] with C from input's dimension 2"));
    MIEN_TRY(mien__want_shape(call, 5, x->ndim, x->shape, "the shape of input"));
    if (a->training && x->shape[1] > 0 && mien_tensor_count(x) == x->shape[1])
        MIEN_FAIL(MIEN_ERR_SHAPE,
                  "batch_norm: input %s has one value per channel but training needs at least 2 "
                  "for a variance; use a larger batch or training = 0",
                  mien__shape_text(x, text, sizeof text));
    mien_dtype exact = mien__at_least_f32(x->dtype);
    MIEN_TRY(mien__make_output(call, 0, x->dtype, x->ndim, x->shape));
    MIEN_TRY(mien__make_output(call, 1, exact, 1, &x->shape[1]));
    return mien__make_output(call, 2, exact, 1, &x->shape[1]);
}

mien_status mien__infer_linear(mien_op_call *call) {
    MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, MIEN_INPUT(1) | MIEN_INPUT(2)));
    MIEN_TRY(mien__want_ndim(call, 0, 1, MIEN_MAX_DIMS, "[...,D]"));
    MIEN_TRY(mien__want_ndim(call, 1, 2, 2, "[K,D]"));
    const mien_tensor *x = call->in[0], *w = call->in[1];
    int last = x->ndim - 1;
    char text[128];
    if (x->shape[last] != w->shape[1])
        MIEN_FAIL(MIEN_ERR_SHAPE,
                  "linear: input is %s but weight expects %lld features on dimension %d",
                  mien__shape_text(x, text, sizeof text), (long long)w->shape[1], last + 1);
    MIEN_TRY(mien__want_shape(call, 2, 1, &w->shape[0], "[K] with K from weight's dimension 1"));
    int64_t shape[MIEN_MAX_DIMS];
    for (int d = 0; d < last; d++) shape[d] = x->shape[d];
    shape[last] = w->shape[0];
    return mien__make_output(call, 0, x->dtype, x->ndim, shape);
}

mien_status mien__infer_matmul(mien_op_call *call) {
    MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, 0));
    MIEN_TRY(mien__want_ndim(call, 0, 2, 3, "[M,K] or [B,M,K]"));
    const mien_tensor *a = call->in[0], *b = call->in[1];
    int n = a->ndim;
    bool fits = b->ndim == n && a->shape[n - 1] == b->shape[n - 2] &&
                (n == 2 || a->shape[0] == b->shape[0]);
    char left[128], right[128];
    if (!fits)
        MIEN_FAIL(MIEN_ERR_SHAPE,
                  "matmul: a is %s and b is %s but must be [M,K] and [K,N], or [B,M,K] and "
                  "[B,K,N]; transpose one",
                  mien__shape_text(a, left, sizeof left), mien__shape_text(b, right, sizeof right));
    int64_t shape[3] = {a->shape[0]};
    shape[n - 2] = a->shape[n - 2];
    shape[n - 1] = b->shape[n - 1];
    return mien__make_output(call, 0, a->dtype, n, shape);
}

/* Both recurrent layers: `gates` rows of weights per unit, biases from input 3 on, states after
 * them; `reserve` numbers per unit and frame. Writes [B,T,H] and the like. */
static mien_status infer_recurrent(mien_op_call *call, int gates, int biases, int states,
                                   int reserve) {
    unsigned parameters = MIEN_INPUT(1) | MIEN_INPUT(2);
    for (int i = 3; i < 3 + biases; i++) parameters |= MIEN_INPUT(i);
    MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, parameters));
    MIEN_TRY(mien__want_ndim(call, 0, 3, 3, "[B,T,D]"));
    MIEN_TRY(mien__want_ndim(call, 2, 2, 2, "[gates * H,H]"));
    const char *name = mien_op_info_at(call->op)->name;
    const mien_tensor *x = call->in[0];
    int64_t batch = x->shape[0], steps = x->shape[1], d = x->shape[2], h = call->in[2]->shape[1];
    char text[128];
    if (steps < 1 || h < 1)
        MIEN_FAIL(MIEN_ERR_SHAPE,
                  "%s: input is %s with %lld hidden units but needs at least one "
                  "step and one unit",
                  name, mien__shape_text(x, text, sizeof text), (long long)h);
    int64_t hidden[2] = {gates * h, h}, given[2] = {gates * h, d}, state[2] = {batch, h};
    const char *why = gates == 4 ? "[4H,H]: four gates (i, f, g, o) of H units"
                                 : "[3H,H]: three gates (r, z, n) of H units";
    MIEN_TRY(mien__want_shape(call, 2, 2, hidden, why));
    MIEN_TRY(mien__want_shape(call, 1, 2, given,
                              "gates * H rows, H from weight_hh, and D columns as input"));
    for (int i = 3; i < 3 + biases; i++)
        MIEN_TRY(mien__want_shape(call, i, 1, hidden, "gates * H numbers, H from weight_hh"));
    for (int i = 3 + biases; i < 3 + biases + states; i++)
        MIEN_TRY(mien__want_shape(call, i, 2, state, "[B,H] with B from input, H from weight_hh"));
    int64_t output[3] = {batch, steps, h}, kept[3] = {steps, batch, reserve * h};
    MIEN_TRY(mien__make_output(call, 0, x->dtype, 3, output));
    for (int i = 1; i <= states; i++) MIEN_TRY(mien__make_output(call, i, x->dtype, 2, state));
    /* The cell state adds up over time: not in half precision. */
    return mien__make_output(call, states + 1, mien__at_least_f32(x->dtype), 3, kept);
}

mien_status mien__infer_lstm(mien_op_call *call) {
    return infer_recurrent(call, 4, 1, 2, 5);
}

mien_status mien__infer_gru(mien_op_call *call) {
    const mien_gru_attr *a = call->attr;
    MIEN_TRY(mien__want_whole(call, &a->reset_after, 0, 1));
    return infer_recurrent(call, 3, 2, 1, 4);
}
