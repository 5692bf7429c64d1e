/* The one way to run an op: its arguments, its shapes, the tape, the backend.
 * Not here: what an op takes (ops/), who serves it (backend/dispatch.c), backward (autograd/). */
#include "run.h"

#include "autograd/autograd.h"
#include "backend/backend.h"

mien_status mien_op_run(int op, mien_tensor *const *in, int n_in, const double *attr, int n_attr,
                        mien_tensor **out, int n_out) {
    MIEN_TRY(mien__op_check(op, in, n_in, attr, n_attr, n_out));
    const mien_op_info *info = mien_op_info_at(op);
    if (mien_interrupt_requested())
        MIEN_FAIL(MIEN_ERR_INTERRUPTED, "%s: stopped on request", info->name);
    static const double none[1];
    mien_op_call call = {.op = (mien_op)op, .attr = attr ? attr : none};
    for (int i = 0; i < n_in; i++) {
        call.in[i] = in[i];
        call.want[i] = in[i] && mien_grad_enabled() && mien_tensor_requires_grad(in[i]);
        call.recording = call.recording || call.want[i];
    }
    struct mien_node *node = NULL;
    mien_status status = mien__op_infer(&call);
    if (status == MIEN_OK && call.recording)
        status = mien__tape_begin(&call, n_in, info->n_out, &node);
    if (status == MIEN_OK) status = mien__op_forward(&call);
    if (status == MIEN_OK && call.recording) mien__tape_end(node, &call, info->n_out);
    mien__node_release(node);
    for (int i = 0, visible = 0; i < info->n_out; i++) {
        if (status == MIEN_OK && !mien__op_hides(call.op, i))
            out[visible++] = call.out[i];
        else
            mien_tensor_release(call.out[i]);
    }
    return status;
}

const char *mien_op_server(int op, mien_tensor *const *in, int n_in, const double *attr,
                           int n_attr) {
    const mien_op_info *info = mien_op_info_at(op);
    if (mien__op_check(op, in, n_in, attr, n_attr, info ? info->n_visible : 0) != MIEN_OK)
        return NULL;
    static const double none[1];
    mien_op_call call = {.op = (mien_op)op, .attr = attr ? attr : none};
    for (int i = 0; i < n_in; i++) call.in[i] = in[i];
    if (mien__op_infer(&call) != MIEN_OK) return NULL;
    const mien_backend *b = mien__op_is_view(call.op) ? NULL : mien__backend_for(&call, false);
    for (int i = 0; i < info->n_out; i++) mien_tensor_release(call.out[i]);
    return b ? b->name : mien__op_is_view(call.op) ? "view" : NULL;
}
