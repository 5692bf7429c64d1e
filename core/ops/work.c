/* How much an op does: multiplications and additions, and bytes of the tensors it reads and writes.
 * Not here: booking them (base/profile.c). */
#include "ops.h"

static double count_of(const mien_tensor *t) {
    return t ? (double)mien_tensor_count(t) : 0;
}

/* Multiplications and additions of a pass of a layer with weights: a forward pass is one matrix
 * product, and so is each gradient that is wanted; biases, gates and sums are left out. */
static double product_flops(const mien_op_call *call, bool backward, double forward) {
    return backward ? forward * (call->want[0] + call->want[1]) : forward;
}

/* The gradient of the state goes through every step in any case. */
static double recurrent_flops(const mien_op_call *call, bool backward) {
    const mien_tensor *in = call->in[0];
    double steps = 2 * (double)in->shape[0] * (double)in->shape[1];
    double input = steps * count_of(call->in[1]), state = steps * count_of(call->in[2]);
    if (!backward) return input + state;
    return input * (call->want[0] + call->want[1]) + state * (1 + call->want[2]);
}

double mien__op_flops(const mien_op_call *call, bool backward) {
    const mien_tensor *out = call->out[0], *in = call->in[0], *weight = call->in[1];
    switch (call->op) {
    case MIEN_OP_conv2d:
    case MIEN_OP_conv2d_fused:
    case MIEN_OP_conv2d_int8:
    case MIEN_OP_linear:
        if (!weight->shape[0]) return 0;
        return product_flops(call, backward,
                             2 * count_of(out) * count_of(weight) / (double)weight->shape[0]);
    case MIEN_OP_matmul:
        return product_flops(call, backward, 2 * count_of(out) * (double)in->shape[in->ndim - 1]);
    case MIEN_OP_lstm:
    case MIEN_OP_gru:
        return recurrent_flops(call, backward);
    case MIEN_OP_reshape:
    case MIEN_OP_permute:
    case MIEN_OP_narrow:
    case MIEN_OP_concat:
    case MIEN_OP_cast:
        return 0;
    default:
        return count_of(out) > count_of(in) ? count_of(out) : count_of(in);
    }
}

int64_t mien__op_bytes(const mien_op_call *call, bool backward) {
    if (mien__op_is_view(call->op)) return 0;
    int64_t bytes =
        mien__bytes_of(call->in, MIEN_OP_MAX_IN) + mien__bytes_of(call->out, MIEN_OP_MAX_OUT);
    if (backward)
        bytes +=
            mien__bytes_of(call->din, MIEN_OP_MAX_IN) + mien__bytes_of(call->dout, MIEN_OP_MAX_OUT);
    return bytes;
}
