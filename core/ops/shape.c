/* Ops that only look at the same elements in another way: reshape, permute, narrow; and the shape
 * of a concat. Not here: moving elements (backend/), other shapes (infer_*.c). */
#include "ops.h"

#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "infer.h"

bool mien__op_is_view(mien_op op) {
    return op == MIEN_OP_reshape || op == MIEN_OP_permute || op == MIEN_OP_narrow;
}

/* ---- shapes -------------------------------------------------------------------------------- */

static const int64_t most = (int64_t)1 << 53; /* whole numbers that a double holds */

/* The dimension of `in` that an attribute names, -1 when there is none. */
static int dimension(const mien_tensor *in, double value) {
    return value >= 0 && value < in->ndim && value == floor(value) ? (int)value : -1;
}

static mien_status set_out(mien_op_call *call, int ndim, const int64_t *shape) {
    call->out[0] = mien__tensor_header(call->in[0]->dtype, call->in[0]->device, ndim, shape);
    return call->out[0] ? MIEN_OK : mien_error_last()->code;
}

static mien_status infer_reshape(mien_op_call *call) {
    const mien_reshape_attr *attr = call->attr;
    const double sizes[MIEN_MAX_DIMS] = {attr->d0, attr->d1, attr->d2,
                                         attr->d3, attr->d4, attr->d5};
    char given[96], wanted[96];
    mien__shape_text(call->in[0], given, sizeof given);
    MIEN_TRY(mien__want_whole(call, &attr->ndim, 0, MIEN_MAX_DIMS));
    int ndim = (int)attr->ndim;
    mien_tensor shape = {.ndim = ndim};
    int64_t known = 1, count = mien_tensor_count(call->in[0]);
    int open = -1;
    for (int i = 0; i < ndim; i++) {
        MIEN_TRY(mien__want_whole(call, &attr->d0 + i, -1, most));
        shape.shape[i] = (int64_t)sizes[i];
        if (shape.shape[i] >= 0) {
            if (__builtin_mul_overflow(known, shape.shape[i], &known)) known = -1;
        } else if (shape.shape[i] == -1 && open < 0) {
            open = i;
        } else {
            MIEN_FAIL(MIEN_ERR_SHAPE, "reshape: %s wanted; one size may be -1, the others not",
                      mien__shape_text(&shape, wanted, sizeof wanted));
        }
        if (known < 0) break;
    }
    mien__shape_text(&shape, wanted, sizeof wanted);
    if (open >= 0 && known > 0 && count % known == 0) {
        shape.shape[open] = count / known;
        known = count;
        open = -1;
    }
    if (open >= 0 || known != count)
        MIEN_FAIL(MIEN_ERR_SHAPE, "reshape: input is %s, %lld elements, and does not fit into %s",
                  given, (long long)count, wanted);
    return set_out(call, ndim, shape.shape);
}

static void order_of(const mien_permute_attr *attr, int order[MIEN_MAX_DIMS]) {
    const double p[MIEN_MAX_DIMS] = {attr->p0, attr->p1, attr->p2, attr->p3, attr->p4, attr->p5};
    for (int i = 0; i < MIEN_MAX_DIMS; i++) order[i] = (int)p[i];
}

static mien_status infer_permute(mien_op_call *call) {
    const mien_tensor *in = call->in[0];
    const double *order = &((const mien_permute_attr *)call->attr)->p0;
    int64_t shape[MIEN_MAX_DIMS];
    unsigned seen = 0;
    for (int i = 0; i < in->ndim; i++) {
        char given[96];
        int from = dimension(in, order[i]);
        if (from < 0 || seen >> from & 1u)
            MIEN_FAIL(
                MIEN_ERR_ARGUMENT,
                "permute: dimension %d of the output cannot be dimension %g of %s; each is to "
                "be named once",
                i + 1, order[i] + 1, mien__shape_text(in, given, sizeof given));
        seen |= 1u << from;
        shape[i] = in->shape[from];
    }
    return set_out(call, in->ndim, shape);
}

static mien_status infer_narrow(mien_op_call *call) {
    const mien_narrow_attr *attr = call->attr;
    const mien_tensor *in = call->in[0];
    int dim = dimension(in, attr->dim);
    MIEN_TRY(mien__want_whole(call, &attr->start, 0, most));
    MIEN_TRY(mien__want_whole(call, &attr->length, 0, most));
    int64_t start = (int64_t)attr->start, length = (int64_t)attr->length;
    char given[96];
    mien__shape_text(in, given, sizeof given);
    if (dim < 0)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "narrow: %s has no dimension %g", given, attr->dim + 1);
    if (length > in->shape[dim] || start > in->shape[dim] - length)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "narrow: %lld entries from %lld on of dimension %d of %s",
                  (long long)length, (long long)start + 1, dim + 1, given);
    int64_t shape[MIEN_MAX_DIMS];
    memcpy(shape, in->shape, sizeof shape);
    shape[dim] = length;
    return set_out(call, in->ndim, shape);
}

mien_status mien__infer_view(mien_op_call *call) {
    switch (call->op) {
    case MIEN_OP_reshape:
        return infer_reshape(call);
    case MIEN_OP_permute:
        return infer_permute(call);
    default:
        return infer_narrow(call);
    }
}

mien_status mien__infer_concat(mien_op_call *call) {
    const mien_tensor *first = call->in[0];
    const mien_concat_attr *attr = call->attr;
    int dim = dimension(first, attr->dim);
    char a[96], b[96];
    mien__shape_text(first, a, sizeof a);
    if (dim < 0) MIEN_FAIL(MIEN_ERR_ARGUMENT, "concat: %s has no dimension %g", a, attr->dim + 1);
    int64_t shape[MIEN_MAX_DIMS];
    memcpy(shape, first->shape, sizeof shape);
    for (int i = 1; i < MIEN_OP_MAX_IN && call->in[i]; i++) {
        const mien_tensor *t = call->in[i];
        bool fits = t->ndim == first->ndim;
        for (int k = 0; fits && k < t->ndim; k++) fits = k == dim || t->shape[k] == first->shape[k];
        if (!fits)
            MIEN_FAIL(MIEN_ERR_SHAPE,
                      "concat: input %d is %s, input 1 is %s; they may differ on dimension %d only",
                      i + 1, mien__shape_text(t, b, sizeof b), a, dim + 1);
        if (t->dtype != first->dtype)
            MIEN_FAIL(MIEN_ERR_DTYPE, "concat: input %d is %s, input 1 is %s", i + 1,
                      mien_dtype_name(t->dtype), mien_dtype_name(first->dtype));
        shape[dim] += t->shape[dim];
    }
    return set_out(call, first->ndim, shape);
}

/* ---- views --------------------------------------------------------------------------------- */

/* Makes the header `view` look at source's elements; its strides are those of its shape. */
static void look_at(mien_tensor *view, mien_tensor *source, int64_t offset) {
    view->storage = mien__storage_retain(source->storage);
    view->offset = offset;
}

/* Strides with which `to` shows from's elements where they are: dimensions that one step walks
 * through are merged and cut anew. False when the elements would have to move. */
static bool share_strides(mien_tensor *to, const mien_tensor *from) {
    if (from->block || from->ndim == 0 || mien_tensor_count(from) == 0) return false;
    int to_dim = to->ndim - 1;
    int64_t step = from->stride[from->ndim - 1], run = 1, covered = 1;
    for (int dim = from->ndim - 1; dim >= 0; dim--) {
        run *= from->shape[dim];
        if (dim > 0 && (from->shape[dim - 1] == 1 || from->stride[dim - 1] == run * step)) continue;
        for (; to_dim >= 0 && (covered < run || to->shape[to_dim] == 1); to_dim--) {
            to->stride[to_dim] = covered * step;
            covered *= to->shape[to_dim];
        }
        if (covered != run) return false;
        if (dim > 0) step = from->stride[dim - 1];
        run = covered = 1;
    }
    return to_dim < 0;
}

/* The header `to` shows the elements of `from` in row-major order: shared when strides allow it,
 * else copied. */
static mien_status reshape_into(mien_tensor *to, mien_tensor *from) {
    const mien_tensor plain = *to; /* its strides are those of its shape */
    if (share_strides(to, from)) {
        look_at(to, from, from->offset);
        return MIEN_OK;
    }
    memcpy(to->stride, plain.stride, sizeof to->stride);
    mien_tensor *dense = mien__tensor_contiguous(from);
    if (!dense) return mien_error_last()->code;
    look_at(to, dense, dense->offset);
    mien_tensor_release(dense);
    return MIEN_OK;
}

mien_status mien__view_forward(mien_op_call *call) {
    mien_tensor *in = call->in[0], *out = call->out[0];
    MIEN_TRY(mien__tensor_make_plain(in));
    if (call->op == MIEN_OP_reshape) return reshape_into(out, in);
    if (call->op == MIEN_OP_permute) {
        int order[MIEN_MAX_DIMS];
        order_of(call->attr, order);
        for (int i = 0; i < in->ndim; i++) out->stride[i] = in->stride[order[i]];
        look_at(out, in, in->offset);
        return MIEN_OK;
    }
    const mien_narrow_attr *attr = call->attr;
    memcpy(out->stride, in->stride, sizeof in->stride);
    look_at(out, in, in->offset + (int64_t)attr->start * in->stride[(int)attr->dim]);
    return MIEN_OK;
}

mien_status mien__view_backward(mien_op_call *call) {
    mien_tensor *dout = call->dout[0], *din = call->din[0];
    if (call->op == MIEN_OP_reshape) return reshape_into(din, dout);
    MIEN_TRY(mien__tensor_make_plain(dout));
    if (call->op == MIEN_OP_permute) {
        int order[MIEN_MAX_DIMS];
        order_of(call->attr, order);
        for (int i = 0; i < din->ndim; i++) din->stride[order[i]] = dout->stride[i];
        look_at(din, dout, dout->offset);
        return MIEN_OK;
    }
    MIEN_TRY(mien__tensor_alloc(din, 0));
    MIEN_TRY(mien_tensor_fill(din, 0));
    mien_tensor *part = mien__narrow_view(din, call->attr);
    if (!part) return mien_error_last()->code;
    mien_status status = mien_tensor_copy(part, dout);
    mien_tensor_release(part);
    return status;
}

mien_tensor *mien__narrow_view(mien_tensor *t, const mien_narrow_attr *attr) {
    mien_tensor *part = mien__tensor_alias(t);
    if (!part) return NULL;
    part->shape[(int)attr->dim] = (int64_t)attr->length;
    part->offset += (int64_t)attr->start * t->stride[(int)attr->dim];
    return part;
}
