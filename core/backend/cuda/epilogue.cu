/* Bias, residual and ReLU after a product, and the bias's gradient.
 * Not here: pointwise ops and reductions on their own (kernels/). */
#include "epilogue.h"

#include "backend/cuda/math/number.h"

enum { THREADS = 256 };

template <typename T>
__global__ void finish(T *y, int64_t n, int64_t k, const float *bias, const T *residual,
                       bool relu) {
    int64_t step = (int64_t)blockDim.x * gridDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        float v = get(y[i]);
        if (bias) v += bias[i % k];
        if (residual) v += get(residual[i]);
        put(&y[i], relu && !(v > 0) && v == v ? 0.0f : v); /* NaN stays */
    }
}

/* Each block sums 32 columns over its share of the rows, 8 rows at a time. */
enum { COLUMNS = 32, LANES = 8, SHARES_MOST = 64 };

template <typename T>
__global__ void partial_sums(float *partial, const T *x, int64_t rows, int64_t k, int64_t share) {
    __shared__ float lane[LANES][COLUMNS];
    int64_t column = (int64_t)blockIdx.x * COLUMNS + threadIdx.x;
    int64_t first = (int64_t)blockIdx.y * share, last = first + share < rows ? first + share : rows;
    float sum = 0;
    if (column < k)
        for (int64_t row = first + threadIdx.y; row < last; row += LANES)
            sum += get(x[row * k + column]);
    lane[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < k) {
        for (int i = 1; i < LANES; i++) sum += lane[i][threadIdx.x];
        partial[(int64_t)blockIdx.y * k + column] = sum;
    }
}

__global__ void total_sums(float *sums, const float *partial, int shares, int64_t k) {
    int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= k) return;
    float sum = 0;
    for (int i = 0; i < shares; i++) sum += partial[i * k + column];
    sums[column] = sum;
}

template <typename T>
static mien_status run_finish(void *y, int64_t n, int64_t k, const float *bias,
                              const void *residual, bool relu) {
    finish<T><<<mien__cuda_grid(n, THREADS), THREADS, 0, mien__cuda_context.stream>>>(
        (T *)y, n, k, bias, (const T *)residual, relu);
    MIEN_LAUNCHED("epilogue");
    return MIEN_OK;
}

template <typename T>
static mien_status run_sums(float *sums, const void *x, int64_t rows, int64_t k, float *partial,
                            int shares) {
    dim3 grid((unsigned)((k + COLUMNS - 1) / COLUMNS), (unsigned)shares), block(COLUMNS, LANES);
    partial_sums<T><<<grid, block, 0, mien__cuda_context.stream>>>(partial, (const T *)x, rows, k,
                                                                   (rows + shares - 1) / shares);
    MIEN_LAUNCHED("column sums");
    total_sums<<<(unsigned)((k + THREADS - 1) / THREADS), THREADS, 0, mien__cuda_context.stream>>>(
        sums, partial, shares, k);
    MIEN_LAUNCHED("column sums");
    return MIEN_OK;
}

mien_status mien__cuda_epilogue(void *y, mien_dtype dtype, int64_t rows, int64_t k,
                                const float *bias, const void *residual, bool relu) {
    if (rows * k == 0 || (!bias && !residual && !relu)) return MIEN_OK;
    if (dtype == MIEN_BF16) return run_finish<mien_bf16>(y, rows * k, k, bias, residual, relu);
    if (dtype == MIEN_F16) return run_finish<mien_f16>(y, rows * k, k, bias, residual, relu);
    return run_finish<float>(y, rows * k, k, bias, residual, relu);
}

mien_status mien__cuda_column_sums(float *sums, const void *x, mien_dtype dtype, int64_t rows,
                                   int64_t k) {
    if (k == 0) return MIEN_OK;
    int64_t wanted = (rows + 255) / 256;
    int shares = wanted < 1 ? 1 : wanted > SHARES_MOST ? (int)SHARES_MOST : (int)wanted;
    mien_storage *partial = mien__cuda_scratch((size_t)(shares * k) * sizeof(float));
    if (!partial) return mien_error_last()->code;
    mien_status status =
        dtype == MIEN_BF16
            ? run_sums<mien_bf16>(sums, x, rows, k, (float *)partial->data, shares)
        : dtype == MIEN_F16 ? run_sums<mien_f16>(sums, x, rows, k, (float *)partial->data, shares)
                            : run_sums<float>(sums, x, rows, k, (float *)partial->data, shares);
    mien__storage_release(partial);
    return status;
}
