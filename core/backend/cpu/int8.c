/* Inference in whole numbers on channels-last maps: quantise, conv2d_int8, pooling of u8 and i8.
 * Not here: the choice of primitive (int8_plan.c). */
#include "int8_plan.h"
#include "ops/infer.h"
#include "pack.h"
#include <math.h>

/* Without VNNI oneDNN adds pairs of products in 16 bits, which saturate: such a machine has ref. */
static bool has_vnni(void) {
#if defined(__x86_64__)
    return mien__onednn_has(dnnl_cpu_isa_avx512_core_vnni);
#else
    return false;
#endif
}

bool mien__cpu_int8_supports(const mien_op_call *call) {
    switch (call->op) {
    case MIEN_OP_conv2d_int8:
        return has_vnni() && call->in[2]->dtype == MIEN_F32 && call->in[3]->dtype == MIEN_F32;
    case MIEN_OP_quantise:
        return call->in[0]->dtype == MIEN_F32 && call->in[0]->ndim == 4;
    case MIEN_OP_max_pool2d:
    case MIEN_OP_global_avg_pool:
        return true;
    default:
        return false;
    }
}

/* ---- layout ---------------------------------------------------------------------------------- */

static void set_channels_last(mien_tensor *t) {
    t->stride[1] = 1;
    t->stride[3] = t->shape[1];
    t->stride[2] = t->shape[1] * t->shape[3];
    t->stride[0] = t->shape[1] * t->shape[3] * t->shape[2];
}

static bool is_channels_last(const mien_tensor *t) {
    mien_tensor last = *t;
    set_channels_last(&last);
    if (t->block) return false;
    for (int i = 0; i < 4; i++)
        if (t->shape[i] > 1 && t->stride[i] != last.stride[i]) return false;
    return true;
}

static mien_status alloc_channels_last(mien_tensor *t) {
    MIEN_TRY(mien__tensor_alloc(t, 0));
    set_channels_last(t);
    return MIEN_OK;
}

/* A retained tensor of t's elements that lie channels-last: t itself when they do. */
static mien_tensor *as_channels_last(mien_tensor *t) {
    if (is_channels_last(t)) return mien_tensor_retain(t);
    mien_tensor *last = mien__tensor_header(t->dtype, t->device, 4, t->shape);
    if (last && (alloc_channels_last(last) != MIEN_OK || mien__host_copy(last, t) != MIEN_OK)) {
        mien_tensor_release(last);
        return NULL;
    }
    return last;
}

/* ---- quantise -------------------------------------------------------------------------------- */

enum { TILE = 256 }; /* pixels whose channels are brought together while they are in the cache */

/* lrintf would be slower: it is a call without -ffast-math. Adding 1.5 * 2^23 leaves the nearest
 * whole number, half to even, in the low bits, for what the limits leave over. */
static inline int32_t nearest(float x) {
    union {
        float f;
        int32_t i;
    } u = {.f = x + 12582912.0f};
    return u.i - 0x4B400000;
}

static inline int32_t nearest_of(double x) {
    union {
        double f;
        int64_t i;
    } u = {.f = x + 6755399441055744.0}; /* 1.5 * 2^52 */
    return (int32_t)u.i;
}

typedef struct quantiser {
    double scale;
    float factor, low, high; /* 1 / scale; the limits */
} quantiser;

/* Quantises x by the reciprocal, which errs by less than 1e-4; gives the distance to x / scale. */
MIEN_INLINE float quantise_one(uint8_t *y, float x, const quantiser *q) {
    float v = x * q->factor;
    v = v > q->low ? v : q->low; /* NaN gives low */
    v = v < q->high ? v : q->high;
    int32_t whole = nearest(v);
    *y = (uint8_t)whole;
    return fabsf(v - (float)whole);
}

/* The largest distance tells whether a number lies so near to a half that it may have gone to the
 * wrong side. */
MIEN_CLONES(float, quantise_roughly,
            (uint8_t *restrict y, const float *restrict x, int64_t n, quantiser q), (y, x, n, q)) {
    float widest[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++) {
            float off = quantise_one(y + i + k, x[i + k], &q);
            widest[k] = off > widest[k] ? off : widest[k];
        }
    for (; i < n; i++) {
        float off = quantise_one(y + i, x[i], &q);
        widest[0] = off > widest[0] ? off : widest[0];
    }
    for (int k = 1; k < 16; k++) widest[0] = widest[k] > widest[0] ? widest[k] : widest[0];
    return widest[0];
}

/* As the reference does it. */
MIEN_CLONES(void, quantise_exactly,
            (uint8_t *restrict y, const float *restrict x, int64_t n, quantiser q), (y, x, n, q)) {
    for (int64_t i = 0; i < n; i++) {
        double v = x[i] / q.scale;
        v = v > q.low ? v : q.low;
        v = v < q.high ? v : q.high;
        y[i] = (uint8_t)nearest_of(v);
    }
}

static void quantise_run(uint8_t *y, const float *x, int64_t n, const quantiser *q) {
    if (quantise_roughly(y, x, n, *q) > 0.4999f) quantise_exactly(y, x, n, *q);
}

static void quantise_tile(uint8_t *restrict y, const float *restrict x, int64_t plane,
                          int64_t channels, int64_t n, const quantiser *q) {
    uint8_t row[TILE];
    for (int64_t c = 0; c < channels; c++) {
        quantise_run(row, x + c * plane, n, q);
        for (int64_t i = 0; i < n; i++) y[i * channels + c] = row[i];
    }
}

mien_status mien__cpu_quantise_forward(mien_op_call *call) {
    const mien_quantise_attr *a = call->attr;
    mien_tensor *out = call->out[0], *in = mien__cpu_as_layout(call->in[0], 0);
    if (!in) return mien_error_last()->code;
    mien_status status = alloc_channels_last(out);
    if (status == MIEN_OK) {
        int64_t channels = in->shape[1], plane = in->shape[2] * in->shape[3];
        int64_t tiles = (plane + TILE - 1) / TILE;
        quantiser q = {a->scale, (float)(1 / a->scale), a->is_signed ? INT8_MIN : 0,
                       a->is_signed ? INT8_MAX : UINT8_MAX};
        const float *x = mien__cpu_f32(in);
        uint8_t *y = mien__cpu_ptr(out);
#pragma omp parallel for if (in->shape[0] * channels * plane > MIEN_PARALLEL_FLOATS)
        for (int64_t i = 0; i < in->shape[0] * tiles; i++) {
            int64_t first = i % tiles * TILE, from = i / tiles * channels * plane;
            quantise_tile(y + from + first * channels, x + from + first, plane, channels,
                          mien__min64(TILE, plane - first), &q);
        }
        mien__cpu_set_implementation(call, "own:nhwc");
    }
    mien_tensor_release(in);
    return status;
}

/* ---- convolution ----------------------------------------------------------------------------- */

static dnnl_data_type_t type_of(const mien_tensor *t) {
    return !t ? dnnl_data_type_undef : t->dtype == MIEN_I8 ? dnnl_s8 : dnnl_u8;
}

static mien__int8_case case_of(const mien_op_call *call, const mien_tensor *scale) {
    const mien_conv2d_int8_attr *a = call->attr;
    mien__int8_case c = {.src_type = type_of(call->in[0]),
                         .dst_type = type_of(call->out[0]),
                         .residual_type = type_of(call->in[4]),
                         .relu = a->relu != 0,
                         .residual_scale = (float)a->residual_scale,
                         .scale = mien__cpu_f32(scale)};
    for (int i = 0; i < 4; i++) {
        c.src[i] = call->in[0]->shape[i];
        c.weight[i] = call->in[1]->shape[i];
        c.dst[i] = call->out[0]->shape[i];
    }
    c.stride[0] = (int64_t)a->stride_h, c.stride[1] = (int64_t)a->stride_w;
    c.pad_before[0] = (int64_t)a->pad_top, c.pad_before[1] = (int64_t)a->pad_left;
    c.pad_after[0] = (int64_t)a->pad_bottom, c.pad_after[1] = (int64_t)a->pad_right;
    return c;
}

mien_status mien__cpu_conv2d_int8_forward(mien_op_call *call) {
    mien_tensor *src = as_channels_last(call->in[0]), *weight = mien__cpu_as_layout(call->in[1], 0);
    mien_tensor *bias = mien__cpu_as_layout(call->in[2], 0),
                *scale = mien__cpu_as_layout(call->in[3], 0);
    mien_tensor *residual = call->in[4] ? as_channels_last(call->in[4]) : NULL;
    mien_status status = mien_error_last()->code; /* of what is NULL, if anything */
    if (!src || !weight || !bias || !scale || (call->in[4] && !residual)) goto out;
    mien__primitive *p = NULL;
    mien__int8_case c = case_of(call, scale);
    if ((status = mien__onednn_lock()) != MIEN_OK) goto out;
    if ((status = mien__int8_plan(&c, &p)) == MIEN_OK &&
        (status = alloc_channels_last(call->out[0])) == MIEN_OK) {
        void *data[5] = {mien__cpu_ptr(src), mien__pack(weight, p, 0), mien__cpu_ptr(call->out[0]),
                         mien__cpu_ptr(bias), residual ? mien__cpu_ptr(residual) : NULL};
        status = data[1] ? mien__primitive_run(p, data) : mien_error_last()->code;
        mien__cpu_set_implementation(call, p->name);
    }
    mien__onednn_unlock();
out:
    mien_tensor_release(src);
    mien_tensor_release(weight);
    mien_tensor_release(bias);
    mien_tensor_release(scale);
    mien_tensor_release(residual);
    return status;
}

/* ---- pooling --------------------------------------------------------------------------------- */

/* Signed numbers compare as unsigned ones once their top bit is flipped. */
MIEN_CLONES(void, max_run,
            (uint8_t *restrict y, const uint8_t *restrict x, int64_t n, uint8_t flip),
            (y, x, n, flip)) {
    for (int64_t i = 0; i < n; i++) {
        uint8_t a = y[i] ^ flip, b = x[i] ^ flip;
        y[i] = (a > b ? a : b) ^ flip;
    }
}

/* One row of outputs. */
static void max_row(const mien_max_pool2d_attr *a, const int64_t *in, uint8_t *y, int64_t out_w,
                    const uint8_t *x, int64_t oh, uint8_t flip) {
    int64_t channels = in[1], top = oh * (int64_t)a->stride_h - (int64_t)a->pad_top;
    int64_t h0 = top < 0 ? 0 : top, h1 = mien__min64(in[2], top + (int64_t)a->kernel_h);
    for (int64_t ow = 0; ow < out_w; ow++) {
        int64_t left = ow * (int64_t)a->stride_w - (int64_t)a->pad_left;
        int64_t w0 = left < 0 ? 0 : left, w1 = mien__min64(in[3], left + (int64_t)a->kernel_w);
        uint8_t *best = y + ow * channels;
        memcpy(best, x + (h0 * in[3] + w0) * channels, (size_t)channels);
        for (int64_t h = h0; h < h1; h++)
            for (int64_t w = w0; w < w1; w++)
                max_run(best, x + (h * in[3] + w) * channels, channels, flip);
    }
}

mien_status mien__cpu_int8_max_pool2d(mien_op_call *call) {
    mien_tensor *out = call->out[0], *in = as_channels_last(call->in[0]);
    if (!in) return mien_error_last()->code;
    mien_status status = alloc_channels_last(out);
    if (status == MIEN_OK) {
        int64_t out_h = out->shape[2], row = out->shape[3] * out->shape[1];
        int64_t image = in->shape[1] * in->shape[2] * in->shape[3];
        uint8_t *y = mien__cpu_ptr(out), flip = in->dtype == MIEN_I8 ? 0x80 : 0;
        const uint8_t *x = mien__cpu_ptr(in);
#pragma omp parallel for if (mien_tensor_count(in) > MIEN_PARALLEL_FLOATS)
        for (int64_t i = 0; i < out->shape[0] * out_h; i++)
            max_row(call->attr, in->shape, y + i * row, out->shape[3], x + i / out_h * image,
                    i % out_h, flip);
        mien__cpu_set_implementation(call, "own:nhwc");
    }
    mien_tensor_release(in);
    return status;
}

MIEN_CLONES(void, add_unsigned, (int32_t *restrict sum, const uint8_t *restrict x, int64_t n),
            (sum, x, n)) {
    for (int64_t i = 0; i < n; i++) sum[i] += x[i];
}

MIEN_CLONES(void, add_signed, (int32_t *restrict sum, const int8_t *restrict x, int64_t n),
            (sum, x, n)) {
    for (int64_t i = 0; i < n; i++) sum[i] += x[i];
}

/* The mean of up to CHANNELS neighbouring channels of one picture. */
static void mean_of(float *y, const void *x, bool is_signed, int64_t pixels, int64_t stride,
                    int64_t n) {
    enum { CHANNELS = 256 };
    for (int64_t first = 0; first < n; first += CHANNELS) {
        int32_t sum[CHANNELS] = {0};
        int64_t count = mien__min64(CHANNELS, n - first);
        for (int64_t p = 0; p < pixels; p++)
            if (is_signed)
                add_signed(sum, (const int8_t *)x + p * stride + first, count);
            else
                add_unsigned(sum, (const uint8_t *)x + p * stride + first, count);
        for (int64_t c = 0; c < count; c++) y[first + c] = (float)((double)sum[c] / (double)pixels);
    }
}

mien_status mien__cpu_int8_global_avg_pool(mien_op_call *call) {
    mien_tensor *out = call->out[0], *in = as_channels_last(call->in[0]);
    if (!in) return mien_error_last()->code;
    mien_status status = mien__tensor_alloc(out, 0);
    if (status == MIEN_OK) {
        int64_t channels = in->shape[1], pixels = in->shape[2] * in->shape[3];
        const uint8_t *x = mien__cpu_ptr(in);
        float *y = mien__cpu_f32(out);
#pragma omp parallel for if (mien_tensor_count(in) > MIEN_PARALLEL_FLOATS)
        for (int64_t n = 0; n < in->shape[0]; n++)
            mean_of(y + n * channels, x + n * channels * pixels, in->dtype == MIEN_I8, pixels,
                    channels, channels);
        mien__cpu_set_implementation(call, "own:nhwc");
    }
    mien_tensor_release(in);
    return status;
}
