/* Copies between any two host layouts, strides and dtypes, and fills.
 * Not here: argument checks and other devices (elements.c). */
#include "tensor.h"

#include <math.h>
#include <string.h>

#include "half.h"
#include "base/isa.h"

/* ---- one run of elements, for every pair of dtypes ----------------------------------------- */

/* n elements, strides in elements. */
typedef void (*run_fn)(void *dst, int64_t ds, const void *src, int64_t ss, int64_t n);

static inline uint8_t u8_of_double(double v) {
    return v > 0 ? (v < 255 ? (uint8_t)v : 255) : 0; /* NaN compares false: 0 */
}
static inline int8_t i8_of_double(double v) {
    if (v != v) return 0;
    return v > INT8_MIN ? (v < INT8_MAX ? (int8_t)v : INT8_MAX) : INT8_MIN;
}
static inline int32_t i32_of_double(double v) {
    if (v != v) return 0;
    return v > INT32_MIN ? (v < INT32_MAX ? (int32_t)v : INT32_MAX) : INT32_MIN;
}
static inline int64_t i64_of_double(double v) {
    if (v != v) return 0;
    return v > -0x1p63 ? (v < 0x1p63 ? (int64_t)v : INT64_MAX) : INT64_MIN;
}
static inline uint8_t u8_of_int(int64_t v) {
    return v > 0 ? (v < 255 ? (uint8_t)v : 255) : 0;
}
static inline int8_t i8_of_int(int64_t v) {
    return v > INT8_MIN ? (v < INT8_MAX ? (int8_t)v : INT8_MAX) : INT8_MIN;
}
static inline int32_t i32_of_int(int64_t v) {
    return v > INT32_MIN ? (v < INT32_MAX ? (int32_t)v : INT32_MAX) : INT32_MIN;
}
static inline int64_t i64_of_int(int64_t v) {
    return v;
}

/* LOAD_x widens to float, double or an integer without loss; STORE_x takes any of those. */
#define LOAD_F32(x)  (x)
#define LOAD_BF16(x) mien__bf16_to_f32(x)
#define LOAD_F16(x)  mien__f16_to_f32(x)
#define LOAD_F64(x)  (x)
#define LOAD_U8(x)   ((int32_t)(x))
#define LOAD_I32(x)  (x)
#define LOAD_I64(x)  (x)
#define LOAD_I8(x)   ((int32_t)(x))
#define TO_INT(v, name)                                                                            \
    _Generic((v), float : name##_of_double, double : name##_of_double, default : name##_of_int)(v)
#define STORE_F32(v)  ((float)(v))
#define STORE_BF16(v) mien__f32_to_bf16((float)(v))
#define STORE_F16(v)  mien__f32_to_f16((float)(v))
#define STORE_F64(v)  ((double)(v))
#define STORE_U8(v)   TO_INT(v, u8)
#define STORE_I32(v)  TO_INT(v, i32)
#define STORE_I64(v)  TO_INT(v, i64)
#define STORE_I8(v)   TO_INT(v, i8)

/* The first two branches are the ones a compiler can vectorise. */
#define RUN(D, dtype, S, stype)                                                                    \
    MIEN_CLONES(void, run_##D##_##S,                                                               \
                (void *to, int64_t ds, const void *from, int64_t ss, int64_t n),                   \
                (to, ds, from, ss, n)) {                                                           \
        dtype *restrict dst = to;                                                                  \
        const stype *restrict src = from;                                                          \
        if (ds == 1 && ss == 1) {                                                                  \
            for (int64_t i = 0; i < n; i++) dst[i] = STORE_##D(LOAD_##S(src[i]));                  \
        } else if (ds == 1 && ss == 0) {                                                           \
            dtype value = STORE_##D(LOAD_##S(src[0]));                                             \
            for (int64_t i = 0; i < n; i++) dst[i] = value;                                        \
        } else {                                                                                   \
            for (int64_t i = 0; i < n; i++) dst[i * ds] = STORE_##D(LOAD_##S(src[i * ss]));        \
        }                                                                                          \
    }
#define MOVE(T, type)                                                                              \
    MIEN_CLONES(void, move_##T, (void *to, int64_t ds, const void *from, int64_t ss, int64_t n),   \
                (to, ds, from, ss, n)) {                                                           \
        type *restrict dst = to;                                                                   \
        const type *restrict src = from;                                                           \
        if (ds == 1 && ss == 1) {                                                                  \
            memcpy(dst, src, (size_t)n * sizeof(type));                                            \
        } else if (ds == 1 && ss == 0) {                                                           \
            type value = src[0];                                                                   \
            for (int64_t i = 0; i < n; i++) dst[i] = value;                                        \
        } else {                                                                                   \
            for (int64_t i = 0; i < n; i++) dst[i * ds] = src[i * ss];                             \
        }                                                                                          \
    }

MOVE(1, uint8_t)
MOVE(2, uint16_t)
MOVE(4, uint32_t)
MOVE(8, uint64_t)

#define RUNS_INTO(D, t)                                                                            \
    RUN(D, t, F32, float)                                                                          \
    RUN(D, t, BF16, uint16_t)                                                                      \
    RUN(D, t, F16, uint16_t)                                                                       \
    RUN(D, t, F64, double)                                                                         \
    RUN(D, t, U8, uint8_t)                                                                         \
    RUN(D, t, I32, int32_t)                                                                        \
    RUN(D, t, I64, int64_t)                                                                        \
    RUN(D, t, I8, int8_t)
RUNS_INTO(F32, float)
RUNS_INTO(BF16, uint16_t)
RUNS_INTO(F16, uint16_t)
RUNS_INTO(F64, double)
RUNS_INTO(U8, uint8_t)
RUNS_INTO(I32, int32_t)
RUNS_INTO(I64, int64_t)
RUNS_INTO(I8, int8_t)

#define ROW(D)                                                                                     \
    {                                                                                              \
        run_##D##_F32, run_##D##_BF16, run_##D##_F16, run_##D##_F64, run_##D##_U8, run_##D##_I32,  \
            run_##D##_I64, run_##D##_I8                                                            \
    }
static const run_fn converters[8][8] = {ROW(F32), ROW(BF16), ROW(F16), ROW(F64),
                                        ROW(U8),  ROW(I32),  ROW(I64), ROW(I8)};

static run_fn run_for(mien_dtype dst, mien_dtype src) {
    if (dst != src) return converters[dst][src];
    switch (mien_dtype_size(dst)) {
    case 1:
        return move_1;
    case 2:
        return move_2;
    case 4:
        return move_4;
    default:
        return move_8;
    }
}

void mien__host_doubles(double *dst, const void *src, mien_dtype dtype, int64_t n) {
    run_for(MIEN_F64, dtype)(dst, 1, src, 1, n);
}

/* ---- strided copies ------------------------------------------------------------------------ */

#define MAX_LOOPS (MIEN_MAX_DIMS + 1) /* a blocked tensor has its channels in two */

typedef struct loops {
    int n;
    int64_t size[MAX_LOOPS], ds[MAX_LOOPS], ss[MAX_LOOPS];
} loops;

static void loops_add(loops *l, int64_t size, int64_t ds, int64_t ss) {
    l->size[l->n] = size;
    l->ds[l->n] = ds;
    l->ss[l->n++] = ss;
}

/* Largest destination stride first, without loops of one, joined where both sides are dense. */
static void loops_tidy(loops *l) {
    loops out = {0};
    for (int i = 0; i < l->n; i++) {
        if (l->size[i] == 1) continue;
        int at = out.n++;
        for (; at > 0 && (out.ds[at - 1] < l->ds[i] ||
                          (out.ds[at - 1] == l->ds[i] && out.ss[at - 1] < l->ss[i]));
             at--) {
            out.size[at] = out.size[at - 1];
            out.ds[at] = out.ds[at - 1];
            out.ss[at] = out.ss[at - 1];
        }
        out.size[at] = l->size[i];
        out.ds[at] = l->ds[i];
        out.ss[at] = l->ss[i];
    }
    *l = (loops){0};
    for (int i = 0; i < out.n; i++) {
        int k = l->n - 1;
        if (k >= 0 && l->ds[k] == out.ds[i] * out.size[i] && l->ss[k] == out.ss[i] * out.size[i]) {
            l->size[k] *= out.size[i];
            l->ds[k] = out.ds[i];
            l->ss[k] = out.ss[i];
        } else {
            loops_add(l, out.size[i], out.ds[i], out.ss[i]);
        }
    }
    if (l->n == 0) loops_add(l, 1, 1, 1);
}

/* Takes loop i out and returns it alone. */
static loops loops_take(loops *l, int i) {
    loops one = {.n = 1, .size = {l->size[i]}, .ds = {l->ds[i]}, .ss = {l->ss[i]}};
    for (l->n--; i < l->n; i++) {
        l->size[i] = l->size[i + 1];
        l->ds[i] = l->ds[i + 1];
        l->ss[i] = l->ss[i + 1];
    }
    return one;
}

/* The two loops that are dense on either side are walked in tiles, so that a transposition reads
 * and writes whole cache lines; all other loops and the tiles are shared out among threads. */
static void copy_strided(char *dst, mien_dtype dtype, const char *src, mien_dtype stype, loops l) {
    int64_t count = 1;
    for (int i = 0; i < l.n; i++) count *= l.size[i];
    if (count == 0) return;
    run_fn run = run_for(dtype, stype);
    int64_t dsize = (int64_t)mien_dtype_size(dtype), ssize = (int64_t)mien_dtype_size(stype);
    loops_tidy(&l);
    loops a = loops_take(&l, l.n - 1), b = {.n = 1, .size = {1}};
    if (l.n > 0) {
        int dense = l.n - 1;
        for (int i = 0; i < l.n; i++)
            if (l.ss[i] < l.ss[dense]) dense = i;
        b = loops_take(&l, dense);
    }
    if (b.size[0] > a.size[0]) { /* the longer one is the run */
        loops swapped = a;
        a = b;
        b = swapped;
    }
    bool transposed = b.size[0] > 1 && (b.ds[0] < a.ds[0]) != (b.ss[0] < a.ss[0]);
    int64_t tile_a = transposed ? 64 : 16384, tile_b = 32;
    int64_t tiles_a = (a.size[0] + tile_a - 1) / tile_a;
    int64_t tiles_b = (b.size[0] + tile_b - 1) / tile_b;
    int64_t units = tiles_a * tiles_b;
    for (int i = 0; i < l.n; i++) units *= l.size[i];
#pragma omp parallel for if (count > 32768) schedule(static)
    for (int64_t unit = 0; unit < units; unit++) {
        int64_t rest = unit / tiles_a, at_a = unit % tiles_a * tile_a;
        int64_t at_b = rest % tiles_b * tile_b;
        rest /= tiles_b;
        int64_t d = at_a * a.ds[0] + at_b * b.ds[0], s = at_a * a.ss[0] + at_b * b.ss[0];
        for (int i = l.n - 1; i >= 0; i--) {
            int64_t at = rest % l.size[i];
            rest /= l.size[i];
            d += at * l.ds[i];
            s += at * l.ss[i];
        }
        int64_t na = a.size[0] - at_a < tile_a ? a.size[0] - at_a : tile_a;
        int64_t nb = b.size[0] - at_b < tile_b ? b.size[0] - at_b : tile_b;
        for (int64_t i = 0; i < nb; i++)
            run(dst + (d + i * b.ds[0]) * dsize, a.ds[0], src + (s + i * b.ss[0]) * ssize, a.ss[0],
                na);
    }
}

/* ---- layouts ------------------------------------------------------------------------------- */

static int64_t padded_channels(const mien_tensor *t) {
    return (t->shape[1] + t->block - 1) / t->block * t->block;
}

static int64_t stored_count(const mien_tensor *t) {
    if (!t->block) return mien_tensor_count(t);
    return t->shape[0] * padded_channels(t) * t->shape[2] * t->shape[3];
}

static char *address(const mien_tensor *t) {
    return (char *)t->storage->data + t->offset * (int64_t)mien_dtype_size(t->dtype);
}

/* Strides of [N, C/b, b, H, W] for a 4-d tensor in either layout. */
static void split_strides(const mien_tensor *t, int b, int64_t stride[5]) {
    if (t->block) {
        int64_t area = t->shape[2] * t->shape[3];
        stride[0] = padded_channels(t) * area;
        stride[1] = area * b;
        stride[2] = 1;
        stride[3] = t->shape[3] * b;
        stride[4] = b;
    } else {
        stride[0] = t->stride[0];
        stride[1] = t->stride[1] * b;
        stride[2] = t->stride[1];
        stride[3] = t->stride[2];
        stride[4] = t->stride[3];
    }
}

void mien__host_zero_padding(mien_tensor *t) {
    if (!t->block || t->shape[1] % t->block == 0) return;
    int64_t used = t->shape[1] % t->block, area = t->shape[2] * t->shape[3];
    int64_t stride[5];
    split_strides(t, t->block, stride);
    size_t size = mien_dtype_size(t->dtype), gap = (size_t)(t->block - used) * size;
    char *last = (char *)t->storage->data + t->shape[1] / t->block * stride[1] * (int64_t)size;
    for (int64_t n = 0; n < t->shape[0]; n++)
        for (int64_t i = 0; i < area; i++)
            memset(last + (n * stride[0] + i * t->block + used) * (int64_t)size, 0, gap);
}

/* One side blocked, the other plain: the full blocks, then what is in the last, partial one. */
static void copy_blocked(mien_tensor *dst, mien_tensor *src) {
    int b = dst->block ? dst->block : src->block;
    int64_t ds[5], ss[5];
    split_strides(dst, b, ds);
    split_strides(src, b, ss);
    int64_t full = dst->shape[1] / b, part = dst->shape[1] % b;
    int64_t dsize = (int64_t)mien_dtype_size(dst->dtype);
    int64_t ssize = (int64_t)mien_dtype_size(src->dtype);
    for (int tail = 0; tail < 2; tail++) {
        int64_t size[5] = {dst->shape[0], tail ? 1 : full, tail ? part : b, dst->shape[2],
                           dst->shape[3]};
        loops l = {0};
        for (int i = 0; i < 5; i++) loops_add(&l, size[i], ds[i], ss[i]);
        copy_strided(address(dst) + (tail ? full * ds[1] * dsize : 0), dst->dtype,
                     address(src) + (tail ? full * ss[1] * ssize : 0), src->dtype, l);
    }
    mien__host_zero_padding(dst);
}

mien_status mien__host_copy(mien_tensor *dst, mien_tensor *src) {
    if (dst->block && src->block && dst->block != src->block) {
        mien_tensor *plain = mien_tensor_new(src->dtype, src->device, src->ndim, src->shape);
        if (!plain) return mien_error_last()->code;
        copy_blocked(plain, src);
        copy_blocked(dst, plain);
        mien_tensor_release(plain);
    } else if (dst->block != src->block) {
        copy_blocked(dst, src);
    } else {
        loops l = {0};
        if (dst->block) loops_add(&l, stored_count(dst), 1, 1);
        for (int i = 0; !dst->block && i < dst->ndim; i++)
            loops_add(&l, dst->shape[i], dst->stride[i], src->stride[i]);
        copy_strided(address(dst), dst->dtype, address(src), src->dtype, l);
    }
    mien__tensor_touch(dst);
    return MIEN_OK;
}

mien_status mien__host_fill(mien_tensor *t, double value) {
    loops l = {0};
    if (t->block) loops_add(&l, stored_count(t), 1, 0);
    for (int i = 0; !t->block && i < t->ndim; i++) loops_add(&l, t->shape[i], t->stride[i], 0);
    copy_strided(address(t), t->dtype, (const char *)&value, MIEN_F64, l);
    if (value != 0) mien__host_zero_padding(t);
    mien__tensor_touch(t);
    return MIEN_OK;
}
