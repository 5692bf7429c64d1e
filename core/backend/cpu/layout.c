/* Copies between layouts: plain, strided, nChw8c and nChw16c, in f32 with all threads.
 * Not here: conversions between dtypes, which are tensor/'s. */
#include "cpu.h"
#include <stdio.h>

int64_t mien__cpu_floats(const mien_tensor *t, int block) {
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= i == 1 && block ? mien__round_up(t->shape[i], block) : t->shape[i];
    return n;
}

bool mien__cpu_dense(const mien_tensor *t) {
    return t->block > 0 || mien__tensor_is_contiguous(t);
}

static bool is_float(const mien_tensor *t) {
    return !t || t->dtype == MIEN_F32 || t->dtype == MIEN_BF16;
}

bool mien__cpu_all_floats(const mien_op_call *call) {
    for (int i = 0; i < MIEN_OP_MAX_IN; i++) {
        bool classes = i == 1 && call->op == MIEN_OP_softmax_cross_entropy;
        if ((!classes && !is_float(call->in[i])) || !is_float(call->din[i])) return false;
    }
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++)
        if (!is_float(call->dout[i])) return false;
    return true;
}

void mien__cpu_set_implementation(mien_op_call *call, const char *implementation) {
    if (call->implementation)
        memcpy(call->implementation, implementation,
               mien__min64((int64_t)strlen(implementation) + 1, 63));
}

void mien__cpu_add_implementation(mien_op_call *call, const char *implementation) {
    if (!call->implementation || strcmp(call->implementation, implementation) == 0) return;
    char both[128];
    snprintf(both, sizeof both, "%s%s%s", call->implementation, *call->implementation ? " + " : "",
             implementation);
    both[63] = '\0';
    mien__cpu_set_implementation(call, both);
}

mien_tensor *mien__cpu_scratch(int64_t n) {
    return mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 1, &n);
}

mien_tensor *mien__cpu_bytes(int64_t n) {
    return mien_tensor_new(MIEN_U8, MIEN_DEVICE_CPU, 1, &n);
}

mien_tensor *mien__cpu_as_layout(mien_tensor *t, int block) {
    return mien__cpu_as_dtype(t, block, t->dtype);
}

mien_tensor *mien__cpu_as_dtype(mien_tensor *t, int block, mien_dtype dtype) {
    if (t->block == block && t->dtype == dtype && mien__cpu_dense(t)) return mien_tensor_retain(t);
    mien_tensor *dense = mien__tensor_header(dtype, t->device, t->ndim, t->shape);
    if (!dense) return NULL;
    if (mien__tensor_alloc(dense, block) != MIEN_OK || mien__cpu_copy(dense, t) != MIEN_OK) {
        mien_tensor_release(dense);
        return NULL;
    }
    return dense;
}

/* ---- plain <-> blocked ----------------------------------------------------------------------- */

/* One image and channel block: `rows` of `block` channels lie in `plain`, `plane` apart. */
MIEN_CLONES(void, block_rows,
            (float *restrict blocked, const float *restrict plain, int rows, int block,
             int64_t pixels, int64_t plane),
            (blocked, plain, rows, block, pixels, plane)) {
    for (int64_t p = 0; p < pixels; p++) {
        float *out = blocked + p * block;
        for (int c = 0; c < rows; c++) out[c] = plain[c * plane + p];
        for (int c = rows; c < block; c++) out[c] = 0;
    }
}

MIEN_CLONES(void, unblock_rows,
            (float *restrict plain, const float *restrict blocked, int rows, int block,
             int64_t pixels, int64_t plane),
            (plain, blocked, rows, block, pixels, plane)) {
    for (int64_t p0 = 0; p0 < pixels; p0 += 16) {
        int64_t p1 = mien__min64(pixels, p0 + 16);
        for (int c = 0; c < rows; c++)
            for (int64_t p = p0; p < p1; p++) plain[c * plane + p] = blocked[p * block + c];
    }
}

static void reblock(mien_tensor *dst, mien_tensor *src, int block) {
    int64_t channels = dst->shape[1], pixels = dst->shape[2] * dst->shape[3];
    int64_t blocks = (channels + block - 1) / block, items = dst->shape[0] * blocks;
    float *to = mien__cpu_f32(dst), *from = mien__cpu_f32(src);
#pragma omp parallel for if (items * pixels * block > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < items; i++) {
        int64_t n = i / blocks, c = i % blocks * block;
        int64_t plain = (n * channels + c) * pixels, blocked = i * block * pixels;
        int rows = (int)mien__min64(block, channels - c);
        if (dst->block)
            block_rows(to + blocked, from + plain, rows, block, pixels, pixels);
        else
            unblock_rows(to + plain, from + blocked, rows, block, pixels, pixels);
    }
}

/* ---- dense ------------------------------------------------------------------------------------
 */

static void copy_dense(void *dst, const void *src, size_t bytes) {
    int64_t chunk = 1 << 16, chunks = ((int64_t)bytes + chunk - 1) / chunk;
#pragma omp parallel for if (chunks > 1)
    for (int64_t i = 0; i < chunks; i++) {
        int64_t at = i * chunk;
        memcpy((char *)dst + at, (const char *)src + at,
               (size_t)mien__min64(chunk, (int64_t)bytes - at));
    }
}

/* f32 to bf16 or back, in one layout. */
static void convert_dense(mien_tensor *dst, mien_tensor *src) {
    int64_t n = mien__cpu_floats(dst, dst->block), chunk = 1 << 14;
#pragma omp parallel for if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t at = 0; at < n; at += chunk) {
        int64_t length = mien__min64(chunk, n - at);
        if (dst->dtype == MIEN_BF16)
            mien__cpu_written(dst, at, length, mien__cpu_f32(src) + at);
        else
            mien__cpu_read(src, at, length, mien__cpu_f32(dst) + at);
    }
}

static bool is_rounding(const mien_tensor *dst, const mien_tensor *src) {
    return (dst->dtype == MIEN_F32 && src->dtype == MIEN_BF16) ||
           (dst->dtype == MIEN_BF16 && src->dtype == MIEN_F32);
}

mien_status mien__cpu_copy(mien_tensor *dst, mien_tensor *src) {
    if (mien_tensor_count(dst) == 0) return MIEN_OK;
    if (is_rounding(dst, src) && dst->block == src->block && mien__cpu_dense(dst) &&
        mien__cpu_dense(src)) {
        convert_dense(dst, src);
        mien__tensor_touch(dst);
        return MIEN_OK;
    }
    if (dst->dtype != MIEN_F32 || src->dtype != MIEN_F32) return mien__host_copy(dst, src);
    if (dst->block == src->block && mien__cpu_dense(dst) && mien__cpu_dense(src)) {
        copy_dense(mien__cpu_ptr(dst), mien__cpu_ptr(src),
                   (size_t)mien__cpu_floats(dst, dst->block) * sizeof(float));
    } else if (!dst->block == !src->block) { /* strided; two block sizes meet only in tests */
        return mien__host_copy(dst, src);
    } else {
        mien_tensor *plain = dst->block ? src : dst;
        if (mien__tensor_is_contiguous(plain)) {
            reblock(dst, src, dst->block ? dst->block : src->block);
        } else { /* through a contiguous copy */
            mien_tensor *dense = mien__cpu_as_layout(src, 0);
            if (!dense) return mien_error_last()->code;
            mien_status status = mien__cpu_copy(dst, dense);
            mien_tensor_release(dense);
            return status;
        }
    }
    mien__tensor_touch(dst);
    return MIEN_OK;
}

mien_status mien__cpu_fill(mien_tensor *t, double value) {
    if (t->dtype != MIEN_F32 || t->block || !mien__tensor_is_contiguous(t))
        return mien__host_fill(t, value);
    float *x = mien__cpu_f32(t), number = (float)value;
    int64_t n = mien_tensor_count(t);
#pragma omp parallel for simd if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < n; i++) x[i] = number;
    mien__tensor_touch(t);
    return MIEN_OK;
}

/* ---- every second pixel ---------------------------------------------------------------------- */

/* Copies between a map and the pixels of it that a stride meets. */
static void pick_pixels(mien_tensor *few, mien_tensor *all, int64_t stride_h, int64_t stride_w,
                        bool back) {
    int64_t block = few->block ? few->block : 1, h = all->shape[2], w = all->shape[3];
    int64_t few_h = few->shape[2], few_w = few->shape[3];
    int64_t groups = few->shape[0] * ((few->shape[1] + block - 1) / block);
    char *dense = mien__cpu_ptr(few), *map = mien__cpu_ptr(all);
    int64_t pixel = block * (int64_t)mien_dtype_size(few->dtype);
#pragma omp parallel for schedule(static) if (groups * few_h * few_w * block > MIEN_PARALLEL_FLOATS)
    for (int64_t g = 0; g < groups; g++) {
        if (back) memset(map + g * h * w * pixel, 0, (size_t)(h * w * pixel));
        for (int64_t i = 0; i < few_h; i++)
            for (int64_t j = 0; j < few_w; j++) {
                char *a = dense + ((g * few_h + i) * few_w + j) * pixel;
                char *b = map + ((g * h + i * stride_h) * w + j * stride_w) * pixel;
                memcpy(back ? b : a, back ? a : b, (size_t)pixel);
            }
    }
}

void mien__cpu_gather_pixels(mien_tensor *few, mien_tensor *all, int64_t stride_h,
                             int64_t stride_w) {
    pick_pixels(few, all, stride_h, stride_w, false);
}

void mien__cpu_scatter_pixels(mien_tensor *all, mien_tensor *few, int64_t stride_h,
                              int64_t stride_w) {
    pick_pixels(few, all, stride_h, stride_w, true);
}
