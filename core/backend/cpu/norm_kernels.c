/* The passes of batch normalisation, compiled for each instruction set.
 * Not here: what they do (norm_passes.h), who calls them with what (norm.c). */
#include "norm_kernels.h"

#include "lanes.h"

/* Sums run in float over this many vectors, then in double: 1e-7 stays 1e-7 for any size. */
#define RUN 64

#define W 16
#include "norm_passes.h"
#define W 8
#include "norm_passes.h"
#define W 4
#include "norm_passes.h"

/* Vectors as long as the registers of the set: GCC 12 keeps longer ones in memory. */
#define BY_SET(pass, ...)                                                                          \
    (isa == MIEN_ISA_AVX512 ? pass##_16(__VA_ARGS__)                                               \
     : isa == MIEN_ISA_AVX2 ? pass##_8(__VA_ARGS__)                                                \
                            : pass##_4(__VA_ARGS__))
#define sums(...)          BY_SET(sums, __VA_ARGS__)
#define apply(...)         BY_SET(apply, __VA_ARGS__)
#define gradient_sums(...) BY_SET(gradient_sums, __VA_ARGS__)
#define gradient(...)      BY_SET(gradient, __VA_ARGS__)

MIEN_KERNEL(void mien__norm_sums, sums,
            (int form, const mien__norm_span *span, const void *x, const float shift[16],
             double sum[16], double squares[16]),
            span, x, shift, sum, squares)

MIEN_KERNEL(void mien__norm_apply, apply,
            (int form, const mien__norm_span *span, void *y, const void *x, const void *residual,
             const float mean[16], const float scale[16], const float bias[16], bool relu),
            span, y, x, residual, mean, scale, bias, relu)

MIEN_KERNEL(void mien__norm_gradient_sums, gradient_sums,
            (int form, const mien__norm_span *span, const void *dy, const void *y, const void *x,
             void *g, const float mean[16], double sum[16], double products[16]),
            span, dy, y, x, g, mean, sum, products)

MIEN_KERNEL(void mien__norm_gradient, gradient,
            (int form, const mien__norm_span *span, void *dx, const void *dy, const void *y,
             const void *x, const float mean[16], const float scale[16], const float offset[16],
             const float slope[16]),
            span, dx, dy, y, x, mean, scale, offset, slope)
