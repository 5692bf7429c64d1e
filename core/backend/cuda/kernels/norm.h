/* Batch normalisation as norm.cu and norm_kernels.cu share it: rows [rows, channels] of a dtype.
 * Not here: tensors. */
#ifndef MIEN_CUDA_NORM_H
#define MIEN_CUDA_NORM_H
#include "launch.h"

/* How blocks of 256 threads cover [rows, channels]: each thread has `wide` neighbouring channels,
 * `across` threads lie side by side, blockIdx.y counts such groups, blockIdx.x shares of the rows.
 */
struct mien_norm_grid {
    int64_t rows, share;
    int channels, wide, across, groups, shares;
};
mien_norm_grid mien__norm_grid(int64_t rows, int channels, mien_dtype dtype, bool aligned);

/* mean, rstd [channels]; running_* (NULL: none) are updated. */
mien_status mien__norm_statistics(const mien_norm_grid &g, mien_dtype dtype, const void *x,
                                  float *mean, float *rstd, float *running_mean, float *running_var,
                                  double momentum, double eps);
/* mean, rstd from the running statistics. */
mien_status mien__norm_running(int channels, const float *running_mean, const float *running_var,
                               double eps, float *mean, float *rstd);
/* y = (x - mean) rstd weight + bias + residual?, then ReLU? */
mien_status mien__norm_apply(const mien_norm_grid &g, mien_dtype dtype, void *y, const void *x,
                             const void *residual, const float *mean, const float *rstd,
                             const float *weight, const float *bias, bool relu);
/* db = sum of dz, dw = sum of dz xhat; dz = dy, or 0 where y <= 0 (y NULL: nowhere). */
mien_status mien__norm_sums(const mien_norm_grid &g, mien_dtype dtype, const void *dy,
                            const void *y, const void *x, const float *mean, const float *rstd,
                            float *dw, float *db);
/* dx = weight rstd (dz - db/rows - xhat dw/rows), without the last two when dw is NULL; dz as
 * above. dx, dz NULL: not wanted. */
mien_status mien__norm_back(const mien_norm_grid &g, mien_dtype dtype, void *dx, void *dz,
                            const void *dy, const void *y, const void *x, const float *mean,
                            const float *rstd, const float *weight, const float *dw,
                            const float *db);
#endif
