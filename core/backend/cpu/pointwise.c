/* Element by element: add, sub, mul, div of equal shapes, affine ... abs, dropout.
 * Not here: broadcasting (ref), reductions (reduce.c). */
#include "vmath.h"
#include "../../tensor/rng.h"
#include <math.h>

/* Elements are worked on in pieces of this many, each by one thread. */
#define PIECE 2048

static int64_t floats_of(const mien_tensor *t) {
    return mien__cpu_floats(t, t->block);
}

/* ---- two inputs ------------------------------------------------------------------------------ */

static bool same_shape(const mien_tensor *a, const mien_tensor *b) {
    if (a->ndim != b->ndim) return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->shape[i] != b->shape[i]) return false;
    return true;
}

bool mien__cpu_binary_supports(const mien_op_call *call, bool backward) {
    return same_shape(call->in[0], call->in[1]);
}

MIEN_CLONES(void, binary_piece,
            (mien_op op, float *restrict y, const float *a, const float *b, int64_t n),
            (op, y, a, b, n)) {
    if (op == MIEN_OP_add)
        for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
    else if (op == MIEN_OP_sub)
        for (int64_t i = 0; i < n; i++) y[i] = a[i] - b[i];
    else if (op == MIEN_OP_mul)
        for (int64_t i = 0; i < n; i++) y[i] = a[i] * b[i];
    else
        for (int64_t i = 0; i < n; i++) y[i] = a[i] / b[i];
}

/* Blocked stays blocked, but for div: the padding would become 0/0. */
static int block_for(const mien_op_call *call) {
    const mien_tensor *a = call->in[0], *b = call->in[1];
    if (call->op == MIEN_OP_div) return 0;
    return a->block ? a->block : b->block;
}

mien_status mien__cpu_binary_forward(mien_op_call *call) {
    int block = block_for(call);
    mien_tensor *a = mien__cpu_as(call->in[0], block), *b = mien__cpu_as(call->in[1], block);
    mien_tensor *out = call->out[0];
    mien_status status = mien_error_last()->code; /* of what is NULL, if anything */
    if (!a || !b) goto done;
    if ((status = mien__tensor_alloc(out, block)) != MIEN_OK) goto done;
    int64_t n = floats_of(out);
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < n; i += PIECE) {
        float room[3][PIECE], *y = mien__cpu_write_to(out, i, room[0]);
        int64_t m = mien__min64(PIECE, n - i);
        binary_piece(call->op, y, mien__cpu_read(a, i, m, room[1]),
                     mien__cpu_read(b, i, m, room[2]), m);
        mien__cpu_written(out, i, m, y);
    }
done:
    mien_tensor_release(a);
    mien_tensor_release(b);
    return status;
}

/* din of input `which`: a, b are the inputs where the op needs them. */
MIEN_CLONES(void, binary_piece_gradient,
            (mien_op op, int which, float *restrict dx, const float *dy, const float *a,
             const float *b, int64_t n),
            (op, which, dx, dy, a, b, n)) {
    if (op == MIEN_OP_sub) {
        for (int64_t i = 0; i < n; i++) dx[i] = -dy[i];
    } else if (op == MIEN_OP_mul) {
        const float *other = which ? a : b;
        for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * other[i];
    } else if (which == 0) {
        for (int64_t i = 0; i < n; i++) dx[i] = dy[i] / b[i];
    } else {
        for (int64_t i = 0; i < n; i++) dx[i] = -dy[i] * a[i] / (b[i] * b[i]);
    }
}

/* The gradient passes through unchanged: the two tensors share their elements. */
static void share(mien_tensor *din, mien_tensor *dout) {
    din->storage = mien__storage_retain(dout->storage);
    din->offset = dout->offset;
    din->block = dout->block;
    memcpy(din->stride, dout->stride, sizeof din->stride);
}

mien_status mien__cpu_binary_backward(mien_op_call *call) {
    bool reads = call->op == MIEN_OP_mul || call->op == MIEN_OP_div;
    int block = reads ? block_for(call) : call->dout[0]->block;
    mien_tensor *a = NULL, *b = NULL, *dout = mien__cpu_as(call->dout[0], block);
    mien_status status = mien_error_last()->code; /* of what is NULL, if anything */
    if (!dout) goto done;
    if (reads) {
        a = mien__cpu_as(call->in[0], block);
        b = mien__cpu_as(call->in[1], block);
        if (mien__failed(a, &status) || mien__failed(b, &status)) goto done;
    }
    status = MIEN_OK;
    for (int which = 0; which < 2; which++) {
        mien_tensor *din = call->din[which];
        if (!call->want[which]) continue;
        if (call->op == MIEN_OP_add || (call->op == MIEN_OP_sub && which == 0)) {
            share(din, dout);
            continue;
        }
        if ((status = mien__tensor_alloc(din, block)) != MIEN_OK) goto done;
        int64_t n = floats_of(din);
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
        for (int64_t i = 0; i < n; i += PIECE) {
            float room[4][PIECE], *dx = mien__cpu_write_to(din, i, room[0]);
            int64_t m = mien__min64(PIECE, n - i);
            binary_piece_gradient(call->op, which, dx, mien__cpu_read(dout, i, m, room[1]),
                                  a ? mien__cpu_read(a, i, m, room[2]) : NULL,
                                  b ? mien__cpu_read(b, i, m, room[3]) : NULL, m);
            mien__cpu_written(din, i, m, dx);
        }
    }
done:
    mien_tensor_release(dout);
    mien_tensor_release(a);
    mien_tensor_release(b);
    return status;
}

/* ---- one input ------------------------------------------------------------------------------- */

typedef struct numbers {
    float scale, shift, divisor, exponent;
} numbers;

static numbers numbers_of(const mien_op_call *call) {
    numbers k = {1, 0, 1, 1};
    if (call->op == MIEN_OP_affine) {
        const mien_affine_attr *a = call->attr;
        k.scale = (float)a->scale, k.shift = (float)a->shift, k.divisor = (float)a->divisor;
    } else if (call->op == MIEN_OP_power) {
        const mien_power_attr *a = call->attr;
        k.exponent = (float)a->exponent, k.scale = (float)a->scale;
    }
    return k;
}

/* f(0) = 0: such ops keep the zeros that pad the channels of a blocked tensor. */
static bool keeps_zero(const mien_op_call *call) {
    if (call->op == MIEN_OP_affine) return ((const mien_affine_attr *)call->attr)->shift == 0;
    return call->op == MIEN_OP_relu || call->op == MIEN_OP_tanh || call->op == MIEN_OP_abs;
}

static float power_of(float x, float exponent) {
    if (exponent == 2) return x * x;
    if (exponent == 0.5f) return sqrtf(x);
    if (exponent == -1) return 1 / x;
    return powf(x, exponent);
}

/* Calls `expression` of v for each 16 elements; the last, shorter ones go through a buffer. */
#define EACH_16(expression)                                                                        \
    for (int64_t i = 0; i < n; i += 16) {                                                          \
        v16 v = {0};                                                                               \
        size_t bytes = (size_t)mien__min64(16, n - i) * sizeof(float);                             \
        memcpy(&v, x + i, bytes == 64 ? 64 : bytes);                                               \
        v = (expression);                                                                          \
        memcpy(y + i, &v, bytes == 64 ? 64 : bytes);                                               \
    }

MIEN_CLONES(void, unary_piece,
            (mien_op op, numbers k, float *restrict y, const float *restrict x, int64_t n),
            (op, k, y, x, n)) {
    switch (op) {
    case MIEN_OP_affine:
        if (k.divisor == 1)
            for (int64_t i = 0; i < n; i++) y[i] = k.scale * x[i] + k.shift;
        else
            for (int64_t i = 0; i < n; i++) y[i] = k.scale * x[i] / k.divisor + k.shift;
        break;
    case MIEN_OP_power:
        if (k.exponent == -1)
            for (int64_t i = 0; i < n; i++) y[i] = k.scale / x[i];
        else
            for (int64_t i = 0; i < n; i++) y[i] = k.scale * power_of(x[i], k.exponent);
        break;
    case MIEN_OP_relu:
        for (int64_t i = 0; i < n; i++) y[i] = x[i] <= 0 ? 0 : x[i]; /* NaN shows */
        break;
    case MIEN_OP_sigmoid:
        EACH_16(mien__v16_logistic(v));
        break;
    case MIEN_OP_tanh:
        EACH_16(mien__v16_tanh(v));
        break;
    case MIEN_OP_exp:
        for (int64_t i = 0; i < n; i++) y[i] = expf(x[i]);
        break;
    case MIEN_OP_log:
        for (int64_t i = 0; i < n; i++) y[i] = logf(x[i]);
        break;
    default: /* abs */
        for (int64_t i = 0; i < n; i++) y[i] = fabsf(x[i]);
    }
}

/* s is what the op saved: its input or its output. */
MIEN_CLONES(void, unary_piece_gradient,
            (mien_op op, numbers k, float *restrict dx, const float *restrict dy,
             const float *restrict s, int64_t n),
            (op, k, dx, dy, s, n)) {
    switch (op) {
    case MIEN_OP_affine:
        if (k.divisor == 1)
            for (int64_t i = 0; i < n; i++) dx[i] = k.scale * dy[i];
        else
            for (int64_t i = 0; i < n; i++) dx[i] = k.scale * dy[i] / k.divisor;
        break;
    case MIEN_OP_power:
        for (int64_t i = 0; i < n; i++)
            dx[i] = k.exponent ? dy[i] * k.scale * k.exponent * power_of(s[i], k.exponent - 1) : 0;
        break;
    case MIEN_OP_relu:
        for (int64_t i = 0; i < n; i++) dx[i] = s[i] <= 0 ? 0 : dy[i];
        break;
    case MIEN_OP_sigmoid:
        for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * s[i] * (1 - s[i]);
        break;
    case MIEN_OP_tanh:
        for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * (1 - s[i] * s[i]);
        break;
    case MIEN_OP_exp:
        for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * s[i];
        break;
    case MIEN_OP_log:
        for (int64_t i = 0; i < n; i++) dx[i] = dy[i] / s[i];
        break;
    default: /* abs */
        for (int64_t i = 0; i < n; i++) dx[i] = s[i] > 0 ? dy[i] : s[i] < 0 ? -dy[i] : 0;
    }
}

mien_status mien__cpu_pointwise_forward(mien_op_call *call) {
    int block = keeps_zero(call) ? call->in[0]->block : 0;
    mien_tensor *in = mien__cpu_as(call->in[0], block), *out = call->out[0];
    if (!in) return mien_error_last()->code;
    mien_status status = mien__tensor_alloc(out, block);
    if (status == MIEN_OK) {
        numbers k = numbers_of(call);
        int64_t n = floats_of(out);
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
        for (int64_t i = 0; i < n; i += PIECE) {
            float room[2][PIECE], *y = mien__cpu_write_to(out, i, room[0]);
            int64_t m = mien__min64(PIECE, n - i);
            unary_piece(call->op, k, y, mien__cpu_read(in, i, m, room[1]), m);
            mien__cpu_written(out, i, m, y);
        }
    }
    mien_tensor_release(in);
    return status;
}

mien_status mien__cpu_pointwise_backward(mien_op_call *call) {
    int block = keeps_zero(call) ? call->dout[0]->block : 0;
    bool output = mien__op_saves(call->op, true, 0), input = mien__op_saves(call->op, false, 0);
    mien_tensor *source = output ? call->out[0] : input ? call->in[0] : NULL;
    mien_tensor *dout = mien__cpu_as(call->dout[0], block), *din = call->din[0];
    mien_tensor *saved = source ? mien__cpu_as(source, block) : NULL;
    mien_status status = mien_error_last()->code; /* of what is NULL, if anything */
    if (!dout || (source && !saved)) goto done;
    if ((status = mien__tensor_alloc(din, block)) != MIEN_OK) goto done;
    numbers k = numbers_of(call);
    int64_t n = floats_of(din);
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < n; i += PIECE) {
        float room[3][PIECE], *dx = mien__cpu_write_to(din, i, room[0]);
        int64_t m = mien__min64(PIECE, n - i);
        unary_piece_gradient(call->op, k, dx, mien__cpu_read(dout, i, m, room[1]),
                             saved ? mien__cpu_read(saved, i, m, room[2]) : NULL, m);
        mien__cpu_written(din, i, m, dx);
    }
done:
    mien_tensor_release(dout);
    mien_tensor_release(saved);
    return status;
}

/* ---- another dtype --------------------------------------------------------------------------- */

/* In the layout that it comes in. */
static mien_status convert(mien_tensor *from, mien_tensor *to) {
    MIEN_TRY(mien__tensor_alloc(to, from->block));
    return mien__cpu_copy(to, from);
}

mien_status mien__cpu_cast_forward(mien_op_call *call) {
    return convert(call->in[0], call->out[0]);
}

mien_status mien__cpu_cast_backward(mien_op_call *call) {
    return convert(call->dout[0], call->din[0]);
}

/* ---- dropout --------------------------------------------------------------------------------- */

/* n elements from `first` in row-major order, a multiple of 4, on. */
static void drop(const mien_dropout_attr *a, float *y, const float *x, int64_t first, int64_t n) {
    float keep = (float)(1 / (1 - a->p));
    for (int64_t i = 0; i < n; i += 4) {
        uint32_t word[4];
        mien__philox((uint64_t)a->seed, (uint64_t)a->stream,
                     (uint64_t)a->counter + (uint64_t)(first + i) / 4, word);
        for (int64_t j = i; j < mien__min64(n, i + 4); j++)
            y[j] = mien__u24(word[j - i]) >= a->p ? x[j] * keep : 0;
    }
}

static mien_status apply_dropout(const mien_op_call *call, mien_tensor *from, mien_tensor *to) {
    mien_tensor *in = mien__cpu_as(from, 0);
    if (!in) return mien_error_last()->code;
    mien_status status = mien__tensor_alloc(to, 0);
    if (status == MIEN_OK) {
        int64_t n = mien_tensor_count(to);
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
        for (int64_t i = 0; i < n; i += PIECE) {
            float room[2][PIECE], *y = mien__cpu_write_to(to, i, room[0]);
            int64_t m = mien__min64(PIECE, n - i);
            drop(call->attr, y, mien__cpu_read(in, i, m, room[1]), i, m);
            mien__cpu_written(to, i, m, y);
        }
    }
    mien_tensor_release(in);
    return status;
}

mien_status mien__cpu_dropout_forward(mien_op_call *call) {
    return apply_dropout(call, call->in[0], call->out[0]);
}

mien_status mien__cpu_dropout_backward(mien_op_call *call) {
    return apply_dropout(call, call->dout[0], call->din[0]);
}
