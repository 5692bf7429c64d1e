/* max_pool2d, avg_pool2d and global_avg_pool; the windows slide over blocked activations.
 * Not here: shapes (ops/). */
#include "lanes.h"
#include "ops/infer.h"
#include <math.h>
#include <omp.h>

typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t v8i __attribute__((vector_size(32), aligned(4), may_alias));

typedef struct window {
    int64_t groups; /* images times channel blocks */
    int64_t h, w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, top, left;
} window;

/* max_pool2d's and avg_pool2d's attributes are the same. */
static window window_of(const mien_op_call *call, const mien_tensor *out, int block) {
    const mien_max_pool2d_attr *a = call->attr;
    const int64_t *in = call->in[0]->shape;
    return (window){.groups = in[0] * ((in[1] + block - 1) / block),
                    .h = in[2],
                    .w = in[3],
                    .out_h = out->shape[2],
                    .out_w = out->shape[3],
                    .kernel_h = (int64_t)a->kernel_h,
                    .kernel_w = (int64_t)a->kernel_w,
                    .stride_h = (int64_t)a->stride_h,
                    .stride_w = (int64_t)a->stride_w,
                    .top = (int64_t)a->pad_top,
                    .left = (int64_t)a->pad_left};
}

/* The rows [*i0,*i1) and columns [*j0,*j1) of the window at (oh, ow) that lie in the picture; gives
 * the window's first pixel, which may lie outside. */
static inline int64_t clip(const window *w, int64_t oh, int64_t ow, int64_t *i0, int64_t *i1,
                           int64_t *j0, int64_t *j1) {
    int64_t y = oh * w->stride_h - w->top, x = ow * w->stride_w - w->left;
    *i0 = y < 0 ? -y : 0;
    *i1 = mien__min64(w->kernel_h, w->h - y);
    *j0 = x < 0 ? -x : 0;
    *j1 = mien__min64(w->kernel_w, w->w - x);
    return y * w->w + x;
}

/* ---- eight channels of one image ---------------------------------------------------------------
 *
 * `block` floats lie between one pixel and the next. Eight lanes, not sixteen: GCC 12 takes 512-bit
 * comparisons that serve two choices apart, lane by lane. */

/* index: the place of the first maximum in its plane; a NaN is larger than everything. */
MIEN_INLINE void max_8(int block, const window *w, const float *x, float *y, int32_t *index) {
    for (int64_t oh = 0; oh < w->out_h; oh++)
        for (int64_t ow = 0; ow < w->out_w; ow++) {
            int64_t i0, i1, j0, j1, to = (oh * w->out_w + ow) * block;
            int64_t first = clip(w, oh, ow, &i0, &i1, &j0, &j1);
            v8 best = (v8){0} - INFINITY;
            v8i where = (v8i){0} + (int32_t)(first + i0 * w->w + j0);
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++) {
                    v8 v;
                    int64_t at = first + i * w->w + j;
                    memcpy(&v, x + at * block, sizeof v);
                    v8i place = (v8i){0} + (int32_t)at;
                    v8i wins = ~(v <= best) & (best == best);
                    best = (v8)((wins & (v8i)v) | (~wins & (v8i)best));
                    where = (wins & place) | (~wins & where);
                }
            memcpy(y + to, &best, sizeof best);
            memcpy(index + to, &where, sizeof where);
        }
}

MIEN_INLINE void max_gradient_8(int block, const window *w, const float *dy, const int32_t *index,
                                float *dx) {
    for (int64_t oh = 0; oh < w->out_h; oh++)
        for (int64_t ow = 0; ow < w->out_w; ow++) {
            int64_t i0, i1, j0, j1, from = (oh * w->out_w + ow) * block;
            int64_t first = clip(w, oh, ow, &i0, &i1, &j0, &j1);
            v8 d;
            v8i where;
            memcpy(&d, dy + from, sizeof d);
            memcpy(&where, index + from, sizeof where);
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++) {
                    v8 sum;
                    int64_t at = first + i * w->w + j;
                    v8i here = where == (v8i){0} + (int32_t)at;
                    memcpy(&sum, dx + at * block, sizeof sum);
                    sum += (v8)(here & (v8i)d);
                    memcpy(dx + at * block, &sum, sizeof sum);
                }
        }
}

MIEN_INLINE void mean_8(int block, const window *w, const float *x, float *y) {
    for (int64_t oh = 0; oh < w->out_h; oh++)
        for (int64_t ow = 0; ow < w->out_w; ow++) {
            int64_t i0, i1, j0, j1;
            const float *from = x + clip(w, oh, ow, &i0, &i1, &j0, &j1) * block;
            v8 sum = {0}, v;
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++) {
                    memcpy(&v, from + (i * w->w + j) * block, sizeof v);
                    sum += v;
                }
            sum *= 1.0f / (float)((i1 - i0) * (j1 - j0));
            memcpy(y + (oh * w->out_w + ow) * block, &sum, sizeof sum);
        }
}

MIEN_INLINE void mean_gradient_8(int block, const window *w, const float *dy, float *dx) {

    for (int64_t oh = 0; oh < w->out_h; oh++)
        for (int64_t ow = 0; ow < w->out_w; ow++) {
            int64_t i0, i1, j0, j1;
            float *to = dx + clip(w, oh, ow, &i0, &i1, &j0, &j1) * block;
            v8 d, sum;
            memcpy(&d, dy + (oh * w->out_w + ow) * block, sizeof d);
            d *= 1.0f / (float)((i1 - i0) * (j1 - j0));
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++) {
                    memcpy(&sum, to + (i * w->w + j) * block, sizeof sum);
                    sum += d;
                    memcpy(to + (i * w->w + j) * block, &sum, sizeof sum);
                }
        }
}

MIEN_CLONES(void, max_one, (int block, const window *w, const float *x, float *y, int32_t *index),
            (block, w, x, y, index)) {
    for (int i = 0; i < block; i += 8) max_8(block, w, x + i, y + i, index + i);
}

MIEN_CLONES(void, max_one_gradient,
            (int block, const window *w, const float *dy, const int32_t *index, float *dx),
            (block, w, dy, index, dx)) {
    memset(dx, 0, (size_t)(w->h * w->w * block) * sizeof *dx);
    for (int i = 0; i < block; i += 8) max_gradient_8(block, w, dy + i, index + i, dx + i);
}

MIEN_CLONES(void, mean_one, (int block, const window *w, const float *x, float *y),
            (block, w, x, y)) {
    for (int i = 0; i < block; i += 8) mean_8(block, w, x + i, y + i);
}

MIEN_CLONES(void, mean_one_gradient, (int block, const window *w, const float *dy, float *dx),
            (block, w, dy, dx)) {
    memset(dx, 0, (size_t)(w->h * w->w * block) * sizeof *dx);
    for (int i = 0; i < block; i += 8) mean_gradient_8(block, w, dy + i, dx + i);
}

/* The layout to work in: the activation's own, or the machine's when it comes plain. */
static int block_of(const mien_tensor *t) {
    return t->block ? t->block : mien__cpu_block();
}

/* A place for each thread to keep a map of bf16 in as floats, `each` of them; none for f32. */
typedef struct rooms {
    mien_tensor *floats;
    int64_t each;
} rooms;

static mien_status rooms_start(rooms *r, const mien_tensor *t, int64_t each) {
    *r = (rooms){NULL, t->dtype == MIEN_BF16 ? each : 0};
    r->floats = mien__cpu_scratch(r->each * mien__cpu_threads());
    return r->floats ? MIEN_OK : mien_error_last()->code;
}

static float *room_of(const rooms *r) {
    return mien__cpu_f32(r->floats) + r->each * omp_get_thread_num();
}

/* ---- windows --------------------------------------------------------------------------------- */

static mien_status pool_forward(mien_op_call *call, mien_tensor *index) {
    int block = block_of(call->in[0]);
    mien_tensor *out = call->out[0], *in = mien__cpu_as_layout(call->in[0], block);
    if (!in) return mien_error_last()->code;
    mien_status status = mien__tensor_alloc(out, block);
    if (status == MIEN_OK && index) status = mien__tensor_alloc(index, block);
    if (status == MIEN_OK) {
        window w = window_of(call, out, block);
        int32_t *where = index ? mien__cpu_ptr(index) : NULL;
        int64_t from = w.h * w.w * block, to = w.out_h * w.out_w * block;
        rooms rooms;
        if ((status = rooms_start(&rooms, in, from + to)) == MIEN_OK) {
#pragma omp parallel for schedule(static) if (w.groups * from > MIEN_PARALLEL_FLOATS)
            for (int64_t g = 0; g < w.groups; g++) {
                float *room = room_of(&rooms), *y = mien__cpu_write_to(out, g * to, room + from);
                const float *x = mien__cpu_read(in, g * from, from, room);
                if (where)
                    max_one(block, &w, x, y, where + g * to);
                else
                    mean_one(block, &w, x, y);
                mien__cpu_written(out, g * to, to, y);
            }
            mien_tensor_release(rooms.floats);
        }
        mien__cpu_set_implementation(call, "own:blocked");
    }
    mien_tensor_release(in);
    return status;
}

/* The gradient lies as the input did in forward. */
static mien_status pool_backward(mien_op_call *call, mien_tensor *index) {
    int block = block_of(call->in[0]);
    mien_tensor *din = call->din[0], *dout = mien__cpu_as_layout(call->dout[0], block);
    if (!dout) return mien_error_last()->code;
    if (index && !(index = mien__cpu_as_layout(index, block))) {
        mien_tensor_release(dout);
        return mien_error_last()->code;
    }
    mien_status status = mien__tensor_alloc(din, block);
    if (status == MIEN_OK) {
        window w = window_of(call, dout, block);
        const int32_t *where = index ? mien__cpu_ptr(index) : NULL;
        int64_t to = w.h * w.w * block, from = w.out_h * w.out_w * block;
        rooms rooms;
        if ((status = rooms_start(&rooms, din, from + to)) == MIEN_OK) {
#pragma omp parallel for schedule(static) if (w.groups * to > MIEN_PARALLEL_FLOATS)
            for (int64_t g = 0; g < w.groups; g++) {
                float *room = room_of(&rooms), *dx = mien__cpu_write_to(din, g * to, room + from);
                const float *dy = mien__cpu_read(dout, g * from, from, room);
                if (where)
                    max_one_gradient(block, &w, dy, where + g * from, dx);
                else
                    mean_one_gradient(block, &w, dy, dx);
                mien__cpu_written(din, g * to, to, dx);
            }
            mien_tensor_release(rooms.floats);
        }
        mien__cpu_set_implementation(call, "own:blocked");
    }
    mien_tensor_release(index);
    mien_tensor_release(dout);
    return status;
}

mien_status mien__cpu_max_pool2d_forward(mien_op_call *call) {
    if (mien__is_quantised(call->in[0])) return mien__cpu_int8_max_pool2d(call);
    return pool_forward(call, call->out[1]);
}

mien_status mien__cpu_max_pool2d_backward(mien_op_call *call) {
    return pool_backward(call, call->out[1]);
}

mien_status mien__cpu_avg_pool2d_forward(mien_op_call *call) {
    return pool_forward(call, NULL);
}

mien_status mien__cpu_avg_pool2d_backward(mien_op_call *call) {
    return pool_backward(call, NULL);
}

/* Runs `kernel` with the block as a constant, so that its lanes become registers. */
#define WITH_BLOCK(kernel, ...)                                                                    \
    do {                                                                                           \
        if (block == 16)                                                                           \
            kernel(16, __VA_ARGS__);                                                               \
        else if (block == 8)                                                                       \
            kernel(8, __VA_ARGS__);                                                                \
        else                                                                                       \
            kernel(1, __VA_ARGS__);                                                                \
    } while (0)

/* ---- mean over the whole picture ------------------------------------------------------------- */

MIEN_INLINE void global_group(int block, bool half, const void *x, int64_t pixels, float *mean) {
    double total[16] = {0};
    for (int64_t p0 = 0; p0 < pixels; p0 += 64) { /* short float sums, added up in double */
        float sum[16] = {0};
        int64_t p1 = mien__min64(pixels, p0 + 64);
        for (int64_t p = p0; p < p1; p++)
            for (int k = 0; k < block; k++) sum[k] += mien__lane_load(half, x, p * block + k);
        for (int k = 0; k < block; k++) total[k] += sum[k];
    }
    for (int k = 0; k < block; k++) mean[k] = (float)(total[k] / (double)pixels);
}

MIEN_INLINE void global_group_gradient(int block, bool half, void *dx, int64_t pixels,
                                       const float *share) {
    for (int64_t p = 0; p < pixels; p++)
        for (int k = 0; k < block; k++) mien__lane_store(half, dx, p * block + k, share[k]);
}

MIEN_CLONES(void, global_one, (int block, bool half, const void *x, int64_t pixels, float *mean),
            (block, half, x, pixels, mean)) {
    if (half)
        WITH_BLOCK(global_group, true, x, pixels, mean);
    else
        WITH_BLOCK(global_group, false, x, pixels, mean);
}

MIEN_CLONES(void, global_one_gradient,
            (int block, bool half, void *dx, int64_t pixels, const float *share),
            (block, half, dx, pixels, share)) {
    if (half)
        WITH_BLOCK(global_group_gradient, true, dx, pixels, share);
    else
        WITH_BLOCK(global_group_gradient, false, dx, pixels, share);
}

mien_status mien__cpu_global_avg_pool_forward(mien_op_call *call) {
    if (mien__is_quantised(call->in[0])) return mien__cpu_int8_global_avg_pool(call);
    int block = call->in[0]->block, lanes = block ? block : 1;
    mien_tensor *out = call->out[0], *in = mien__cpu_as_layout(call->in[0], block);
    if (!in) return mien_error_last()->code;
    mien_status status = mien__tensor_alloc(out, 0);
    if (status == MIEN_OK) {
        int64_t channels = in->shape[1], pixels = in->shape[2] * in->shape[3];
        int64_t groups = (channels + lanes - 1) / lanes, items = in->shape[0] * groups;
        bool half = in->dtype == MIEN_BF16;
        const void *x = mien__cpu_ptr(in);
        void *y = mien__cpu_ptr(out);
#pragma omp parallel for if (items * pixels * lanes > MIEN_PARALLEL_FLOATS)
        for (int64_t i = 0; i < items; i++) {
            int64_t n = i / groups, c = i % groups * lanes;
            float mean[16];
            global_one(lanes, half, mien__lane_at(half, x, i * pixels * lanes), pixels, mean);
            for (int64_t k = 0; k < mien__min64(lanes, channels - c); k++)
                mien__lane_store(half, y, n * channels + c + k, mean[k]);
        }
    }
    mien_tensor_release(in);
    return status;
}

mien_status mien__cpu_global_avg_pool_backward(mien_op_call *call) {
    int block = call->in[0]->block, lanes = block ? block : 1;
    mien_tensor *din = call->din[0], *dout = mien__cpu_as_layout(call->dout[0], 0);
    if (!dout) return mien_error_last()->code;
    mien_status status = mien__tensor_alloc(din, block);
    if (status == MIEN_OK) {
        int64_t channels = din->shape[1], pixels = din->shape[2] * din->shape[3];
        int64_t groups = (channels + lanes - 1) / lanes, items = din->shape[0] * groups;
        bool half = din->dtype == MIEN_BF16;
        const void *dy = mien__cpu_ptr(dout);
        void *dx = mien__cpu_ptr(din);
#pragma omp parallel for if (items * pixels * lanes > MIEN_PARALLEL_FLOATS)
        for (int64_t i = 0; i < items; i++) {
            int64_t n = i / groups, c = i % groups * lanes;
            float share[16] = {0};
            for (int64_t k = 0; k < mien__min64(lanes, channels - c); k++)
                share[k] = mien__lane_load(half, dy, n * channels + c + k) / (float)pixels;
            global_one_gradient(lanes, half, mien__lane_at(half, dx, i * pixels * lanes), pixels,
                                share);
        }
    }
    mien_tensor_release(dout);
    return status;
}
