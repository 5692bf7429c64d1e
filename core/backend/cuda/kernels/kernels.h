/* The parts made of own kernels, and what they give to other parts.
 * Not here: how a kernel is launched (launch.h). */
#ifndef MIEN_CUDA_KERNELS_H
#define MIEN_CUDA_KERNELS_H
#include "backend/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Every entry below in one call, for parts.def: MIEN_CUDA_PART_IF(kernels). */
void mien__cuda_part_kernels(mien_backend *table);
bool mien__cuda_supports_kernels(const mien_op_call *call, bool backward);

void mien__cuda_part_pointwise(mien_backend *table);
void mien__cuda_part_broadcast(mien_backend *table);
void mien__cuda_part_reduce(mien_backend *table);
void mien__cuda_part_softmax(mien_backend *table);
void mien__cuda_part_norm(mien_backend *table);
void mien__cuda_part_pool(mien_backend *table);
void mien__cuda_part_lrn(mien_backend *table);
void mien__cuda_part_loss(mien_backend *table);
void mien__cuda_part_ccc(mien_backend *table);
void mien__cuda_part_shape(mien_backend *table);
void mien__cuda_part_optim(mien_backend *table);
void mien__cuda_part_augment(mien_backend *table);
void mien__cuda_part_int8(mien_backend *table);

/* out, which has storage, = factor * sum of x over the dimensions that out lacks or has as 1,
 * aligned at the right. Sums in f32, in a fixed order. x may be u8 or i8, then out is f32. */
mien_status mien__cuda_sum_to(mien_tensor *out, mien_tensor *x, double factor);

/* ||found - right|| / ||right|| of n elements each, f32, bf16 or f16; NaN or infinite when one is
 * not finite or only `right` is zero. Waits for the device. */
mien_status mien__cuda_distance(const void *found, const void *right, mien_dtype dtype, int64_t n,
                                double *relative);

#ifdef __cplusplus
}
#endif
#endif
