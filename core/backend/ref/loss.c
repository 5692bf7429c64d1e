/* The losses, forward and backward.
 * Not here: metrics over whole partitions (affect/). */
#include "ref.h"
#include <math.h>

/* ---- concordance correlation coefficient (Lin 1989) ------------------------------------------ */

/* prediction and target seen as [groups, n, k]: one coefficient per group and output. */
typedef struct traces {
    int64_t groups, n, k;
} traces;

static traces traces_of(const mien__ref *r) {
    const mien_ccc_loss_attr *a = r->attr;
    const mien_tensor *x = r->call->in[0];
    int64_t groups = a->per_sequence ? x->shape[0] : 1, k = x->shape[x->ndim - 1];
    return (traces){groups, mien_tensor_count(x) / (groups * k), k};
}

/* 1/n moments of two traces; ccc = 2 sxy / d, 0 when d < 1e-12 (both constant and equal). */
typedef struct moments {
    double mx, my, d, ccc;
} moments;

static moments moments_of(const double *x, const double *y, int64_t n, int64_t step) {
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

mien_status mien__ref_ccc_loss_forward(mien__ref *r) {
    traces s = traces_of(r);
    double sum = 0;
    for (int64_t i = 0; i < s.groups * s.k; i++) {
        int64_t at = i / s.k * s.n * s.k + i % s.k;
        r->out[1][i] = moments_of(r->in[0] + at, r->in[1] + at, s.n, s.k).ccc;
        sum += r->out[1][i];
    }
    r->out[0][0] = 1 - sum / (double)(s.groups * s.k);
    return MIEN_OK;
}

/* d ccc / d x_i = 2 / (n d) [(y_i - my) - ccc (x_i - my)], since d grows by 2 (x_i - mx) / n in its
 * variance and 2 (mx - my) / n in its offset; symmetric in x and y. */
static void ccc_back(const double *x, const double *y, double *dx, double m_other, moments m,
                     double factor, traces s) {
    for (int64_t i = 0; dx && i < s.n; i++)
        dx[i * s.k] = factor * 2 / ((double)s.n * m.d) *
                      ((y[i * s.k] - m_other) - m.ccc * (x[i * s.k] - m_other));
}

mien_status mien__ref_ccc_loss_backward(mien__ref *r) {
    traces s = traces_of(r);
    double factor = -r->dout[0][0] / (double)(s.groups * s.k);
    for (int64_t i = 0; i < s.groups * s.k; i++) {
        int64_t at = i / s.k * s.n * s.k + i % s.k;
        const double *x = r->in[0] + at, *y = r->in[1] + at;
        moments m = moments_of(x, y, s.n, s.k);
        if (m.d < 1e-12) continue;
        ccc_back(x, y, r->din[0] ? r->din[0] + at : NULL, m.my, m, factor, s);
        ccc_back(y, x, r->din[1] ? r->din[1] + at : NULL, m.mx, m, factor, s);
    }
    return MIEN_OK;
}

/* ---- mean squared error ---------------------------------------------------------------------- */

mien_status mien__ref_mse_loss_forward(mien__ref *r) {
    int64_t count = mien_tensor_count(r->call->in[0]);
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = r->in[0][i] - r->in[1][i];
        sum += d * d;
    }
    r->out[0][0] = sum / (double)count;
    return MIEN_OK;
}

mien_status mien__ref_mse_loss_backward(mien__ref *r) {
    int64_t count = mien_tensor_count(r->call->in[0]);
    for (int64_t i = 0; i < count; i++) {
        double d = r->dout[0][0] * 2 * (r->in[0][i] - r->in[1][i]) / (double)count;
        if (r->din[0]) r->din[0][i] = d;
        if (r->din[1]) r->din[1][i] = -d;
    }
    return MIEN_OK;
}

/* ---- cross-entropies ------------------------------------------------------------------------- */

static int64_t classes_of(const mien__ref *r) {
    const mien_tensor *x = r->call->in[0];
    return x->shape[x->ndim - 1];
}

static double weight_of(const mien__ref *r, int64_t class) {
    return r->in[2] ? r->in[2][class] : 1;
}

mien_status mien__ref_sigmoid_cross_entropy_forward(mien__ref *r) {
    int64_t count = mien_tensor_count(r->call->in[0]), classes = classes_of(r);
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double x = r->in[0][i], z = r->in[1][i];
        sum += weight_of(r, i % classes) * ((x > 0 ? x : 0) - x * z + log1p(exp(-fabs(x))));
    }
    r->out[0][0] = sum / (double)count;
    return MIEN_OK;
}

mien_status mien__ref_sigmoid_cross_entropy_backward(mien__ref *r) {
    int64_t count = mien_tensor_count(r->call->in[0]), classes = classes_of(r);
    for (int64_t i = 0; i < count; i++) {
        double x = r->in[0][i], z = r->in[1][i];
        double factor = r->dout[0][0] * weight_of(r, i % classes) / (double)count;
        if (r->din[0]) r->din[0][i] = factor * (1 / (1 + exp(-x)) - z);
        if (r->din[1]) r->din[1][i] = -factor * x;
    }
    return MIEN_OK;
}

/* Log of the sum of exp over one frame's logits. */
static double log_sum_exp(const double *x, int64_t n) {
    double most = x[0];
    for (int64_t c = 1; c < n; c++) most = x[c] > most ? x[c] : most;
    double sum = exp(x[0] - most);
    for (int64_t c = 1; c < n; c++) sum += exp(x[c] - most);
    return most + log(sum);
}

/* The class of frame i, counted from 0. */
static double class_of(const mien__ref *r, int64_t i) {
    const mien_softmax_cross_entropy_attr *a = r->attr;
    return r->in[1][i] - a->first;
}

mien_status mien__ref_softmax_cross_entropy_forward(mien__ref *r) {
    int64_t classes = classes_of(r), frames = mien_tensor_count(r->call->in[1]);
    double sum = 0, weights = 0;
    for (int64_t i = 0; i < frames; i++) {
        double target = class_of(r, i);
        if (!(target >= 0 && target < (double)classes))
            MIEN_FAIL(MIEN_ERR_ARGUMENT,
                      "softmax_cross_entropy: target of row %lld is %.0f but the %lld classes of "
                      "logits are %lld to %lld",
                      (long long)i + 1, r->in[1][i], (long long)classes,
                      (long long)(r->in[1][i] - target),
                      (long long)(classes - 1 + r->in[1][i] - target));
        double weight = weight_of(r, (int64_t)target);
        const double *x = r->in[0] + i * classes;
        sum += weight * (log_sum_exp(x, classes) - x[(int64_t)target]);
        weights += weight;
    }
    r->out[0][0] = sum / weights;
    return MIEN_OK;
}

mien_status mien__ref_softmax_cross_entropy_backward(mien__ref *r) {
    int64_t classes = classes_of(r), frames = mien_tensor_count(r->call->in[1]);
    double weights = 0;
    for (int64_t i = 0; i < frames; i++) weights += weight_of(r, (int64_t)class_of(r, i));
    for (int64_t i = 0; i < frames; i++) {
        const double *x = r->in[0] + i * classes;
        int64_t target = (int64_t)class_of(r, i);
        double all = log_sum_exp(x, classes);
        double factor = r->dout[0][0] * weight_of(r, target) / weights;
        for (int64_t c = 0; c < classes; c++)
            r->din[0][i * classes + c] = factor * (exp(x[c] - all) - (c == target));
    }
    return MIEN_OK;
}
