/* The passes of batch normalisation on vectors of W floats, included once for each length: every
 * set gets vectors as long as its registers. Sixteen lanes are 16 / W vectors, so that the order of
 * all sums, and with it every bit, is the same. Not here: which length a set takes
 * (norm_kernels.c). */
#define V                 MIEN_LANES_NAME(mien__v, W)
#define STEPS             (16 / W)
#define NAMED(name)       MIEN_LANES_NAME(name##_, W)
#define LOAD(from, i)     MIEN_LANES_NAME(mien__lanes_load_, W)(form, from, i)
#define STORE(to, i, v)   MIEN_LANES_NAME(mien__lanes_store_, W)(form, to, i, v)
#define ONE(from, i)      mien__lane_load(form, from, i)
#define SET_ONE(to, i, v) mien__lane_store(form, to, i, v)
/* value, or 0 where sign is not positive; NaN in sign keeps the value, so that NaN shows. */
#define KEEP_POSITIVE(value, sign)                                                                 \
    value = MIEN_LANES_NAME(mien__lanes_keep_positive_, W)(value, sign)
/* For the vectors h that make sixteen lanes, of which the first begins at element i. */
#define EACH for (int h = 0; h < STEPS; h++)
/* Sixteen of the numbers that stay f32 whatever the activations are. */
#define LANES(name, from)                                                                          \
    V name[STEPS];                                                                                 \
    memcpy(name, from, sizeof name)

/* Two float sums that go on over images and are emptied into doubles every RUN vectors. */
MIEN_INLINE void NAMED(flush)(V *a, double *to_a, V *b, double *to_b) {
    float from_a[16], from_b[16];
    memcpy(from_a, a, sizeof from_a);
    memcpy(from_b, b, sizeof from_b);
    for (int k = 0; k < 16; k++) {
        to_a[k] += from_a[k];
        to_b[k] += from_b[k];
    }
    EACH a[h] = b[h] = (V){0};
}

MIEN_INLINE void NAMED(sums)(int form, const mien__norm_span *span, const void *x,
                             const float *shift, double *sum, double *squares) {
    LANES(s, shift);
    V a[STEPS] = {0}, b[STEPS] = {0};
    int64_t n = span->n, full = n / 16 * 16, room = RUN;
    for (int64_t image = 0; image < span->images; image++) {
        int64_t i = 0;
        while (i < full) {
            int64_t start = i, stop = mien__min64(full, i + room * 16);
            V c[STEPS] = {0}, d[STEPS] = {0};
            for (; i + 32 <= stop; i += 32) EACH {
                    V x0 = LOAD(x, i + h * W) - s[h], x1 = LOAD(x, i + 16 + h * W) - s[h];
                    a[h] += x0;
                    b[h] += x0 * x0;
                    c[h] += x1;
                    d[h] += x1 * x1;
                }
            for (; i < stop; i += 16) EACH {
                    V x0 = LOAD(x, i + h * W) - s[h];
                    a[h] += x0;
                    b[h] += x0 * x0;
                }
            EACH a[h] += c[h], b[h] += d[h];
            room -= (i - start) / 16;
            if (room == 0) {
                NAMED(flush)(a, sum, b, squares);
                room = RUN;
            }
        }
        for (; i < n; i++) {
            float centred = ONE(x, i) - shift[i % 16];
            sum[i % 16] += centred;
            squares[i % 16] += (double)centred * centred;
        }
        x = mien__lane_at(form, x, span->step);
    }
    NAMED(flush)(a, sum, b, squares);
}

MIEN_INLINE void NAMED(apply)(int form, const mien__norm_span *span, void *y, const void *x,
                              const void *residual, const float *mean, const float *scale,
                              const float *bias, bool relu) {
    LANES(m, mean);
    LANES(s, scale);
    LANES(b, bias);
    int64_t n = span->n, full = n / 16 * 16;
    for (int64_t image = 0; image < span->images; image++) {
        int64_t i = 0;
        for (; i < full; i += 16) EACH {
                V v = (LOAD(x, i + h * W) - m[h]) * s[h] + b[h];
                if (residual) v += LOAD(residual, i + h * W);
                if (relu) KEEP_POSITIVE(v, v);
                STORE(y, i + h * W, v);
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

MIEN_INLINE void NAMED(gradient_sums)(int form, const mien__norm_span *span, const void *dy,
                                      const void *y, const void *x, void *g, const float *mean,
                                      double *sum, double *products) {
    LANES(m, mean);
    V a[STEPS] = {0}, b[STEPS] = {0};
    int64_t n = span->n, full = n / 16 * 16, room = RUN;
    for (int64_t image = 0; image < span->images; image++) {
        int64_t i = 0;
        while (i < full) {
            int64_t start = i, stop = mien__min64(full, i + room * 16);
            for (; i < stop; i += 16) EACH {
                    V d = LOAD(dy, i + h * W), v = LOAD(x, i + h * W);
                    if (y) KEEP_POSITIVE(d, LOAD(y, i + h * W));
                    if (g) STORE(g, i + h * W, d);
                    a[h] += d;
                    b[h] += d * (v - m[h]);
                }
            room -= (i - start) / 16;
            if (room == 0) {
                NAMED(flush)(a, sum, b, products);
                room = RUN;
            }
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
    NAMED(flush)(a, sum, b, products);
}

MIEN_INLINE void NAMED(gradient)(int form, const mien__norm_span *span, void *dx, const void *dy,
                                 const void *y, const void *x, const float *mean,
                                 const float *scale, const float *offset, const float *slope) {
    LANES(m, mean);
    LANES(s, scale);
    LANES(o, offset);
    LANES(t, slope);
    int64_t n = span->n, full = n / 16 * 16;
    for (int64_t image = 0; image < span->images; image++) {
        int64_t i = 0;
        for (; i < full; i += 16) EACH {
                V d = LOAD(dy, i + h * W);
                if (y) KEEP_POSITIVE(d, LOAD(y, i + h * W));
                if (x)
                    STORE(dx, i + h * W, s[h] * (d - o[h] - t[h] * (LOAD(x, i + h * W) - m[h])));
                else
                    STORE(dx, i + h * W, s[h] * d);
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

#undef V
#undef STEPS
#undef NAMED
#undef LOAD
#undef STORE
#undef ONE
#undef SET_ONE
#undef KEEP_POSITIVE
#undef EACH
#undef LANES
#undef W
