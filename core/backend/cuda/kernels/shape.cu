/* Concatenation, changes of dtype, and which calls the own kernels serve.
 * Not here: views, which move nothing (backend/view.c). */
#include "kernels.h"
#include "launch.h"

/* Both directions: `whole` to or from the parts, one copy each. */
static mien_status join(const mien_op_call *call, mien_tensor *whole, bool apart) {
    int dim = (int)((const mien_concat_attr *)call->attr)->dim;
    double before = 0;
    for (int i = 0; i < MIEN_OP_MAX_IN && call->in[i]; i++) {
        double length = (double)call->in[i]->shape[dim];
        mien_narrow_attr part = {(double)dim, before, length};
        before += length;
        if (apart && !call->want[i]) continue;
        mien_held view(mien__narrow_view(whole, &part));
        if (view.failed()) return mien_last();
        if (apart) MIEN_TRY(mien__cuda_alloc_like(call->din[i], call->din[i]));
        if (apart)
            MIEN_TRY(mien__cuda_copy(call->din[i], view.t));
        else
            MIEN_TRY(mien__cuda_copy(view.t, call->in[i]));
    }
    return MIEN_OK;
}

/* Maps are joined as maps are kept. */
static mien_status concat_forward(mien_op_call *call) {
    mien_tensor *out = call->out[0];
    mien__cuda_set_implementation(call, "own:copy");
    MIEN_TRY(mien__cuda_is_nhwc(call->in[0]) ? mien__cuda_alloc_nhwc(out) : mien__cuda_alloc(out));
    return join(call, out, false);
}
static mien_status concat_backward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:copy");
    return join(call, call->dout[0], true);
}

/* In the layout that it comes in. */
static mien_status convert(mien_op_call *call, mien_tensor *from, mien_tensor *to) {
    mien__cuda_set_implementation(call, "own:copy");
    MIEN_TRY(mien__cuda_alloc_like(to, from));
    return mien__cuda_copy(to, from);
}
static mien_status cast_forward(mien_op_call *call) {
    return convert(call, call->in[0], call->out[0]);
}
static mien_status cast_backward(mien_op_call *call) {
    return convert(call, call->dout[0], call->din[0]);
}

void mien__cuda_part_shape(mien_backend *table) {
    table->forward[MIEN_OP_concat] = concat_forward;
    table->backward[MIEN_OP_concat] = concat_backward;
    table->forward[MIEN_OP_cast] = cast_forward;
    table->backward[MIEN_OP_cast] = cast_backward;
}

/* ---- all parts of this folder
 * --------------------------------------------------------------------------- */

void mien__cuda_part_kernels(mien_backend *table) {
    mien__cuda_part_pointwise(table);
    mien__cuda_part_broadcast(table);
    mien__cuda_part_reduce(table);
    mien__cuda_part_softmax(table);
    mien__cuda_part_norm(table);
    mien__cuda_part_pool(table);
    mien__cuda_part_lrn(table);
    mien__cuda_part_loss(table);
    mien__cuda_part_ccc(table);
    mien__cuda_part_shape(table);
    mien__cuda_part_optim(table);
    mien__cuda_part_augment(table);
    mien__cuda_part_int8(table);
}

/* f64 is the reference's. Copies know every dtype. */
bool mien__cuda_supports_kernels(const mien_op_call *call, bool backward) {
    static mien_backend own;
    if (!own.forward[MIEN_OP_add]) mien__cuda_part_kernels(&own);
    if (!own.forward[call->op]) return true;
    if (call->op == MIEN_OP_concat || call->op == MIEN_OP_cast) return true;
    for (int i = 0; i < MIEN_OP_MAX_IN; i++)
        if (call->in[i] && call->in[i]->dtype == MIEN_F64) return false;
    return true;
}
