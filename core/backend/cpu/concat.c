/* concat, forward and backward: copies to and from parts of one tensor, of any dtype.
 * Not here: the copies (layout.c). */
#include "cpu.h"

/* `whole` is plain; the parts lie one after the other along the dimension. */
static mien_status join(const mien_op_call *call, mien_tensor *whole, bool apart) {
    mien_narrow_attr part = {.dim = ((const mien_concat_attr *)call->attr)->dim};
    for (int i = 0; i < MIEN_OP_MAX_IN && call->in[i]; i++) {
        part.length = (double)call->in[i]->shape[(int)part.dim];
        if (!apart || call->want[i]) {
            mien_tensor *there = mien__narrow_view(whole, &part);
            mien_status status = there ? MIEN_OK : mien_error_last()->code;
            if (status == MIEN_OK && apart) status = mien__tensor_alloc(call->din[i], 0);
            if (status == MIEN_OK)
                status = apart ? mien__cpu_copy(call->din[i], there)
                               : mien__cpu_copy(there, call->in[i]);
            mien_tensor_release(there);
            MIEN_TRY(status);
        }
        part.start += part.length;
    }
    return MIEN_OK;
}

mien_status mien__cpu_concat_forward(mien_op_call *call) {
    MIEN_TRY(mien__tensor_alloc(call->out[0], 0));
    return join(call, call->out[0], false);
}

mien_status mien__cpu_concat_backward(mien_op_call *call) {
    mien_tensor *dout = mien__cpu_as_layout(call->dout[0], 0);
    if (!dout) return mien_error_last()->code;
    mien_status status = join(call, dout, true);
    mien_tensor_release(dout);
    return status;
}
