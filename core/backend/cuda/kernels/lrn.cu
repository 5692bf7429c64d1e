/* Local response normalisation over channels-last maps (Krizhevsky et al. 2012, section 3.3).
 * Not here: batch normalisation (norm.cu). */
#include "kernels.h"
#include "launch.h"

namespace {

struct lrn {
    int64_t channels, size;
    float share, beta, k; /* share: alpha / size */
};

/* Base of the power at channel c; x: channel 0 of the pixel. */
template <typename T> __device__ static float base_at(const T *x, int64_t c, const lrn &a) {
    int64_t first = c - a.size / 2, last = first + a.size;
    float sum = 0;
    for (int64_t j = first < 0 ? 0 : first; j < last && j < a.channels; j++)
        sum += get(x[j]) * get(x[j]);
    return a.k + a.share * sum;
}

template <typename T>
__global__ void __launch_bounds__(MIEN_THREADS)
    lrn_kernel(T *y, const T *x, int64_t n, lrn a) {
    for (int64_t i = mien_grid_thread(); i < n; i += mien_grid_threads()) {
        int64_t c = i % a.channels;
        put(&y[i], get(x[i]) * powf(base_at(x + i - c, c, a), -a.beta));
    }
}

/* shared = dy x b^(-beta-1): what channel i gives to all channels of its window. */
template <typename T>
__global__ void __launch_bounds__(MIEN_THREADS)
    shared_kernel(float *shared, const T *x, const T *dy, int64_t n, lrn a) {
    for (int64_t i = mien_grid_thread(); i < n; i += mien_grid_threads()) {
        int64_t c = i % a.channels;
        shared[i] = get(dy[i]) * get(x[i]) * powf(base_at(x + i - c, c, a), -a.beta - 1);
    }
}

/* dx_j = dy_j b_j^-beta - 2 beta share x_j * sum of shared_c over the c whose window holds j. */
template <typename T>
__global__ void __launch_bounds__(MIEN_THREADS)
    back_kernel(T *dx, const T *x, const T *dy, const float *shared, int64_t n, lrn a) {
    for (int64_t i = mien_grid_thread(); i < n; i += mien_grid_threads()) {
        int64_t j = i % a.channels, last = j + a.size / 2, first = last - a.size + 1;
        const float *pixel = shared + i - j;
        float sum = 0;
        for (int64_t c = first < 0 ? 0 : first; c <= last && c < a.channels; c++) sum += pixel[c];
        put(&dx[i], get(dy[i]) * powf(base_at(x + i - j, j, a), -a.beta) -
                        2 * a.beta * a.share * get(x[i]) * sum);
    }
}

static lrn lrn_of(const mien_op_call *call) {
    const mien_lrn_attr *a = (const mien_lrn_attr *)call->attr;
    return lrn{call->in[0]->shape[1], (int64_t)a->size, (float)(a->alpha / a->size), (float)a->beta,
               (float)a->k};
}

template <typename T> static mien_status run_forward(mien_tensor *y, mien_tensor *x, lrn a) {
    int64_t n = mien_tensor_count(y);
    if (n == 0) return MIEN_OK;
    MIEN_LAUNCH(lrn_kernel<T>, mien__cuda_grid(n, MIEN_THREADS), MIEN_THREADS, 0,
                (T *)mien__cuda_ptr(y), (const T *)mien__cuda_ptr(x), n, a);
    return MIEN_OK;
}

template <typename T>
static mien_status run_backward(mien_tensor *dx, mien_tensor *x, mien_tensor *dy, lrn a) {
    int64_t n = mien_tensor_count(dx);
    if (n == 0) return MIEN_OK;
    mien_scratch shared((size_t)n * sizeof(float));
    if (shared.failed()) return mien_last();
    unsigned grid = mien__cuda_grid(n, MIEN_THREADS);
    const T *in = (const T *)mien__cuda_ptr(x), *d = (const T *)mien__cuda_ptr(dy);
    MIEN_LAUNCH(shared_kernel<T>, grid, MIEN_THREADS, 0, shared.at<float>(), in, d, n, a);
    MIEN_LAUNCH(back_kernel<T>, grid, MIEN_THREADS, 0, (T *)mien__cuda_ptr(dx), in, d,
                shared.at<float>(), n, a);
    return MIEN_OK;
}

static mien_status lrn_forward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:lrn");
    MIEN_TRY(mien__cuda_check());
    mien_tensor *y = call->out[0];
    mien_held x(mien__cuda_as_nhwc(call->in[0], y->dtype));
    if (x.failed()) return mien_last();
    MIEN_TRY(mien__cuda_alloc_nhwc(y));
    MIEN_BY_DTYPE(y->dtype, run_forward<T>(y, x.t, lrn_of(call)));
}

static mien_status lrn_backward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:lrn");
    MIEN_TRY(mien__cuda_check());
    mien_tensor *dx = call->din[0];
    mien_held x(mien__cuda_as_nhwc(call->in[0], dx->dtype));
    mien_held dy(mien__cuda_as_nhwc(call->dout[0], dx->dtype));
    if (x.failed() || dy.failed()) return mien_last();
    MIEN_TRY(mien__cuda_alloc_nhwc(dx));
    MIEN_BY_DTYPE(dx->dtype, run_backward<T>(dx, x.t, dy.t, lrn_of(call)));
}

} // namespace

void mien__cuda_part_lrn(mien_backend *table) {
    table->forward[MIEN_OP_lrn] = lrn_forward;
    table->backward[MIEN_OP_lrn] = lrn_backward;
}
