/* Max and average pooling, forward and backward.
 * Not here: normalisation (norm.c). */
#include "ref.h"
#include <math.h>

/* The part of one window that lies inside the input plane: rows [h0,h1), columns [w0,w1). */
typedef struct window {
    int64_t h0, h1, w0, w1;
} window;

/* The pools have the same attributes in the same order. */
static window window_at(const mien_max_pool2d_attr *a, const int64_t *x, int64_t oh, int64_t ow) {
    int64_t h0 = oh * (int64_t)a->stride_h - (int64_t)a->pad_top, h1 = h0 + (int64_t)a->kernel_h;
    int64_t w0 = ow * (int64_t)a->stride_w - (int64_t)a->pad_left, w1 = w0 + (int64_t)a->kernel_w;
    return (window){h0 < 0 ? 0 : h0, h1 > x[2] ? x[2] : h1, w0 < 0 ? 0 : w0, w1 > x[3] ? x[3] : w1};
}

/* Index in the plane of the first largest element; a NaN is larger than everything. */
static int64_t winner(const double *plane, window at, int64_t width) {
    int64_t best = at.h0 * width + at.w0;
    for (int64_t h = at.h0; h < at.h1; h++)
        for (int64_t w = at.w0; w < at.w1; w++) {
            double value = plane[h * width + w];
            if (!isnan(plane[best]) && (value > plane[best] || isnan(value))) best = h * width + w;
        }
    return best;
}

mien_status mien__ref_max_pool2d_forward(mien__ref *r) {
    const int64_t *x = r->call->in[0]->shape, *y = r->call->out[0]->shape;
    int64_t i = 0;
    for (int64_t plane = 0; plane < x[0] * x[1]; plane++)
        for (int64_t oh = 0; oh < y[2]; oh++)
            for (int64_t ow = 0; ow < y[3]; ow++, i++) {
                const double *values = r->in[0] + plane * x[2] * x[3];
                int64_t best = winner(values, window_at(r->attr, x, oh, ow), x[3]);
                r->out[0][i] = values[best];
                r->out[1][i] = (double)best;
            }
    return MIEN_OK;
}

mien_status mien__ref_max_pool2d_backward(mien__ref *r) {
    const int64_t *x = r->call->in[0]->shape, *y = r->call->dout[0]->shape;
    int64_t cells = y[2] * y[3], plane = x[2] * x[3];
    for (int64_t i = 0; i < x[0] * x[1] * cells; i++) {
        double place = r->out[1][i];
        if (!(place >= 0 && place < (double)plane))
            MIEN_FAIL(
                MIEN_ERR_ARGUMENT,
                "max_pool2d: index %g of its backward pass is outside of its plane of %lldx%lld",
                place, (long long)x[2], (long long)x[3]);
        r->din[0][i / cells * plane + (int64_t)place] += r->dout[0][i];
    }
    return MIEN_OK;
}

/* Both directions of the average: forward adds input to output, backward dout to din. */
static void average(mien__ref *r, const int64_t *y) {
    const int64_t *x = r->call->in[0]->shape;
    int64_t i = 0;
    for (int64_t plane = 0; plane < x[0] * x[1]; plane++)
        for (int64_t oh = 0; oh < y[2]; oh++)
            for (int64_t ow = 0; ow < y[3]; ow++, i++) {
                window at = window_at(r->attr, x, oh, ow);
                double cells = (double)((at.h1 - at.h0) * (at.w1 - at.w0));
                for (int64_t h = at.h0; h < at.h1; h++)
                    for (int64_t w = at.w0; w < at.w1; w++) {
                        int64_t j = (plane * x[2] + h) * x[3] + w;
                        if (r->din[0])
                            r->din[0][j] += r->dout[0][i] / cells;
                        else
                            r->out[0][i] += r->in[0][j] / cells;
                    }
            }
}

mien_status mien__ref_avg_pool2d_forward(mien__ref *r) {
    average(r, r->call->out[0]->shape);
    return MIEN_OK;
}

mien_status mien__ref_avg_pool2d_backward(mien__ref *r) {
    average(r, r->call->dout[0]->shape);
    return MIEN_OK;
}

mien_status mien__ref_global_avg_pool_forward(mien__ref *r) {
    const int64_t *x = r->call->in[0]->shape;
    int64_t cells = x[2] * x[3];
    for (int64_t i = 0; i < x[0] * x[1]; i++) {
        double sum = 0;
        for (int64_t j = 0; j < cells; j++) sum += r->in[0][i * cells + j];
        r->out[0][i] = sum / (double)cells;
    }
    return MIEN_OK;
}

mien_status mien__ref_global_avg_pool_backward(mien__ref *r) {
    const int64_t *x = r->call->in[0]->shape;
    int64_t cells = x[2] * x[3];
    for (int64_t i = 0; i < x[0] * x[1] * cells; i++)
        r->din[0][i] = r->dout[0][i / cells] / (double)cells;
    return MIEN_OK;
}
