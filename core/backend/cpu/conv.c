/* conv2d and conv2d_fused: forward, gradients of input, weights and bias.
 * Not here: the choice of primitive (conv_plan.c). */
#include "conv_plan.h"
#include "pack.h"
#include "wgrad.h"
#include "winograd.h"

static mien__conv_case case_of(const mien_op_call *call, mien__conv_use use,
                               const mien_tensor *dst) {
    const mien_conv2d_attr *a = call->attr; /* conv2d_fused's begins with the same fields */
    mien__conv_case c = {.use = use, .dtype = call->in[0]->dtype};
    for (int i = 0; i < 4; i++) {
        c.src[i] = call->in[0]->shape[i];
        c.weight[i] = call->in[1]->shape[i];
        c.dst[i] = dst->shape[i];
    }
    c.stride[0] = (int64_t)a->stride_h, c.stride[1] = (int64_t)a->stride_w;
    c.pad_before[0] = (int64_t)a->pad_top, c.pad_before[1] = (int64_t)a->pad_left;
    c.pad_after[0] = (int64_t)a->pad_bottom, c.pad_after[1] = (int64_t)a->pad_right;
    return c;
}

/* A 1x1 convolution with a stride reads a quarter of its input. oneDNN's kernels for that run at a
 * half to two thirds of their speed without a stride, so such pixels are gathered first: the case
 * becomes one without a stride. Tells whether it did; `stride` gets the old one. */
static bool drop_stride(mien__conv_case *c, int64_t stride[2]) {
    stride[0] = c->stride[0], stride[1] = c->stride[1];
    bool padded = c->pad_before[0] || c->pad_before[1] || c->pad_after[0] || c->pad_after[1];
    if (c->weight[2] != 1 || c->weight[3] != 1 || padded || stride[0] * stride[1] == 1 ||
        c->src[1] <= 4)
        return false;
    c->src[2] = c->dst[2], c->src[3] = c->dst[3];
    c->stride[0] = c->stride[1] = 1;
    return true;
}

/* The input in the plan's layout, without the pixels that a dropped stride skips. */
static mien_tensor *source(mien_tensor *in, const mien__conv_case *c, const int64_t *stride) {
    mien_tensor *all = mien__cpu_as_layout(in, c->src_block);
    if (!all || !stride) return all;
    mien_tensor *few = mien__tensor_header(c->dtype, MIEN_DEVICE_CPU, 4, c->src);
    if (few && mien__tensor_alloc(few, c->src_block) == MIEN_OK) {
        mien__cpu_gather_pixels(few, all, stride[0], stride[1]);
    } else {
        mien_tensor_release(few);
        few = NULL;
    }
    mien_tensor_release(all);
    return few;
}

/* Forward, inference and, `from` being the outputs' gradient, that of the input. */
static mien_status by_winograd(mien_op_call *call, const mien__winograd *w, mien_tensor *from,
                               mien_tensor *bias, mien_tensor *residual, bool relu,
                               mien_tensor *to) {
    mien_tensor *src = mien__cpu_as_layout(from, 8), *plain = mien__cpu_as_layout(call->in[1], 0),
                *added = residual ? mien__cpu_as_layout(residual, 8) : NULL,
                *flat = bias ? mien__cpu_as_layout(bias, 0) : NULL,
                *scratch = mien__cpu_bytes(mien__winograd_scratch(w));
    float *weights = plain ? mien__pack_own(plain, w->use, &w->key, mien__winograd_bytes(w),
                                            mien__winograd_lay_out, w)
                           : NULL;
    bool made = src && weights && scratch && (added || !residual) && (flat || !bias);
    mien_status status = made ? mien__tensor_alloc(to, 8) : mien_error_last()->code;
    if (status == MIEN_OK)
        mien__winograd_run(w, mien__cpu_ptr(src), weights, flat ? mien__cpu_ptr(flat) : NULL,
                           added ? mien__cpu_ptr(added) : NULL, relu, mien__cpu_ptr(to),
                           mien__cpu_ptr(scratch));
    if (w->use == MIEN_CONV_DATA_GRADIENT)
        mien__cpu_add_implementation(call, w->name);
    else
        mien__cpu_set_implementation(call, w->name);
    mien_tensor_release(src);
    mien_tensor_release(plain);
    mien_tensor_release(added);
    mien_tensor_release(flat);
    mien_tensor_release(scratch);
    return status;
}

static mien_status conv_forward(mien_op_call *call, mien__conv_use use, mien_tensor *residual,
                                bool relu) {
    mien_tensor *src = NULL, *weight = NULL, *added = NULL, *bias = NULL, *dst = call->out[0];
    mien__conv_case c = case_of(call, use, dst);
    c.bias = call->in[2] != NULL;
    c.residual = residual != NULL;
    c.relu = relu;
    mien__winograd w;
    if (mien__winograd_plan(&c, &w))
        return by_winograd(call, &w, call->in[0], call->in[2], residual, relu, dst);
    int64_t stride[2];
    bool few = drop_stride(&c, stride);
    mien__primitive *p = NULL;
    MIEN_TRY(mien__onednn_lock());
    mien_status status = mien__conv_plan(&c, &p);
    if (status != MIEN_OK) goto out;
    if (mien__failed(src = source(call->in[0], &c, few ? stride : NULL), &status)) goto out;
    if (mien__failed(weight = mien__cpu_as_layout(call->in[1], 0), &status)) goto out;
    if (c.bias && mien__failed(bias = mien__cpu_as_layout(call->in[2], 0), &status)) goto out;
    if (residual && mien__failed(added = mien__cpu_as_layout(residual, c.dst_block), &status))
        goto out;
    void *weights = mien__pack(weight, p, use);
    if (mien__failed(weights, &status)) goto out;
    if ((status = mien__tensor_alloc(dst, c.dst_block)) != MIEN_OK) goto out;
    void *data[5] = {mien__cpu_ptr(src), weights, mien__cpu_ptr(dst)};
    int n = 3;
    if (bias) data[n++] = mien__cpu_ptr(bias);
    if (added && p->n_args > n)
        data[n++] = mien__cpu_ptr(added);
    else if (added && (status = mien__cpu_copy(dst, added)) != MIEN_OK)
        goto out;
    status = mien__primitive_run(p, data);
    mien__cpu_set_implementation(call, p->name);
out:
    mien__onednn_unlock();
    mien_tensor_release(src);
    mien_tensor_release(weight);
    mien_tensor_release(bias);
    mien_tensor_release(added);
    return status;
}

/* bf16 times f32 weights, which are re-laid and rounded at once; else there is only the way by f32.
 */
static bool needs_f32(const mien_op_call *call) {
    return mien__cpu_is_half(call) && !(mien__cpu_has_bf16() && mien__cpu_f32_parameters(call));
}

mien_status mien__cpu_conv2d_forward(mien_op_call *call) {
    if (needs_f32(call)) return mien__cpu_in_f32(call, mien__cpu_conv2d_forward);
    return conv_forward(call, call->recording ? MIEN_CONV_FORWARD : MIEN_CONV_INFERENCE, NULL,
                        false);
}

mien_status mien__cpu_conv2d_fused_forward(mien_op_call *call) {
    const mien_conv2d_fused_attr *a = call->attr;
    if (needs_f32(call)) return mien__cpu_in_f32(call, mien__cpu_conv2d_fused_forward);
    return conv_forward(call, MIEN_CONV_INFERENCE, call->in[3], a->relu != 0);
}

/* ---- backward -------------------------------------------------------------------------------- */

static mien_status data_gradient(mien_op_call *call) {
    mien_tensor *dout = NULL, *weight = NULL, *dense = NULL, *din = call->din[0];
    mien__conv_case c = case_of(call, MIEN_CONV_DATA_GRADIENT, call->dout[0]);
    mien__winograd w;
    if (mien__winograd_plan(&c, &w))
        return by_winograd(call, &w, call->dout[0], NULL, NULL, false, din);
    int64_t stride[2];
    bool few = drop_stride(&c, stride);
    mien__primitive *p = NULL;
    MIEN_TRY(mien__onednn_lock());
    mien_status status = mien__conv_plan(&c, &p);
    if (status != MIEN_OK) goto out;
    if (mien__failed(dout = mien__cpu_as_layout(call->dout[0], c.dst_block), &status)) goto out;
    if (mien__failed(weight = mien__cpu_as_layout(call->in[1], 0), &status)) goto out;
    void *weights = mien__pack(weight, p, MIEN_CONV_DATA_GRADIENT);
    if (mien__failed(weights, &status)) goto out;
    if ((status = mien__tensor_alloc(din, c.src_block)) != MIEN_OK) goto out;
    if (few) {
        dense = mien__tensor_header(c.dtype, MIEN_DEVICE_CPU, 4, c.src);
        if (mien__failed(dense, &status)) goto out;
        if ((status = mien__tensor_alloc(dense, c.src_block)) != MIEN_OK) goto out;
    }
    void *data[] = {mien__cpu_ptr(dout), weights, mien__cpu_ptr(dense ? dense : din)};
    status = mien__primitive_run(p, data);
    if (status == MIEN_OK && dense) mien__cpu_scatter_pixels(din, dense, stride[0], stride[1]);
    mien__cpu_add_implementation(call, p->name);
out:
    mien__onednn_unlock();
    mien_tensor_release(dout);
    mien_tensor_release(dense);
    mien_tensor_release(weight);
    return status;
}

static mien_status products_over_pixels(mien_op_call *call, const mien__wgrad *g) {
    mien_tensor *src = mien__cpu_as_layout(call->in[0], 16),
                *dout = mien__cpu_as_layout(call->dout[0], 16);
    mien_tensor *scratch = mien__cpu_bytes(mien__wgrad_scratch(g)), *weights = call->din[1];
    mien_status status =
        src && dout && scratch ? mien__tensor_alloc(weights, 0) : mien_error_last()->code;
    if (status == MIEN_OK)
        mien__wgrad_run(g, mien__cpu_ptr(src), mien__cpu_ptr(dout), mien__cpu_f32(weights),
                        mien__cpu_ptr(scratch));
    mien__cpu_set_implementation(call, g->name);
    mien_tensor_release(src);
    mien_tensor_release(dout);
    mien_tensor_release(scratch);
    return status;
}

static mien_status gradient_by_winograd(mien_op_call *call, const mien__winograd *w) {
    mien_tensor *src = mien__cpu_as_layout(call->in[0], 8),
                *dout = mien__cpu_as_layout(call->dout[0], 8);
    mien_tensor *scratch = mien__cpu_bytes(mien__winograd_scratch(w)), *weights = call->din[1];
    mien_status status =
        src && dout && scratch ? mien__tensor_alloc(weights, 0) : mien_error_last()->code;
    if (status == MIEN_OK)
        mien__winograd_gradient(w, mien__cpu_ptr(src), mien__cpu_ptr(dout), mien__cpu_f32(weights),
                                mien__cpu_ptr(scratch));
    mien__cpu_set_implementation(call, w->name);
    mien_tensor_release(src);
    mien_tensor_release(dout);
    mien_tensor_release(scratch);
    return status;
}

static mien_status weights_gradient(mien_op_call *call) {
    mien_tensor *src = NULL, *dout = NULL, *packed = NULL, *spare = NULL;
    mien__conv_case c = case_of(call, MIEN_CONV_WEIGHTS_GRADIENT, call->dout[0]);
    c.bias = call->want[2];
    mien__wgrad g;
    mien__winograd w;
    if (mien__winograd_plan(&c, &w)) return gradient_by_winograd(call, &w);
    if (mien__wgrad_plan(&c, &g)) return products_over_pixels(call, &g);
    int64_t stride[2];
    bool few = drop_stride(&c, stride);
    mien__primitive *p = NULL;
    MIEN_TRY(mien__onednn_lock());
    mien_status status = mien__conv_plan(&c, &p);
    if (status != MIEN_OK) goto out;
    if (mien__failed(src = source(call->in[0], &c, few ? stride : NULL), &status)) goto out;
    if (mien__failed(dout = mien__cpu_as_layout(call->dout[0], c.dst_block), &status)) goto out;
    mien_tensor *weights = call->din[1];
    if (!call->want[1]) { /* the bias alone: the primitive computes both */
        weights = spare = mien__cpu_scratch(c.weight[0] * c.weight[1] * c.weight[2] * c.weight[3]);
        if (mien__failed(spare, &status)) goto out;
    } else if ((status = mien__tensor_alloc(weights, 0)) != MIEN_OK) {
        goto out;
    }
    if (p->weights_bytes &&
        mien__failed(packed = mien__cpu_bytes((int64_t)p->weights_bytes), &status))
        goto out;
    void *data[4] = {mien__cpu_ptr(src), mien__cpu_ptr(dout),
                     mien__cpu_ptr(packed ? packed : weights)};
    if (c.bias) {
        if ((status = mien__tensor_alloc(call->din[2], 0)) != MIEN_OK) goto out;
        data[3] = mien__cpu_ptr(call->din[2]);
    }
    status = mien__primitive_run(p, data);
    if (status == MIEN_OK && packed)
        status = mien__primitive_reorder(p, mien__cpu_ptr(packed), mien__cpu_ptr(weights));
    mien__cpu_set_implementation(call, p->name);
out:
    mien__onednn_unlock();
    mien_tensor_release(src);
    mien_tensor_release(dout);
    mien_tensor_release(packed);
    mien_tensor_release(spare);
    return status;
}

mien_status mien__cpu_conv2d_backward(mien_op_call *call) {
    if (needs_f32(call)) return mien__cpu_in_f32(call, mien__cpu_conv2d_backward);
    mien__cpu_set_implementation(call, "");
    if (call->want[1] || call->want[2]) MIEN_TRY(weights_gradient(call));
    if (call->want[0]) MIEN_TRY(data_gradient(call));
    return MIEN_OK;
}
