/* The passes of batch normalisation, 16 lanes at a time.
 * Not here: who calls them with what (norm.c). */
#include "norm_kernels.h"

/* Sums run in float over this many vectors, then in double: 1e-7 stays 1e-7 for any size. */
#define RUN 64

#define LOAD(name, from)                                                                           \
    v16 name;                                                                                      \
    memcpy(&name, from, sizeof name)
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

MIEN_CLONES void mien__norm_sums(const mien__norm_span *span, const float *x, const float shift[16],
                                 double sum[16], double squares[16]) {
    LOAD(s, shift);
    v16 a = {0}, b = {0};
    int64_t n = span->n, full = n / 16 * 16, room = RUN;
    for (int64_t image = 0; image < span->images; image++, x += span->step) {
        int64_t i = 0;
        while (i < full) {
            int64_t start = i, stop = mien__min64(full, i + room * 16);
            v16 c = {0}, d = {0};
            for (; i + 32 <= stop; i += 32) {
                LOAD(x0, x + i);
                LOAD(x1, x + i + 16);
                x0 -= s;
                x1 -= s;
                a += x0;
                b += x0 * x0;
                c += x1;
                d += x1 * x1;
            }
            for (; i < stop; i += 16) {
                LOAD(x0, x + i);
                x0 -= s;
                a += x0;
                b += x0 * x0;
            }
            a += c;
            b += d;
            room -= (i - start) / 16;
            if (room == 0) FLUSH(a, sum, b, squares);
        }
        for (; i < n; i++) {
            float centred = x[i] - shift[i % 16];
            sum[i % 16] += centred;
            squares[i % 16] += (double)centred * centred;
        }
    }
    FLUSH(a, sum, b, squares);
}

MIEN_CLONES void mien__norm_apply(const mien__norm_span *span, float *y, const float *x,
                                  const float *residual, const float mean[16],
                                  const float scale[16], const float bias[16], bool relu) {
    LOAD(m, mean);
    LOAD(s, scale);
    LOAD(b, bias);
    int64_t n = span->n, full = n / 16 * 16;
    for (int64_t image = 0; image < span->images; image++) {
        int64_t i = 0;
        for (; i < full; i += 16) {
            LOAD(v, x + i);
            v = (v - m) * s + b;
            if (residual) {
                LOAD(r, residual + i);
                v += r;
            }
            if (relu) KEEP_POSITIVE(v, v);
            memcpy(y + i, &v, sizeof v);
        }
        for (; i < n; i++) {
            int k = i % 16;
            float v = (x[i] - mean[k]) * scale[k] + bias[k] + (residual ? residual[i] : 0);
            y[i] = relu && v <= 0 ? 0 : v;
        }
        x += span->step;
        y += span->step;
        if (residual) residual += span->step;
    }
}

MIEN_CLONES void mien__norm_gradient_sums(const mien__norm_span *span, const float *dy,
                                          const float *y, const float *x, float *g,
                                          const float mean[16], double sum[16],
                                          double products[16]) {
    LOAD(m, mean);
    v16 a = {0}, b = {0};
    int64_t n = span->n, full = n / 16 * 16, room = RUN;
    for (int64_t image = 0; image < span->images; image++) {
        int64_t i = 0;
        while (i < full) {
            int64_t start = i, stop = mien__min64(full, i + room * 16);
            for (; i < stop; i += 16) {
                LOAD(d, dy + i);
                LOAD(v, x + i);
                if (y) {
                    LOAD(out, y + i);
                    KEEP_POSITIVE(d, out);
                }
                if (g) memcpy(g + i, &d, sizeof d);
                a += d;
                b += d * (v - m);
            }
            room -= (i - start) / 16;
            if (room == 0) FLUSH(a, sum, b, products);
        }
        for (; i < n; i++) {
            float d = y && y[i] <= 0 ? 0 : dy[i];
            if (g) g[i] = d;
            sum[i % 16] += d;
            products[i % 16] += (double)d * (x[i] - mean[i % 16]);
        }
        dy += span->step;
        x += span->step;
        if (y) y += span->step;
        if (g) g += span->step;
    }
    FLUSH(a, sum, b, products);
}

MIEN_CLONES void mien__norm_gradient(const mien__norm_span *span, float *dx, const float *dy,
                                     const float *y, const float *x, const float mean[16],
                                     const float scale[16], const float offset[16],
                                     const float slope[16]) {
    LOAD(m, mean);
    LOAD(s, scale);
    LOAD(o, offset);
    LOAD(t, slope);
    int64_t n = span->n, full = n / 16 * 16;
    for (int64_t image = 0; image < span->images; image++) {
        int64_t i = 0;
        for (; i < full; i += 16) {
            LOAD(d, dy + i);
            LOAD(v, x + i);
            if (y) {
                LOAD(out, y + i);
                KEEP_POSITIVE(d, out);
            }
            d = s * (d - o - t * (v - m));
            memcpy(dx + i, &d, sizeof d);
        }
        for (; i < n; i++) {
            int k = i % 16;
            float d = y && y[i] <= 0 ? 0 : dy[i];
            dx[i] = scale[k] * (d - offset[k] - slope[k] * (x[i] - mean[k]));
        }
        dx += span->step;
        dy += span->step;
        x += span->step;
        if (y) y += span->step;
    }
}
