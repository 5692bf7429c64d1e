/* Shapes of reshape, permute, narrow and concat.
 * Not here: the views themselves (backend/view.c), other shapes. */
#include "ops.h"

#include <math.h>
#include <string.h>

#include "infer.h"

bool mien__op_is_view(mien_op op) {
    return op == MIEN_OP_reshape || op == MIEN_OP_permute || op == MIEN_OP_narrow;
}

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
