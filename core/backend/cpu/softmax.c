/* softmax and log_softmax over the last dimension, row by row.
 * Not here: the losses built on them (loss.c). */
#include "vmath.h"
#include <math.h>

/* Sums run in float over this many vectors, then in double. */
enum { RUN = 64 };

/* Elements [i, i + 16) of n; what is beyond them is `rest`. */
VMATH load(const float *x, int64_t i, int64_t n, float rest) {
    v16 v = mien__v16_set(rest);
    if (i + 16 <= n)
        memcpy(&v, x + i, sizeof v);
    else
        for (int64_t k = 0; k < n - i; k++) v[k] = x[i + k];
    return v;
}

MIEN_INLINE void store(float *y, int64_t i, int64_t n, v16 v) {
    if (i + 16 <= n)
        memcpy(y + i, &v, sizeof v);
    else
        for (int64_t k = 0; k < n - i; k++) y[i + k] = v[k];
}

/* e^x for x <= 0, and 0 where that is no normal number: e to minus infinity is 0. */
VMATH power_of_e(v16 x) {
    return mien__v16_pick(x < mien__v16_set(-87.3f), (v16){0}, mien__v16_exp(x));
}

MIEN_INLINE double total_of(v16 v) {
    double total = 0;
    for (int k = 0; k < 16; k++) total += v[k];
    return total;
}

/* x - max(x) and its exponentials; softmax keeps these, log_softmax those. */
MIEN_CLONES(void, softmax_rows,
            (float *restrict y, const float *restrict x, int64_t rows, int64_t n, bool log_of),
            (y, x, rows, n, log_of)) {
    for (int64_t row = 0; row < rows; row++, x += n, y += n) {
        v16 top = mien__v16_set(-INFINITY);
        for (int64_t i = 0; i < n; i += 16) {
            v16 v = load(x, i, n, -INFINITY);
            top = mien__v16_pick(v > top, v, top);
        }
        float most = top[0];
        for (int k = 1; k < 16; k++) most = top[k] > most ? top[k] : most;
        double sum = 0;
        for (int64_t i0 = 0; i0 < n; i0 += 16 * RUN) {
            v16 part = {0};
            for (int64_t i = i0; i < mien__min64(n, i0 + 16 * RUN); i += 16) {
                v16 centred = load(x, i, n, -INFINITY) - most;
                v16 e = power_of_e(centred);
                part += e;
                if (!log_of) centred = e;
                store(y, i, n, centred);
            }
            sum += total_of(part);
        }
        float factor = (float)(1 / sum), shift = (float)log(sum);
        for (int64_t i = 0; i < n; i++) y[i] = log_of ? y[i] - shift : y[i] * factor;
    }
}

/* softmax: dx = y (dy - sum dy y); log_softmax: dx = dy - e^y sum dy. */
MIEN_CLONES(void, softmax_rows_gradient,
            (float *restrict dx, const float *restrict dy, const float *restrict y, int64_t rows,
             int64_t n, bool log_of),
            (dx, dy, y, rows, n, log_of)) {
    for (int64_t row = 0; row < rows; row++, dx += n, dy += n, y += n) {
        double total = 0;
        for (int64_t i0 = 0; i0 < n; i0 += 16 * RUN) {
            v16 part = {0};
            for (int64_t i = i0; i < mien__min64(n, i0 + 16 * RUN); i += 16) {
                v16 d = load(dy, i, n, 0);
                if (!log_of) d *= load(y, i, n, 0);
                part += d;
            }
            total += total_of(part);
        }
        float sum = (float)total;
        for (int64_t i = 0; i < n; i += 16) {
            v16 d = load(dy, i, n, 0), v = load(y, i, n, 0);
            if (log_of)
                d -= power_of_e(v) * sum;
            else
                d = v * (d - sum);
            store(dx, i, n, d);
        }
    }
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* Rows that one thread takes at a time: as many as a piece of 4096 floats holds. */
static int64_t rows_at_once(int64_t n) {
    return n < 4096 ? 4096 / n : 1;
}

mien_status mien__cpu_softmax_forward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_softmax_forward);
    mien_tensor *in = mien__cpu_as(call->in[0], 0), *out = call->out[0];
    mien_status status = in ? mien__tensor_alloc(out, 0) : mien_error_last()->code;
    if (status == MIEN_OK) {
        int64_t n = out->shape[out->ndim - 1], rows = mien_tensor_count(out) / n;
        int64_t grain = rows_at_once(n);
        const float *x = mien__cpu_f32(in);
        float *y = mien__cpu_f32(out);
#pragma omp parallel for schedule(static) if (rows * n > MIEN_PARALLEL_FLOATS)
        for (int64_t i = 0; i < rows; i += grain)
            softmax_rows(y + i * n, x + i * n, mien__min64(grain, rows - i), n,
                         call->op == MIEN_OP_log_softmax);
    }
    mien_tensor_release(in);
    return status;
}

mien_status mien__cpu_softmax_backward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_softmax_backward);
    mien_tensor *out = mien__cpu_as(call->out[0], 0), *dout = mien__cpu_as(call->dout[0], 0);
    mien_tensor *din = call->din[0];
    mien_status status = out && dout ? mien__tensor_alloc(din, 0) : mien_error_last()->code;
    if (status == MIEN_OK) {
        int64_t n = din->shape[din->ndim - 1], rows = mien_tensor_count(din) / n;
        int64_t grain = rows_at_once(n);
        const float *y = mien__cpu_f32(out), *dy = mien__cpu_f32(dout);
        float *dx = mien__cpu_f32(din);
#pragma omp parallel for schedule(static) if (rows * n > MIEN_PARALLEL_FLOATS)
        for (int64_t i = 0; i < rows; i += grain)
            softmax_rows_gradient(dx + i * n, dy + i * n, y + i * n, mien__min64(grain, rows - i),
                                  n, call->op == MIEN_OP_log_softmax);
    }
    mien_tensor_release(out);
    mien_tensor_release(dout);
    return status;
}
