/* Pointwise ops, broadcasting and dropout, forward and backward.
 * Not here: reductions (reduce.c). */
#include "ref.h"
#include "tensor/rng.h"
#include <math.h>

/* ---- one input ------------------------------------------------------------------------------- */

static double unary(mien_op op, const void *attr, double x) {
    const mien_affine_attr *affine = attr;
    const mien_power_attr *power = attr;
    switch (op) {
    case MIEN_OP_affine:
        return affine->scale * x / affine->divisor + affine->shift;
    case MIEN_OP_power:
        return power->scale * pow(x, power->exponent);
    case MIEN_OP_relu:
        return x < 0 ? 0 : x;
    case MIEN_OP_sigmoid:
        return 1 / (1 + exp(-x));
    case MIEN_OP_tanh:
        return tanh(x);
    case MIEN_OP_exp:
        return exp(x);
    case MIEN_OP_log:
        return log(x);
    default:
        return fabs(x);
    }
}

/* The derivative from the input x, or from the output y where the op saves that. */
static double slope(mien_op op, const void *attr, double x, double y) {
    const mien_affine_attr *affine = attr;
    const mien_power_attr *power = attr;
    switch (op) {
    case MIEN_OP_affine:
        return affine->scale / affine->divisor;
    case MIEN_OP_power:
        return power->exponent == 0 ? 0
                                    : power->scale * power->exponent * pow(x, power->exponent - 1);
    case MIEN_OP_relu:
        return !(y <= 0);
    case MIEN_OP_sigmoid:
        return y * (1 - y);
    case MIEN_OP_tanh:
        return 1 - y * y;
    case MIEN_OP_exp:
        return y;
    case MIEN_OP_log:
        return 1 / x;
    default:
        return (x > 0) - (x < 0);
    }
}

mien_status mien__ref_unary_forward(mien__ref *r) {
    int64_t count = mien_tensor_count(r->call->out[0]);
    for (int64_t i = 0; i < count; i++) r->out[0][i] = unary(r->call->op, r->attr, r->in[0][i]);
    return MIEN_OK;
}

mien_status mien__ref_unary_backward(mien__ref *r) {
    int64_t count = mien_tensor_count(r->call->dout[0]);
    for (int64_t i = 0; i < count; i++) {
        double x = r->in[0] ? r->in[0][i] : 0, y = r->out[0] ? r->out[0][i] : 0;
        r->din[0][i] = r->dout[0][i] * slope(r->call->op, r->attr, x, y);
    }
    return MIEN_OK;
}

/* The rounding is done by what writes the result in its own dtype. */
mien_status mien__ref_cast_forward(mien__ref *r) {
    int64_t count = mien_tensor_count(r->call->out[0]);
    for (int64_t i = 0; i < count; i++) r->out[0][i] = r->in[0][i];
    return MIEN_OK;
}

mien_status mien__ref_cast_backward(mien__ref *r) {
    int64_t count = mien_tensor_count(r->call->dout[0]);
    for (int64_t i = 0; i < count; i++) r->din[0][i] = r->dout[0][i];
    return MIEN_OK;
}

/* ---- two inputs, broadcast ------------------------------------------------------------------- */

/* Element of `t` that meets row-major element i of `full`: dimensions are aligned at the right,
 * those of size 1 repeat. */
static int64_t partner(const mien_tensor *t, const mien_tensor *full, int64_t i) {
    int64_t at = 0, step = 1;
    for (int d = 1; d <= t->ndim; d++) {
        int64_t size = full->shape[full->ndim - d], own = t->shape[t->ndim - d];
        if (own != 1) at += i % size * step;
        i /= size;
        step *= own;
    }
    return at;
}

mien_status mien__ref_binary_forward(mien__ref *r) {
    const mien_op_call *call = r->call;
    int64_t count = mien_tensor_count(call->out[0]);
    for (int64_t i = 0; i < count; i++) {
        double a = r->in[0][partner(call->in[0], call->out[0], i)];
        double b = r->in[1][partner(call->in[1], call->out[0], i)];
        r->out[0][i] = call->op == MIEN_OP_add   ? a + b
                       : call->op == MIEN_OP_sub ? a - b
                       : call->op == MIEN_OP_mul ? a * b
                                                 : a / b;
    }
    return MIEN_OK;
}

mien_status mien__ref_binary_backward(mien__ref *r) {
    const mien_op_call *call = r->call;
    int64_t count = mien_tensor_count(call->dout[0]);
    for (int64_t i = 0; i < count; i++) {
        int64_t ia = partner(call->in[0], call->dout[0], i);
        int64_t ib = partner(call->in[1], call->dout[0], i);
        double da = 1, db = call->op == MIEN_OP_sub ? -1 : 1;
        if (call->op == MIEN_OP_mul) {
            da = r->in[1][ib];
            db = r->in[0][ia];
        } else if (call->op == MIEN_OP_div) {
            da = 1 / r->in[1][ib];
            db = -r->in[0][ia] * da * da;
        }
        if (r->din[0]) r->din[0][ia] += r->dout[0][i] * da;
        if (r->din[1]) r->din[1][ib] += r->dout[0][i] * db;
    }
    return MIEN_OK;
}

/* ---- dropout (Srivastava et al. 2014) -------------------------------------------------------- */

/* The same mask forward and backward: a pure function of the attributes. */
static void drop(const mien_dropout_attr *a, const double *from, double *to, int64_t count) {
    uint32_t words[4] = {0};
    for (int64_t i = 0; i < count; i++) {
        if (i % 4 == 0)
            mien__philox((uint64_t)a->seed, (uint64_t)a->stream,
                         (uint64_t)a->counter + (uint64_t)i / 4, words);
        to[i] = (double)mien__u24(words[i % 4]) >= a->p ? from[i] / (1 - a->p) : 0;
    }
}

mien_status mien__ref_dropout_forward(mien__ref *r) {
    drop(r->attr, r->in[0], r->out[0], mien_tensor_count(r->call->out[0]));
    return MIEN_OK;
}

mien_status mien__ref_dropout_backward(mien__ref *r) {
    drop(r->attr, r->dout[0], r->din[0], mien_tensor_count(r->call->dout[0]));
    return MIEN_OK;
}
