/* What the LSTM and the GRU share: tensors of a call, packed weights and the product at the heart
 * of every time step, the loop over time, products over all frames. Not here: gates (lstm.c,
 * gru.c). */
#include "recurrent.h"
#include "onednn.h"
#include <linux/futex.h>
#include <omp.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- a call ---------------------------------------------------------------------------------- */

mien__rnn mien__rnn_begin(mien_op_call *call, int gates) {
    const int64_t *x = call->in[0]->shape;
    mien__rnn r = {.call = call, .batch = x[0], .steps = x[1], .input = x[2]};
    r.hidden = call->in[2]->shape[1];
    r.wide = gates * r.hidden;
    r.blocks = (r.hidden + 15) / 16;
    /* Below this a step is shorter than a meeting of threads. */
    bool small = r.hidden * r.hidden * r.batch < 8192;
    r.threads = small ? 1 : (int)mien__min64(mien__cpu_threads(), r.blocks);
    int64_t share = (r.blocks + r.threads - 1) / r.threads;
    r.group = MIEN_RNN_COLUMNS;
    while (share % r.group) r.group--;
    r.factors = mien__cpu_is_half(call) ? MIEN_BF16 : MIEN_F32;
    return r;
}

mien_status mien__rnn_end(mien__rnn *r, mien_status status) {
    for (int i = 0; i < r->n_held; i++) {
        if (r->rounded[i] && status == MIEN_OK) status = mien__cpu_copy(r->rounded[i], r->held[i]);
        mien_tensor_release(r->held[i]);
    }
    r->n_held = 0;
    return status;
}

static mien_status hold(mien__rnn *r, mien_tensor *t, float **to) {
    if (!t) return mien_error_last()->code;
    if (r->n_held == MIEN_RNN_HELD) {
        mien_tensor_release(t);
        MIEN_FAIL(MIEN_ERR_INTERNAL, "cpu: a layer holds more than %d tensors", MIEN_RNN_HELD);
    }
    r->held[r->n_held++] = t;
    *to = mien__cpu_f32(t);
    return MIEN_OK;
}

mien_status mien__rnn_room(mien__rnn *r, int64_t n, float **to) {
    return hold(r, mien__cpu_scratch(n), to);
}

mien_status mien__rnn_read(mien__rnn *r, mien_tensor *t, const float **to) {
    *to = NULL;
    return t ? hold(r, mien__cpu_as_dtype(t, 0, MIEN_F32), (float **)to) : MIEN_OK;
}

mien_status mien__rnn_read_or_zeros(mien__rnn *r, mien_tensor *t, int64_t n, const float **to) {
    if (t) return mien__rnn_read(r, t, to);
    float *zeros;
    MIEN_TRY(mien__rnn_room(r, n, &zeros));
    memset(zeros, 0, (size_t)n * sizeof *zeros);
    *to = zeros;
    return MIEN_OK;
}

mien_status mien__rnn_write(mien__rnn *r, mien_tensor *t, float **to) {
    *to = NULL;
    if (!t) return MIEN_OK;
    MIEN_TRY(mien__tensor_alloc(t, 0));
    *to = mien__cpu_f32(t);
    if (t->dtype == MIEN_F32) return MIEN_OK;
    r->rounded[r->n_held] = t;
    return hold(r, mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, t->ndim, t->shape), to);
}

/* ---- recurrent weights ----------------------------------------------------------------------- */

static int64_t length_of(const mien__rnn *r, const mien__rnn_part *part) {
    return part->back ? part->gates * r->hidden : r->hidden;
}

static int columns_of(const mien__rnn *r, const mien__rnn_part *part, int64_t block) {
    int blocks = (int)mien__min64(part->group, r->blocks - block);
    return part->back ? blocks : blocks * part->gates;
}

/* Columns that lie side by side in memory: those whose sums fit into the registers at once. */
static int tile_of(const mien__rnn *r, int columns) {
    int rows = (int)mien__min64(MIEN_RNN_ROWS, r->batch), tile = columns;
    if (mien__isa_now() != MIEN_ISA_AVX512)
        while (tile > 1 && (rows * tile > 6 || columns % tile)) tile--;
    return tile;
}

/* Sixteen columns of units from `unit` on: to[k * step ...] = weight[unit .. unit + 15][k]. */
static void pack_rows(float *to, int64_t step, const float *weight, int64_t unit, int64_t hidden) {
    int64_t n = mien__min64(16, hidden - unit);
    for (int64_t k = 0; k < hidden; k++)
        for (int64_t lane = 0; lane < 16; lane++)
            to[k * step + lane] = lane < n ? weight[(unit + lane) * hidden + k] : 0;
}

static void pack_columns(float *to, int64_t step, const float *weight, int64_t unit, int64_t hidden,
                         int64_t length) {
    int64_t n = mien__min64(16, hidden - unit);
    for (int64_t k = 0; k < length; k++)
        mien__v16_store(to + k * step, mien__v16_load(weight + k * hidden + unit, n), 16);
}

mien_status mien__rnn_pack(mien__rnn *r, mien__rnn_part *part) {
    const float *weight;
    float *to;
    int64_t length = length_of(r, part), H = r->hidden, gates = part->back ? 1 : part->gates;
    MIEN_TRY(mien__rnn_read(r, r->call->in[2], &weight));
    MIEN_TRY(mien__rnn_room(r, r->blocks * gates * length * 16, &to));
    part->packed = to;
    weight += part->first * H * H;
#pragma omp parallel for if (r->threads > 1)
    for (int64_t b = 0; b < r->blocks; b++) {
        int64_t first = b / part->group * part->group;
        int64_t tile = tile_of(r, columns_of(r, part, first));
        float *group = to + first * gates * length * 16;
        for (int64_t g = 0; g < gates; g++) {
            int64_t column = (b - first) * gates + g;
            float *at = group + (column / tile * tile * length + column % tile) * 16;
            if (part->back)
                pack_columns(at, tile * 16, weight, b * 16, H, length);
            else
                pack_rows(at, tile * 16, weight + g * H * H, b * 16, H);
        }
    }
    return MIEN_OK;
}

typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));

/* The product for `width` vectors of each row of packed weights and `rows` rows of x: constants, so
 * that the sums stay in registers. A vector is as long as a register of the set: GCC 12 keeps
 * longer ones in memory. The order of sums is the same for all. */
#define PRODUCT(name, lanes)                                                                       \
    MIEN_INLINE void name(float *out, int64_t out_step, const float *packed, int64_t step,         \
                          const float *x, int64_t row_step, int64_t length, int width, int rows) { \
        lanes sum[MIEN_RNN_ROWS * 2 * MIEN_RNN_COLUMNS];                                           \
        for (int i = 0; i < rows * width; i++) sum[i] = (lanes){0};                                \
        for (int64_t k = 0; k < length; k++) {                                                     \
            lanes w[2 * MIEN_RNN_COLUMNS];                                                         \
            /* Volatile: GCC would read weights again for every row, and wait for that. */         \
            for (int c = 0; c < width; c++)                                                        \
                w[c] = ((const volatile lanes *)(packed + k * step))[c];                           \
            for (int row = 0; row < rows; row++) {                                                 \
                float factor = x[row * row_step + k];                                              \
                for (int c = 0; c < width; c++) sum[row * width + c] += w[c] * factor;             \
            }                                                                                      \
        }                                                                                          \
        for (int row = 0; row < rows; row++)                                                       \
            for (int c = 0; c < width; c++)                                                        \
                ((lanes *)(out + row * out_step))[c] = sum[row * width + c];                       \
    }
PRODUCT(product_of_16, v16)
PRODUCT(product_of_8, v8)
PRODUCT(product_of_4, v4)

/* Constants for the inner loops. */
#define TAKE(of, vectors)                                                                          \
    if (width == vectors) of(to, out_step, from, step, x, row_step, length, vectors, rows)

/* One tile: `columns` of 16 that lie side by side. */
MIEN_INLINE void product(mien__isa isa, float *to, int64_t out_step, const float *from, int columns,
                         const float *x, int64_t row_step, int64_t length, int rows) {
    int64_t step = columns * 16;
    if (isa == MIEN_ISA_AVX512) {
        int width = columns;
        TAKE(product_of_16, 1);
        TAKE(product_of_16, 2);
        TAKE(product_of_16, 3);
        TAKE(product_of_16, 4);
        return;
    }
    /* Of 16 registers 12 at most hold sums. */
    int lanes = isa == MIEN_ISA_AVX2 ? 8 : 4, vectors = columns * 16 / lanes, width = 8;
    while (rows * width > 12 || vectors % width) width -= 2;
    for (int done = 0; done < vectors; done += width, to += width * lanes, from += width * lanes)
        if (isa == MIEN_ISA_AVX2) {
            TAKE(product_of_8, 2);
            TAKE(product_of_8, 4);
            TAKE(product_of_8, 6);
            TAKE(product_of_8, 8);
        } else {
            TAKE(product_of_4, 2);
            TAKE(product_of_4, 4);
            TAKE(product_of_4, 6);
            TAKE(product_of_4, 8);
        }
}

MIEN_CLONES(void, any_product,
            (float *out, int64_t out_step, const float *packed, int columns, const float *x,
             int64_t row_step, int64_t length, int rows),
            (out, out_step, packed, columns, x, row_step, length, rows)) {
    if (rows == 1)
        product(isa, out, out_step, packed, columns, x, row_step, length, 1);
    else if (rows == 2)
        product(isa, out, out_step, packed, columns, x, row_step, length, 2);
    else if (rows == 3)
        product(isa, out, out_step, packed, columns, x, row_step, length, 3);
    else
        product(isa, out, out_step, packed, columns, x, row_step, length, 4);
}

int mien__rnn_product(float *sums, const mien__rnn *r, const mien__rnn_part *part, int64_t block,
                      const float *x, int64_t row_step, int rows) {
    int64_t length = length_of(r, part), gates = part->back ? 1 : part->gates;
    int columns = columns_of(r, part, block), tile = tile_of(r, columns);
    const float *packed = part->packed + block * gates * length * 16;
    for (int c = 0; c < columns; c += tile)
        any_product(sums + c * 16, columns * 16, packed + c * length * 16, tile, x, row_step,
                    length, rows);
    return columns;
}

/* ---- time ------------------------------------------------------------------------------------ */

/* Threads meet here several times per 10 microseconds. libgomp's barrier makes a system call each
 * time; this one makes none while all are on time. Who waits longer sleeps, so that on a busy
 * machine a thread that lost its core finds another. Where that happens again and again, one thread
 * goes on alone: the steps of all units take less than a wait for a core. */
typedef struct meeting {
    _Alignas(64) atomic_int arrived;
    _Alignas(64) atomic_int round;
    atomic_int asleep, naps;
    int alone; /* 1 + the thread that goes on alone, or 0; set before a round ends */
} meeting;

/* Looks at the round that many times, 20 to 100 microseconds, before it sleeps. */
#define PATIENCE 2000
/* Naps after which one thread goes on alone; one or two are usual while threads wake up. */
#define NAPS 4

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void await_round(meeting *m, int round) {
    for (int i = 0; i < PATIENCE; i++) {
        if (atomic_load_explicit(&m->round, memory_order_acquire) != round) return;
        pause_briefly();
    }
    atomic_fetch_add(&m->naps, 1);
    atomic_fetch_add(&m->asleep, 1);
    while (atomic_load(&m->round) == round)
        syscall(SYS_futex, &m->round, FUTEX_WAIT_PRIVATE, round, NULL, NULL, 0);
    atomic_fetch_sub(&m->asleep, 1);
}

/* Returns what m->alone says, the same to all. */
static int meet(meeting *m, int threads, int me) {
    if (threads == 1) return 1 + me;
    int round = atomic_load(&m->round);
    if (atomic_fetch_add(&m->arrived, 1) + 1 < threads) {
        await_round(m, round);
        return m->alone;
    }
    if (atomic_load(&m->naps) > NAPS) m->alone = 1 + me;
    int alone = m->alone;
    atomic_store(&m->arrived, 0);
    atomic_store(&m->round, round + 1);
    if (atomic_load(&m->asleep))
        syscall(SYS_futex, &m->round, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
    return alone;
}

void mien__rnn_run(const mien__rnn *r, const void *layer, int64_t from, int64_t to,
                   const mien__rnn_phase *phases, int count) {
    meeting all = {0};
    int64_t by = from <= to ? 1 : -1, runs = ((to - from) * by + 1) * count;
#pragma omp parallel num_threads(r->threads)
    {
        int64_t first, last;
        int threads = omp_get_num_threads(), me = omp_get_thread_num();
        mien__share(r->blocks, r->group, threads, me, &first, &last);
        for (int64_t i = 0; i < runs; i++) {
            phases[i % count](layer, from + i / count * by, first, last);
            int alone = meet(&all, threads, me);
            if (!alone) continue;
            if (alone != 1 + me) break;
            threads = 1;
            first = 0;
            last = r->blocks;
        }
    }
}

/* ---- all frames at once ---------------------------------------------------------------------- */

/* t as a factor, dense. */
static mien_status factor_of(mien__rnn *r, mien_tensor *t, const void **to) {
    float *data = NULL;
    MIEN_TRY(hold(r, mien__cpu_as_dtype(t, 0, r->factors), &data));
    *to = data;
    return MIEN_OK;
}

mien_status mien__rnn_input(mien__rnn *r, float *gates) {
    const void *x, *weight;
    MIEN_TRY(factor_of(r, r->call->in[0], &x));
    MIEN_TRY(factor_of(r, r->call->in[1], &weight));
    mien__product p = {false,    true,    r->batch * r->steps, r->wide, r->input, r->input,
                       r->input, r->wide, r->factors,          MIEN_F32};
    return mien__gemm(&p, x, weight, gates);
}

mien_status mien__rnn_factor(mien__rnn *r, int64_t columns, const float *x, const void **factor) {
    *factor = x;
    if (r->factors == MIEN_F32) return MIEN_OK;
    int64_t rows = r->batch * r->steps, n = rows * columns;
    float *data = NULL;
    mien_tensor *t = mien_tensor_new(r->factors, MIEN_DEVICE_CPU, 1, &n);
    MIEN_TRY(hold(r, t, &data));
#pragma omp parallel for if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < rows; i++) mien__cpu_written(t, i * columns, columns, x + i * columns);
    *factor = data;
    return MIEN_OK;
}

mien_status mien__rnn_input_back(mien__rnn *r, const float *gates, const void *factor) {
    mien_tensor *dx = mien__rnn_gradient(r, 0), *dw = mien__rnn_gradient(r, 1);
    int64_t rows = r->batch * r->steps, D = r->input;
    const void *other;
    if (dx) {
        mien__product p = {false, false, rows, D, r->wide, r->wide, D, D, r->factors, dx->dtype};
        MIEN_TRY(factor_of(r, r->call->in[1], &other));
        MIEN_TRY(mien__tensor_alloc(dx, 0));
        MIEN_TRY(mien__gemm(&p, factor, other, mien__cpu_ptr(dx)));
    }
    if (dw) {
        mien__product p = {true, false, r->wide, D, rows, r->wide, D, D, r->factors, dw->dtype};
        MIEN_TRY(factor_of(r, r->call->in[0], &other));
        MIEN_TRY(mien__tensor_alloc(dw, 0));
        MIEN_TRY(mien__gemm(&p, factor, other, mien__cpu_ptr(dw)));
    }
    float *db;
    MIEN_TRY(mien__rnn_write(r, mien__rnn_gradient(r, 3), &db));
    if (db) mien__cpu_sum_rows(db, gates, rows, r->wide);
    return MIEN_OK;
}

mien_status mien__rnn_weights_back(mien__rnn *r, int64_t first, int64_t count, const void *gates,
                                   const float *x) {
    mien_tensor *dw = r->call->din[2];
    int64_t H = r->hidden;
    mien__product p = {true,    false, count, H,          r->batch * r->steps,
                       r->wide, H,     H,     r->factors, dw->dtype};
    const void *factor;
    MIEN_TRY(mien__rnn_factor(r, H, x, &factor));
    return mien__gemm(&p, (const char *)gates + (size_t)first * mien_dtype_size(p.in), factor,
                      (char *)mien__cpu_ptr(dw) + (size_t)(first * H) * mien_dtype_size(p.out));
}

mien_status mien__rnn_states(mien__rnn *r, const float *output, const float *h_first,
                             const float **states) {
    int64_t T = r->steps, H = r->hidden;
    size_t row = (size_t)H * sizeof(float);
    float *to;
    MIEN_TRY(mien__rnn_room(r, r->batch * T * H, &to));
    for (int64_t b = 0; b < r->batch; b++) {
        memcpy(to + b * T * H, h_first + b * H, row);
        memcpy(to + (b * T + 1) * H, output + b * T * H, (size_t)(T - 1) * row);
    }
    *states = to;
    return MIEN_OK;
}

void mien__rnn_last(const mien__rnn *r, const float *output, float *to) {
    int64_t T = r->steps, H = r->hidden;
    for (int64_t b = 0; b < r->batch; b++)
        memcpy(to + b * H, output + (b * T + T - 1) * H, (size_t)H * sizeof *to);
}
