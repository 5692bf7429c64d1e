/* The CPU backend's own declarations: layouts, kernel helpers, the passes of each op.
 * Not here: anything of oneDNN (onednn.h), the table itself (backend.c). */
#ifndef MIEN_CPU_H
#define MIEN_CPU_H
#include "base/isa.h"
#include "backend/backend.h"
#include <string.h>

/* ---- layouts --------------------------------------------------------------------------------- */

/* Channels per block of a 4-d activation: 16 with AVX-512, else 8. */
int mien__cpu_block(void);
/* Floats in the storage of a [N,C,H,W] tensor whose channels are padded to `block`; 0 means plain.
 */
int64_t mien__cpu_floats(const mien_tensor *t, int block);
/* Is t dense in its own layout: blocked, or plain and contiguous? */
bool mien__cpu_dense(const mien_tensor *t);
/* Address of element 0 as it lies in memory, whatever the layout. */
static inline void *mien__cpu_ptr(const mien_tensor *t) {
    return (char *)t->storage->data + (size_t)t->offset * mien_dtype_size(t->dtype);
}
static inline float *mien__cpu_f32(const mien_tensor *t) {
    return mien__cpu_ptr(t);
}
/* A retained tensor with t's elements, dense and in layout `block`: t itself when it is. */
mien_tensor *mien__cpu_as_layout(mien_tensor *t, int block);
/* The same, in another dtype if need be. */
mien_tensor *mien__cpu_as_dtype(mien_tensor *t, int block, mien_dtype dtype);
/* Has the processor instructions for products of bf16? */
bool mien__cpu_has_bf16(void);
/* Does MIEN_CPU_PLAIN=1 ask for oneDNN's direct convolutions alone: no Winograd, no own gradients
 * of weights, no weights re-laid by own code or kept so? To find out where a wrong number is from.
 */
bool mien__cpu_plain(void);
/* few = the pixels (i * stride_h, j * stride_w) of all, and back, with zeros between; in one
 * layout.
 */
void mien__cpu_gather_pixels(mien_tensor *few, mien_tensor *all, int64_t stride_h,
                             int64_t stride_w);
void mien__cpu_scatter_pixels(mien_tensor *all, mien_tensor *few, int64_t stride_h,
                              int64_t stride_w);
/* A plain f32 buffer of n floats from the pool; release it with mien_tensor_release. */
mien_tensor *mien__cpu_scratch(int64_t n);
/* The same of n bytes. */
mien_tensor *mien__cpu_bytes(int64_t n);
mien_status mien__cpu_copy(mien_tensor *dst, mien_tensor *src);
mien_status mien__cpu_fill(mien_tensor *t, double value);
/* True when every tensor there is (inputs but for classes, gradients, outputs) holds f32 or bf16.
 */
bool mien__cpu_all_floats(const mien_op_call *call);
void mien__cpu_set_implementation(mien_op_call *call, const char *implementation);
/* Appends the implementation of a second step, " + name", when it is another one. */
void mien__cpu_add_implementation(mien_op_call *call, const char *implementation);

/* Did a constructor give NULL? Then the status is what its error record says. */
static inline bool mien__failed(const void *made, mien_status *status) {
    if (!made) *status = mien_error_last()->code;
    return !made;
}

/* ---- bf16 ------------------------------------------------------------------------------------ */

/* Is the first input bf16? Then all activations are. */
bool mien__cpu_is_half(const mien_op_call *call);
/* Are inputs 1 and 2 (weight and bias, if present) f32? */
bool mien__cpu_f32_parameters(const mien_op_call *call);
/* Runs `pass` on f32 copies of all that is bf16 and rounds what it makes: for passes without a
 * kernel for bf16. */
mien_status mien__cpu_in_f32(mien_op_call *call, mien_op_fn pass);
/* Elements [i, i + n) as they lie in memory, as floats: in place, or for bf16 in `room`. */
const float *mien__cpu_read(const mien_tensor *t, int64_t i, int64_t n, float *room);
/* Where to write elements from i on, and, when that is done, the rounding of bf16. */
float *mien__cpu_write_to(const mien_tensor *t, int64_t i, float *room);
void mien__cpu_written(const mien_tensor *t, int64_t i, int64_t n, const float *room);

/* ---- kernels --------------------------------------------------------------------------------- */

/* Sixteen floats: the compiler makes one, two or four registers of them. */
typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t v16i __attribute__((vector_size(64), aligned(4), may_alias));

/* Always inlined, so no call passes such vectors and their calling convention does not matter. */
#pragma GCC diagnostic ignored "-Wpsabi"

/* Masks, all ones where true. Without AVX-512 GCC takes a comparison of such vectors apart, number
 * by number; differences and shifts it does not. */
MIEN_INLINE v16i mien__v16_negative(v16i x) {
    return x >> 31; // cppcheck-suppress shiftTooManyBitsSigned
}
MIEN_INLINE v16i mien__v16_is_nan(v16 x) {
    return mien__v16_negative(0x7f800000 - ((v16i)x & 0x7fffffff));
}

static inline int64_t mien__min64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t mien__round_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}
/* The part [*first, *last) of n items that worker i of `workers` does, in multiples of `grain`. */
static inline void mien__share(int64_t n, int64_t grain, int workers, int i, int64_t *first,
                               int64_t *last) {
    int64_t each = mien__round_up((n + workers - 1) / workers, grain);
    *first = mien__min64(n, each * i);
    *last = mien__min64(n, *first + each);
}
int mien__cpu_threads(void);
/* Fewer floats than this are not worth waking other threads for. */
#define MIEN_PARALLEL_FLOATS 16384

/* ---- broadcasting and reductions ------------------------------------------------------------- */

/* f32 elements read in the row-major order of a larger shape: a step of 0 repeats them. */
typedef struct mien__spread {
    const float *from;
    int ndim; /* at least 1; dimensions that one walk goes through are one */
    int64_t size[MIEN_MAX_DIMS], step[MIEN_MAX_DIMS];
} mien__spread;

/* The dense f32 tensor t broadcast to the shape of `full`. */
mien__spread mien__spread_of(const mien_tensor *t, const mien_tensor *full);
/* One more dimension, inside those that it has. */
void mien__spread_add(mien__spread *s, int64_t size, int64_t step);
/* Elements [i, i + n) of the larger shape: in place where they lie so, else in `room`. */
const float *mien__spread_read(const mien__spread *s, int64_t i, int64_t n, float *room);
/* Allocates t, f32, and fills it with the sums of `full`, dense f32, over all that t would repeat
 * to be of its shape, divided by `divisor`. */
mien_status mien__spread_sum(mien_tensor *t, mien_tensor *full, double divisor);

/* A tensor seen as [outer, length, inner] around the dimension `length`. */
typedef struct mien__lines {
    int64_t outer, length, inner;
} mien__lines;

/* t around a 0-based dimension; dim -1: all elements are one line. */
mien__lines mien__lines_of(const mien_tensor *t, int dim);
/* Of two numbers the larger, of equal ones the first; a NaN is larger than everything. */
MIEN_INLINE float mien__larger(float most, float x) {
    return (x > most) | (x != x) ? x : most;
}
/* The largest of n. (Of 32 lanes GCC makes vectors, 16 it unrolls.) */
MIEN_INLINE float mien__largest(const float *x, int64_t n) {
    float lanes[32], most = x[0];
    int64_t i = 0;
    for (int k = 0; k < 32; k++) lanes[k] = x[0];
    for (; i + 32 <= n; i += 32)
        for (int k = 0; k < 32; k++) lanes[k] = mien__larger(lanes[k], x[i + k]);
    for (; i < n; i++) most = mien__larger(most, x[i]);
    for (int k = 0; k < 32; k++) most = mien__larger(most, lanes[k]);
    return most;
}
/* y [outer, inner] = sum (op sum, mean) or maximum (op max) of x [outer, length, inner] over
 * length, divided by `divisor`; the same bits for any number of threads. */
mien_status mien__reduce(mien_op op, float *y, const float *x, mien__lines l, double divisor);

/* ---- passes ---------------------------------------------------------------------------------- */

#define MIEN_PASS(name)                                                                            \
    mien_status mien__cpu_##name##_forward(mien_op_call *call);                                    \
    mien_status mien__cpu_##name##_backward(mien_op_call *call)
MIEN_PASS(conv2d);
mien_status mien__cpu_conv2d_fused_forward(mien_op_call *call);
mien_status mien__cpu_conv2d_int8_forward(mien_op_call *call);
mien_status mien__cpu_quantise_forward(mien_op_call *call);
/* max_pool2d and global_avg_pool of u8 and i8. */
mien_status mien__cpu_int8_max_pool2d(mien_op_call *call);
mien_status mien__cpu_int8_global_avg_pool(mien_op_call *call);
/* Whether whole-number inference runs here for these dtypes and on this processor. */
bool mien__cpu_int8_supports(const mien_op_call *call);
MIEN_PASS(batch_norm);
mien_status mien__cpu_batch_norm_remake(mien_op_call *call);
MIEN_PASS(max_pool2d);
MIEN_PASS(avg_pool2d);
MIEN_PASS(global_avg_pool);
MIEN_PASS(lrn);
MIEN_PASS(linear);
MIEN_PASS(matmul);
MIEN_PASS(lstm);
MIEN_PASS(gru);
MIEN_PASS(binary);    /* add, sub, mul, div */
MIEN_PASS(pointwise); /* affine ... abs */
MIEN_PASS(cast);
MIEN_PASS(dropout);
MIEN_PASS(reduce);  /* sum, mean, max */
MIEN_PASS(softmax); /* softmax, log_softmax */
MIEN_PASS(concat);
MIEN_PASS(ccc_loss);
MIEN_PASS(mse_loss);
MIEN_PASS(sigmoid_cross_entropy);
MIEN_PASS(softmax_cross_entropy);
#undef MIEN_PASS

/* sum[i] = sum over rows of x[row, i]; x is [rows, k]. */
void mien__cpu_sum_rows(float *sum, const float *x, int64_t rows, int64_t k);

mien_status mien__cpu_accumulate(mien_tensor *acc, mien_tensor *x);
mien_status mien__cpu_sum_squares(mien_tensor *t, double *sum);
mien_status mien__cpu_scale(mien_tensor *t, double factor);
mien_status mien__cpu_adam(const mien_adam *hyper, mien_tensor *param, mien_tensor *grad,
                           mien_tensor *m, mien_tensor *v, int64_t step);
mien_status mien__cpu_sgd(const mien_sgd *hyper, mien_tensor *param, mien_tensor *grad,
                          mien_tensor *velocity);
#endif
