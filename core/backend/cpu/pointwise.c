/* Element by element: add, sub, mul, div, affine ... abs, dropout.
 * Not here: how a smaller tensor repeats (spread.c), reductions (reduce.c). */
#include "vmath.h"
#include "tensor/rng.h"
#include <math.h>

/* Elements are worked on in pieces of this many, each by one thread. */
#define PIECE 2048

static int64_t floats_of(const mien_tensor *t) {
    return mien__cpu_floats(t, t->block);
}

/* ---- two inputs ------------------------------------------------------------------------------ */

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

/* Blocked stays blocked, but for div (the padding would become 0/0) and broadcasting. */
static int block_for(const mien_op_call *call) {
    const mien_tensor *a = call->in[0], *b = call->in[1];
    if (call->op == MIEN_OP_div || !mien__same_shape(a, b)) return 0;
    return a->block ? a->block : b->block;
}

/* An input as the output sees it. */
typedef struct operand {
    mien_tensor *dense; /* owned; NULL: not needed */
    bool repeats;       /* smaller than the output; then in f32 */
    mien__spread spread;
} operand;

static mien_status take(operand *o, mien_tensor *t, const mien_tensor *full, int block) {
    o->repeats = mien_tensor_count(t) != mien_tensor_count(full);
    o->dense = mien__cpu_as_dtype(t, block, o->repeats ? MIEN_F32 : t->dtype);
    if (!o->dense) return mien_error_last()->code;
    if (o->repeats) o->spread = mien__spread_of(o->dense, full);
    return MIEN_OK;
}

/* Elements [i, i + n) of the output's. */
static const float *operand_read(const operand *o, int64_t i, int64_t n, float *room) {
    if (!o->dense) return NULL;
    return o->repeats ? mien__spread_read(&o->spread, i, n, room)
                      : mien__cpu_read(o->dense, i, n, room);
}

mien_status mien__cpu_binary_forward(mien_op_call *call) {
    int block = block_for(call);
    operand a = {0}, b = {0};
    mien_tensor *out = call->out[0];
    mien_status status = take(&a, call->in[0], out, block);
    if (status == MIEN_OK) status = take(&b, call->in[1], out, block);
    if (status == MIEN_OK) status = mien__tensor_alloc(out, block);
    if (status != MIEN_OK) goto done;
    int64_t n = floats_of(out);
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < n; i += PIECE) {
        float room[3][PIECE], *y = mien__cpu_write_to(out, i, room[0]);
        int64_t m = mien__min64(PIECE, n - i);
        binary_piece(call->op, y, operand_read(&a, i, m, room[1]), operand_read(&b, i, m, room[2]),
                     m);
        mien__cpu_written(out, i, m, y);
    }
done:
    mien_tensor_release(a.dense);
    mien_tensor_release(b.dense);
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
}

/* Gradients of the output's elements for input `which`, into `to` of as many elements. */
static void binary_gradient(const mien_op_call *call, int which, mien_tensor *to, mien_tensor *dout,
                            const operand *a, const operand *b) {
    int64_t n = floats_of(to);
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < n; i += PIECE) {
        float room[4][PIECE], *dx = mien__cpu_write_to(to, i, room[0]);
        int64_t m = mien__min64(PIECE, n - i);
        binary_piece_gradient(call->op, which, dx, mien__cpu_read(dout, i, m, room[1]),
                              operand_read(a, i, m, room[2]), operand_read(b, i, m, room[3]), m);
        mien__cpu_written(to, i, m, dx);
    }
}

/* din of an input that was repeated: the sums over its repetitions. All is f32 here. */
static mien_status binary_sums(const mien_op_call *call, int which, mien_tensor *dout,
                               const operand *a, const operand *b) {
    if (call->op == MIEN_OP_add || call->op == MIEN_OP_sub)
        return mien__spread_sum(call->din[which], dout,
                                call->op == MIEN_OP_sub && which == 1 ? -1 : 1);
    mien_tensor *each = mien_tensor_new(MIEN_F32, dout->device, dout->ndim, dout->shape);
    if (!each) return mien_error_last()->code;
    binary_gradient(call, which, each, dout, a, b);
    mien_status status = mien__spread_sum(call->din[which], each, 1);
    mien_tensor_release(each);
    return status;
}

mien_status mien__cpu_binary_backward(mien_op_call *call) {
    bool same = mien__same_shape(call->in[0], call->in[1]);
    if (!same && mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_binary_backward);
    bool reads = call->op == MIEN_OP_mul || call->op == MIEN_OP_div;
    int block = reads || !same ? block_for(call) : call->dout[0]->block;
    operand a = {0}, b = {0};
    mien_tensor *dout = mien__cpu_as_layout(call->dout[0], block);
    mien_status status = dout ? MIEN_OK : mien_error_last()->code;
    if (status == MIEN_OK && reads) status = take(&a, call->in[0], dout, block);
    if (status == MIEN_OK && reads) status = take(&b, call->in[1], dout, block);
    for (int which = 0; which < 2 && status == MIEN_OK; which++) {
        mien_tensor *din = call->din[which];
        if (!call->want[which]) continue;
        if (mien_tensor_count(din) != mien_tensor_count(dout))
            status = binary_sums(call, which, dout, &a, &b);
        else if (call->op == MIEN_OP_add || (call->op == MIEN_OP_sub && which == 0))
            share(din, dout);
        else if ((status = mien__tensor_alloc(din, block)) == MIEN_OK)
            binary_gradient(call, which, din, dout, &a, &b);
    }
    mien_tensor_release(dout);
    mien_tensor_release(a.dense);
    mien_tensor_release(b.dense);
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
        for (int64_t i = 0; i < n; i++) y[i] = mien__logistic(x[i]);
        break;
    case MIEN_OP_tanh:
        for (int64_t i = 0; i < n; i++) y[i] = mien__tanh(x[i]);
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
    mien_tensor *in = mien__cpu_as_layout(call->in[0], block), *out = call->out[0];
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
    mien_tensor *dout = mien__cpu_as_layout(call->dout[0], block), *din = call->din[0];
    mien_tensor *saved = source ? mien__cpu_as_layout(source, block) : NULL;
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
    mien_tensor *in = mien__cpu_as_layout(from, 0);
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
