/* sum and mean over one dimension or all.
 * Not here: max, softmax and the losses, whose tensors are small (ref). */
#include "cpu.h"

MIEN_CLONES(double, sum_run, (const float *x, int64_t n), (x, n)) {
    double lanes[16] = {0}, total = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++) lanes[k] += x[i + k];
    for (; i < n; i++) total += x[i];
    for (int k = 0; k < 16; k++) total += lanes[k];
    return total;
}

/* Pieces of a fixed size, added in order: the same bits for any number of threads. */
static double sum_all(const float *x, int64_t n) {
    enum { piece = 65536, pieces = 64 };
    double total = 0;
    for (int64_t first = 0; first < n; first += (int64_t)piece * pieces) {
        double part[pieces] = {0};
        int64_t stop = mien__min64(n, first + (int64_t)piece * pieces);
#pragma omp parallel for schedule(static) if (stop - first > MIEN_PARALLEL_FLOATS)
        for (int64_t i = first; i < stop; i += piece)
            part[(i - first) / piece] = sum_run(x + i, mien__min64(piece, stop - i));
        for (int i = 0; i < pieces; i++) total += part[i];
    }
    return total;
}

/* x is [outer, length, inner], y [outer, inner]. */
MIEN_CLONES(void, sum_middle,
            (float *restrict y, const float *restrict x, int64_t length, int64_t inner,
             double factor),
            (y, x, length, inner, factor)) {
    for (int64_t j0 = 0; j0 < inner; j0 += 64) {
        double part[64] = {0};
        int64_t width = mien__min64(64, inner - j0);
        for (int64_t i = 0; i < length; i++)
            for (int64_t j = 0; j < width; j++) part[j] += x[i * inner + j0 + j];
        for (int64_t j = 0; j < width; j++) y[j0 + j] = (float)(part[j] * factor);
    }
}

typedef struct extent {
    int64_t outer, length, inner;
} extent;

static extent extent_of(const mien_tensor *t, int dim) {
    extent e = {1, t->shape[dim], 1};
    for (int i = 0; i < dim; i++) e.outer *= t->shape[i];
    for (int i = dim + 1; i < t->ndim; i++) e.inner *= t->shape[i];
    return e;
}

/* sum's and mean's attributes are the same. */
static int dim_of(const mien_op_call *call) {
    return (int)((const mien_sum_attr *)call->attr)->dim;
}

mien_status mien__cpu_reduce_forward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_reduce_forward);
    int dim = dim_of(call);
    bool mean = call->op == MIEN_OP_mean;
    /* Over all elements the zeros that pad channels do no harm. */
    mien_tensor *in = mien__cpu_as(call->in[0], dim < 0 ? call->in[0]->block : 0);
    mien_tensor *out = call->out[0];
    if (!in) return mien_error_last()->code;
    mien_status status = mien__tensor_alloc(out, 0);
    if (status == MIEN_OK && dim < 0) {
        double sum = sum_all(mien__cpu_f32(in), mien__cpu_floats(in, in->block));
        *mien__cpu_f32(out) = (float)(mean ? sum / (double)mien_tensor_count(in) : sum);
    } else if (status == MIEN_OK) {
        extent e = extent_of(in, dim);
        double factor = mean ? 1.0 / (double)e.length : 1;
        float *y = mien__cpu_f32(out);
        const float *x = mien__cpu_f32(in);
#pragma omp parallel for if (e.outer * e.length * e.inner > MIEN_PARALLEL_FLOATS)
        for (int64_t i = 0; i < e.outer; i++) {
            if (e.inner == 1)
                y[i] = (float)(sum_run(x + i * e.length, e.length) * factor);
            else
                sum_middle(y + i * e.inner, x + i * e.length * e.inner, e.length, e.inner, factor);
        }
    }
    mien_tensor_release(in);
    return status;
}

mien_status mien__cpu_reduce_backward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_reduce_backward);
    int dim = dim_of(call);
    mien_tensor *dout = mien__cpu_as(call->dout[0], 0), *din = call->din[0];
    if (!dout) return mien_error_last()->code;
    mien_status status = mien__tensor_alloc(din, 0);
    if (status == MIEN_OK) {
        extent e = dim < 0 ? (extent){1, mien_tensor_count(din), 1} : extent_of(din, dim);
        float factor = call->op == MIEN_OP_mean ? 1.0f / (float)e.length : 1;
        float *dx = mien__cpu_f32(din);
        const float *dy = mien__cpu_f32(dout);
        int64_t rows = e.outer * e.length;
#pragma omp parallel for schedule(static) if (rows * e.inner > MIEN_PARALLEL_FLOATS)
        for (int64_t row = 0; row < rows; row++) {
            const float *from = dy + row / e.length * e.inner;
            for (int64_t j = 0; j < e.inner; j++) dx[row * e.inner + j] = from[j] * factor;
        }
    }
    mien_tensor_release(dout);
    return status;
}
