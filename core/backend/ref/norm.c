/* Batch normalisation and local response normalisation, forward and backward.
 * Not here: softmax (reduce.c). */
#include "ref.h"
#include <math.h>
#include <stdlib.h>

/* ---- batch normalisation (Ioffe & Szegedy 2015, algorithm 1) --------------------------------- */

/* Element j of channel c among `m` = images * inner, in row-major order. */
typedef struct channels {
    int64_t images, count, inner; /* [images, count, inner] */
} channels;

static channels channels_of(const mien_tensor *x) {
    channels s = {x->shape[0], x->shape[1], 1};
    for (int d = 2; d < x->ndim; d++) s.inner *= x->shape[d];
    return s;
}

static int64_t element(channels s, int64_t c, int64_t j) {
    return (j / s.inner * s.count + c) * s.inner + j % s.inner;
}

/* in: 1 weight, 2 bias, 3 running_mean, 4 running_var; out: 1 mean, 2 rstd. */
static void batch_statistics(mien__ref *r, channels s, int64_t c) {
    const mien_batch_norm_attr *a = r->attr;
    int64_t m = s.images * s.inner;
    double mean = 0, var = 0;
    for (int64_t j = 0; j < m; j++) mean += r->in[0][element(s, c, j)];
    mean /= (double)m;
    for (int64_t j = 0; j < m; j++) {
        double d = r->in[0][element(s, c, j)] - mean;
        var += d * d;
    }
    r->in[3][c] = (1 - a->momentum) * r->in[3][c] + a->momentum * mean;
    r->in[4][c] = (1 - a->momentum) * r->in[4][c] + a->momentum * var / (double)(m - 1);
    r->out[1][c] = mean;
    r->out[2][c] = 1 / sqrt(var / (double)m + a->eps);
}

mien_status mien__ref_batch_norm_forward(mien__ref *r) {
    const mien_batch_norm_attr *a = r->attr;
    channels s = channels_of(r->call->in[0]);
    if (a->training && s.images * s.inner > 0) r->updated = 1 << 3 | 1 << 4;
    for (int64_t c = 0; c < s.count; c++) {
        if (r->updated) {
            batch_statistics(r, s, c);
        } else {
            r->out[1][c] = r->in[3][c];
            r->out[2][c] = 1 / sqrt(r->in[4][c] + a->eps);
        }
        for (int64_t j = 0; j < s.images * s.inner; j++) {
            int64_t i = element(s, c, j);
            double y = (r->in[0][i] - r->out[1][c]) * r->out[2][c] * r->in[1][c] + r->in[2][c];
            if (r->in[5]) y += r->in[5][i];
            r->out[0][i] = a->relu && y < 0 ? 0 : y;
        }
    }
    return MIEN_OK;
}

mien_status mien__ref_batch_norm_backward(mien__ref *r) {
    const mien_batch_norm_attr *a = r->attr;
    channels s = channels_of(r->call->in[0]);
    double m = (double)(s.images * s.inner);
    for (int64_t c = 0; c < s.count; c++) {
        double mean = r->out[1][c], rstd = r->out[2][c], db = 0, dw = 0;
        for (int64_t j = 0; j < s.images * s.inner; j++) {
            int64_t i = element(s, c, j);
            if (a->relu && r->out[0][i] <= 0) r->dout[0][i] = 0;
            db += r->dout[0][i];
            dw += r->dout[0][i] * (r->in[0][i] - mean) * rstd;
            if (r->din[5]) r->din[5][i] = r->dout[0][i];
        }
        if (r->din[1]) r->din[1][c] = dw;
        if (r->din[2]) r->din[2][c] = db;
        for (int64_t j = 0; r->din[0] && j < s.images * s.inner; j++) {
            int64_t i = element(s, c, j);
            double g = r->dout[0][i], x = (r->in[0][i] - mean) * rstd;
            if (a->training) g -= db / m + x * dw / m; /* the statistics depend on x too */
            r->din[0][i] = r->in[1][c] * rstd * g;
        }
    }
    return MIEN_OK;
}

/* ---- local response normalisation (Krizhevsky et al. 2012, section 3.3) ---------------------- */

/* k + alpha/size * sum of squares over the window of channel c; `at`: element of channel 0. */
static double lrn_base(const mien_lrn_attr *a, const double *x, int64_t at, int64_t c,
                       int64_t channels, int64_t plane) {
    int64_t first = c - (int64_t)a->size / 2, last = first + (int64_t)a->size - 1;
    double sum = 0;
    for (int64_t j = first < 0 ? 0 : first; j <= last && j < channels; j++)
        sum += x[at + j * plane] * x[at + j * plane];
    return a->k + a->alpha / a->size * sum;
}

mien_status mien__ref_lrn_forward(mien__ref *r) {
    const mien_lrn_attr *a = r->attr;
    const int64_t *x = r->call->in[0]->shape;
    int64_t plane = x[2] * x[3];
    for (int64_t n = 0; n < x[0]; n++)
        for (int64_t p = 0; p < plane; p++)
            for (int64_t c = 0; c < x[1]; c++) {
                int64_t at = n * x[1] * plane + p;
                double base = lrn_base(a, r->in[0], at, c, x[1], plane);
                r->out[0][at + c * plane] = r->in[0][at + c * plane] * pow(base, -a->beta);
            }
    return MIEN_OK;
}

/* dx_j = dy_j b_j^-beta - 2 beta alpha/size x_j * sum of dy_c x_c b_c^(-beta-1) over the c whose
 * window holds j, with b the base of each channel. */
mien_status mien__ref_lrn_backward(mien__ref *r) {
    const mien_lrn_attr *a = r->attr;
    const int64_t *shape = r->call->in[0]->shape;
    int64_t plane = shape[2] * shape[3], channels = shape[1];
    const double *x = r->in[0], *dy = r->dout[0];
    for (int64_t n = 0; n < shape[0]; n++)
        for (int64_t p = 0; p < plane; p++)
            for (int64_t c = 0; c < channels; c++) {
                int64_t at = n * channels * plane + p, i = at + c * plane;
                double base = lrn_base(a, x, at, c, channels, plane);
                double shared =
                    -2 * a->beta * a->alpha / a->size * dy[i] * x[i] * pow(base, -a->beta - 1);
                int64_t first = c - (int64_t)a->size / 2, last = first + (int64_t)a->size - 1;
                for (int64_t j = first < 0 ? 0 : first; j <= last && j < channels; j++)
                    r->din[0][at + j * plane] += shared * x[at + j * plane];
                r->din[0][i] += dy[i] * pow(base, -a->beta);
            }
    return MIEN_OK;
}
