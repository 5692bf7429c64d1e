/* LSTM and GRU layers over whole sequences, forward and backward through time.
 * Not here: stacking of layers (lua/mien/nn). */
#include "ref.h"
#include "base/allocate.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

/* input [b,t,d], hidden size h, `gates` rows of weights per unit. */
typedef struct sizes {
    int64_t b, t, d, h, gates;
} sizes;

static sizes sizes_of(const mien__ref *r, int64_t gates) {
    const int64_t *x = r->call->in[0]->shape;
    return (sizes){x[0], x[1], x[2], r->call->in[2]->shape[1], gates};
}

/* Row `row` of matrix w [.., n] times vector x [n]. */
static double dot(const double *w, int64_t row, const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += w[row * n + i] * x[i];
    return sum;
}

/* The backward of y = w x in one row: dx += w^T dy, dw += dy x^T; either may be NULL. */
static void dot_back(const double *w, int64_t row, const double *x, int64_t n, double dy,
                     double *dx, double *dw) {
    for (int64_t i = 0; i < n; i++) {
        if (dx) dx[i] += w[row * n + i] * dy;
        if (dw) dw[row * n + i] += dy * x[i];
    }
}

/* Element of a gradient that may be absent. */
static double maybe(const double *values, int64_t i) {
    return values ? values[i] : 0;
}

static double *offset(double *values, int64_t at) {
    return values ? values + at : NULL;
}

/* The hidden state before frame t of sequence b: of the output, or h0, or zeros. */
static const double *before(const sizes *s, const double *output, const double *h0,
                            const double *zeros, int64_t b, int64_t t) {
    if (t > 0) return output + (b * s->t + t - 1) * s->h;
    return h0 ? h0 + b * s->h : zeros;
}

/* ---- LSTM (Hochreiter & Schmidhuber 1997; gate order i, f, g, o) ----------------------------- */

/* in: 0 input, 1 weight_ih, 2 weight_hh, 3 bias, 4 h0, 5 c0. out: 0 output, 1 h, 2 c, 3 reserve.
 * Unit k of sequence b at frame t has reserve[(t * b_count + b) * 5h + q * h + k]. */
static double *reserve_at(double *reserve, const sizes *s, int64_t parts, int64_t b, int64_t t) {
    return reserve + (t * s->b + b) * parts * s->h;
}

static void lstm_step(mien__ref *r, const sizes *s, int64_t b, int64_t t, const double *h,
                      const double *c) {
    const double *x = r->in[0] + (b * s->t + t) * s->d;
    double *y = r->out[0] + (b * s->t + t) * s->h, *kept = reserve_at(r->out[3], s, 5, b, t);
    for (int64_t row = 0; row < 4 * s->h; row++) {
        double a = r->in[3][row] + dot(r->in[1], row, x, s->d) + dot(r->in[2], row, h, s->h);
        kept[row] = row / s->h == 2 ? tanh(a) : sigmoid(a);
    }
    for (int64_t k = 0; k < s->h; k++) {
        double in = kept[k], forget = kept[s->h + k], g = kept[2 * s->h + k],
               o = kept[3 * s->h + k];
        kept[4 * s->h + k] = forget * c[k] + in * g;
        y[k] = o * tanh(kept[4 * s->h + k]);
    }
}

mien_status mien__ref_lstm_forward(mien__ref *r) {
    sizes s = sizes_of(r, 4);
    double *zeros = mien__calloc((size_t)s.h, sizeof *zeros);
    if (!zeros) MIEN_FAIL(MIEN_ERR_MEMORY, "ref: no memory for %lld units", (long long)s.h);
    for (int64_t b = 0; b < s.b; b++) {
        const double *c = r->in[5] ? r->in[5] + b * s.h : zeros;
        for (int64_t t = 0; t < s.t; t++) {
            lstm_step(r, &s, b, t, before(&s, r->out[0], r->in[4], zeros, b, t), c);
            c = reserve_at(r->out[3], &s, 5, b, t) + 4 * s.h;
        }
        memcpy(r->out[1] + b * s.h, before(&s, r->out[0], NULL, NULL, b, s.t),
               (size_t)s.h * sizeof(double));
        memcpy(r->out[2] + b * s.h, c, (size_t)s.h * sizeof(double));
    }
    free(zeros);
    return MIEN_OK;
}

/* dh, dc [h]: gradients of the state after frame t on entry, before frame t on return. */
static void lstm_step_back(mien__ref *r, const sizes *s, int64_t b, int64_t t, const double *h,
                           const double *c, double *dh, double *dc, double *da) {
    const double *x = r->in[0] + (b * s->t + t) * s->d;
    const double *kept = reserve_at(r->out[3], s, 5, b, t);
    for (int64_t k = 0; k < s->h; k++) {
        double in = kept[k], forget = kept[s->h + k], g = kept[2 * s->h + k],
               o = kept[3 * s->h + k];
        double squashed = tanh(kept[4 * s->h + k]);
        dh[k] += maybe(r->dout[0], (b * s->t + t) * s->h + k);
        dc[k] += dh[k] * o * (1 - squashed * squashed);
        da[k] = dc[k] * g * in * (1 - in);
        da[s->h + k] = dc[k] * c[k] * forget * (1 - forget);
        da[2 * s->h + k] = dc[k] * in * (1 - g * g);
        da[3 * s->h + k] = dh[k] * squashed * o * (1 - o);
        dc[k] *= forget;
        dh[k] = 0;
    }
    for (int64_t row = 0; row < 4 * s->h; row++) {
        dot_back(r->in[1], row, x, s->d, da[row], offset(r->din[0], (b * s->t + t) * s->d),
                 r->din[1]);
        dot_back(r->in[2], row, h, s->h, da[row], dh, r->din[2]);
        if (r->din[3]) r->din[3][row] += da[row];
    }
}

mien_status mien__ref_lstm_backward(mien__ref *r) {
    sizes s = sizes_of(r, 4);
    double *space = mien__calloc((size_t)(7 * s.h), sizeof *space);
    if (!space) MIEN_FAIL(MIEN_ERR_MEMORY, "ref: no memory for %lld units", (long long)s.h);
    double *zeros = space, *dh = space + s.h, *dc = space + 2 * s.h, *da = space + 3 * s.h;
    for (int64_t b = 0; b < s.b; b++) {
        for (int64_t k = 0; k < s.h; k++) {
            dh[k] = maybe(r->dout[1], b * s.h + k);
            dc[k] = maybe(r->dout[2], b * s.h + k);
        }
        for (int64_t t = s.t - 1; t >= 0; t--) {
            const double *h = before(&s, r->out[0], r->in[4], zeros, b, t);
            const double *c = r->in[5] ? r->in[5] + b * s.h : zeros;
            if (t > 0) c = reserve_at(r->out[3], &s, 5, b, t - 1) + 4 * s.h;
            lstm_step_back(r, &s, b, t, h, c, dh, dc, da);
        }
        for (int64_t k = 0; k < s.h; k++) {
            if (r->din[4]) r->din[4][b * s.h + k] = dh[k];
            if (r->din[5]) r->din[5][b * s.h + k] = dc[k];
        }
    }
    free(space);
    return MIEN_OK;
}

/* ---- GRU (Cho et al. 2014; gate order r, z, n) ----------------------------------------------- */

/* in: 0 input, 1 weight_ih, 2 weight_hh, 3 bias_ih, 4 bias_hh, 5 h0. out: 0 output, 1 h, 2 reserve:
 * r, z, n and u, where u = U h + c (reset_after) or U (r h) + c. gated [h]: space for r h. */
static void gru_step(mien__ref *ref, const sizes *s, int64_t b, int64_t t, const double *h,
                     double *gated) {
    const mien_gru_attr *a = ref->attr;
    const double *x = ref->in[0] + (b * s->t + t) * s->d;
    double *y = ref->out[0] + (b * s->t + t) * s->h, *kept = reserve_at(ref->out[2], s, 4, b, t);
    for (int64_t row = 0; row < 2 * s->h; row++)
        kept[row] = sigmoid(ref->in[3][row] + dot(ref->in[1], row, x, s->d) + ref->in[4][row] +
                            dot(ref->in[2], row, h, s->h));
    for (int64_t k = 0; k < s->h; k++) gated[k] = kept[k] * h[k];
    for (int64_t k = 0; k < s->h; k++) {
        int64_t row = 2 * s->h + k;
        double reset = kept[k], z = kept[s->h + k];
        double u = dot(ref->in[2], row, a->reset_after ? h : gated, s->h) + ref->in[4][row];
        double n = tanh(ref->in[3][row] + dot(ref->in[1], row, x, s->d) +
                        (a->reset_after ? reset * u : u));
        kept[row] = n;
        kept[3 * s->h + k] = u;
        y[k] = (1 - z) * n + z * h[k];
    }
}

mien_status mien__ref_gru_forward(mien__ref *r) {
    sizes s = sizes_of(r, 3);
    double *space = mien__calloc((size_t)(2 * s.h), sizeof *space);
    if (!space) MIEN_FAIL(MIEN_ERR_MEMORY, "ref: no memory for %lld units", (long long)s.h);
    double *zeros = space, *gated = space + s.h;
    for (int64_t b = 0; b < s.b; b++) {
        for (int64_t t = 0; t < s.t; t++)
            gru_step(r, &s, b, t, before(&s, r->out[0], r->in[5], zeros, b, t), gated);
        memcpy(r->out[1] + b * s.h, before(&s, r->out[0], NULL, NULL, b, s.t),
               (size_t)s.h * sizeof(double));
    }
    free(space);
    return MIEN_OK;
}

/* dh [h]: the gradient of the state after frame t on entry, before frame t on return.
 * space [7h]: gradients before the non-linearities on the input's side [3h], on the state's side
 * [2h], r h [h] and its gradient [h]. */
static void gru_step_back(mien__ref *ref, const sizes *s, int64_t b, int64_t t, const double *h,
                          double *dh, double *space) {
    const mien_gru_attr *a = ref->attr;
    const double *x = ref->in[0] + (b * s->t + t) * s->d;
    const double *kept = reserve_at(ref->out[2], s, 4, b, t), *u = kept + 3 * s->h;
    double *da = space, *du = space + 3 * s->h, *gated = space + 5 * s->h, *dgated = gated + s->h;
    double *dw = ref->din[2];
    for (int64_t k = 0; k < s->h; k++) {
        double reset = kept[k], z = kept[s->h + k], n = kept[2 * s->h + k];
        double d = dh[k] + maybe(ref->dout[0], (b * s->t + t) * s->h + k);
        da[2 * s->h + k] = d * (1 - z) * (1 - n * n);
        da[s->h + k] = d * (h[k] - n) * z * (1 - z);
        du[k] = da[2 * s->h + k] * (a->reset_after ? reset : 1);
        dh[k] = d * z;
        gated[k] = reset * h[k];
        dgated[k] = 0;
    }
    for (int64_t k = 0; k < s->h; k++) {
        int64_t row = 2 * s->h + k;
        if (a->reset_after)
            dot_back(ref->in[2], row, h, s->h, du[k], dh, dw);
        else
            dot_back(ref->in[2], row, gated, s->h, du[k], dgated, dw);
    }
    for (int64_t k = 0; k < s->h; k++) {
        double reset = kept[k];
        double dr = a->reset_after ? da[2 * s->h + k] * u[k] : dgated[k] * h[k];
        if (!a->reset_after) dh[k] += dgated[k] * reset;
        da[k] = dr * reset * (1 - reset);
    }
    for (int64_t row = 0; row < 3 * s->h; row++) {
        dot_back(ref->in[1], row, x, s->d, da[row], offset(ref->din[0], (b * s->t + t) * s->d),
                 ref->din[1]);
        if (row < 2 * s->h) dot_back(ref->in[2], row, h, s->h, da[row], dh, dw);
        if (ref->din[3]) ref->din[3][row] += da[row];
        if (ref->din[4]) ref->din[4][row] += row < 2 * s->h ? da[row] : du[row - 2 * s->h];
    }
}

mien_status mien__ref_gru_backward(mien__ref *r) {
    sizes s = sizes_of(r, 3);
    double *space = mien__calloc((size_t)(9 * s.h), sizeof *space);
    if (!space) MIEN_FAIL(MIEN_ERR_MEMORY, "ref: no memory for %lld units", (long long)s.h);
    double *zeros = space, *dh = space + s.h;
    for (int64_t b = 0; b < s.b; b++) {
        for (int64_t k = 0; k < s.h; k++) dh[k] = maybe(r->dout[1], b * s.h + k);
        for (int64_t t = s.t - 1; t >= 0; t--)
            gru_step_back(r, &s, b, t, before(&s, r->out[0], r->in[5], zeros, b, t), dh,
                          space + 2 * s.h);
        for (int64_t k = 0; r->din[5] && k < s.h; k++) r->din[5][b * s.h + k] = dh[k];
    }
    free(space);
    return MIEN_OK;
}
