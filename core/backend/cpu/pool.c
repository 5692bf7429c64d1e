/* max_pool2d, avg_pool2d and global_avg_pool on plain and blocked activations.
 * Not here: shapes (ops/). */
#include "cpu.h"
#include <math.h>

typedef struct window {
    int64_t groups; /* images times channel blocks */
    int64_t h, w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, top, left;
} window;

/* max_pool2d's and avg_pool2d's attributes are the same. */
static window window_of(const mien_op_call *call, const mien_tensor *out, int block) {
    const mien_max_pool2d_attr *a = call->attr;
    const mien_tensor *in = call->in[0];
    int64_t b = block ? block : 1;
    return (window){in->shape[0] * ((in->shape[1] + b - 1) / b),
                    in->shape[2],
                    in->shape[3],
                    out->shape[2],
                    out->shape[3],
                    (int64_t)a->kernel_h,
                    (int64_t)a->kernel_w,
                    (int64_t)a->stride_h,
                    (int64_t)a->stride_w,
                    (int64_t)a->pad_top,
                    (int64_t)a->pad_left};
}

/* The rows [*i0,*i1) and columns [*j0,*j1) of the window at (oh, ow) that lie in the picture. */
static inline void clip(const window *w, int64_t oh, int64_t ow, int64_t *i0, int64_t *i1,
                        int64_t *j0, int64_t *j1) {
    int64_t y = oh * w->stride_h - w->top, x = ow * w->stride_w - w->left;
    *i0 = y < 0 ? -y : 0;
    *i1 = mien__min64(w->kernel_h, w->h - y);
    *j0 = x < 0 ? -x : 0;
    *j1 = mien__min64(w->kernel_w, w->w - x);
}

#define INLINE static inline __attribute__((always_inline))
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

/* ---- maximum ----------------------------------------------------------------------------------
 */

/* index: the place of the maximum in its window, row by row. */
INLINE void max_group(int block, const window *w, const float *restrict x, float *restrict y,
                      int32_t *restrict index) {
    for (int64_t oh = 0; oh < w->out_h; oh++)
        for (int64_t ow = 0; ow < w->out_w; ow++) {
            int64_t i0, i1, j0, j1;
            clip(w, oh, ow, &i0, &i1, &j0, &j1);
            float best[16];
            int32_t where[16];
            for (int k = 0; k < block; k++) {
                best[k] = -INFINITY;
                where[k] = (int32_t)(i0 * w->kernel_w + j0);
            }
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++) {
                    int64_t row = oh * w->stride_h - w->top + i,
                            column = ow * w->stride_w - w->left + j;
                    const float *v = x + (row * w->w + column) * block;
                    int32_t place = (int32_t)(i * w->kernel_w + j);
                    for (int k = 0; k < block; k++) {
                        bool wins = (v[k] > best[k]) | (v[k] != v[k]); /* NaN shows */
                        best[k] = wins ? v[k] : best[k];
                        where[k] = wins ? place : where[k];
                    }
                }
            int64_t to = (oh * w->out_w + ow) * block;
            for (int k = 0; k < block; k++) {
                y[to + k] = best[k];
                index[to + k] = where[k];
            }
        }
}

INLINE void max_group_gradient(int block, const window *w, const float *restrict dy,
                               const int32_t *restrict index, float *restrict dx) {
    memset(dx, 0, (size_t)(w->h * w->w * block) * sizeof *dx);
    for (int64_t oh = 0; oh < w->out_h; oh++)
        for (int64_t ow = 0; ow < w->out_w; ow++) {
            int64_t i0, i1, j0, j1, from = (oh * w->out_w + ow) * block;
            clip(w, oh, ow, &i0, &i1, &j0, &j1);
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++) {
                    int64_t row = oh * w->stride_h - w->top + i,
                            column = ow * w->stride_w - w->left + j;
                    float *to = dx + (row * w->w + column) * block;
                    int32_t place = (int32_t)(i * w->kernel_w + j);
                    for (int k = 0; k < block; k++)
                        to[k] += index[from + k] == place ? dy[from + k] : 0;
                }
        }
}

MIEN_CLONES static void max_one(int block, const window *w, const float *x, float *y,
                                int32_t *index) {
    WITH_BLOCK(max_group, w, x, y, index);
}

MIEN_CLONES static void max_one_gradient(int block, const window *w, const float *dy,
                                         const int32_t *index, float *dx) {
    WITH_BLOCK(max_group_gradient, w, dy, index, dx);
}

mien_status mien__cpu_max_pool2d_forward(mien_op_call *call) {
    int block = call->in[0]->block, lanes = block ? block : 1;
    mien_tensor *out = call->out[0], *index = call->out[1];
    mien_tensor *in = mien__cpu_as(call->in[0], block);
    if (!in) return MIEN_ERR_MEMORY;
    mien_status status = mien__tensor_alloc(out, block);
    if (status == MIEN_OK) status = mien__tensor_alloc(index, block);
    if (status == MIEN_OK) {
        window w = window_of(call, out, block);
        const float *x = mien__cpu_f32(in);
        float *y = mien__cpu_f32(out);
        int32_t *where = mien__cpu_ptr(index);
        int64_t from = w.h * w.w * lanes, to = w.out_h * w.out_w * lanes;
#pragma omp parallel for
        for (int64_t g = 0; g < w.groups; g++)
            max_one(lanes, &w, x + g * from, y + g * to, where + g * to);
    }
    mien_tensor_release(in);
    return status;
}

/* `index` lies in the layout that the input had in forward; the gradient goes there as well. */
mien_status mien__cpu_max_pool2d_backward(mien_op_call *call) {
    mien_tensor *index = call->out[1], *din = call->din[0];
    int block = index->block, lanes = block ? block : 1;
    mien_tensor *dout = mien__cpu_as(call->dout[0], block);
    if (!dout) return MIEN_ERR_MEMORY;
    mien_status status = mien__tensor_alloc(din, block);
    if (status == MIEN_OK) {
        window w = window_of(call, dout, block);
        const float *dy = mien__cpu_f32(dout);
        float *dx = mien__cpu_f32(din);
        const int32_t *where = mien__cpu_ptr(index);
        int64_t to = w.h * w.w * lanes, from = w.out_h * w.out_w * lanes;
#pragma omp parallel for
        for (int64_t g = 0; g < w.groups; g++)
            max_one_gradient(lanes, &w, dy + g * from, where + g * from, dx + g * to);
    }
    mien_tensor_release(dout);
    return status;
}

/* ---- mean -------------------------------------------------------------------------------------
 */

INLINE void mean_group(int block, const window *w, const float *restrict x, float *restrict y) {
    for (int64_t oh = 0; oh < w->out_h; oh++)
        for (int64_t ow = 0; ow < w->out_w; ow++) {
            int64_t i0, i1, j0, j1, to = (oh * w->out_w + ow) * block;
            clip(w, oh, ow, &i0, &i1, &j0, &j1);
            float sum[16] = {0}, share = 1.0f / (float)((i1 - i0) * (j1 - j0));
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++) {
                    int64_t row = oh * w->stride_h - w->top + i,
                            column = ow * w->stride_w - w->left + j;
                    const float *v = x + (row * w->w + column) * block;
                    for (int k = 0; k < block; k++) sum[k] += v[k];
                }
            for (int k = 0; k < block; k++) y[to + k] = sum[k] * share;
        }
}

INLINE void mean_group_gradient(int block, const window *w, const float *restrict dy,
                                float *restrict dx) {
    memset(dx, 0, (size_t)(w->h * w->w * block) * sizeof *dx);
    for (int64_t oh = 0; oh < w->out_h; oh++)
        for (int64_t ow = 0; ow < w->out_w; ow++) {
            int64_t i0, i1, j0, j1;
            clip(w, oh, ow, &i0, &i1, &j0, &j1);
            const float *from = dy + (oh * w->out_w + ow) * block;
            float share = 1.0f / (float)((i1 - i0) * (j1 - j0));
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++) {
                    int64_t row = oh * w->stride_h - w->top + i,
                            column = ow * w->stride_w - w->left + j;
                    float *to = dx + (row * w->w + column) * block;
                    for (int k = 0; k < block; k++) to[k] += from[k] * share;
                }
        }
}

MIEN_CLONES static void mean_one(int block, const window *w, const float *x, float *y) {
    WITH_BLOCK(mean_group, w, x, y);
}

MIEN_CLONES static void mean_one_gradient(int block, const window *w, const float *dy, float *dx) {
    WITH_BLOCK(mean_group_gradient, w, dy, dx);
}

mien_status mien__cpu_avg_pool2d_forward(mien_op_call *call) {
    int block = call->in[0]->block, lanes = block ? block : 1;
    mien_tensor *out = call->out[0], *in = mien__cpu_as(call->in[0], block);
    if (!in) return MIEN_ERR_MEMORY;
    mien_status status = mien__tensor_alloc(out, block);
    if (status == MIEN_OK) {
        window w = window_of(call, out, block);
        const float *x = mien__cpu_f32(in);
        float *y = mien__cpu_f32(out);
#pragma omp parallel for
        for (int64_t g = 0; g < w.groups; g++)
            mean_one(lanes, &w, x + g * w.h * w.w * lanes, y + g * w.out_h * w.out_w * lanes);
    }
    mien_tensor_release(in);
    return status;
}

mien_status mien__cpu_avg_pool2d_backward(mien_op_call *call) {
    int block = call->in[0]->block, lanes = block ? block : 1;
    mien_tensor *din = call->din[0], *dout = mien__cpu_as(call->dout[0], block);
    if (!dout) return MIEN_ERR_MEMORY;
    mien_status status = mien__tensor_alloc(din, block);
    if (status == MIEN_OK) {
        window w = window_of(call, dout, block);
        const float *dy = mien__cpu_f32(dout);
        float *dx = mien__cpu_f32(din);
#pragma omp parallel for
        for (int64_t g = 0; g < w.groups; g++)
            mean_one_gradient(lanes, &w, dy + g * w.out_h * w.out_w * lanes,
                              dx + g * w.h * w.w * lanes);
    }
    mien_tensor_release(dout);
    return status;
}

/* ---- mean over the whole picture --------------------------------------------------------------
 */

INLINE void global_group(int block, const float *restrict x, int64_t pixels, float *restrict mean) {
    double total[16] = {0};
    for (int64_t p0 = 0; p0 < pixels; p0 += 64) { /* short float sums, added up in double */
        float sum[16] = {0};
        int64_t p1 = mien__min64(pixels, p0 + 64);
        for (int64_t p = p0; p < p1; p++)
            for (int k = 0; k < block; k++) sum[k] += x[p * block + k];
        for (int k = 0; k < block; k++) total[k] += sum[k];
    }
    for (int k = 0; k < block; k++) mean[k] = (float)(total[k] / (double)pixels);
}

INLINE void global_group_gradient(int block, float *restrict dx, int64_t pixels,
                                  const float *restrict share) {
    for (int64_t p = 0; p < pixels; p++)
        for (int k = 0; k < block; k++) dx[p * block + k] = share[k];
}

MIEN_CLONES static void global_one(int block, const float *x, int64_t pixels, float *mean) {
    WITH_BLOCK(global_group, x, pixels, mean);
}

MIEN_CLONES static void global_one_gradient(int block, float *dx, int64_t pixels,
                                            const float *share) {
    WITH_BLOCK(global_group_gradient, dx, pixels, share);
}

mien_status mien__cpu_global_avg_pool_forward(mien_op_call *call) {
    int block = call->in[0]->block, lanes = block ? block : 1;
    mien_tensor *out = call->out[0], *in = mien__cpu_as(call->in[0], block);
    if (!in) return MIEN_ERR_MEMORY;
    mien_status status = mien__tensor_alloc(out, 0);
    if (status == MIEN_OK) {
        int64_t channels = in->shape[1], pixels = in->shape[2] * in->shape[3];
        int64_t groups = (channels + lanes - 1) / lanes, items = in->shape[0] * groups;
        const float *x = mien__cpu_f32(in);
        float *y = mien__cpu_f32(out);
#pragma omp parallel for if (items * pixels * lanes > MIEN_PARALLEL_FLOATS)
        for (int64_t i = 0; i < items; i++) {
            int64_t n = i / groups, c = i % groups * lanes;
            float mean[16];
            global_one(lanes, x + i * pixels * lanes, pixels, mean);
            memcpy(y + n * channels + c, mean,
                   (size_t)mien__min64(lanes, channels - c) * sizeof *y);
        }
    }
    mien_tensor_release(in);
    return status;
}

mien_status mien__cpu_global_avg_pool_backward(mien_op_call *call) {
    int block = call->in[0]->block, lanes = block ? block : 1;
    mien_tensor *din = call->din[0], *dout = mien__cpu_as(call->dout[0], 0);
    if (!dout) return MIEN_ERR_MEMORY;
    mien_status status = mien__tensor_alloc(din, block);
    if (status == MIEN_OK) {
        int64_t channels = din->shape[1], pixels = din->shape[2] * din->shape[3];
        int64_t groups = (channels + lanes - 1) / lanes, items = din->shape[0] * groups;
        const float *dy = mien__cpu_f32(dout);
        float *dx = mien__cpu_f32(din);
#pragma omp parallel for if (items * pixels * lanes > MIEN_PARALLEL_FLOATS)
        for (int64_t i = 0; i < items; i++) {
            int64_t n = i / groups, c = i % groups * lanes;
            float share[16] = {0};
            for (int64_t k = 0; k < mien__min64(lanes, channels - c); k++)
                share[k] = dy[n * channels + c + k] / (float)pixels;
            global_one_gradient(lanes, dx + i * pixels * lanes, pixels, share);
        }
    }
    mien_tensor_release(dout);
    return status;
}
