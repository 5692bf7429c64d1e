/* Means and squared deviations that are gathered apart and joined (Chan, Golub & LeVeque 1979).
 * Not here: loops. */
#ifndef MIEN_CUDA_MOMENTS_H
#define MIEN_CUDA_MOMENTS_H
#include "number.h"

/* n values with this mean; m2: sum of (value - mean)^2. */
template <typename R> struct mien_norm_moments { R n, mean, m2; };

template <typename R>
MIEN_HD mien_norm_moments<R> mien_join(mien_norm_moments<R> a, mien_norm_moments<R> b) {
    R n = a.n + b.n;
    if (n == 0) return a;
    R d = b.mean - a.mean, share = b.n / n;
    return mien_norm_moments<R>{n, a.mean + d * share, a.m2 + b.m2 + d * d * a.n * share};
}

/* From sums of (value - shift) and its square. A shift that is one of the values keeps them small
 * where E[x^2] - E[x]^2 would cancel. */
MIEN_HD mien_norm_moments<float> mien_from_shifted(float n, float shift, float sum, float squares) {
    if (n == 0) return mien_norm_moments<float>{0, 0, 0};
    float d = sum / n, m2 = squares - sum * d;
    return mien_norm_moments<float>{n, shift + d, m2 > 0 || m2 != m2 ? m2 : 0};
}
#endif
