/* The pointwise functions and their derivatives, in f32.
 * Not here: loops. */
#ifndef MIEN_CUDA_POINTWISE_H
#define MIEN_CUDA_POINTWISE_H
#include "number.h"
#include <math.h>

struct mien_affine_fn {
    float scale, shift, divisor;
    MIEN_HD float value(float x) const {
        return (divisor == 1 ? scale * x : scale * x / divisor) + shift;
    }
    MIEN_HD float slope(float) const { return scale / divisor; }
};

/* The usual exponents exactly, without the general power's cost. */
struct mien_power_fn {
    float exponent, scale;
    MIEN_HD static float raise(float x, float e) {
        return e == 2 ? x * x : e == 1 ? x : e == 0.5f ? sqrtf(x) : e == -1 ? 1 / x : powf(x, e);
    }
    MIEN_HD float value(float x) const {
        return exponent == -1 ? scale / x : scale * raise(x, exponent);
    }
    MIEN_HD float slope(float x) const {
        return exponent == 0 ? 0 : scale * exponent * raise(x, exponent - 1);
    }
};

struct mien_relu_fn {
    MIEN_HD float value(float x) const { return x < 0 ? 0 : x; } /* NaN stays */
    MIEN_HD float slope(float y) const { return y <= 0 ? 0.0f : 1.0f; }
};
/* exp of a negative number only: no overflow, and full precision on both sides. */
MIEN_HD float mien_sigmoid(float x) {
    float e = expf(-fabsf(x));
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
}
struct mien_sigmoid_fn {
    MIEN_HD float value(float x) const { return mien_sigmoid(x); }
    MIEN_HD float slope(float y) const { return y * (1 - y); }
};
struct mien_tanh_fn {
    MIEN_HD float value(float x) const { return tanhf(x); }
    MIEN_HD float slope(float y) const { return 1 - y * y; }
};
struct mien_exp_fn {
    MIEN_HD float value(float x) const { return expf(x); }
    MIEN_HD float slope(float y) const { return y; }
};
struct mien_log_fn {
    MIEN_HD float value(float x) const { return logf(x); }
    MIEN_HD float slope(float x) const { return 1 / x; }
};
struct mien_abs_fn {
    MIEN_HD float value(float x) const { return fabsf(x); }
    MIEN_HD float slope(float x) const { return (float)((x > 0) - (x < 0)); }
};
#endif
