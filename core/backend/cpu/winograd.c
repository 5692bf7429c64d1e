/* Winograd's F(4x4,3x3) (Lavin & Gray 2016): 4x4 outputs from 6x6 inputs by 36 products where a
 * direct convolution takes 144. Maps are cut into tiles, tiles transformed, for each of the 36
 * places the tiles' channels multiplied with the weights' as matrices, and the products transformed
 * back. Not here: the choice between this and oneDNN beyond mien__winograd_plan (conv.c). */
#include "winograd.h"
#include <omp.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include "winograd_tiles.h"

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
