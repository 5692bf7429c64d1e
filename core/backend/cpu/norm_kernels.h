/* The four passes of batch normalisation over one group of channels, in f32 or bf16 (form:
 * lanes.h). Not here: threads, statistics per channel (norm.c).
 *
 * A group's n elements of one image lie one after the other; the one at i belongs to lane i % 16.
 * Blocks of 1, 8 and 16 channels all fit this when the per-channel numbers are repeated over the 16
 * lanes. From one image to the next it is `step` elements. */
#ifndef MIEN_NORM_KERNELS_H
#define MIEN_NORM_KERNELS_H
#include "cpu.h"

typedef struct mien__norm_span {
    int64_t images, step, n;
} mien__norm_span;

/* Adds sums of (x - shift) and (x - shift)^2 per lane. */
void mien__norm_sums(int form, const mien__norm_span *span, const void *x, const float shift[16],
                     double sum[16], double squares[16]);
/* y = (x - mean) scale + bias (+ residual) (then ReLU). */
void mien__norm_apply(int form, const mien__norm_span *span, void *y, const void *x,
                      const void *residual, const float mean[16], const float scale[16],
                      const float bias[16], bool relu);
/* g = dy, or 0 where the saved output y (if given) is 0; NaN is not. Adds sums of g and of
 * g (x - mean) per lane; writes g when asked for (it is the residual's gradient). */
void mien__norm_gradient_sums(int form, const mien__norm_span *span, const void *dy, const void *y,
                              const void *x, void *g, const float mean[16], double sum[16],
                              double products[16]);
/* dx = scale (g - offset - slope (x - mean)), or scale g without x; g masked by y if given. */
void mien__norm_gradient(int form, const mien__norm_span *span, void *dx, const void *dy,
                         const void *y, const void *x, const float mean[16], const float scale[16],
                         const float offset[16], const float slope[16]);
#endif
