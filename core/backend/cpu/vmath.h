/* exp, tanh and the logistic function to about 1e-7 relative error, as code from which the compiler
 * makes vectors as long as the registers it has: call them in a plain loop.
 * Not here: anything else of libm. Coefficients: Cephes (Moshier 1992), expf.c and tanhf.c. */
#ifndef MIEN_VMATH_H
#define MIEN_VMATH_H
#include "cpu.h"

typedef union mien__bits {
    float f;
    int32_t i;
    uint32_t u;
} mien__bits;

/* mask (all ones or 0) ? a : b. Of a choice GCC makes a branch, and no vectors of the loop. */
MIEN_INLINE float mien__pick(int32_t mask, float a, float b) {
    mien__bits x = {a}, y = {b};
    x.i = (mask & x.i) | (~mask & y.i);
    return x.f;
}

/* e^x; inputs beyond +-87.3 are held there (the result stays a normal number); NaN stays NaN. */
MIEN_INLINE float mien__exp(float x) {
    const float top = 87.3365f;
    float t = mien__pick(-(x < -top), -top, x);
    t = mien__pick(-(top < t), top, t);
    t = mien__pick(-(x != x), 0, t);
    /* n = round(t / ln 2): adding and taking away 1.5 * 2^23 rounds to an integer. */
    const float magic = 12582912.0f;
    mien__bits shifted = {t * 1.44269504088896341f + magic}, y;
    float n = shifted.f - magic;
    float r = t - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    y.f = p * r * r + r + 1.0f;
    y.u += shifted.u << 23; /* the integer sits in the low bits of the mantissa */
    return mien__pick(-(x != x), x, y.f);
}

/* 1 / (1 + e^-x) */
MIEN_INLINE float mien__logistic(float x) {
    return 1.0f / (1.0f + mien__exp(-x));
}

/* Near 0 a polynomial keeps the relative error small, where 1 - 2/(e^2x + 1) would cancel. */
MIEN_INLINE float mien__tanh(float x) {
    mien__bits size = {x}, far, sign = {x};
    size.i &= 0x7fffffff;
    float z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float near = p * z * x + x;
    far.f = 1.0f - 2.0f / (mien__exp(size.f + size.f) + 1.0f);
    far.i |= sign.i & INT32_MIN;
    return mien__pick(-(size.f < 0.625f), near, far.f);
}

/* The same for the sixteen floats of a vector. */
#define MIEN_VMATH(name, of)                                                                       \
    MIEN_INLINE v16 name(v16 x) {                                                                  \
        union {                                                                                    \
            v16 v;                                                                                 \
            float f[16];                                                                           \
        } t = {x};                                                                                 \
        for (int i = 0; i < 16; i++) t.f[i] = of(t.f[i]);                                          \
        return t.v;                                                                                \
    }
MIEN_VMATH(mien__v16_logistic, mien__logistic)
MIEN_VMATH(mien__v16_tanh, mien__tanh)
#undef MIEN_VMATH
#endif
