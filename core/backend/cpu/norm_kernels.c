/* The passes of batch normalisation, 16 lanes at a time.
 * Not here: who calls them with what (norm.c). */
#include "norm_kernels.h"

#include "lanes.h"

/* Sums run in float over this many vectors, then in double: 1e-7 stays 1e-7 for any size. */
#define RUN 64

/* Sixteen of the numbers that stay f32 whatever the activations are. */
#define LANES(name, from) v16 name = mien__lanes_load(MIEN_LANES_F32, from, 0)
#define LOAD(from, i)     mien__lanes_load(form, from, i)
#define STORE(to, i, v)   mien__lanes_store(form, to, i, v)
#define ONE(from, i)      mien__lane_load(form, from, i)
#define SET_ONE(to, i, v) mien__lane_store(form, to, i, v)
/* value, or 0 where sign is not positive; NaN in sign keeps the value, so that NaN shows. */
#define KEEP_POSITIVE(value, sign) value = (v16)(~(v16i)((sign) <= (v16){0}) & (v16i)(value))

/* Two float sums that go on over images and are emptied into doubles every RUN vectors. */
#define FLUSH(a, to_a, b, to_b)                                                                    \
    do {                                                                                           \
        for (int k = 0; k < 16; k++) {                                                             \
            to_a[k] += (a)[k];                                                                     \
            to_b[k] += (b)[k];                                                                     \
        }                                                                                          \
        a = b = (v16){0};                                                                          \
        room = RUN;                                                                                \
    } while (0)

MIEN_INLINE void sums(int form, const mien__norm_span *span, const void *x, const float *shift,
                      double *sum, double *squares) {
    LANES(s, shift);
    v16 a = {0}, b = {0};
    int64_t n = span->n, full = n / 16 * 16, room = RUN;
    for (int64_t image = 0; image < span->images; image++) {
        int64_t i = 0;
        while (i < full) {
            int64_t start = i, stop = mien__min64(full, i + room * 16);
            v16 c = {0}, d = {0};
            for (; i + 32 <= stop; i += 32) {
                v16 x0 = LOAD(x, i) - s, x1 = LOAD(x, i + 16) - s;
                a += x0;
                b += x0 * x0;
                c += x1;
                d += x1 * x1;
            }
            for (; i < stop; i += 16) {
                v16 x0 = LOAD(x, i) - s;
                a += x0;
                b += x0 * x0;
            }
            a += c;
            b += d;
            room -= (i - start) / 16;
            if (room == 0) FLUSH(a, sum, b, squares);
        }
        for (; i < n; i++) {
            float centred = ONE(x, i) - shift[i % 16];
            sum[i % 16] += centred;
            squares[i % 16] += (double)centred * centred;
        }
        x = mien__lane_at(form, x, span->step);
    }
    FLUSH(a, sum, b, squares);
}

MIEN_KERNEL(void mien__norm_sums, sums,
            (int form, const mien__norm_span *span, const void *x, const float shift[16],
             double sum[16], double squares[16]),
            span, x, shift, sum, squares)

MIEN_INLINE void apply(int form, const mien__norm_span *span, void *y, const void *x,
                       const void *residual, const float *mean, const float *scale,
                       const float *bias, bool relu) {
    LANES(m, mean);
    LANES(s, scale);
    LANES(b, bias);
    int64_t n = span->n, full = n / 16 * 16;
    for (int64_t image = 0; image < span->images; image++) {
        int64_t i = 0;
        for (; i < full; i += 16) {
            v16 v = (LOAD(x, i) - m) * s + b;
            if (residual) v += LOAD(residual, i);
            if (relu) KEEP_POSITIVE(v, v);
            STORE(y, i, v);
        }
        for (; i < n; i++) {
            int k = i % 16;
            float v =
                (ONE(x, i) - mean[k]) * scale[k] + bias[k] + (residual ? ONE(residual, i) : 0);
            SET_ONE(y, i, relu && v <= 0 ? 0 : v);
        }
        x = mien__lane_at(form, x, span->step);
        y = mien__lane_at(form, y, span->step);
        if (residual) residual = mien__lane_at(form, residual, span->step);
    }
}

MIEN_KERNEL(void mien__norm_apply, apply,
            (int form, const mien__norm_span *span, void *y, const void *x, const void *residual,
             const float mean[16], const float scale[16], const float bias[16], bool relu),
            span, y, x, residual, mean, scale, bias, relu)

MIEN_INLINE void gradient_sums(int form, const mien__norm_span *span, const void *dy, const void *y,
                               const void *x, void *g, const float *mean, double *sum,
                               double *products) {
    LANES(m, mean);
    v16 a = {0}, b = {0};
    int64_t n = span->n, full = n / 16 * 16, room = RUN;
    for (int64_t image = 0; image < span->images; image++) {
        int64_t i = 0;
        while (i < full) {
            int64_t start = i, stop = mien__min64(full, i + room * 16);
            for (; i < stop; i += 16) {
                v16 d = LOAD(dy, i), v = LOAD(x, i);
                if (y) KEEP_POSITIVE(d, LOAD(y, i));
                if (g) STORE(g, i, d);
                a += d;
                b += d * (v - m);
            }
            room -= (i - start) / 16;
            if (room == 0) FLUSH(a, sum, b, products);
        }
        for (; i < n; i++) {
            float d = y && ONE(y, i) <= 0 ? 0 : ONE(dy, i);
            if (g) SET_ONE(g, i, d);
            sum[i % 16] += d;
            products[i % 16] += (double)d * (ONE(x, i) - mean[i % 16]);
        }
        dy = mien__lane_at(form, dy, span->step);
        x = mien__lane_at(form, x, span->step);
        if (y) y = mien__lane_at(form, y, span->step);
        if (g) g = mien__lane_at(form, g, span->step);
    }
    FLUSH(a, sum, b, products);
}

MIEN_KERNEL(void mien__norm_gradient_sums, gradient_sums,
            (int form, const mien__norm_span *span, const void *dy, const void *y, const void *x,
             void *g, const float mean[16], double sum[16], double products[16]),
            span, dy, y, x, g, mean, sum, products)

MIEN_INLINE void gradient(int form, const mien__norm_span *span, void *dx, const void *dy,
                          const void *y, const void *x, const float *mean, const float *scale,
                          const float *offset, const float *slope) {
    LANES(m, mean);
    LANES(s, scale);
    LANES(o, offset);
    LANES(t, slope);
    int64_t n = span->n, full = n / 16 * 16;
    for (int64_t image = 0; image < span->images; image++) {
        int64_t i = 0;
        for (; i < full; i += 16) {
            v16 d = LOAD(dy, i);
            if (y) KEEP_POSITIVE(d, LOAD(y, i));
            if (x)
                STORE(dx, i, s * (d - o - t * (LOAD(x, i) - m)));
            else
                STORE(dx, i, s * d);
        }
        for (; i < n; i++) {
            int k = i % 16;
            float d = y && ONE(y, i) <= 0 ? 0 : ONE(dy, i);
            if (x)
                SET_ONE(dx, i, scale[k] * (d - offset[k] - slope[k] * (ONE(x, i) - mean[k])));
            else
                SET_ONE(dx, i, scale[k] * d);
        }
        dx = mien__lane_at(form, dx, span->step);
        dy = mien__lane_at(form, dy, span->step);
        if (x) x = mien__lane_at(form, x, span->step);
        if (y) y = mien__lane_at(form, y, span->step);
    }
}

MIEN_KERNEL(void mien__norm_gradient, gradient,
            (int form, const mien__norm_span *span, void *dx, const void *dy, const void *y,
             const void *x, const float mean[16], const float scale[16], const float offset[16],
             const float slope[16]),
            span, dx, dy, y, x, mean, scale, offset, slope)
