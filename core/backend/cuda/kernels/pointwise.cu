/* Ops of one input, and dropout.
 * Not here: two inputs and broadcasting (broadcast.cu). */
#include "tensor/philox.h"
#include "backend/cuda/math/pointwise.h"
#include "kernels.h"
#include "map.h"

namespace {

/* ---- one input ------------------------------------------------------------------------------- */

template <typename Fn> struct forward_of {
    Fn fn;
    MIEN_HD float operator()(const float *x) const { return fn.value(x[0]); }
};
template <typename Fn> struct backward_of {
    Fn fn;
    MIEN_HD float operator()(const float *x) const { return x[0] * fn.slope(x[1]); }
};

template <typename Fn> static mien_status pointwise_run(mien_op_call *call, bool backward, Fn fn) {
    if (!backward) {
        MIEN_TRY(mien__cuda_alloc_like(call->out[0], call->in[0]));
        return mien_map<1>(call->out[0], call->in, forward_of<Fn>{fn});
    }
    /* Where neither is saved the slope looks at neither. */
    mien_tensor *x = mien__op_saves(call->op, false, 0)  ? call->in[0]
                     : mien__op_saves(call->op, true, 0) ? call->out[0]
                                                         : call->dout[0];
    mien_tensor *in[2] = {call->dout[0], x};
    MIEN_TRY(mien__cuda_alloc_like(call->din[0], call->dout[0]));
    return mien_map<2>(call->din[0], in, backward_of<Fn>{fn});
}

static mien_status unary(mien_op_call *call, bool backward) {
    switch (call->op) {
    case MIEN_OP_affine: {
        const mien_affine_attr *a = (const mien_affine_attr *)call->attr;
        return pointwise_run(call, backward, mien_affine_fn{(float)a->scale, (float)a->shift, (float)a->divisor});
    }
    case MIEN_OP_power: {
        const mien_power_attr *a = (const mien_power_attr *)call->attr;
        return pointwise_run(call, backward, mien_power_fn{(float)a->exponent, (float)a->scale});
    }
    case MIEN_OP_relu:
        return pointwise_run(call, backward, mien_relu_fn{});
    case MIEN_OP_sigmoid:
        return pointwise_run(call, backward, mien_sigmoid_fn{});
    case MIEN_OP_tanh:
        return pointwise_run(call, backward, mien_tanh_fn{});
    case MIEN_OP_exp:
        return pointwise_run(call, backward, mien_exp_fn{});
    case MIEN_OP_log:
        return pointwise_run(call, backward, mien_log_fn{});
    default:
        return pointwise_run(call, backward, mien_abs_fn{});
    }
}

static mien_status unary_forward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:map");
    return unary(call, false);
}
static mien_status unary_backward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:map");
    return unary(call, true);
}

/* ---- dropout --------------------------------------------------------------------------------- */

/* A thread per Philox block: four neighbours in row-major order. */
template <typename T>
__global__ void __launch_bounds__(MIEN_THREADS)
    drop(T *y, const T *x, int64_t n, uint64_t seed, uint64_t stream, uint64_t counter, double p,
         float divisor, const mien__feed *from) {
    if (from) counter = from->counter;
    for (int64_t i = mien_grid_thread(); i * 4 < n; i += mien_grid_threads()) {
        uint32_t words[4];
        mien__philox(seed, stream, counter + (uint64_t)i, words);
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (i * 4 + k < n)
                put(&y[i * 4 + k],
                    (double)mien__u24(words[k]) >= p ? get(x[i * 4 + k]) / divisor : 0);
    }
}

template <typename T>
static mien_status run_drop(mien_tensor *y, const mien_tensor *x, const mien_dropout_attr *a) {
    int64_t n = mien_tensor_count(y);
    if (n == 0) return MIEN_OK;
    mien__feed first = {};
    bool failed;
    first.counter = (uint64_t)a->counter;
    const mien__feed *from =
        mien__capture_feed(MIEN_FEED_DRAWS, NULL, a->seed, a->stream, &first, &failed);
    if (failed) return mien_last();
    MIEN_LAUNCH(drop<T>, mien__cuda_grid((n + 3) / 4, MIEN_THREADS), MIEN_THREADS, 0,
                (T *)mien__cuda_ptr(y), (const T *)mien__cuda_ptr(x), n, (uint64_t)a->seed,
                (uint64_t)a->stream, (uint64_t)a->counter, a->p, (float)(1 - a->p), from);
    return MIEN_OK;
}

static mien_status dropout(mien_op_call *call, mien_tensor *from, mien_tensor *to) {
    mien__cuda_set_implementation(call, "own:philox");
    MIEN_TRY(mien__cuda_check());
    mien_held x(mien__cuda_as_plain(from, to->dtype));
    if (x.failed()) return mien_last();
    MIEN_TRY(mien__cuda_alloc(to));
    MIEN_BY_DTYPE(to->dtype, run_drop<T>(to, x.t, (const mien_dropout_attr *)call->attr));
}

static mien_status dropout_forward(mien_op_call *call) {
    return dropout(call, call->in[0], call->out[0]);
}
static mien_status dropout_backward(mien_op_call *call) {
    return dropout(call, call->dout[0], call->din[0]);
}

} // namespace

void mien__cuda_part_pointwise(mien_backend *table) {
    static const mien_op ops[] = {MIEN_OP_affine, MIEN_OP_power, MIEN_OP_relu, MIEN_OP_sigmoid,
                                  MIEN_OP_tanh,   MIEN_OP_exp,   MIEN_OP_log,  MIEN_OP_abs};
    for (mien_op op : ops) {
        table->forward[op] = unary_forward;
        table->backward[op] = unary_backward;
    }
    table->forward[MIEN_OP_dropout] = dropout_forward;
    table->backward[MIEN_OP_dropout] = dropout_backward;
}
