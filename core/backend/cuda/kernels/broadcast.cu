/* Ops of two inputs that are broadcast, and gradients that meet.
 * Not here: reductions (reduce.cu). */
#include "kernels.h"
#include "map.h"

namespace {

struct add_fn {
    MIEN_HD float operator()(const float *x) const { return x[0] + x[1]; }
};
struct sub_fn {
    MIEN_HD float operator()(const float *x) const { return x[0] - x[1]; }
};
struct mul_fn {
    MIEN_HD float operator()(const float *x) const { return x[0] * x[1]; }
};
struct div_fn {
    MIEN_HD float operator()(const float *x) const { return x[0] / x[1]; }
};
struct scale_fn {
    float factor;
    MIEN_HD float operator()(const float *x) const { return x[0] * factor; }
};
/* dy, a, b: the gradient of a / b by b, whose square may be too small or large for f32 */
struct div_back_fn {
    MIEN_HD float operator()(const float *x) const { return -x[0] * (x[1] / x[2]) / x[2]; }
};

static mien_status binary_forward(mien_op_call *call) {
    mien_tensor *out = call->out[0];
    mien__cuda_set_implementation(call, "own:map");
    MIEN_TRY(mien__cuda_alloc_like(out, mien__same_shape(out, call->in[0]) ? call->in[0] : call->in[1]));
    switch (call->op) {
    case MIEN_OP_add: return mien_map<2>(out, call->in, add_fn{});
    case MIEN_OP_sub: return mien_map<2>(out, call->in, sub_fn{});
    case MIEN_OP_mul: return mien_map<2>(out, call->in, mul_fn{});
    default: return mien_map<2>(out, call->in, div_fn{});
    }
}

/* to, of dout's shape, = the gradient of input i before it is summed. */
static mien_status factor_gradient(mien_op_call *call, int i, mien_tensor *to) {
    mien_tensor *dy = call->dout[0];
    mien_tensor *with_other[2] = {dy, call->in[1 - i]};
    if (call->op == MIEN_OP_mul) return mien_map<2>(to, with_other, mul_fn{});
    if (call->op == MIEN_OP_div && i == 0) return mien_map<2>(to, with_other, div_fn{});
    if (call->op == MIEN_OP_div) {
        mien_tensor *all[3] = {dy, call->in[0], call->in[1]};
        return mien_map<3>(to, all, div_back_fn{});
    }
    return mien_map<1>(to, &dy, scale_fn{call->op == MIEN_OP_sub && i == 1 ? -1.0f : 1.0f});
}

static mien_status input_gradient(mien_op_call *call, int i) {
    mien_tensor *dy = call->dout[0], *dx = call->din[i];
    if (mien__same_shape(dx, dy)) {
        MIEN_TRY(mien__cuda_alloc_like(dx, dy));
        return factor_gradient(call, i, dx);
    }
    MIEN_TRY(mien__cuda_alloc(dx));
    if (call->op == MIEN_OP_add || call->op == MIEN_OP_sub)
        return mien__cuda_sum_to(dx, dy, call->op == MIEN_OP_sub && i == 1 ? -1 : 1);
    /* In f32: many of them are summed. */
    mien_held whole(mien__tensor_header(MIEN_F32, MIEN_DEVICE_CUDA, dy->ndim, dy->shape));
    if (whole.failed()) return mien_last();
    MIEN_TRY(mien__cuda_alloc_like(whole.t, dy));
    MIEN_TRY(factor_gradient(call, i, whole.t));
    return mien__cuda_sum_to(dx, whole.t, 1);
}

static mien_status binary_backward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:map");
    for (int i = 0; i < 2; i++)
        if (call->want[i]) MIEN_TRY(input_gradient(call, i));
    return MIEN_OK;
}

/* ---- gradients that meet ------------------------------------------------------------------------ */

static mien_status accumulate(mien_tensor *acc, mien_tensor *x) {
    mien_tensor *in[2] = {acc, x};
    MIEN_TRY((mien_map<2>(acc, in, add_fn{})));
    mien__tensor_touch(acc);
    return MIEN_OK;
}

static mien_status scale(mien_tensor *t, double factor) {
    MIEN_TRY((mien_map<1>(t, &t, scale_fn{(float)factor})));
    mien__tensor_touch(t);
    return MIEN_OK;
}

} // namespace

void mien__cuda_part_broadcast(mien_backend *table) {
    static const mien_op ops[] = {MIEN_OP_add, MIEN_OP_sub, MIEN_OP_mul, MIEN_OP_div};
    for (mien_op op : ops) {
        table->forward[op] = binary_forward;
        table->backward[op] = binary_backward;
    }
    table->accumulate = accumulate;
    table->updates.scale = scale;
}
