/* Ops that only look at the same elements in another way: reshape, permute, narrow.
 * Not here: their shapes (ops/infer_view.c), moving elements (tensor/elements.c). */
#include <string.h>

#include "backend.h"

static void order_of(const mien_permute_attr *attr, int order[MIEN_MAX_DIMS]) {
    const double p[MIEN_MAX_DIMS] = {attr->p0, attr->p1, attr->p2, attr->p3, attr->p4, attr->p5};
    for (int i = 0; i < MIEN_MAX_DIMS; i++) order[i] = (int)p[i];
}

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
