/* Re-laying weights by tiles of 16 by 16, at the speed of memory.
 * Not here: the choice between this and oneDNN's reorders (onednn.c). */
#include "tiles.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

#define TILE 256
/* Weights of so many elements are written past the caches. */
#define UNCACHED (1 << 18)

bool mien__tiles_of(const dnnl_memory_desc_t *md, bool back, mien__tiles *t) {
    const dnnl_blocking_desc_t *b = &md->format_desc.blocking;
    bool half = md->data_type == dnnl_bf16;
    if (mien__cpu_plain() || mien__cpu_block() != 16 || md->format_kind != dnnl_blocked ||
        md->ndims != 4 || md->offset0 != 0 || md->extra.flags != dnnl_memory_extra_flag_none ||
        !(half ? mien__cpu_has_bf16() : md->data_type == dnnl_f32))
        return false;
    dnnl_dim_t rows = b->inner_idxs[0], lanes = b->inner_idxs[1];
    if (b->inner_nblks != 2 + half || b->inner_blks[0] != (half ? 8 : 16) ||
        b->inner_blks[1] != 16 || rows + lanes != 1 ||
        (half && (b->inner_blks[2] != 2 || b->inner_idxs[2] != rows)))
        return false;
    if (md->dims[0] % 16 || md->dims[1] % 16 || md->dims[2] * md->dims[3] > MIEN_TILES_TAPS ||
        b->strides[3] != TILE || b->strides[2] != TILE * md->dims[3] ||
        (back && (half || rows == 0)))
        return false;
    *t = (mien__tiles){.outputs = md->dims[0] / 16,
                       .inputs = md->dims[1] / 16,
                       .taps = md->dims[2] * md->dims[3],
                       .output_step = b->strides[0],
                       .input_step = b->strides[1],
                       .lanes_are_outputs = lanes == 0,
                       .half = half,
                       .back = back};
    return true;
}

#define WIDE   __attribute__((target("arch=x86-64-v4")))
#define NATIVE __attribute__((target("arch=x86-64-v4,avx512bf16")))
#define INLINE __attribute__((always_inline)) static inline

/* Rows become lanes. Each stage shuffles rows into one another as one shuffles cards; in the
 * numbers of the 256 elements (row and lane: 8 bits) that is a rotation by one bit, and four of
 * them swap row and lane. */
WIDE INLINE void transpose(__m512 x[16]) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    for (int stage = 0; stage < 4; stage++) {
        __m512 y[16];
        for (int r = 0; r < 8; r++) {
            y[2 * r] = _mm512_permutex2var_ps(x[r], low, x[r + 8]);
            y[2 * r + 1] = _mm512_permutex2var_ps(x[r], high, x[r + 8]);
        }
        memcpy(x, y, sizeof y);
    }
}

WIDE INLINE void read_lines(__m512 x[16], const float *from, int64_t step) {
    for (int r = 0; r < 16; r++) x[r] = _mm512_loadu_ps(from + r * step);
}

/* `past`: past the caches, which spares reading the lines first. */
WIDE INLINE void write_lines(float *to, int64_t step, const __m512 x[16], bool past) {
    for (int r = 0; r < 16; r++)
        if (past)
            _mm512_stream_ps(to + r * step, x[r]);
        else
            _mm512_storeu_ps(to + r * step, x[r]);
}

NATIVE INLINE void write_pairs(mien__bf16 *to, const __m512 x[16], bool past) {
    const __m512i mix = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    for (int r = 0; r < 16; r += 2, to += 32) {
        __m512i pair = (__m512i)_mm512_cvtne2ps_pbh(x[r + 1], x[r]);
        pair = _mm512_permutexvar_epi16(mix, pair);
        if (past)
            _mm512_stream_si512((__m512i *)to, pair);
        else
            _mm512_storeu_si512(to, pair);
    }
}

/* One tile out of rows that are `row` floats long. */
#define PACK_TILE(name, attribute, element, write)                                                 \
    attribute void name(const mien__tiles *t, const float *from, int64_t row, element *to,         \
                        bool past) {                                                               \
        __m512 x[16];                                                                              \
        if (t->taps == 1) {                                                                        \
            read_lines(x, from, row);                                                              \
            if (t->lanes_are_outputs) transpose(x);                                                \
            write;                                                                                 \
            return;                                                                                \
        }                                                                                          \
        float room[16 * MIEN_TILES_TAPS * 16] __attribute__((aligned(64)));                        \
        for (int64_t k = 0; k < t->taps; k++) {                                                    \
            read_lines(x, from + 16 * k, row);                                                     \
            transpose(x);                                                                          \
            write_lines(room + k * TILE, 16, x, false);                                            \
        }                                                                                          \
        for (int64_t k = 0; k < t->taps; k++, to += TILE) {                                        \
            read_lines(x, room + 16 * k, 16 * t->taps);                                            \
            if (!t->lanes_are_outputs) transpose(x);                                               \
            write;                                                                                 \
        }                                                                                          \
    }

PACK_TILE(pack_f32, WIDE static, float, write_lines(to, 16, x, past))
PACK_TILE(pack_bf16, NATIVE static, mien__bf16, write_pairs(to, x, past))

/* One tile into such rows. */
WIDE static void unpack(const mien__tiles *t, const float *from, int64_t row, float *to,
                        bool past) {
    __m512 x[16];
    int64_t k = 0;
    for (int64_t c = 0; c < t->taps; c++) {
        for (int r = 0; r < 16; r++) {
            x[r] = _mm512_loadu_ps(from + k * TILE);
            if (++k == t->taps) k = 0, from += 16;
        }
        transpose(x);
        write_lines(to + 16 * c, row, x, past);
    }
}

void mien__tiles_move(const mien__tiles *t, const void *from, void *to) {
    int64_t row = 16 * t->inputs * t->taps, tiles = t->outputs * t->inputs;
    int64_t elements = tiles * t->taps * TILE;
    /* A gradient is not read before the update; of large weights little is left in the caches when
     * their product begins, and it reads them ahead. */
    bool past = (t->back || elements >= UNCACHED) && (uintptr_t)to % 64 == 0;
#pragma omp parallel if (elements > MIEN_PARALLEL_FLOATS)
    {
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < tiles; i++) {
            int64_t output = i / t->inputs, input = i % t->inputs;
            int64_t plain = output * 16 * row + input * 16 * t->taps;
            int64_t tile = output * t->output_step + input * t->input_step;
            if (t->back)
                unpack(t, (const float *)from + tile, row, (float *)to + plain, past);
            else if (t->half)
                pack_bf16(t, (const float *)from + plain, row, (mien__bf16 *)to + tile, past);
            else
                pack_f32(t, (const float *)from + plain, row, (float *)to + tile, past);
        }
        if (past) _mm_sfence(); /* before other threads read what this one wrote */
    }
}
#else /* there are no blocks of 16 */
bool mien__tiles_of(const dnnl_memory_desc_t *md, bool back, mien__tiles *t) {
    (void)md, (void)back, (void)t;
    return false;
}

void mien__tiles_move(const mien__tiles *t, const void *from, void *to) {
    (void)t, (void)from, (void)to;
}
#endif
