/* Winograd's tiles with AVX2: cut out of maps, transformed, and put back. Included by winograd.c
 * alone. Not here: the products (winograd.c). */
#ifndef MIEN_WINOGRAD_TILES_H
#define MIEN_WINOGRAD_TILES_H
#include "winograd.h"
#include <immintrin.h>

#define AVX2   __attribute__((target("arch=x86-64-v3")))
#define INLINE __attribute__((target("arch=x86-64-v3"), always_inline)) static inline

enum { LANES = 8, PLACES = 36, ROWS = 6 };

typedef __m256 lanes;

/* Tiles of a piece, of which each place's products are one matrix, in rows of ROWS tiles. */
static int64_t padded(int64_t tiles) {
    return mien__round_up(tiles, ROWS);
}

/* Tiles are counted over all images. Where does tile t lie? */
typedef struct spot {
    int64_t image, y, x; /* in tiles */
} spot;

static spot spot_of(const mien__winograd *w, int64_t t) {
    int64_t each = w->down * w->across;
    return (spot){t / each, t % each / w->across, t % w->across};
}

static inline void advance(const mien__winograd *w, spot *s) {
    if (++s->x < w->across) return;
    s->x = 0;
    if (++s->y == w->down) s->y = 0, s->image++;
}

/* ---- transforms ------------------------------------------------------------------------------ */

#define SET(x)         _mm256_set1_ps(x)
#define ADD(a, b)      _mm256_add_ps(a, b)
#define SUB(a, b)      _mm256_sub_ps(a, b)
#define TIMES(a, n)    _mm256_mul_ps(a, SET(n))
#define PLUS(a, n, b)  _mm256_fmadd_ps(b, SET(n), a)  /* a + n b */
#define MINUS(a, n, b) _mm256_fnmadd_ps(b, SET(n), a) /* a - n b */

/* The points 0, a, -a, b, -b and infinity. Of 3/4 and 3/2 sums are half as far off as of the usual
 * 1 and 2, twice as far as of a direct convolution; see docs/performance.md. */
#define A  0.75f
#define B  1.5f
#define A2 (A * A)
#define B2 (B * B)
#define NA (2 * A2 * (A2 - B2)) /* a point's product of its differences to the others */
#define NB (2 * B2 * (B2 - A2))

/* Of six inputs in a line. */
INLINE void transform_inputs(const lanes *d, int64_t step, lanes *v, int64_t to) {
    lanes d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step],
          d5 = d[5 * step];
    lanes even_a = MINUS(d4, B2, d2), odd_a = MINUS(d3, B2, d1);
    lanes even_b = MINUS(d4, A2, d2), odd_b = MINUS(d3, A2, d1);
    v[0] = MINUS(PLUS(d4, A2 * B2, d0), A2 + B2, d2);
    v[to] = PLUS(even_a, A, odd_a);
    v[2 * to] = MINUS(even_a, A, odd_a);
    v[3 * to] = PLUS(even_b, B, odd_b);
    v[4 * to] = MINUS(even_b, B, odd_b);
    v[5 * to] = MINUS(PLUS(d5, A2 * B2, d1), A2 + B2, d3);
}

/* Of six products in a line to four outputs. */
INLINE void transform_products(const lanes *m, int64_t step, lanes *y, int64_t to) {
    lanes sum_a = ADD(m[step], m[2 * step]), apart_a = SUB(m[step], m[2 * step]);
    lanes sum_b = ADD(m[3 * step], m[4 * step]), apart_b = SUB(m[3 * step], m[4 * step]);
    y[0] = ADD(m[0], ADD(sum_a, sum_b));
    y[to] = PLUS(TIMES(apart_a, A), B, apart_b);
    y[2 * to] = PLUS(TIMES(sum_a, A2), B2, sum_b);
    y[3 * to] = PLUS(PLUS(m[5 * step], A2 * A, apart_a), B2 * B, apart_b);
}

/* Of four outputs' gradients in a line to six. */
INLINE void transform_gradients(const lanes *y, int64_t step, lanes *z, int64_t to) {
    lanes y0 = y[0], y1 = y[step], y2 = y[2 * step], y3 = y[3 * step];
    lanes even_a = PLUS(y0, A2, y2), odd_a = PLUS(y1, A2, y3);
    lanes even_b = PLUS(y0, B2, y2), odd_b = PLUS(y1, B2, y3);
    z[0] = y0;
    z[to] = PLUS(even_a, A, odd_a);
    z[2 * to] = MINUS(even_a, A, odd_a);
    z[3 * to] = PLUS(even_b, B, odd_b);
    z[4 * to] = MINUS(even_b, B, odd_b);
    z[5 * to] = y3;
}

/* Of three weights in a line to six. */
INLINE void transform_weights(const lanes *g, int64_t step, lanes *u, int64_t to) {
    lanes g1 = g[step], even_a = PLUS(g[0], A2, g[2 * step]), even_b = PLUS(g[0], B2, g[2 * step]);
    u[0] = TIMES(g[0], 1 / (A2 * B2));
    u[to] = TIMES(PLUS(even_a, A, g1), 1 / NA);
    u[2 * to] = TIMES(MINUS(even_a, A, g1), 1 / NA);
    u[3 * to] = TIMES(PLUS(even_b, B, g1), 1 / NB);
    u[4 * to] = TIMES(MINUS(even_b, B, g1), 1 / NB);
    u[5 * to] = g[2 * step];
}

/* Of six products in a line to the gradients of three weights. */
INLINE void transform_back(const lanes *u, int64_t step, lanes *g, int64_t to) {
    lanes sum_a = ADD(u[step], u[2 * step]), apart_a = SUB(u[step], u[2 * step]);
    lanes sum_b = ADD(u[3 * step], u[4 * step]), apart_b = SUB(u[3 * step], u[4 * step]);
    g[0] = PLUS(PLUS(TIMES(u[0], 1 / (A2 * B2)), 1 / NA, sum_a), 1 / NB, sum_b);
    g[to] = PLUS(TIMES(apart_a, A / NA), B / NB, apart_b);
    g[2 * to] = PLUS(PLUS(u[5 * step], A2 / NA, sum_a), B2 / NB, sum_b);
}

/* A square of side `n` from a map of one block of channels, zeros where it hangs over the edge. */
INLINE void load_square(const float *map, int64_t height, int64_t width, int64_t y0, int64_t x0,
                        int n, lanes *square) {
    if (y0 >= 0 && x0 >= 0 && y0 + n <= height && x0 + n <= width) {
        for (int y = 0; y < n; y++)
            for (int x = 0; x < n; x++)
                square[y * n + x] = _mm256_loadu_ps(map + ((y0 + y) * width + x0 + x) * LANES);
        return;
    }
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++) {
            bool inside = y0 + y >= 0 && y0 + y < height && x0 + x >= 0 && x0 + x < width;
            square[y * n + x] = inside ? _mm256_loadu_ps(map + ((y0 + y) * width + x0 + x) * LANES)
                                       : _mm256_setzero_ps();
        }
}

/* A piece in memory is [place][block of channels][tile][lane]; steps are in floats. */

/* Tiles [first, first + n) of one block of input channels. */
AVX2 static void bring_inputs(const mien__winograd *w, const float *src, int64_t block,
                              int64_t first, int64_t n, float *to, int64_t place_step) {
    spot s = spot_of(w, first);
    for (int64_t t = 0; t < n; t++, to += LANES) {
        const float *map = src + (s.image * w->inputs + block) * w->height * w->width * LANES;
        lanes d[PLACES], half[PLACES], v[6];
        load_square(map, w->height, w->width, 4 * s.y - w->top, 4 * s.x - w->left, 6, d);
#pragma GCC unroll 6
        for (int x = 0; x < 6; x++) transform_inputs(d + x, 6, half + x, 6);
#pragma GCC unroll 6
        for (int y = 0; y < 6; y++) {
            transform_inputs(half + 6 * y, 1, v, 1);
            for (int x = 0; x < 6; x++) _mm256_storeu_ps(to + (6 * y + x) * place_step, v[x]);
        }
        advance(w, &s);
    }
}

/* The same of the outputs' gradients. */
AVX2 static void bring_gradients(const mien__winograd *w, const float *dout, int64_t block,
                                 int64_t first, int64_t n, float *to, int64_t place_step) {
    spot s = spot_of(w, first);
    for (int64_t t = 0; t < n; t++, to += LANES) {
        const float *map = dout + (s.image * w->outputs + block) * w->rows * w->columns * LANES;
        lanes d[16], half[24], z[6];
        load_square(map, w->rows, w->columns, 4 * s.y, 4 * s.x, 4, d);
#pragma GCC unroll 4
        for (int x = 0; x < 4; x++) transform_gradients(d + x, 4, half + x, 4);
#pragma GCC unroll 6
        for (int y = 0; y < 6; y++) {
            transform_gradients(half + 4 * y, 1, z, 1);
            for (int x = 0; x < 6; x++) _mm256_storeu_ps(to + (6 * y + x) * place_step, z[x]);
        }
        advance(w, &s);
    }
}

/* What a convolution adds to its sums. */
typedef struct finish {
    const float *bias, *residual;
    bool relu;
} finish;

/* Products of one block of output channels to the map, as far as it goes. */
AVX2 static void put_outputs(const mien__winograd *w, const float *from, int64_t place_step,
                             int64_t block, int64_t first, int64_t n, const finish *f, float *dst) {
    lanes bias = f->bias ? _mm256_loadu_ps(f->bias + block * LANES) : _mm256_setzero_ps();
    spot s = spot_of(w, first);
    for (int64_t t = 0; t < n; t++, from += LANES) {
        lanes m[6], half[24], y[16];
#pragma GCC unroll 6
        for (int x = 0; x < 6; x++) {
            for (int i = 0; i < 6; i++) m[i] = _mm256_loadu_ps(from + (6 * i + x) * place_step);
            transform_products(m, 1, half + x, 6);
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) transform_products(half + 6 * i, 1, y + 4 * i, 1);
        int64_t at = (s.image * w->outputs + block) * w->rows * w->columns;
        int64_t high = mien__min64(4, w->rows - 4 * s.y),
                wide = mien__min64(4, w->columns - 4 * s.x);
        for (int64_t i = 0; i < high; i++)
            for (int64_t x = 0; x < wide; x++) {
                int64_t place = (at + (4 * s.y + i) * w->columns + 4 * s.x + x) * LANES;
                lanes out = ADD(y[4 * i + x], bias);
                if (f->residual) out = ADD(out, _mm256_loadu_ps(f->residual + place));
                /* The second operand is the result where the first is NaN. */
                if (f->relu) out = _mm256_max_ps(_mm256_setzero_ps(), out);
                _mm256_storeu_ps(dst + place, out);
            }
        advance(w, &s);
    }
}
#endif
