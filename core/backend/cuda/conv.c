/* conv2d and conv2d_fused on the GPU: forward, gradients of input, weights and bias.
 * Not here: which engine runs them (plan.c). */
#include <string.h>

#include "backend/discovery.h"
#include "cuda.h"
#include "epilogue.h"
#include "weights.h"
#include "plan.h"

/* Tensor cores take channels 8 at a time in 16 bits and 4 at a time in TF32. An image's 3 channels
 * are padded: without, the engines for it copy the input or run without tensor cores. */
static int64_t padded_channels(const mien_tensor *x) {
    int64_t grain = x->dtype != MIEN_F32 ? 8 : mien__cuda_tf32() ? 4 : 1;
    return (x->shape[1] + grain - 1) / grain * grain;
}

static mien__cudnn_conv_case case_of(const mien_op_call *call, mien__cudnn_conv_use use,
                                     const mien_tensor *y) {
    const mien_conv2d_attr *a = call->attr; /* conv2d_fused's begins with the same fields */
    const mien_tensor *x = call->in[0], *w = call->in[1];
    mien__cudnn_conv_case c;
    memset(&c, 0, sizeof c);
    c.use = use;
    c.dtype = x->dtype;
    c.n = x->shape[0], c.c = padded_channels(x), c.h = x->shape[2], c.w = x->shape[3];
    c.k = w->shape[0], c.r = w->shape[2], c.s = w->shape[3];
    c.oh = y->shape[2], c.ow = y->shape[3];
    c.stride_h = (int64_t)a->stride_h, c.stride_w = (int64_t)a->stride_w;
    c.top = (int64_t)a->pad_top, c.left = (int64_t)a->pad_left;
    c.bottom = (int64_t)a->pad_bottom, c.right = (int64_t)a->pad_right;
    c.tf32 = mien__cuda_tf32();
    c.deterministic = mien__cuda_deterministic();
    return c;
}

bool mien__cuda_supports_conv(const mien_op_call *call, bool backward) {
    if (call->op != MIEN_OP_conv2d && call->op != MIEN_OP_conv2d_fused) return true;
    mien_dtype dtype = call->in[0]->dtype;
    return dtype == MIEN_F32 || dtype == MIEN_BF16 || dtype == MIEN_F16;
}

/* No elements, or sums over none: nothing that cuDNN takes. */
static bool is_empty(const mien_op_call *call, const mien_tensor *y) {
    return mien_tensor_count(y) == 0 || mien_tensor_count(call->in[0]) == 0 ||
           mien_tensor_count(call->in[1]) == 0;
}

static mien_status finish(mien_tensor *y, mien_tensor *bias, mien_tensor *residual, bool relu) {
    return mien__cuda_epilogue(mien__cuda_ptr(y), y->dtype, y->shape[0] * y->shape[2] * y->shape[3],
                               y->shape[1], mien__cuda_ptr(bias), mien__cuda_ptr(residual), relu);
}

/* Everything arranged; y is allocated here. bias is f32. */
static mien_status run_forward(mien_op_call *call, bool fused, mien_tensor *x, mien_tensor *w,
                               mien_tensor *bias, mien_tensor *residual) {
    const mien_conv2d_fused_attr *a = call->attr;
    mien_tensor *y = call->out[0];
    bool relu = fused && a->relu != 0;
    MIEN_TRY(mien__cuda_alloc_nhwc(y));
    mien__cudnn_conv_data data = {mien__cuda_ptr(x), mien__cuda_ptr(w), mien__cuda_ptr(y),
                                  mien__cuda_ptr(bias), mien__cuda_ptr(residual)};
    /* In 16 bits fused engines are compiled, about a second for each shape: for the patient. Else a
     * kernel of our own does what follows. */
    if (fused && (y->dtype == MIEN_F32 || mien_autotune())) {
        mien__cudnn_conv_case c = case_of(call, MIEN_CUDNN_CONV_FUSED, y);
        c.compile = mien_autotune();
        c.residual = residual != NULL;
        c.relu = relu;
        mien_status status = mien__cudnn_conv_run(&c, &data, call->implementation);
        if (status != MIEN_ERR_UNSUPPORTED) return status;
    }
    mien__cudnn_conv_case c = case_of(call, MIEN_CUDNN_CONV_FORWARD, y);
    data.bias = data.residual = NULL;
    MIEN_TRY(mien__cudnn_conv_run(&c, &data, call->implementation));
    return finish(y, bias, residual, relu);
}

static mien_status conv_forward(mien_op_call *call, bool fused) {
    mien_tensor *x = NULL, *w = NULL, *bias = NULL, *residual = NULL;
    mien_dtype dtype = call->in[0]->dtype;
    int64_t channels = padded_channels(call->in[0]);
    mien_status status = MIEN_OK;
    if (is_empty(call, call->out[0])) {
        MIEN_TRY(mien__cuda_alloc_nhwc(call->out[0]));
        if (mien_tensor_count(call->out[0]) == 0) return MIEN_OK;
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "%s: input or weight without elements on device cuda",
                  mien_op_info_at(call->op)->name);
    }
    x = mien__cuda_as_channels_last(call->in[0], dtype, channels);
    w = x ? mien__cuda_weight(call->in[1], dtype, channels) : NULL;
    if (!w) goto failed;
    if (call->in[2] && !(bias = mien__cuda_as_channels_last(call->in[2], MIEN_F32, 0))) goto failed;
    if (fused && call->in[3] && !(residual = mien__cuda_as_channels_last(call->in[3], dtype, 0)))
        goto failed;
    status = run_forward(call, fused, x, w, bias, residual);
    goto done;
failed:
    status = mien_error_last()->code;
done:
    mien_tensor_release(x);
    mien_tensor_release(w);
    mien_tensor_release(bias);
    mien_tensor_release(residual);
    return status;
}

static mien_status conv2d_forward(mien_op_call *call) {
    return conv_forward(call, false);
}
static mien_status conv2d_fused_forward(mien_op_call *call) {
    return conv_forward(call, true);
}

/* ---- backward -------------------------------------------------------------------------------- */

/* A header like t with `channels` channels, allocated channels-last in `dtype`. */
static mien_tensor *wide_like(const mien_tensor *t, mien_dtype dtype, int64_t channels) {
    int64_t shape[4] = {t->shape[0], channels, t->shape[2], t->shape[3]};
    mien_tensor *wide = mien__tensor_header(dtype, MIEN_DEVICE_CUDA, 4, shape);
    if (wide && mien__cuda_alloc_nhwc(wide) == MIEN_OK) return wide;
    mien_tensor_release(wide);
    return NULL;
}

/* The gradient of input `i`, the map (0) or the weights (1): a convolution of dy with the other. */
static mien_status gradient(mien_op_call *call, mien_tensor *dy, int i) {
    mien_tensor *din = call->din[i];
    mien__cudnn_conv_case c =
        case_of(call, i ? MIEN_CUDNN_CONV_WEIGHT_GRADIENT : MIEN_CUDNN_CONV_DATA_GRADIENT, dy);
    mien_tensor *other = i ? mien__cuda_as_channels_last(call->in[0], dy->dtype, c.c)
                           : mien__cuda_weight(call->in[1], dy->dtype, c.c);
    mien_tensor *made = other ? wide_like(din, dy->dtype, c.c) : NULL;
    mien_status status = MIEN_OK;
    if (made) {
        mien__cudnn_conv_data data = {.x = mien__cuda_ptr(i ? other : made),
                                      .w = mien__cuda_ptr(i ? made : other),
                                      .y = mien__cuda_ptr(dy)};
        status = mien__cudnn_conv_run(&c, &data, call->implementation);
        if (status == MIEN_OK) status = mien__cuda_assign(din, made, i == 0);
    } else {
        status = mien_error_last()->code;
    }
    mien_tensor_release(other);
    mien_tensor_release(made);
    return status;
}

static mien_status bias_gradient(mien_op_call *call, mien_tensor *dy) {
    mien_tensor *sums = mien__cuda_vector(MIEN_F32, dy->shape[1]);
    if (!sums) return mien_error_last()->code;
    mien_status status =
        mien__cuda_column_sums(mien__cuda_ptr(sums), mien__cuda_ptr(dy), dy->dtype,
                               dy->shape[0] * dy->shape[2] * dy->shape[3], dy->shape[1]);
    if (status == MIEN_OK) status = mien__cuda_assign(call->din[2], sums, false);
    mien_tensor_release(sums);
    return status;
}

static mien_status conv2d_backward(mien_op_call *call) {
    if (is_empty(call, call->dout[0])) {
        for (int i = 0; i < 3; i++) {
            if (!call->want[i]) continue;
            MIEN_TRY(mien__cuda_alloc(call->din[i]));
            MIEN_TRY(mien_tensor_fill(call->din[i], 0));
        }
        return MIEN_OK;
    }
    mien_tensor *dy = mien__cuda_as_channels_last(call->dout[0], call->in[0]->dtype, 0);
    if (!dy) return mien_error_last()->code;
    mien_status status = MIEN_OK;
    for (int i = 0; i < 2; i++)
        if (call->want[i] && status == MIEN_OK) status = gradient(call, dy, i);
    if (call->want[2] && status == MIEN_OK) status = bias_gradient(call, dy);
    mien_tensor_release(dy);
    return status;
}

void mien__cuda_part_conv(mien_backend *table) {
    table->forward[MIEN_OP_conv2d] = conv2d_forward;
    table->backward[MIEN_OP_conv2d] = conv2d_backward;
    table->forward[MIEN_OP_conv2d_fused] = conv2d_fused_forward;
}
