/* The loss of the concordance correlation coefficient (Lin 1989), in double.
 * Not here: the other losses (loss.cu). */
#include "kernels.h"
#include "launch.h"

namespace {

/* 1/n moments of two traces; ccc = 2 sxy / d, 0 when d < 1e-12 (both constant and equal). */
struct moments {
    double mx, my, d, ccc;
};

/* prediction and target seen as [groups, n, k]: a block per group and output. */
struct traces {
    int64_t groups, n, k;
};

__device__ static moments moments_of(const float *x, const float *y, traces s) {
    double mx = 0, my = 0, sxx = 0, syy = 0, sxy = 0, n = (double)s.n;
    for (int64_t i = threadIdx.x; i < s.n; i += MIEN_THREADS) {
        mx += x[i * s.k];
        my += y[i * s.k];
    }
    mx = mien_block_sum(mx) / n;
    my = mien_block_sum(my) / n;
    for (int64_t i = threadIdx.x; i < s.n; i += MIEN_THREADS) {
        double dx = x[i * s.k] - mx, dy = y[i * s.k] - my;
        sxx += dx * dx;
        syy += dy * dy;
        sxy += dx * dy;
    }
    sxx = mien_block_sum(sxx) / n;
    syy = mien_block_sum(syy) / n;
    sxy = mien_block_sum(sxy) / n;
    double d = sxx + syy + (mx - my) * (mx - my);
    return moments{mx, my, d, d < 1e-12 ? 0 : 2 * sxy / d};
}

/* Line i starts at element i / k * n * k + i % k, its next ones lie k apart. */
__device__ static int64_t line_start(traces s, int64_t i) {
    return i / s.k * s.n * s.k + i % s.k;
}

__global__ void __launch_bounds__(MIEN_THREADS)
    ccc_kernel(float *ccc, const float *x, const float *y, traces s) {
    int64_t at = line_start(s, blockIdx.x);
    moments m = moments_of(x + at, y + at, s);
    if (threadIdx.x == 0) ccc[blockIdx.x] = (float)m.ccc;
}

/* One block. */
__global__ void __launch_bounds__(MIEN_THREADS)
    loss_kernel(float *loss, const float *ccc, int64_t n) {
    double sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += MIEN_THREADS) sum += ccc[i];
    sum = mien_block_sum(sum);
    if (threadIdx.x == 0) *loss = (float)(1 - sum / (double)n);
}

/* d ccc / d x_i = 2 / (n d) [(y_i - my) - ccc (x_i - my)], and the same with x and y exchanged. */
__global__ void __launch_bounds__(MIEN_THREADS)
    back_kernel(float *dx, float *dy, const float *x, const float *y, const float *dloss, traces s) {
    int64_t at = line_start(s, blockIdx.x);
    moments m = moments_of(x + at, y + at, s);
    double factor = -(double)*dloss / (double)(s.groups * s.k) * 2 / ((double)s.n * m.d);
    for (int64_t j = threadIdx.x; j < s.n; j += MIEN_THREADS) {
        int64_t i = at + j * s.k;
        double own = x[i], other = y[i];
        bool flat = m.d < 1e-12;
        if (dx) dx[i] = flat ? 0 : (float)(factor * ((other - m.my) - m.ccc * (own - m.my)));
        if (dy) dy[i] = flat ? 0 : (float)(factor * ((own - m.mx) - m.ccc * (other - m.mx)));
    }
}

static traces traces_of(const mien_op_call *call) {
    const mien_ccc_loss_attr *a = (const mien_ccc_loss_attr *)call->attr;
    const mien_tensor *x = call->in[0];
    int64_t groups = a->per_sequence ? x->shape[0] : 1, k = x->shape[x->ndim - 1];
    return traces{groups, mien_tensor_count(x) / (groups * k), k};
}

static mien_status ccc_forward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:loss");
    MIEN_TRY(mien__cuda_check());
    mien_held x(mien__cuda_as_plain(call->in[0], MIEN_F32));
    mien_held y(mien__cuda_as_plain(call->in[1], MIEN_F32));
    if (x.failed() || y.failed()) return mien_last();
    MIEN_TRY(mien__cuda_alloc(call->out[0]));
    MIEN_TRY(mien__cuda_alloc(call->out[1]));
    traces s = traces_of(call);
    float *ccc = (float *)mien__cuda_ptr(call->out[1]);
    MIEN_LAUNCH(ccc_kernel, (unsigned)(s.groups * s.k), MIEN_THREADS, 0, ccc, x.data<float>(),
                y.data<float>(), s);
    MIEN_LAUNCH(loss_kernel, 1, MIEN_THREADS, 0, (float *)mien__cuda_ptr(call->out[0]), ccc,
                s.groups * s.k);
    return MIEN_OK;
}

/* An f32 tensor for the gradient of input i: its own storage when that is f32. */
static mien_tensor *target_of(mien_op_call *call, int i) {
    mien_tensor *din = call->din[i];
    if (mien__cuda_alloc(din) != MIEN_OK) return NULL;
    return din->dtype == MIEN_F32
               ? mien_tensor_retain(din)
               : mien_tensor_new(MIEN_F32, MIEN_DEVICE_CUDA, din->ndim, din->shape);
}

static mien_status ccc_backward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:loss");
    MIEN_TRY(mien__cuda_check());
    mien_held x(mien__cuda_as_plain(call->in[0], MIEN_F32));
    mien_held y(mien__cuda_as_plain(call->in[1], MIEN_F32));
    mien_held dloss(mien__cuda_as_plain(call->dout[0], MIEN_F32)), made[2];
    if (x.failed() || y.failed() || dloss.failed()) return mien_last();
    float *to[2] = {};
    for (int i = 0; i < 2; i++) {
        if (!call->want[i]) continue;
        made[i].take(target_of(call, i));
        if (made[i].failed()) return mien_last();
        to[i] = made[i].data<float>();
    }
    traces s = traces_of(call);
    MIEN_LAUNCH(back_kernel, (unsigned)(s.groups * s.k), MIEN_THREADS, 0, to[0], to[1],
                x.data<float>(), y.data<float>(), dloss.data<float>(), s);
    for (int i = 0; i < 2; i++)
        if (made[i].t && made[i].t != call->din[i])
            MIEN_TRY(mien__cuda_copy(call->din[i], made[i].t));
    return MIEN_OK;
}

} // namespace

void mien__cuda_part_ccc(mien_backend *table) {
    table->forward[MIEN_OP_ccc_loss] = ccc_forward;
    table->backward[MIEN_OP_ccc_loss] = ccc_backward;
}
