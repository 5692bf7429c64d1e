/* Copies and fills on the GPU, declared for C.
 * Not here: transfers between host and device (memory.c). */
#ifndef MIEN_CONVERT_H
#define MIEN_CONVERT_H
#include "cuda.h"

#ifdef __cplusplus
extern "C" {
#endif
mien_status mien__cuda_fill(mien_tensor *t, double value);
/* dst[i] = src[i] for i < n, between float dtypes and plain memory. */
mien_status mien__cuda_convert(void *dst, mien_dtype to, const void *src, mien_dtype from,
                               int64_t n);
#ifdef __cplusplus
}
#endif
#endif
