/* What follows a convolution or matrix product when the library does not do it, declared for C.
 * Not here: the products (plan.c, blas.c). */
#ifndef MIEN_EPILOGUE_H
#define MIEN_EPILOGUE_H
#include "cuda.h"

#ifdef __cplusplus
extern "C" {
#endif
/* In place on y [rows,k] of a float dtype: y + bias + residual, then ReLU; NULL: without. bias is
 * f32 [k], residual as y. */
mien_status mien__cuda_epilogue(void *y, mien_dtype dtype, int64_t rows, int64_t k,
                                const float *bias, const void *residual, bool relu);
/* sums[j] = sum over rows of x[i,j], in f32 and in an order that does not change. */
mien_status mien__cuda_column_sums(float *sums, const void *x, mien_dtype dtype, int64_t rows,
                                   int64_t k);
#ifdef __cplusplus
}
#endif
#endif
