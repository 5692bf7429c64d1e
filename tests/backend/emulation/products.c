/* The products that layers get from cuBLASLt, and what follows them, by plain loops in double.
 * Not here: copies between tensors (context.c), speed. */
#include "backend/cuda/blas.h"
#include "backend/cuda/convert.h"
#include "backend/cuda/epilogue.h"

#include <stdlib.h>

static double *doubles(const void *from, mien_dtype dtype, int64_t n) {
    double *values = malloc(((size_t)n + 1) * sizeof *values);
    if (values) mien__host_doubles(values, from, dtype, n);
    return values;
}

mien_status mien__cuda_convert(void *dst, mien_dtype to, const void *src, mien_dtype from,
                               int64_t n) {
    double *values = doubles(src, from, n);
    mien_tensor *made = mien_tensor_new(to, MIEN_DEVICE_CPU, 1, &n);
    mien_status status = values && made ? mien_tensor_write(made, values, n) : MIEN_ERR_MEMORY;
    if (status == MIEN_OK) memcpy(dst, mien_tensor_data(made), (size_t)n * mien_dtype_size(to));
    mien_tensor_release(made);
    free(values);
    return status;
}

mien_status mien__cuda_multiply(const mien__cuda_product *p, const void *a, const void *b,
                                void *c) {
    if (p->batch != 1) MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "emulation: one product at a time");
    double *left = doubles(a, p->in, p->m * p->k), *right = doubles(b, p->in, p->k * p->n);
    double *sums = calloc((size_t)(p->m * p->n) + 1, sizeof *sums);
    mien_status status = left && right && sums ? MIEN_OK : MIEN_ERR_MEMORY;
    for (int64_t i = 0; status == MIEN_OK && i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++)
            for (int64_t l = 0; l < p->k; l++)
                sums[i * p->n + j] += left[p->transpose_a ? l * p->m + i : i * p->k + l] *
                                      right[p->transpose_b ? j * p->k + l : l * p->n + j];
    if (status == MIEN_OK) status = mien__cuda_convert(c, p->out, sums, MIEN_F64, p->m * p->n);
    free(left);
    free(right);
    free(sums);
    return status;
}

mien_status mien__cuda_epilogue(void *y, mien_dtype dtype, int64_t rows, int64_t k,
                                const float *bias, const void *residual, bool relu) {
    if (residual || relu) MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "emulation: only a bias is added");
    double *values = doubles(y, dtype, rows * k);
    if (!values) MIEN_FAIL(MIEN_ERR_MEMORY, "emulation: no memory");
    for (int64_t i = 0; bias && i < rows * k; i++) values[i] += bias[i % k];
    mien_status status = mien__cuda_convert(y, dtype, values, MIEN_F64, rows * k);
    free(values);
    return status;
}

mien_status mien__cuda_column_sums(float *sums, const void *x, mien_dtype dtype, int64_t rows,
                                   int64_t k) {
    double *values = doubles(x, dtype, rows * k);
    if (!values) MIEN_FAIL(MIEN_ERR_MEMORY, "emulation: no memory");
    for (int64_t j = 0; j < k; j++) {
        double sum = 0;
        for (int64_t i = 0; i < rows; i++) sum += values[i * k + j];
        sums[j] = (float)sum;
    }
    free(values);
    return MIEN_OK;
}
