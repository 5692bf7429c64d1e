/* Shape rules of pointwise ops, broadcasting, reductions and losses.
 * Not here: views and concat (infer_view.c). */
#include "infer.h"

/* ---- pointwise ----------------------------------------------------------------------------- */

/* Attributes of the ops whose output looks like their input. */
static mien_status check_same(const mien_op_call *call) {
    const int64_t exact = (int64_t)1 << 53; /* whole numbers that a double holds */
    const char *name = mien_op_info_at(call->op)->name;
    switch (call->op) {
    case MIEN_OP_lrn: {
        const mien_lrn_attr *a = call->attr;
        MIEN_TRY(mien__want_ndim(call, 0, 4, 4, "[N,C,H,W]"));
        return mien__want_whole(call, &a->size, 1, exact);
    }
    case MIEN_OP_dropout: {
        const mien_dropout_attr *a = call->attr;
        if (!(a->p >= 0 && a->p < 1))
            MIEN_FAIL(MIEN_ERR_ARGUMENT, "dropout: p is %g but must lie in [0,1)", a->p);
        MIEN_TRY(mien__want_whole(call, &a->seed, 0, exact));
        MIEN_TRY(mien__want_whole(call, &a->stream, 0, exact));
        return mien__want_whole(call, &a->counter, 0, exact);
    }
    case MIEN_OP_softmax:
    case MIEN_OP_log_softmax:
        if (call->in[0]->ndim < 1)
            MIEN_FAIL(MIEN_ERR_SHAPE, "%s: input is a scalar but must have a last dimension", name);
        return MIEN_OK;
    default:
        return MIEN_OK;
    }
}

mien_status mien__infer_same(mien_op_call *call) {
    MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, 0));
    MIEN_TRY(check_same(call));
    const mien_tensor *x = call->in[0];
    return mien__make_output(call, 0, x->dtype, x->ndim, x->shape);
}

/* The floats are the first four dtypes. */
mien_status mien__infer_cast(mien_op_call *call) {
    const mien_cast_attr *a = call->attr;
    MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, 0));
    MIEN_TRY(mien__want_whole(call, &a->dtype, MIEN_F32, MIEN_F64));
    const mien_tensor *x = call->in[0];
    return mien__make_output(call, 0, (mien_dtype)a->dtype, x->ndim, x->shape);
}

mien_status mien__infer_broadcast(mien_op_call *call) {
    MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, 0));
    const mien_tensor *a = call->in[0], *b = call->in[1];
    int ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
    int64_t shape[MIEN_MAX_DIMS];
    for (int d = ndim - 1; d >= 0; d--) {
        int da = d - (ndim - a->ndim), db = d - (ndim - b->ndim);
        int64_t na = da < 0 ? 1 : a->shape[da], nb = db < 0 ? 1 : b->shape[db];
        char left[128], right[128];
        if (na != nb && na != 1 && nb != 1)
            MIEN_FAIL(MIEN_ERR_SHAPE,
                      "%s: a is %s and b is %s; sizes %lld and %lld on dimension %d from the right "
                      "must be equal or one of them 1",
                      mien_op_info_at(call->op)->name, mien__shape_text(a, left, sizeof left),
                      mien__shape_text(b, right, sizeof right), (long long)na, (long long)nb,
                      ndim - d);
        shape[d] = na == 1 ? nb : na;
    }
    return mien__make_output(call, 0, a->dtype, ndim, shape);
}

/* ---- reductions ---------------------------------------------------------------------------- */

/* sum, mean and max have the same attributes in the same order. */
mien_status mien__infer_reduce(mien_op_call *call) {
    const mien_sum_attr *a = call->attr;
    MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, 0));
    const mien_tensor *x = call->in[0];
    MIEN_TRY(mien__want_whole(call, &a->dim, -1, x->ndim - 1));
    MIEN_TRY(mien__want_whole(call, &a->keep, 0, 1));
    int dim = (int)a->dim, ndim = 0;
    int64_t shape[MIEN_MAX_DIMS], reduced = dim < 0 ? mien_tensor_count(x) : x->shape[dim];
    char text[128];
    if (call->op == MIEN_OP_max && reduced == 0)
        MIEN_FAIL(MIEN_ERR_SHAPE, "max: input %s has no elements to choose from",
                  mien__shape_text(x, text, sizeof text));
    for (int d = 0; d < x->ndim; d++) {
        bool gone = dim < 0 || d == dim;
        if (!gone || a->keep) shape[ndim++] = gone ? 1 : x->shape[d];
    }
    return mien__make_output(call, 0, x->dtype, ndim, shape);
}

/* ---- losses -------------------------------------------------------------------------------- */

mien_status mien__infer_loss(mien_op_call *call) {
    MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, MIEN_INPUT(1)));
    const mien_tensor *x = call->in[0];
    mien_dtype exact = mien__at_least_f32(x->dtype);
    MIEN_TRY(mien__want_shape(call, 1, x->ndim, x->shape, "the shape of prediction"));
    char text[128];
    if (mien_tensor_count(x) == 0)
        MIEN_FAIL(MIEN_ERR_SHAPE, "%s: prediction %s is empty", mien_op_info_at(call->op)->name,
                  mien__shape_text(x, text, sizeof text));
    if (call->op != MIEN_OP_ccc_loss) return mien__make_output(call, 0, exact, 0, NULL);
    const mien_ccc_loss_attr *a = call->attr;
    MIEN_TRY(mien__want_ndim(call, 0, 2, 3, "[B,T,K] or [N,K]"));
    MIEN_TRY(mien__want_whole(call, &a->per_sequence, 0, 1));
    if (a->per_sequence && x->ndim != 3)
        MIEN_FAIL(MIEN_ERR_SHAPE,
                  "ccc_loss: prediction is %s but per_sequence = 1 needs [B,T,K]; reshape it or "
                  "use per_sequence = 0",
                  mien__shape_text(x, text, sizeof text));
    int64_t ccc[2] = {a->per_sequence ? x->shape[0] : 1, x->shape[x->ndim - 1]};
    MIEN_TRY(mien__make_output(call, 0, exact, 0, NULL));
    return mien__make_output(call, 1, exact, 2, ccc);
}

/* The class weights are one number for each entry of the last dimension of logits. */
static mien_status check_logits(const mien_op_call *call) {
    MIEN_TRY(mien__want_ndim(call, 0, 1, MIEN_MAX_DIMS, "[...,C]"));
    const mien_tensor *x = call->in[0];
    char text[128];
    if (mien_tensor_count(x) == 0)
        MIEN_FAIL(MIEN_ERR_SHAPE, "%s: logits %s are empty", mien_op_info_at(call->op)->name,
                  mien__shape_text(x, text, sizeof text));
    return mien__want_shape(call, 2, 1, &x->shape[x->ndim - 1],
                            "[C] with C from the last dimension of logits");
}

mien_status mien__infer_class_loss(mien_op_call *call) {
    const mien_tensor *x = call->in[0];
    MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, MIEN_INPUT(1) | MIEN_INPUT(2)));
    MIEN_TRY(check_logits(call));
    MIEN_TRY(mien__want_shape(call, 1, x->ndim, x->shape, "the shape of logits"));
    return mien__make_output(call, 0, mien__at_least_f32(x->dtype), 0, NULL);
}

mien_status mien__infer_softmax_loss(mien_op_call *call) {
    const mien_tensor *x = call->in[0];
    const mien_softmax_cross_entropy_attr *a = call->attr;
    MIEN_TRY(mien__want_whole(call, &a->first, 0, 1));
    MIEN_TRY(mien__want_floats(call, MIEN_INPUT(0) | MIEN_INPUT(2), MIEN_INPUT(2)));
    mien_dtype target = call->in[1]->dtype;
    if (target != MIEN_I64 && target != MIEN_I32)
        MIEN_FAIL(MIEN_ERR_DTYPE,
                  "softmax_cross_entropy: target is %s but must be i64 or i32, numbers of classes",
                  mien_dtype_name(target));
    MIEN_TRY(check_logits(call));
    MIEN_TRY(mien__want_shape(call, 1, x->ndim - 1, x->shape,
                              "the shape of logits without its last dimension"));
    return mien__make_output(call, 0, mien__at_least_f32(x->dtype), 0, NULL);
}
