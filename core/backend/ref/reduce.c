/* Reductions, softmax and concatenation, forward and backward.
 * Not here: the losses built on them (loss.c). */
#include "ref.h"
#include <math.h>

/* ---- sum, mean, max -------------------------------------------------------------------------- */

/* A tensor seen as [outer, n, inner] around its reduced dimension. */
typedef struct lines {
    int64_t outer, n, inner;
} lines;

static lines lines_of(const mien_tensor *x, int dim) {
    lines s = {1, dim < 0 ? mien_tensor_count(x) : x->shape[dim], 1};
    for (int d = 0; dim >= 0 && d < x->ndim; d++) {
        if (d < dim) s.outer *= x->shape[d];
        if (d > dim) s.inner *= x->shape[d];
    }
    return s;
}

/* sum, mean and max have the same attributes in the same order. */
static lines reduced_lines(const mien__ref *r) {
    const mien_sum_attr *a = r->attr;
    return lines_of(r->call->in[0], (int)a->dim);
}

/* First element of line i; the next ones lie s.inner apart. */
static int64_t line_start(lines s, int64_t i) {
    return i / s.inner * s.n * s.inner + i % s.inner;
}

mien_status mien__ref_sum_forward(mien__ref *r) {
    lines s = reduced_lines(r);
    double divisor = r->call->op == MIEN_OP_mean ? (double)s.n : 1;
    for (int64_t i = 0; i < s.outer * s.inner; i++) {
        double sum = 0;
        for (int64_t j = 0; j < s.n; j++) sum += r->in[0][line_start(s, i) + j * s.inner];
        r->out[0][i] = sum / divisor;
    }
    return MIEN_OK;
}

mien_status mien__ref_sum_backward(mien__ref *r) {
    lines s = reduced_lines(r);
    double divisor = r->call->op == MIEN_OP_mean ? (double)s.n : 1;
    for (int64_t i = 0; i < s.outer * s.inner; i++)
        for (int64_t j = 0; j < s.n; j++)
            r->din[0][line_start(s, i) + j * s.inner] = r->dout[0][i] / divisor;
    return MIEN_OK;
}

/* The first largest element of line i; a NaN is larger than everything. */
static int64_t largest(const double *x, lines s, int64_t i) {
    int64_t best = line_start(s, i);
    for (int64_t j = 0; j < s.n; j++) {
        int64_t at = line_start(s, i) + j * s.inner;
        if (!isnan(x[best]) && (x[at] > x[best] || isnan(x[at]))) best = at;
    }
    return best;
}

mien_status mien__ref_max_forward(mien__ref *r) {
    lines s = reduced_lines(r);
    for (int64_t i = 0; i < s.outer * s.inner; i++)
        r->out[0][i] = r->in[0][largest(r->in[0], s, i)];
    return MIEN_OK;
}

mien_status mien__ref_max_backward(mien__ref *r) {
    lines s = reduced_lines(r);
    for (int64_t i = 0; i < s.outer * s.inner; i++)
        r->din[0][largest(r->in[0], s, i)] = r->dout[0][i];
    return MIEN_OK;
}

/* ---- softmax, log_softmax -------------------------------------------------------------------- */

mien_status mien__ref_softmax_forward(mien__ref *r) {
    const mien_tensor *x = r->call->in[0];
    lines s = lines_of(x, x->ndim - 1);
    for (int64_t row = 0; row < s.outer && s.n > 0; row++) {
        const double *in = r->in[0] + row * s.n;
        double *out = r->out[0] + row * s.n, most = in[0], sum = 0;
        for (int64_t j = 1; j < s.n; j++) most = in[j] > most ? in[j] : most;
        for (int64_t j = 0; j < s.n; j++) sum += exp(in[j] - most);
        for (int64_t j = 0; j < s.n; j++)
            out[j] =
                r->call->op == MIEN_OP_softmax ? exp(in[j] - most) / sum : in[j] - most - log(sum);
    }
    return MIEN_OK;
}

/* softmax: dx = y (dy - sum dy y); log_softmax: dx = dy - exp(y) sum dy. */
mien_status mien__ref_softmax_backward(mien__ref *r) {
    const mien_tensor *x = r->call->in[0];
    lines s = lines_of(x, x->ndim - 1);
    bool plain = r->call->op == MIEN_OP_softmax;
    for (int64_t row = 0; row < s.outer; row++) {
        const double *y = r->out[0] + row * s.n, *dy = r->dout[0] + row * s.n;
        double *dx = r->din[0] + row * s.n, sum = 0;
        for (int64_t j = 0; j < s.n; j++) sum += plain ? dy[j] * y[j] : dy[j];
        for (int64_t j = 0; j < s.n; j++)
            dx[j] = plain ? y[j] * (dy[j] - sum) : dy[j] - exp(y[j]) * sum;
    }
    return MIEN_OK;
}

/* ---- concat ---------------------------------------------------------------------------------- */

/* Both directions: `whole` [outer, sum of n, inner] to or from the parts [outer, n, inner]. */
static void join(mien__ref *r, const mien_tensor *whole, double *values, double **parts,
                 bool apart) {
    const mien_concat_attr *a = r->attr;
    lines all = lines_of(whole, (int)a->dim);
    int64_t before = 0;
    for (int i = 0; i < MIEN_OP_MAX_IN && r->call->in[i]; i++) {
        lines s = lines_of(r->call->in[i], (int)a->dim);
        int64_t chunk = s.n * s.inner;
        for (int64_t j = 0; parts[i] && j < s.outer * chunk; j++) {
            double *there = values + j / chunk * all.n * all.inner + before + j % chunk;
            if (apart)
                parts[i][j] = *there;
            else
                *there = parts[i][j];
        }
        before += chunk;
    }
}

mien_status mien__ref_concat_forward(mien__ref *r) {
    join(r, r->call->out[0], r->out[0], r->in, false);
    return MIEN_OK;
}

mien_status mien__ref_concat_backward(mien__ref *r) {
    join(r, r->call->dout[0], r->dout[0], r->din, true);
    return MIEN_OK;
}
