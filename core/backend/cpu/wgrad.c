/* The gradient of a convolution's weights: for each tap the product, over the pixels at which the
 * tap lies on the map, of the outputs' gradients and the inputs. Not here: re-laying it (tiles.c).
 */
#include "wgrad.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

#define WIDE   __attribute__((target("arch=x86-64-v4")))
#define NATIVE __attribute__((target("arch=x86-64-v4,avx512bf16")))
#define INLINE __attribute__((always_inline)) static inline

/* A line holds a block of 16 channels at one pixel, or in bf16 at two: 16 cells of 32 bits, each
 * with one channel. So many of a block are gathered at once. */
#define LINES 512
#define TILE  256

/* One side of the product: a map in blocks of 16 channels, and the blocks that a thread needs. */
typedef struct factor {
    const char *map;
    int64_t pixels; /* of a block, which is also the step to the next one */
    int64_t first, last;
    float *lines;          /* the blocks, gathered */
    int64_t at[2 * LINES]; /* the chosen pixels, counted from the map's first */
} factor;

/* ---- the product ----------------------------------------------------------------------------- */

/* Where a product goes: on top of what earlier chunks of pixels left there, or past the caches,
 * which spares reading lines that are about to be overwritten. */
enum { FIRST, ADDED, PAST };

WIDE INLINE void write(float *to, __m512 x, bool past) {
    if (past)
        _mm512_stream_ps(to, x);
    else
        _mm512_storeu_ps(to, x);
}

/* to[8][16 * VECTORS] (+)= the sum over n lines of cells 0 to 7 of `rows` times `lanes`. */
#define BLOCK(VECTORS, STEP)                                                                       \
    {                                                                                              \
        __m512 sum[8][VECTORS];                                                                    \
        for (int r = 0; r < 8; r++)                                                                \
            for (int v = 0; v < VECTORS; v++)                                                      \
                sum[r][v] = way == ADDED ? _mm512_loadu_ps(to + r * row_step + v * lanes_step)     \
                                         : _mm512_setzero_ps();                                    \
        for (int64_t i = 0; i < n; i++) {                                                          \
            __m512 lane[VECTORS];                                                                  \
            for (int v = 0; v < VECTORS; v++) lane[v] = _mm512_loadu_ps(lanes + (v * n + i) * 16); \
            for (int r = 0; r < 8; r++) {                                                          \
                __m512 row = _mm512_set1_ps(rows[i * 16 + r]);                                     \
                for (int v = 0; v < VECTORS; v++) sum[r][v] = STEP(sum[r][v], row, lane[v]);       \
            }                                                                                      \
        }                                                                                          \
        for (int r = 0; r < 8; r++)                                                                \
            for (int v = 0; v < VECTORS; v++)                                                      \
                write(to + r * row_step + v * lanes_step, sum[r][v], way == PAST);                 \
    }

#define PRODUCT(name, attribute, STEP)                                                             \
    attribute static void name(const float *rows, const float *lanes, bool two, int64_t n,         \
                               float *to, int64_t row_step, int64_t lanes_step, int way) {         \
        if (two)                                                                                   \
            BLOCK(2, STEP)                                                                         \
        else                                                                                       \
            BLOCK(1, STEP)                                                                         \
    }

#define STEP_F32(sum, row, lane)  _mm512_fmadd_ps(row, lane, sum)
#define STEP_BF16(sum, row, lane) _mm512_dpbf16_ps(sum, (__m512bh)(row), (__m512bh)(lane))
PRODUCT(product_f32, WIDE, STEP_F32)
PRODUCT(product_bf16, NATIVE, STEP_BF16)

/* One tap's gradient over n lines. A single tap's is OIHW as it is: a row for each output, inputs
 * along the lanes. Of several, each 16 by 16 is a tile with inputs as rows (tiles.h). */
static void multiply(const mien__wgrad *g, const factor *src, const factor *dst, int64_t n,
                     int64_t tap, int way, float *to) {
    bool tiles = g->taps > 1;
    const factor *rows = tiles ? src : dst, *lanes = tiles ? dst : src;
    int64_t row_step = tiles ? 16 : 16 * g->inputs;
    int64_t rows_step = tiles ? TILE * g->taps : TILE * g->inputs;
    int64_t lanes_step = tiles ? TILE * g->taps * g->inputs : 16;
    for (int64_t v = lanes->first; v < lanes->last; v += 2)
        for (int64_t r = rows->first; r < rows->last; r++)
            for (int64_t half = 0; half < 16; half += 8)
                (g->half ? product_bf16 : product_f32)(
                    rows->lines + (r - rows->first) * n * 16 + half,
                    lanes->lines + (v - lanes->first) * n * 16, v + 1 < lanes->last, n,
                    to + tap * TILE + r * rows_step + half * row_step + v * lanes_step, row_step,
                    lanes_step, way);
}

/* ---- gathering ------------------------------------------------------------------------------- */

WIDE static void gather_f32(const factor *f, int64_t n) {
    float *to = f->lines;
    for (int64_t b = f->first; b < f->last; b++) {
        const float *block = (const float *)f->map + b * f->pixels * 16;
        for (int64_t i = 0; i < n; i++, to += 16)
            _mm512_storeu_ps(to, _mm512_loadu_ps(block + f->at[i] * 16));
    }
}

/* Of an odd number of pixels the last one is paired with zeros. */
WIDE static void gather_bf16(const factor *f, int64_t n) {
    const __m512i mix = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    float *to = f->lines;
    for (int64_t b = f->first; b < f->last; b++) {
        const mien__bf16 *block = (const mien__bf16 *)f->map + b * f->pixels * 16;
        for (int64_t i = 0; i < n; i += 2, to += 16) {
            __m256i even = _mm256_loadu_si256((const __m256i *)(block + f->at[i] * 16));
            __m256i odd = i + 1 < n
                              ? _mm256_loadu_si256((const __m256i *)(block + f->at[i + 1] * 16))
                              : _mm256_setzero_si256();
            __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(even), odd, 1);
            _mm512_storeu_si512(to, _mm512_permutexvar_epi16(mix, both));
        }
    }
}

/* Chooses, of the outputs' pixels [first, last) over all images, those at which the tap lies on
 * the map, and says how many there are. */
static int64_t choose(const mien__wgrad *g, int64_t tap, int64_t first, int64_t last, factor *src,
                      factor *dst) {
    const mien__conv_case *c = &g->c;
    int64_t height = c->src[2], width = c->src[3], rows = c->dst[2], columns = c->dst[3], n = 0;
    int64_t dy = tap / c->weight[3] - c->pad_before[0], dx = tap % c->weight[3] - c->pad_before[1];
    int64_t image = first / (rows * columns), row = first / columns % rows,
            column = first % columns;
    for (int64_t i = first; i < last; i++) {
        int64_t y = row * c->stride[0] + dy, x = column * c->stride[1] + dx;
        if (y >= 0 && y < height && x >= 0 && x < width) {
            src->at[n] = image * g->inputs * height * width + y * width + x;
            dst->at[n++] = (image * g->outputs * rows + row) * columns + column;
        }
        if (++column == columns) {
            column = 0;
            if (++row == rows) row = 0, image++;
        }
    }
    return n;
}

/* ---- who does what --------------------------------------------------------------------------- */

static int64_t pixels_of(const mien__wgrad *g) {
    return g->c.dst[0] * g->c.dst[2] * g->c.dst[3];
}

/* Pixels gathered at once: as even parts as can be. */
static int64_t chunk_of(const mien__wgrad *g) {
    int64_t most = g->half ? 2 * LINES : LINES, pixels = pixels_of(g);
    int64_t chunks = (pixels + most - 1) / most;
    return chunks ? mien__round_up((pixels + chunks - 1) / chunks, 2) : 2;
}

/* Floats of a block that is gathered. */
static int64_t block_floats(const mien__wgrad *g) {
    return (g->half ? chunk_of(g) / 2 : chunk_of(g)) * 16;
}

static int64_t room_floats(const mien__wgrad *g) {
    return (g->inputs + g->outputs) * block_floats(g);
}

/* Pairs of blocks, where that makes fair shares. */
static void share(int64_t blocks, int workers, int i, factor *f) {
    mien__share(blocks, blocks % (2 * workers) == 0 ? 2 : 1, workers, i, &f->first, &f->last);
}

/* A rectangle of the gradient, for all taps and pixels. */
static void run_part(const mien__wgrad *g, int part, const void *in, const void *dout, float *to,
                     float *room) {
    int fewer = 1; /* parts along the shorter side */
    for (int i = 2; i * i <= g->threads; i++)
        if (g->threads % i == 0) fewer = i;
    int more = g->threads / fewer;
    bool long_inputs = g->inputs >= g->outputs;
    factor src = {.map = in, .pixels = g->c.src[2] * g->c.src[3], .lines = room};
    factor dst = {.map = dout, .pixels = g->c.dst[2] * g->c.dst[3]};
    dst.lines = room + g->inputs * block_floats(g);
    share(g->inputs, long_inputs ? more : fewer, long_inputs ? part / fewer : part % fewer, &src);
    share(g->outputs, long_inputs ? fewer : more, long_inputs ? part % fewer : part / fewer, &dst);
    int64_t pixels = pixels_of(g), chunk = chunk_of(g), at = 0;
    int way = g->taps == 1 && chunk >= pixels && (uintptr_t)to % 64 == 0 ? PAST : FIRST;
    do { /* once at least: no pixel makes zeros */
        for (int64_t tap = 0; tap < g->taps; tap++) {
            int64_t n = choose(g, tap, at, mien__min64(pixels, at + chunk), &src, &dst);
            (g->half ? gather_bf16 : gather_f32)(&src, n);
            (g->half ? gather_bf16 : gather_f32)(&dst, n);
            multiply(g, &src, &dst, g->half ? (n + 1) / 2 : n, tap, at > 0 ? ADDED : way, to);
        }
        at += chunk;
    } while (at < pixels);
    if (way == PAST) _mm_sfence(); /* before other threads read what this one wrote */
}

int64_t mien__wgrad_scratch(const mien__wgrad *g) {
    int64_t floats = g->threads * room_floats(g);
    if (g->taps > 1) floats += g->inputs * g->outputs * g->taps * TILE;
    return floats * (int64_t)sizeof(float);
}

void mien__wgrad_run(const mien__wgrad *g, const void *src, const void *dout, float *weights,
                     void *scratch) {
    float *rooms = scratch, *to = g->taps > 1 ? rooms + g->threads * room_floats(g) : weights;
#pragma omp parallel for schedule(static, 1)
    for (int i = 0; i < g->threads; i++) run_part(g, i, src, dout, to, rooms + i * room_floats(g));
    if (g->taps == 1) return;
    const mien__tiles tiles = {.outputs = g->outputs,
                               .inputs = g->inputs,
                               .taps = g->taps,
                               .output_step = TILE * g->taps * g->inputs,
                               .input_step = TILE * g->taps,
                               .lanes_are_outputs = true,
                               .back = true};
    mien__tiles_move(&tiles, to, weights);
}

/* oneDNN is slow on small maps: it pads them, pairs pixels of odd rows with nothing (bf16), and its
 * rows are short. See docs/performance.md for the figures behind the limits. */
bool mien__wgrad_plan(const mien__conv_case *c, mien__wgrad *g) {
    int64_t taps = c->weight[2] * c->weight[3], pixels = c->dst[2] * c->dst[3];
    bool half = c->dtype == MIEN_BF16;
    int64_t most = taps > 1 ? 100 : half ? 49 : 25;
    if (c->bias || c->src[1] % 16 || c->dst[1] % 16 || c->src[1] < 64 || c->dst[1] < 64 ||
        taps > MIEN_TILES_TAPS || pixels > most || mien__cpu_block() != 16 ||
        (half && !mien__cpu_has_bf16()) || mien__winograd_pays(c) || mien__cpu_plain())
        return false;
    *g = (mien__wgrad){.c = *c,
                       .inputs = c->src[1] / 16,
                       .outputs = c->dst[1] / 16,
                       .taps = taps,
                       .half = half,
                       .threads = mien__cpu_threads(),
                       .name = half ? "pixels:avx512_core_bf16" : "pixels:avx512_core"};
    return true;
}
#else
bool mien__wgrad_plan(const mien__conv_case *c, mien__wgrad *g) {
    (void)c, (void)g;
    return false;
}

int64_t mien__wgrad_scratch(const mien__wgrad *g) {
    (void)g;
    return 0;
}

void mien__wgrad_run(const mien__wgrad *g, const void *src, const void *dout, float *weights,
                     void *scratch) {
    (void)g, (void)src, (void)dout, (void)weights, (void)scratch;
}
#endif
