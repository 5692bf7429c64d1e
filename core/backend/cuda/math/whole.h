/* Floats to 8-bit whole numbers, as ops.def rounds them: to the bits that the reference gives.
 * Not here: sums of products, which are exact. */
#ifndef MIEN_CUDA_MATH_WHOLE_H
#define MIEN_CUDA_MATH_WHOLE_H
#include "number.h"
#include <math.h>

/* Half to even; saturated to i8 or u8; NaN gives the lowest. */
MIEN_HD float mien_saturated(double y, bool is_signed) {
    double low = is_signed ? -128 : 0, high = is_signed ? 127 : 255;
    y = rint(y);
    return (float)(y > low ? (y < high ? y : high) : low);
}

struct mien_quantise_fn {
    double scale;
    bool is_signed;
    MIEN_HD float operator()(const float *x) const {
        return mien_saturated((double)x[0] / scale, is_signed);
    }
};

/* a * b, rounded: a compiler that adds to it without rounding would round ties to another side. */
MIEN_HD double mien_product(double a, double b) {
#ifdef __CUDA_ARCH__
    return __dmul_rn(a, b);
#else
    return a * b;
#endif
}

/* What follows a convolution's sum. */
struct mien_rescale {
    double residual_scale;
    bool relu, is_signed;
    MIEN_HD float operator()(int32_t sum, float bias, float scale, float residual) const {
        double y = mien_product(scale, (double)bias + sum);
        y += mien_product(residual_scale, residual);
        return mien_saturated(relu && y < 0 ? 0 : y, is_signed);
    }
};
#endif
