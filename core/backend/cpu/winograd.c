/* Winograd's F(4x4,3x3) (Lavin & Gray 2016): 4x4 outputs from 6x6 inputs by 36 products where a
 * direct convolution takes 144. Maps are cut into tiles, tiles transformed, for each of the 36
 * places the tiles' channels multiplied with the weights' as matrices, and the products transformed
 * back. Not here: the choice between this and oneDNN beyond mien__winograd_plan (conv.c). */
#include "winograd.h"
#include <omp.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
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
        if (++s.x == w->across) {
            s.x = 0;
            if (++s.y == w->down) s.y = 0, s.image++;
        }
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
        if (++s.x == w->across) {
            s.x = 0;
            if (++s.y == w->down) s.y = 0, s.image++;
        }
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
        if (++s.x == w->across) {
            s.x = 0;
            if (++s.y == w->down) s.y = 0, s.image++;
        }
    }
}

/* ---- products -------------------------------------------------------------------------------- */

/* ROWS tiles by 16 output channels, over all input channels: `tiles` [blocks][tile][8] with
 * block_step floats from block to block, `weights` [blocks * 8][16], to two blocks of channels. */
INLINE void multiply_rows(const float *tiles, int64_t block_step, const float *weights,
                          int64_t blocks, float *low, float *high) {
    lanes sum[ROWS][2];
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++) sum[r][0] = sum[r][1] = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; b++, tiles += block_step)
#pragma GCC unroll 8
        for (int lane = 0; lane < LANES; lane++, weights += 2 * LANES) {
            lanes u0 = _mm256_loadu_ps(weights), u1 = _mm256_loadu_ps(weights + LANES);
#pragma GCC unroll 6
            for (int r = 0; r < ROWS; r++) {
                lanes v = _mm256_broadcast_ss(tiles + r * LANES + lane);
                sum[r][0] = _mm256_fmadd_ps(v, u0, sum[r][0]);
                sum[r][1] = _mm256_fmadd_ps(v, u1, sum[r][1]);
            }
        }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++) {
        _mm256_storeu_ps(low + r * LANES, sum[r][0]);
        _mm256_storeu_ps(high + r * LANES, sum[r][1]);
    }
}

/* One place: `tiles` [inputs][n][8] by `weights` [outputs / 2][inputs * 8][16]. */
AVX2 static void multiply(const float *tiles, const float *weights, int64_t n, int64_t inputs,
                          int64_t outputs, float *products) {
    for (int64_t k = 0; k < outputs; k += 2, weights += inputs * LANES * 2 * LANES)
        for (int64_t t = 0; t < n; t += ROWS)
            multiply_rows(tiles + t * LANES, n * LANES, weights, inputs,
                          products + (k * n + t) * LANES, products + ((k + 1) * n + t) * LANES);
}

/* 4 input channels by 8 * BLOCKS output channels over n tiles, added to what is there. */
#define SUM(BLOCKS)                                                                                \
    {                                                                                              \
        lanes sum[4][BLOCKS];                                                                      \
        _Pragma("GCC unroll 4") for (int r = 0; r < 4; r++)                                        \
            _Pragma("GCC unroll 3") for (int k = 0; k < BLOCKS; k++) sum[r][k] =                   \
                added ? _mm256_loadu_ps(to + r * step + k * LANES) : _mm256_setzero_ps();          \
        for (int64_t t = 0; t < n; t++) {                                                          \
            lanes z[BLOCKS];                                                                       \
            _Pragma("GCC unroll 3") for (int k = 0; k < BLOCKS; k++) z[k] =                        \
                _mm256_loadu_ps(gradients + (k * n + t) * LANES);                                  \
            _Pragma("GCC unroll 4") for (int r = 0; r < 4; r++) {                                  \
                lanes v = _mm256_broadcast_ss(tiles + t * LANES + r);                              \
                _Pragma("GCC unroll 3") for (int k = 0; k < BLOCKS; k++) sum[r][k] =               \
                    _mm256_fmadd_ps(v, z[k], sum[r][k]);                                           \
            }                                                                                      \
        }                                                                                          \
        _Pragma("GCC unroll 4") for (int r = 0; r < 4; r++)                                        \
            _Pragma("GCC unroll 3") for (int k = 0; k < BLOCKS; k++)                               \
                _mm256_storeu_ps(to + r * step + k * LANES, sum[r][k]);                            \
    }

/* One place and one block of input channels: `tiles` [n][8] and `gradients` [outputs][n][8] to
 * `sums` [8][outputs * 8]. */
AVX2 static void multiply_gradient(const float *block, const float *gradients, int64_t n,
                                   int64_t outputs, bool added, float *sums) {
    int64_t step = outputs * LANES;
    for (int64_t k = 0; k < outputs; k += 3, gradients += 3 * n * LANES)
        for (int half = 0; half < LANES; half += 4) {
            const float *tiles = block + half;
            float *to = sums + half * step + k * LANES;
            if (outputs - k >= 3)
                SUM(3)
            else if (outputs - k == 2)
                SUM(2)
            else
                SUM(1)
        }
}

/* ---- whole passes ---------------------------------------------------------------------------- */

static int64_t tiles_of(const mien__winograd *w) {
    return w->images * w->down * w->across;
}

static int64_t room_floats(const mien__winograd *w) {
    return PLACES * padded(w->piece) * (w->inputs + w->outputs) * LANES;
}

static int64_t weights_floats(const mien__winograd *w) {
    return PLACES * w->inputs * w->outputs * LANES * LANES;
}

int64_t mien__winograd_bytes(const mien__winograd *w) {
    return weights_floats(w) * (int64_t)sizeof(float);
}

int64_t mien__winograd_scratch(const mien__winograd *w) {
    int64_t floats = w->use == MIEN_CONV_WEIGHTS_GRADIENT ? room_floats(w) + weights_floats(w)
                                                          : w->threads * room_floats(w);
    return floats * (int64_t)sizeof(float);
}

/* Eight outputs' weights for one input. */
AVX2 static void lay_out_lanes(const mien__winograd *w, const float *weights, int64_t output,
                               int64_t input, float *to, int64_t place_step) {
    bool back = w->use == MIEN_CONV_DATA_GRADIENT; /* then turned by half, and sides swapped */
    int64_t inputs = w->inputs * LANES, outputs = w->outputs * LANES;
    const float *from = weights + 9 * (back ? input * outputs + output : output * inputs + input);
    int64_t step = 9 * (back ? 1 : inputs);
    lanes g[9], half[18], u[6];
    for (int tap = 0; tap < 9; tap++) {
        float lane[LANES];
        for (int k = 0; k < LANES; k++) lane[k] = from[k * step + (back ? 8 - tap : tap)];
        g[tap] = _mm256_loadu_ps(lane);
    }
    for (int x = 0; x < 3; x++) transform_weights(g + x, 3, half + x, 3);
    for (int y = 0; y < 6; y++) {
        transform_weights(half + 3 * y, 1, u, 1);
        for (int x = 0; x < 6; x++) _mm256_storeu_ps(to + (6 * y + x) * place_step, u[x]);
    }
}

void mien__winograd_lay_out(const void *winograd, const float *weights, float *laid_out) {
    const mien__winograd *w = winograd;
    int64_t inputs = w->inputs * LANES, place_step = inputs * w->outputs * LANES;
#pragma omp parallel for
    for (int64_t k = 0; k < w->outputs; k++)
        for (int64_t c = 0; c < inputs; c++)
            lay_out_lanes(w, weights, k * LANES, c,
                          laid_out + (k / 2 * inputs + c) * 2 * LANES + k % 2 * LANES, place_step);
}

/* Piece i / parts of the tiles, and of the outputs' pairs of blocks part i % parts. */
static void run_piece(const mien__winograd *w, int64_t i, const float *src, const float *laid_out,
                      const finish *f, float *dst, float *room) {
    int64_t first = i / w->parts * w->piece, n = mien__min64(w->piece, tiles_of(w) - first), from,
            to;
    mien__share(w->outputs, 2, w->parts, (int)(i % w->parts), &from, &to);
    int64_t rows = padded(n), input_step = w->inputs * rows * LANES,
            output_step = (to - from) * rows * LANES;
    laid_out += from * w->inputs * LANES * LANES;
    float *tiles = room, *products = room + PLACES * input_step;
    for (int64_t b = 0; b < w->inputs; b++)
        bring_inputs(w, src, b, first, n, tiles + b * rows * LANES, input_step);
    for (int64_t j = 0; j < PLACES * w->inputs && rows > n; j++) /* what lies there may be NaN */
        memset(tiles + (j * rows + n) * LANES, 0, (size_t)((rows - n) * LANES) * sizeof(float));
    for (int64_t p = 0; p < PLACES; p++)
        multiply(tiles + p * input_step, laid_out + p * w->inputs * w->outputs * LANES * LANES,
                 rows, w->inputs, to - from, products + p * output_step);
    for (int64_t k = from; k < to; k++)
        put_outputs(w, products + (k - from) * rows * LANES, output_step, k, first, n, f, dst);
}

void mien__winograd_run(const mien__winograd *w, const float *src, const float *laid_out,
                        const float *bias, const float *residual, bool relu, float *dst,
                        float *scratch) {
    int64_t pieces = (tiles_of(w) + w->piece - 1) / w->piece;
    finish f = {bias, residual, relu};
#pragma omp parallel for schedule(dynamic, 1) num_threads(w->threads)
    for (int64_t i = 0; i < pieces * w->parts; i++)
        run_piece(w, i, src, laid_out, &f, dst, scratch + omp_get_thread_num() * room_floats(w));
}

/* [36] sums of eight outputs to their gradients [O,I,3,3]. */
AVX2 static void put_gradients(const mien__winograd *w, const float *sums, int64_t input,
                               int64_t output, float *weights) {
    int64_t inputs = w->inputs * LANES, outputs = w->outputs * LANES;
    lanes u[6], half[18], g[9];
    float lane[9][LANES];
    for (int x = 0; x < 6; x++) {
        for (int y = 0; y < 6; y++)
            u[y] = _mm256_loadu_ps(sums + ((6 * y + x) * inputs + input) * outputs + output);
        transform_back(u, 1, half + x, 6);
    }
    for (int y = 0; y < 3; y++) transform_back(half + 6 * y, 1, g + 3 * y, 1);
    for (int tap = 0; tap < 9; tap++) _mm256_storeu_ps(lane[tap], g[tap]);
    for (int k = 0; k < LANES; k++)
        for (int tap = 0; tap < 9; tap++)
            weights[((output + k) * inputs + input) * 9 + tap] = lane[tap][k];
}

void mien__winograd_gradient(const mien__winograd *w, const float *src, const float *dout,
                             float *weights, float *scratch) {
    int64_t tiles = tiles_of(w), step = w->outputs * LANES;
    float *inputs = scratch, *gradients = inputs + PLACES * w->inputs * padded(w->piece) * LANES;
    float *sums = scratch + room_floats(w);
#pragma omp parallel num_threads(w->threads)
    {
        for (int64_t first = 0; first < tiles; first += w->piece) {
            int64_t n = mien__min64(w->piece, tiles - first);
#pragma omp for schedule(static, 1)
            for (int64_t b = 0; b < w->inputs + w->outputs; b++)
                if (b < w->inputs)
                    bring_inputs(w, src, b, first, n, inputs + b * n * LANES,
                                 w->inputs * n * LANES);
                else
                    bring_gradients(w, dout, b - w->inputs, first, n,
                                    gradients + (b - w->inputs) * n * LANES,
                                    w->outputs * n * LANES);
#pragma omp for collapse(2) schedule(static)
            for (int64_t p = 0; p < PLACES; p++)
                for (int64_t b = 0; b < w->inputs; b++)
                    multiply_gradient(inputs + (p * w->inputs + b) * n * LANES,
                                      gradients + p * w->outputs * n * LANES, n, w->outputs,
                                      first > 0, sums + (p * w->inputs + b) * LANES * step);
        }
#pragma omp for
        for (int64_t c = 0; c < w->inputs * LANES; c++)
            for (int64_t k = 0; k < step; k += LANES) put_gradients(w, sums, c, k, weights);
    }
}

/* ---- when it pays ---------------------------------------------------------------------------- */

/* A weights gradient moves 36 numbers for each pair of channels however small the maps are, and so
 * does a convolution for each piece of tiles. See docs/performance.md for the figures. */
enum { FEWEST_PIXELS = 256, FEWEST_TILES = 24, MOST_TILES = 192 };

bool mien__winograd_plan(const mien__conv_case *c, mien__winograd *w) {
    bool back = c->use == MIEN_CONV_DATA_GRADIENT, gradient = c->use == MIEN_CONV_WEIGHTS_GRADIENT;
    const int64_t *from = back ? c->dst : c->src, *to = back ? c->src : c->dst;
    if (mien__isa_now() != MIEN_ISA_AVX2 || mien__cpu_plain() || c->dtype != MIEN_F32 ||
        c->weight[2] != 3 || c->weight[3] != 3 || c->stride[0] != 1 || c->stride[1] != 1 ||
        from[1] % 16 || to[1] % 16 || from[0] == 0 || to[2] < 3 || to[3] < 3 ||
        c->pad_before[0] > 2 || c->pad_before[1] > 2 || (gradient && c->bias))
        return false;
    *w = (mien__winograd){.use = c->use,
                          .images = from[0],
                          .inputs = from[1] / LANES,
                          .outputs = to[1] / LANES,
                          .height = from[2],
                          .width = from[3],
                          .rows = to[2],
                          .columns = to[3],
                          .top = back ? 2 - c->pad_before[0] : c->pad_before[0],
                          .left = back ? 2 - c->pad_before[1] : c->pad_before[1],
                          .down = (to[2] + 3) / 4,
                          .across = (to[3] + 3) / 4,
                          .threads = mien__cpu_threads(),
                          .key = {{-2, (int32_t)c->use, (int32_t)from[1], (int32_t)to[1]}},
                          .name = "winograd:avx2"};
    int64_t tiles = tiles_of(w);
    if (gradient) {
        if (to[0] * to[2] * to[3] < FEWEST_PIXELS) return false;
        int64_t pieces = (tiles + MOST_TILES - 1) / MOST_TILES;
        w->piece = (tiles + pieces - 1) / pieces;
        return true;
    }
    /* Weights are read anew for each piece, and a piece should stay in the cache meanwhile. */
    int64_t most = (from[1] + to[1]) * 3 / 16, pieces = (tiles + most - 1) / most;
    int64_t fair = mien__min64(w->threads, tiles / FEWEST_TILES);
    if (pieces < fair) pieces = fair;
    w->piece = padded((tiles + pieces - 1) / pieces);
    pieces = (tiles + w->piece - 1) / w->piece;
    w->parts = (int)mien__min64((w->threads + pieces - 1) / pieces, w->outputs / 2);
    return true;
}
#else
bool mien__winograd_plan(const mien__conv_case *c, mien__winograd *w) {
    (void)c, (void)w;
    return false;
}

int64_t mien__winograd_scratch(const mien__winograd *w) {
    (void)w;
    return 0;
}

int64_t mien__winograd_bytes(const mien__winograd *w) {
    (void)w;
    return 0;
}

void mien__winograd_lay_out(const void *winograd, const float *weights, float *laid_out) {
    (void)winograd, (void)weights, (void)laid_out;
}

void mien__winograd_run(const mien__winograd *w, const float *src, const float *laid_out,
                        const float *bias, const float *residual, bool relu, float *dst,
                        float *scratch) {
    (void)w, (void)src, (void)laid_out, (void)bias, (void)residual, (void)relu, (void)dst;
    (void)scratch;
}

void mien__winograd_gradient(const mien__winograd *w, const float *src, const float *dout,
                             float *weights, float *scratch) {
    (void)w, (void)src, (void)dout, (void)weights, (void)scratch;
}
#endif
