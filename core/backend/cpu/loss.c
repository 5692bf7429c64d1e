/* The losses, in double from f32: what a step learns from keeps its digits.
 * Not here: instruction sets. Every term is that of ref (loss.c there) to the bit, and so is the
 * sum of up to PIECE terms; longer ones are summed piece by piece, the same for any number of
 * threads. */
#include "cpu.h"
#include <math.h>

enum { PIECE = 4096 };

/* The tensors of a call, dense. */
typedef struct sides {
    mien_tensor *held[3], *gradient;
    const float *x, *target, *weight; /* NULL: absent, or classes */
    int64_t count, classes;           /* of x; its last dimension */
    int64_t first;                    /* number of the first class */
    double dloss;                     /* backward */
} sides;

static void let_go(sides *s) {
    for (int i = 0; i < 3; i++) mien_tensor_release(s->held[i]);
    mien_tensor_release(s->gradient);
}

/* Brings the inputs, and the gradient of the loss or room for the loss. */
static mien_status bring(sides *s, mien_op_call *call) {
    const mien_tensor *x = call->in[0];
    *s = (sides){.count = mien_tensor_count(x), .classes = x->ndim ? x->shape[x->ndim - 1] : 1};
    const float **floats[] = {&s->x, &s->target, &s->weight};
    for (int i = 0; i < 3; i++) {
        if (!call->in[i]) continue;
        if (!(s->held[i] = mien__cpu_as_layout(call->in[i], 0))) return mien_error_last()->code;
        if (s->held[i]->dtype == MIEN_F32) *floats[i] = mien__cpu_f32(s->held[i]);
    }
    if (!call->dout[0]) return mien__tensor_alloc(call->out[0], 0);
    if (!(s->gradient = mien__cpu_as_layout(call->dout[0], 0))) return mien_error_last()->code;
    s->dloss = *mien__cpu_f32(s->gradient);
    for (int i = 0; i < 2; i++)
        if (call->want[i]) MIEN_TRY(mien__tensor_alloc(call->din[i], 0));
    return MIEN_OK;
}

static float *gradient_of(const mien_op_call *call, int i) {
    return call->want[i] ? mien__cpu_f32(call->din[i]) : NULL;
}

/* Runs forward or backward on a call in f32. */
static mien_status loss_run(mien_op_call *call, mien_op_fn pass,
                            mien_status (*work)(mien_op_call *call, sides *s)) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, pass);
    sides s;
    mien_status status = bring(&s, call);
    if (status == MIEN_OK) status = work(call, &s);
    let_go(&s);
    return status;
}

/* The sum of term(s, i) over 0 <= i < n; `cost` floats are read for one. */
static double sum_of(const sides *s, int64_t n, int64_t cost,
                     double (*term)(const sides *s, int64_t i)) {
    enum { PIECES = 64 };
    double total = 0;
    for (int64_t first = 0; first < n; first += (int64_t)PIECE * PIECES) {
        double part[PIECES] = {0};
        int64_t stop = mien__min64(n, first + (int64_t)PIECE * PIECES);
#pragma omp parallel for schedule(static) if ((stop - first) * cost > MIEN_PARALLEL_FLOATS)
        for (int64_t at = first; at < stop; at += PIECE) {
            double sum = 0;
            for (int64_t i = at; i < mien__min64(stop, at + PIECE); i++) sum += term(s, i);
            part[(at - first) / PIECE] = sum;
        }
        for (int i = 0; i < PIECES; i++) total += part[i];
    }
    return total;
}

/* ---- concordance correlation coefficient (Lin 1989) ------------------------------------------ */

/* prediction and target seen as [groups, n, k]: one coefficient per group and output. */
typedef struct traces {
    int64_t groups, n, k;
} traces;

static traces traces_of(const mien_op_call *call, const sides *s) {
    const mien_ccc_loss_attr *a = call->attr;
    int64_t groups = a->per_sequence ? call->in[0]->shape[0] : 1;
    return (traces){groups, s->count / (groups * s->classes), s->classes};
}

/* 1/n moments of two traces; ccc = 2 sxy / d, 0 when d < 1e-12 (both constant and equal). */
typedef struct moments {
    double mx, my, d, ccc;
} moments;

static moments moments_of(const float *x, const float *y, int64_t n, int64_t step) {
    double mx = 0, my = 0, sxx = 0, syy = 0, sxy = 0, count = (double)n;
    for (int64_t i = 0; i < n; i++) {
        mx += x[i * step] / count;
        my += y[i * step] / count;
    }
    for (int64_t i = 0; i < n; i++) {
        double dx = x[i * step] - mx, dy = y[i * step] - my;
        sxx += dx * dx / count;
        syy += dy * dy / count;
        sxy += dx * dy / count;
    }
    double d = sxx + syy + (mx - my) * (mx - my);
    return (moments){mx, my, d, d < 1e-12 ? 0 : 2 * sxy / d};
}

static mien_status ccc_forward(mien_op_call *call, sides *s) {
    traces t = traces_of(call, s);
    MIEN_TRY(mien__tensor_alloc(call->out[1], 0));
    double sum = 0;
    float *ccc = mien__cpu_f32(call->out[1]);
    for (int64_t i = 0; i < t.groups * t.k; i++) {
        int64_t at = i / t.k * t.n * t.k + i % t.k;
        double value = moments_of(s->x + at, s->target + at, t.n, t.k).ccc;
        ccc[i] = (float)value;
        sum += value;
    }
    *mien__cpu_f32(call->out[0]) = (float)(1 - sum / (double)(t.groups * t.k));
    return MIEN_OK;
}

/* d ccc / d x_i = 2 / (n d) [(y_i - my) - ccc (x_i - my)], since d grows by 2 (x_i - mx) / n in its
 * variance and 2 (mx - my) / n in its offset; symmetric in x and y. */
static void ccc_gradient(float *dx, const float *x, const float *y, double m_other, moments m,
                         double factor, traces t) {
    for (int64_t i = 0; dx && i < t.n; i++)
        dx[i * t.k] = m.d < 1e-12
                          ? 0
                          : (float)(factor * 2 / ((double)t.n * m.d) *
                                    ((y[i * t.k] - m_other) - m.ccc * (x[i * t.k] - m_other)));
}

static mien_status ccc_backward(mien_op_call *call, sides *s) {
    traces t = traces_of(call, s);
    double factor = -s->dloss / (double)(t.groups * t.k);
    float *dx = gradient_of(call, 0), *dy = gradient_of(call, 1);
#pragma omp parallel for schedule(static) if (s->count > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < t.groups * t.k; i++) {
        int64_t at = i / t.k * t.n * t.k + i % t.k;
        const float *x = s->x + at, *y = s->target + at;
        moments m = moments_of(x, y, t.n, t.k);
        ccc_gradient(dx ? dx + at : NULL, x, y, m.my, m, factor, t);
        ccc_gradient(dy ? dy + at : NULL, y, x, m.mx, m, factor, t);
    }
    return MIEN_OK;
}

/* ---- mean squared error ---------------------------------------------------------------------- */

static double square_of(const sides *s, int64_t i) {
    double d = (double)s->x[i] - s->target[i];
    return d * d;
}

static mien_status mse_forward(mien_op_call *call, sides *s) {
    *mien__cpu_f32(call->out[0]) = (float)(sum_of(s, s->count, 1, square_of) / (double)s->count);
    return MIEN_OK;
}

static mien_status mse_backward(mien_op_call *call, sides *s) {
    float *dx = gradient_of(call, 0), *dy = gradient_of(call, 1);
#pragma omp parallel for schedule(static) if (s->count > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < s->count; i++) {
        double d = s->dloss * 2 * ((double)s->x[i] - s->target[i]) / (double)s->count;
        if (dx) dx[i] = (float)d;
        if (dy) dy[i] = (float)-d;
    }
    return MIEN_OK;
}

/* ---- cross-entropies ------------------------------------------------------------------------- */

static double weight_of(const sides *s, int64_t class) {
    return s->weight ? s->weight[class] : 1;
}

static double sigmoid_term(const sides *s, int64_t i) {
    double x = s->x[i], z = s->target[i];
    return weight_of(s, i % s->classes) * ((x > 0 ? x : 0) - x * z + log1p(exp(-fabs(x))));
}

static mien_status sigmoid_forward(mien_op_call *call, sides *s) {
    *mien__cpu_f32(call->out[0]) = (float)(sum_of(s, s->count, 8, sigmoid_term) / (double)s->count);
    return MIEN_OK;
}

static mien_status sigmoid_backward(mien_op_call *call, sides *s) {
    float *dx = gradient_of(call, 0), *dz = gradient_of(call, 1);
#pragma omp parallel for schedule(static) if (s->count * 8 > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < s->count; i++) {
        double x = s->x[i], z = s->target[i];
        double factor = s->dloss * weight_of(s, i % s->classes) / (double)s->count;
        if (dx) dx[i] = (float)(factor * (1 / (1 + exp(-x)) - z));
        if (dz) dz[i] = (float)(-factor * x);
    }
    return MIEN_OK;
}

static int64_t first_class(const mien_op_call *call) {
    const mien_softmax_cross_entropy_attr *a = call->attr;
    return (int64_t)a->first;
}

/* The class of frame i, counted from 0. */
static int64_t class_of(const sides *s, int64_t i) {
    const mien_tensor *t = s->held[1];
    const void *classes = mien__cpu_ptr(t);
    return (t->dtype == MIEN_I64 ? ((const int64_t *)classes)[i] : ((const int32_t *)classes)[i]) -
           s->first;
}

/* Log of the sum of exp over one frame's logits. */
static double log_sum_exp(const float *x, int64_t n) {
    double most = x[0];
    for (int64_t c = 1; c < n; c++) most = x[c] > most ? x[c] : most;
    double sum = exp(x[0] - most);
    for (int64_t c = 1; c < n; c++) sum += exp(x[c] - most);
    return most + log(sum);
}

static double softmax_term(const sides *s, int64_t i) {
    const float *x = s->x + i * s->classes;
    int64_t class = class_of(s, i);
    return weight_of(s, class) * (log_sum_exp(x, s->classes) - x[class]);
}

static double class_weight(const sides *s, int64_t i) {
    return weight_of(s, class_of(s, i));
}

static mien_status softmax_forward(mien_op_call *call, sides *s) {
    int64_t frames = s->count / s->classes;
    s->first = first_class(call);
    for (int64_t i = 0; i < frames; i++)
        if (class_of(s, i) < 0 || class_of(s, i) >= s->classes)
            MIEN_FAIL(MIEN_ERR_ARGUMENT,
                      "softmax_cross_entropy: target of row %lld is %lld but the %lld classes of "
                      "logits are %lld to %lld",
                      (long long)i + 1, (long long)(class_of(s, i) + s->first),
                      (long long)s->classes, (long long)s->first,
                      (long long)(s->first + s->classes - 1));
    double sum = sum_of(s, frames, 8 * s->classes, softmax_term);
    *mien__cpu_f32(call->out[0]) = (float)(sum / sum_of(s, frames, 1, class_weight));
    return MIEN_OK;
}

static mien_status softmax_backward(mien_op_call *call, sides *s) {
    int64_t frames = s->count / s->classes;
    s->first = first_class(call);
    double weights = sum_of(s, frames, 1, class_weight);
    float *dx = gradient_of(call, 0);
#pragma omp parallel for schedule(static) if (s->count * 8 > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < frames; i++) {
        const float *x = s->x + i * s->classes;
        int64_t target = class_of(s, i);
        double all = log_sum_exp(x, s->classes);
        double factor = s->dloss * weight_of(s, target) / weights;
        for (int64_t c = 0; c < s->classes; c++)
            dx[i * s->classes + c] = (float)(factor * (exp(x[c] - all) - (c == target)));
    }
    return MIEN_OK;
}

/* ---- passes ---------------------------------------------------------------------------------- */

#define PASSES(op, name)                                                                           \
    mien_status mien__cpu_##op##_forward(mien_op_call *call) {                                     \
        return loss_run(call, mien__cpu_##op##_forward, name##_forward);                           \
    }                                                                                              \
    mien_status mien__cpu_##op##_backward(mien_op_call *call) {                                    \
        return loss_run(call, mien__cpu_##op##_backward, name##_backward);                         \
    }
PASSES(ccc_loss, ccc)
PASSES(mse_loss, mse)
PASSES(sigmoid_cross_entropy, sigmoid)
PASSES(softmax_cross_entropy, softmax)
