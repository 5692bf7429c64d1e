/* Matrix products of row-major matrices through cuBLASLt.
 * Not here: the ops (linear.c, layer.c, gru.c), tensors. */
#ifndef MIEN_BLAS_H
#define MIEN_BLAS_H
#include "cuda.h"

/* c [m,n] = op(a) op(b), `batch` times; op transposes where asked. All row-major and without gaps:
 * a is [m,k], or [k,m] when transposed; b is [k,n], or [n,k]. Matrices of a batch follow one
 * another. in: dtype of a and b; out: of c, the same or f32. Sums are in f32. */
typedef struct mien__cuda_product {
    int64_t batch, m, n, k;
    bool transpose_a, transpose_b;
    mien_dtype in, out;
} mien__cuda_product;

#ifdef __cplusplus
extern "C" {
#endif
mien_status mien__cuda_multiply(const mien__cuda_product *p, const void *a, const void *b, void *c);
#ifdef __cplusplus
}
#endif
#endif
