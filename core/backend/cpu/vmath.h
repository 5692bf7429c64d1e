/* exp, tanh and the logistic function on sixteen floats, to about 1e-7 relative error.
 * Not here: anything else of libm. Coefficients: Cephes (Moshier 1992), expf.c and tanhf.c. */
#ifndef MIEN_VMATH_H
#define MIEN_VMATH_H
#include "cpu.h"

#define VMATH static inline __attribute__((always_inline)) v16

VMATH mien__v16_set(float x) {
    return (v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}

/* mask ? a : b */
VMATH mien__v16_pick(v16i mask, v16 a, v16 b) {
    return (v16)((mask & (v16i)a) | (~mask & (v16i)b));
}

/* e^x; inputs beyond +-87.3 are held there (the result stays a normal number); NaN stays NaN. */
VMATH mien__v16_exp(v16 x) {
    const v16 top = mien__v16_set(87.3365f), bottom = mien__v16_set(-87.3365f);
    v16i nan = mien__v16_is_nan(x);
    v16 t = mien__v16_pick(mien__v16_less(x, bottom), bottom, x);
    t = mien__v16_pick(mien__v16_less(top, x), top, t);
    t = mien__v16_pick(nan, (v16){0}, t);
    /* n = round(t / ln 2): adding and taking away 1.5 * 2^23 rounds to an integer. */
    const v16 magic = mien__v16_set(12582912.0f);
    v16 shifted = t * 1.44269504088896341f + magic;
    v16 n = shifted - magic;
    v16 r = t - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    v16 p = mien__v16_set(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    v16i power = (v16i)shifted << 23; /* the integer sits in the low bits of the mantissa */
    v16 y = (v16)((v16i)p + power);
    return mien__v16_pick(nan, x, y);
}

/* 1 / (1 + e^-x) */
VMATH mien__v16_logistic(v16 x) {
    return 1.0f / (1.0f + mien__v16_exp(-x));
}

/* Near 0 a polynomial keeps the relative error small, where 1 - 2/(e^2x + 1) would cancel. */
VMATH mien__v16_tanh(v16 x) {
    v16 size = (v16)((v16i)x & 0x7fffffff);
    v16 z = x * x;
    v16 p = mien__v16_set(-5.70498872745e-3f);
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    v16 near = p * z * x + x;
    v16 far = 1.0f - 2.0f / (mien__v16_exp(size + size) + 1.0f);
    far = (v16)((v16i)far | ((v16i)x & (int32_t)0x80000000));
    return mien__v16_pick(mien__v16_less(size, mien__v16_set(0.625f)), near, far);
}
#endif
