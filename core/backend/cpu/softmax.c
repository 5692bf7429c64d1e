/* softmax and log_softmax over the last dimension, row by row.
 * Not here: the losses built on them (loss.c). */
#include "cpu.h"
#include <math.h>

/* e^x for x <= 0, to about 1e-7 relative error; 0 where that is no normal number, so that e to
 * minus infinity is 0. Masks choose: of a choice GCC makes a branch, and no vectors of the loop
 * around it. Coefficients: as in vmath.h. */
MIEN_INLINE float power_of_e(float x) {
    union {
        float f;
        int32_t i;
    } t = {x}, shifted, y;
    int32_t normal = -!(x < -87.3f), nan = -(x != x);
    t.i &= normal;
    shifted.f = t.f * 1.44269504088896341f + 12582912.0f; /* 1.5 * 2^23: rounds to an integer */
    float n = shifted.f - 12582912.0f, r = t.f - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    y.f = p * r * r + r + 1.0f;
    y.i = ((y.i + (int32_t)((uint32_t)shifted.i << 23)) & normal) | nan;
    return y.f;
}

/* The sum of a b, or with b NULL of a. */
MIEN_INLINE double sum_of(const float *a, const float *b, int64_t n) {
    double lanes[16] = {0}, total = 0;
    int64_t i = 0;
    if (b)
        for (; i + 16 <= n; i += 16)
            for (int k = 0; k < 16; k++) lanes[k] += a[i + k] * b[i + k];
    else
        for (; i + 16 <= n; i += 16)
            for (int k = 0; k < 16; k++) lanes[k] += a[i + k];
    for (; i < n; i++) total += b ? a[i] * b[i] : a[i];
    for (int k = 0; k < 16; k++) total += lanes[k];
    return total;
}

MIEN_CLONES(void, softmax_rows,
            (float *restrict y, const float *restrict x, int64_t rows, int64_t n, bool log_of),
            (y, x, rows, n, log_of)) {
    for (int64_t row = 0; row < rows; row++, x += n, y += n) {
        float most = mien__largest(x, n);
        for (int64_t i = 0; i < n; i++) y[i] = power_of_e(x[i] - most);
        double sum = sum_of(y, NULL, n);
        float factor = (float)(1 / sum), shift = (float)log(sum);
        if (log_of)
            for (int64_t i = 0; i < n; i++) y[i] = x[i] - most - shift;
        else
            for (int64_t i = 0; i < n; i++) y[i] *= factor;
    }
}

/* softmax: dx = y (dy - sum dy y); log_softmax: dx = dy - e^y sum dy. */
MIEN_CLONES(void, softmax_rows_gradient,
            (float *restrict dx, const float *restrict dy, const float *restrict y, int64_t rows,
             int64_t n, bool log_of),
            (dx, dy, y, rows, n, log_of)) {
    for (int64_t row = 0; row < rows; row++, dx += n, dy += n, y += n) {
        float sum = (float)sum_of(dy, log_of ? NULL : y, n);
        if (log_of)
            for (int64_t i = 0; i < n; i++) dx[i] = dy[i] - power_of_e(y[i]) * sum;
        else
            for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - sum);
    }
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* Rows that one thread takes at a time: as many as a piece of 4096 floats holds. */
static int64_t rows_at_once(int64_t n) {
    return n < 4096 ? 4096 / n : 1;
}

mien_status mien__cpu_softmax_forward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_softmax_forward);
    mien_tensor *in = mien__cpu_as_layout(call->in[0], 0), *out = call->out[0];
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
    mien_tensor *out = mien__cpu_as_layout(call->out[0], 0),
                *dout = mien__cpu_as_layout(call->dout[0], 0);
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
