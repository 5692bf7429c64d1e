/* Softmax and its log over the last dimension, a block per row.
 * Not here: the loss built on it (loss.cu). */
#include "kernels.h"
#include "launch.h"

namespace {

/* Maximum over the block; every thread gets it. */
__device__ static float block_max(float v) {
    __shared__ float part[MIEN_THREADS];
    int at = (int)threadIdx.x;
    __syncthreads();
    part[at] = v;
    __syncthreads();
    for (int step = MIEN_THREADS / 2; step > 0; step /= 2) {
        if (at < step && !(part[at] >= part[at + step])) part[at] = part[at + step];
        __syncthreads();
    }
    return part[0];
}

template <typename T>
__global__ void __launch_bounds__(MIEN_THREADS)
    softmax_kernel(T *out, const T *in, int64_t rows, int64_t n, bool log) {
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
        const T *x = in + row * n;
        T *y = out + row * n;
        float most = -INFINITY, sum = 0;
        for (int64_t j = threadIdx.x; j < n; j += MIEN_THREADS) most = fmaxf(most, get(x[j]));
        most = block_max(most);
        for (int64_t j = threadIdx.x; j < n; j += MIEN_THREADS) sum += expf(get(x[j]) - most);
        sum = mien_block_sum(sum);
        float level = logf(sum);
        for (int64_t j = threadIdx.x; j < n; j += MIEN_THREADS)
            put(&y[j], log ? get(x[j]) - most - level : expf(get(x[j]) - most) / sum);
    }
}

/* softmax: dx = y (dy - sum dy y); its log: dx = dy - exp(y) sum dy. */
template <typename T>
__global__ void __launch_bounds__(MIEN_THREADS)
    back_kernel(T *dx, const T *out, const T *dout, int64_t rows, int64_t n, bool log) {
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
        const T *y = out + row * n, *dy = dout + row * n;
        float sum = 0;
        for (int64_t j = threadIdx.x; j < n; j += MIEN_THREADS)
            sum += log ? get(dy[j]) : get(dy[j]) * get(y[j]);
        sum = mien_block_sum(sum);
        for (int64_t j = threadIdx.x; j < n; j += MIEN_THREADS)
            put(&dx[row * n + j], log ? get(dy[j]) - expf(get(y[j])) * sum
                                      : get(y[j]) * (get(dy[j]) - sum));
    }
}

/* y: input forward, output backward; dy NULL: forward. */
template <typename T>
static mien_status softmax_run(mien_tensor *to, mien_tensor *y, mien_tensor *dy, bool log) {
    int64_t count = mien_tensor_count(to), n = to->shape[to->ndim - 1];
    if (count == 0) return MIEN_OK;
    int64_t rows = count / n;
    unsigned grid = (unsigned)(rows < (1 << 20) ? rows : 1 << 20);
    T *out = (T *)mien__cuda_ptr(to);
    const T *in = (const T *)mien__cuda_ptr(y);
    if (dy)
        MIEN_LAUNCH(back_kernel<T>, grid, MIEN_THREADS, 0, out, in, (const T *)mien__cuda_ptr(dy),
                    rows, n, log);
    else
        MIEN_LAUNCH(softmax_kernel<T>, grid, MIEN_THREADS, 0, out, in, rows, n, log);
    return MIEN_OK;
}

static mien_status softmax_forward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:softmax");
    MIEN_TRY(mien__cuda_check());
    mien_tensor *y = call->out[0];
    mien_held x(mien__cuda_as_plain(call->in[0], y->dtype));
    if (x.failed()) return mien_last();
    MIEN_TRY(mien__cuda_alloc(y));
    MIEN_BY_DTYPE(y->dtype, softmax_run<T>(y, x.t, NULL, call->op == MIEN_OP_log_softmax));
}

static mien_status softmax_backward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:softmax");
    MIEN_TRY(mien__cuda_check());
    mien_tensor *dx = call->din[0];
    mien_held y(mien__cuda_as_plain(call->out[0], dx->dtype));
    mien_held dy(mien__cuda_as_plain(call->dout[0], dx->dtype));
    if (y.failed() || dy.failed()) return mien_last();
    MIEN_TRY(mien__cuda_alloc(dx));
    MIEN_BY_DTYPE(dx->dtype, softmax_run<T>(dx, y.t, dy.t, call->op == MIEN_OP_log_softmax));
}

} // namespace

void mien__cuda_part_softmax(mien_backend *table) {
    table->forward[MIEN_OP_softmax] = table->forward[MIEN_OP_log_softmax] = softmax_forward;
    table->backward[MIEN_OP_softmax] = table->backward[MIEN_OP_log_softmax] = softmax_backward;
}
