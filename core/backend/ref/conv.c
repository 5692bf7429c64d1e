/* 2-d convolution, forward and backward, as sums over windows.
 * Not here: pooling (pool.c). */
#include "ref.h"

/* Sizes as in ops.def: input [n,c,h,w], weight [k,c,r,s], output [n,k,oh,ow]. */
typedef struct geometry {
    int64_t n, c, h, w, k, r, s, oh, ow, stride_h, stride_w, top, left;
} geometry;

/* conv2d and conv2d_fused: their attributes begin with the same six numbers. */
static geometry geometry_of(const mien__ref *ref, const mien_tensor *output) {
    const mien_conv2d_attr *a = ref->attr;
    const int64_t *x = ref->call->in[0]->shape, *w = ref->call->in[1]->shape, *y = output->shape;
    return (geometry){x[0],
                      x[1],
                      x[2],
                      x[3],
                      w[0],
                      w[2],
                      w[3],
                      y[2],
                      y[3],
                      (int64_t)a->stride_h,
                      (int64_t)a->stride_w,
                      (int64_t)a->pad_top,
                      (int64_t)a->pad_left};
}

/* One weight meets one row: y[first..last] and x[0], x[step], ... over `count` outputs. */
typedef struct row {
    int64_t weight, x, y, count;
} row;

/* The outputs of row oh that weight column s reaches inside the input. */
static int64_t reach(const geometry *g, int64_t s, int64_t *first) {
    int64_t lo = g->left - s, hi = g->w - 1 + g->left - s;
    if (hi < 0) return 0;
    *first = lo > 0 ? (lo + g->stride_w - 1) / g->stride_w : 0;
    int64_t last = hi / g->stride_w;
    if (last >= g->ow) last = g->ow - 1;
    return last - *first + 1;
}

/* Calls `visit` for every weight and output row of image n and output channel k that touch. */
static void each_row(const geometry *g, int64_t n, int64_t k, mien__ref *ref,
                     void (*visit)(const geometry *g, mien__ref *ref, row at)) {
    for (int64_t c = 0; c < g->c; c++)
        for (int64_t r = 0; r < g->r; r++)
            for (int64_t s = 0; s < g->s; s++)
                for (int64_t oh = 0; oh < g->oh; oh++) {
                    int64_t first = 0, ih = oh * g->stride_h + r - g->top;
                    int64_t count = reach(g, s, &first);
                    if (ih < 0 || ih >= g->h || count <= 0) continue;
                    row at = {
                        .weight = ((k * g->c + c) * g->r + r) * g->s + s,
                        .x =
                            ((n * g->c + c) * g->h + ih) * g->w + first * g->stride_w + s - g->left,
                        .y = ((n * g->k + k) * g->oh + oh) * g->ow + first,
                        .count = count,
                    };
                    visit(g, ref, at);
                }
}

static void to_output(const geometry *g, mien__ref *ref, row at) {
    double weight = ref->in[1][at.weight], *y = ref->out[0] + at.y;
    const double *x = ref->in[0] + at.x;
    for (int64_t i = 0; i < at.count; i++) y[i] += weight * x[i * g->stride_w];
}

static void to_input(const geometry *g, mien__ref *ref, row at) {
    double weight = ref->in[1][at.weight], *dx = ref->din[0] + at.x;
    const double *dy = ref->dout[0] + at.y;
    for (int64_t i = 0; i < at.count; i++) dx[i * g->stride_w] += weight * dy[i];
}

static void to_weight(const geometry *g, mien__ref *ref, row at) {
    const double *x = ref->in[0] + at.x, *dy = ref->dout[0] + at.y;
    double sum = 0;
    for (int64_t i = 0; i < at.count; i++) sum += dy[i] * x[i * g->stride_w];
    ref->din[1][at.weight] += sum;
}

mien_status mien__ref_conv2d_forward(mien__ref *ref) {
    geometry g = geometry_of(ref, ref->call->out[0]);
    int64_t plane = g.oh * g.ow;
    for (int64_t n = 0; n < g.n; n++)
        for (int64_t k = 0; k < g.k; k++) {
            double *y = ref->out[0] + (n * g.k + k) * plane;
            for (int64_t i = 0; i < plane; i++) y[i] = ref->in[2] ? ref->in[2][k] : 0;
            each_row(&g, n, k, ref, to_output);
        }
    return MIEN_OK;
}

mien_status mien__ref_conv2d_backward(mien__ref *ref) {
    geometry g = geometry_of(ref, ref->call->dout[0]);
    int64_t plane = g.oh * g.ow;
    for (int64_t n = 0; n < g.n; n++)
        for (int64_t k = 0; k < g.k; k++) {
            const double *dy = ref->dout[0] + (n * g.k + k) * plane;
            if (ref->din[0]) each_row(&g, n, k, ref, to_input);
            if (ref->din[1]) each_row(&g, n, k, ref, to_weight);
            for (int64_t i = 0; ref->din[2] && i < plane; i++) ref->din[2][k] += dy[i];
        }
    return MIEN_OK;
}

mien_status mien__ref_conv2d_fused_forward(mien__ref *ref) {
    const mien_conv2d_fused_attr *a = ref->attr;
    MIEN_TRY(mien__ref_conv2d_forward(ref));
    int64_t count = mien_tensor_count(ref->call->out[0]);
    double *y = ref->out[0];
    for (int64_t i = 0; i < count; i++) {
        if (ref->in[3]) y[i] += ref->in[3][i];
        if (a->relu && y[i] < 0) y[i] = 0;
    }
    return MIEN_OK;
}
