/* Local response normalisation across channels, on the plain layout.
 * Not here: oneDNN's, whose window of an even size lies elsewhere. Used by the tracker alone. */
#include "cpu.h"
#include <math.h>

/* Pixels that one pass keeps in the first-level cache, for all channels of a window. */
#define STRIP 256

typedef struct lrn {
    int64_t channels, pixels, before, after; /* window of channel c: [c - before, c + after] */
    float slope, beta, k;
} lrn;

static lrn numbers_of(const mien_op_call *call, const mien_tensor *t) {
    const mien_lrn_attr *a = call->attr;
    int64_t size = (int64_t)a->size;
    return (lrn){.channels = t->shape[1],
                 .pixels = t->shape[2] * t->shape[3],
                 .before = size / 2,
                 .after = size - 1 - size / 2,
                 .slope = (float)(a->alpha / a->size),
                 .beta = (float)a->beta,
                 .k = (float)a->k};
}

/* d to the power -beta; the paper's 0.75 needs two square roots only. */
static inline float shrink(float d, float beta) {
    if (beta == 0.75f) {
        float root = sqrtf(d);
        return 1 / (root * sqrtf(root));
    }
    return powf(d, -beta);
}

/* d = k + slope * sum of squares over the window of channel c, for pixels [p, p + n). */
static inline void denominators(const lrn *l, const float *x, int64_t c, int64_t p, int64_t n,
                                float *restrict d) {
    for (int64_t i = 0; i < n; i++) d[i] = 0;
    int64_t last = mien__min64(l->channels - 1, c + l->after);
    for (int64_t j = c > l->before ? c - l->before : 0; j <= last; j++) {
        const float *v = x + j * l->pixels + p;
        for (int64_t i = 0; i < n; i++) d[i] += v[i] * v[i];
    }
    for (int64_t i = 0; i < n; i++) d[i] = l->k + l->slope * d[i];
}

MIEN_CLONES(void, forward_strip, (const lrn *l, const float *x, float *y, int64_t p, int64_t n),
            (l, x, y, p, n)) {
    float d[STRIP];
    for (int64_t c = 0; c < l->channels; c++) {
        int64_t at = c * l->pixels + p;
        denominators(l, x, c, p, n, d);
        for (int64_t i = 0; i < n; i++) y[at + i] = x[at + i] * shrink(d[i], l->beta);
    }
}

/* dx_c = dy_c d_c^-beta - 2 beta slope x_c * sum of dy_j y_j / d_j over the channels j whose window
 * holds c. `ratio` [channels, n] and `scale` [channels, n] are room for the terms. */
MIEN_CLONES(void, backward_strip,
            (const lrn *l, const float *x, const float *y, const float *dy, float *dx, float *ratio,
             float *scale, int64_t p, int64_t n),
            (l, x, y, dy, dx, ratio, scale, p, n)) {
    float d[STRIP], sum[STRIP];
    for (int64_t c = 0; c < l->channels; c++) {
        int64_t at = c * l->pixels + p;
        denominators(l, x, c, p, n, d);
        for (int64_t i = 0; i < n; i++) {
            ratio[c * STRIP + i] = dy[at + i] * y[at + i] / d[i];
            scale[c * STRIP + i] = shrink(d[i], l->beta);
        }
    }
    float factor = 2 * l->beta * l->slope;
    for (int64_t c = 0; c < l->channels; c++) {
        int64_t at = c * l->pixels + p, last = mien__min64(l->channels - 1, c + l->before);
        for (int64_t i = 0; i < n; i++) sum[i] = 0;
        for (int64_t j = c > l->after ? c - l->after : 0; j <= last; j++)
            for (int64_t i = 0; i < n; i++) sum[i] += ratio[j * STRIP + i];
        for (int64_t i = 0; i < n; i++)
            dx[at + i] = dy[at + i] * scale[c * STRIP + i] - factor * x[at + i] * sum[i];
    }
}

mien_status mien__cpu_lrn_forward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_lrn_forward);
    mien_tensor *in = mien__cpu_as_layout(call->in[0], 0), *out = call->out[0];
    if (!in) return mien_error_last()->code;
    mien_status status = mien__tensor_alloc(out, 0);
    if (status == MIEN_OK) {
        lrn l = numbers_of(call, in);
        int64_t image = l.channels * l.pixels, strips = (l.pixels + STRIP - 1) / STRIP;
        const float *x = mien__cpu_f32(in);
        float *y = mien__cpu_f32(out);
#pragma omp parallel for
        for (int64_t i = 0; i < in->shape[0] * strips; i++) {
            int64_t n = i / strips, p = i % strips * STRIP;
            forward_strip(&l, x + n * image, y + n * image, p, mien__min64(STRIP, l.pixels - p));
        }
    }
    mien_tensor_release(in);
    return status;
}

mien_status mien__cpu_lrn_backward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_lrn_backward);
    mien_tensor *in = mien__cpu_as_layout(call->in[0], 0),
                *out = mien__cpu_as_layout(call->out[0], 0);
    mien_tensor *dout = mien__cpu_as_layout(call->dout[0], 0), *din = call->din[0], *room = NULL;
    mien_status status = mien_error_last()->code; /* of what is NULL, if anything */
    if (!in || !out || !dout) goto done;
    if ((status = mien__tensor_alloc(din, 0)) != MIEN_OK) goto done;
    lrn l = numbers_of(call, in);
    int64_t image = l.channels * l.pixels, strips = (l.pixels + STRIP - 1) / STRIP;
    int64_t each = 2 * l.channels * STRIP, items = in->shape[0] * strips;
    int threads = mien__cpu_threads();
    if (mien__failed(room = mien__cpu_scratch(each * threads), &status)) goto done;
    const float *x = mien__cpu_f32(in), *y = mien__cpu_f32(out), *dy = mien__cpu_f32(dout);
    float *dx = mien__cpu_f32(din), *rooms = mien__cpu_f32(room);
#pragma omp parallel for num_threads(threads)
    for (int worker = 0; worker < threads; worker++) {
        float *ratio = rooms + worker * each, *scale = ratio + l.channels * STRIP;
        for (int64_t i = worker; i < items; i += threads) {
            int64_t at = i / strips * image, p = i % strips * STRIP;
            backward_strip(&l, x + at, y + at, dy + at, dx + at, ratio, scale, p,
                           mien__min64(STRIP, l.pixels - p));
        }
    }
    status = MIEN_OK;
done:
    mien_tensor_release(in);
    mien_tensor_release(out);
    mien_tensor_release(dout);
    mien_tensor_release(room);
    return status;
}
