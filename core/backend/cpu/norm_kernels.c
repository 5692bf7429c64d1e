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

MIEN_CLONES void mien__norm_sums(const float *x, int64_t n, const float shift[16], double sum[16],
                                 double squares[16]) {
    LOAD(s, shift);
    int64_t i = 0, full = n / 16 * 16;
    while (i < full) {
        v16 a = {0}, b = {0}, c = {0}, d = {0};
        int64_t stop = mien__min64(full, i + RUN * 16);
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
        for (int k = 0; k < 16; k++) {
            sum[k] += (double)a[k] + c[k];
            squares[k] += (double)b[k] + d[k];
        }
    }
    for (; i < n; i++) {
        float centred = x[i] - shift[i % 16];
        sum[i % 16] += centred;
        squares[i % 16] += (double)centred * centred;
    }
}

MIEN_CLONES void mien__norm_apply(float *y, const float *x, const float *residual, int64_t n,
                                  const float mean[16], const float scale[16], const float bias[16],
                                  bool relu) {
    LOAD(m, mean);
    LOAD(s, scale);
    LOAD(b, bias);
    int64_t i = 0, full = n / 16 * 16;
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
}

MIEN_CLONES void mien__norm_gradient_sums(const float *dy, const float *y, const float *x, float *g,
                                          int64_t n, const float mean[16], double sum[16],
                                          double products[16]) {
    LOAD(m, mean);
    int64_t i = 0, full = n / 16 * 16;
    while (i < full) {
        v16 a = {0}, b = {0};
        int64_t stop = mien__min64(full, i + RUN * 16);
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
        for (int k = 0; k < 16; k++) {
            sum[k] += a[k];
            products[k] += b[k];
        }
    }
    for (; i < n; i++) {
        float d = y && y[i] <= 0 ? 0 : dy[i];
        if (g) g[i] = d;
        sum[i % 16] += d;
        products[i % 16] += (double)d * (x[i] - mean[i % 16]);
    }
}

MIEN_CLONES void mien__norm_gradient(float *dx, const float *dy, const float *y, const float *x,
                                     int64_t n, const float mean[16], const float scale[16],
                                     const float offset[16], const float slope[16]) {
    LOAD(m, mean);
    LOAD(s, scale);
    LOAD(o, offset);
    LOAD(t, slope);
    int64_t i = 0, full = n / 16 * 16;
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
}
