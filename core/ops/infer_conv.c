/* Shape rules of convolution and pooling.
 * Not here: the sums themselves (backend/). */
#include "infer.h"
#include <math.h>

enum { MAX_WINDOW = 1 << 20 };

/* Output size of a window that slides over one padded dimension. */
static mien_status slide(const mien_op_call *call, const char *axis, int64_t size, int64_t before,
                         int64_t after, int64_t window, int64_t stride, int64_t *out) {
    if (window > size + before + after)
        MIEN_FAIL(MIEN_ERR_SHAPE,
                  "%s: the window's %s %lld is larger than the input's %lld plus padding %lld + "
                  "%lld; use more padding or a larger input",
                  mien_op_info_at(call->op)->name, axis, (long long)window, (long long)size,
                  (long long)before, (long long)after);
    *out = (size + before + after - window) / stride + 1;
    return MIEN_OK;
}

/* All convolutions: their attributes begin with the same six numbers. */
static mien_status infer_conv(mien_op_call *call, const mien_conv2d_attr *a, int64_t shape[4]) {
    MIEN_TRY(mien__want_ndim(call, 0, 4, 4, "[N,C,H,W]"));
    MIEN_TRY(mien__want_ndim(call, 1, 4, 4, "[K,C,R,S]"));
    MIEN_TRY(mien__want_whole(call, &a->stride_h, 1, MAX_WINDOW));
    MIEN_TRY(mien__want_whole(call, &a->stride_w, 1, MAX_WINDOW));
    MIEN_TRY(mien__want_whole(call, &a->pad_top, 0, MAX_WINDOW));
    MIEN_TRY(mien__want_whole(call, &a->pad_left, 0, MAX_WINDOW));
    MIEN_TRY(mien__want_whole(call, &a->pad_bottom, 0, MAX_WINDOW));
    MIEN_TRY(mien__want_whole(call, &a->pad_right, 0, MAX_WINDOW));
    const int64_t *x = call->in[0]->shape, *w = call->in[1]->shape;
    if (x[1] != w[1]) {
        char given[128], weight[128];
        MIEN_FAIL(
            MIEN_ERR_SHAPE, "%s: input is %s but weight %s expects %lld channels on dimension 2",
            mien_op_info_at(call->op)->name, mien__shape_text(call->in[0], given, sizeof given),
            mien__shape_text(call->in[1], weight, sizeof weight), (long long)w[1]);
    }
    if (w[2] < 1 || w[3] < 1)
        MIEN_FAIL(MIEN_ERR_SHAPE, "%s: weight has an empty window of %lldx%lld",
                  mien_op_info_at(call->op)->name, (long long)w[2], (long long)w[3]);
    MIEN_TRY(mien__want_shape(call, 2, 1, &w[0], "[K] with K from weight's dimension 1"));
    shape[0] = x[0];
    shape[1] = w[0];
    MIEN_TRY(slide(call, "height", x[2], (int64_t)a->pad_top, (int64_t)a->pad_bottom, w[2],
                   (int64_t)a->stride_h, &shape[2]));
    return slide(call, "width", x[3], (int64_t)a->pad_left, (int64_t)a->pad_right, w[3],
                 (int64_t)a->stride_w, &shape[3]);
}

static mien_status want_conv_floats(const mien_op_call *call) {
    return mien__want_floats(call, MIEN_ALL_INPUTS, MIEN_INPUT(1) | MIEN_INPUT(2));
}

mien_status mien__infer_conv2d(mien_op_call *call) {
    int64_t shape[4];
    MIEN_TRY(want_conv_floats(call));
    MIEN_TRY(infer_conv(call, call->attr, shape));
    return mien__make_output(call, 0, call->in[0]->dtype, 4, shape);
}

mien_status mien__infer_conv2d_fused(mien_op_call *call) {
    const mien_conv2d_fused_attr *a = call->attr;
    int64_t shape[4];
    MIEN_TRY(want_conv_floats(call));
    MIEN_TRY(infer_conv(call, call->attr, shape));
    MIEN_TRY(mien__want_whole(call, &a->relu, 0, 1));
    MIEN_TRY(mien__want_shape(call, 3, 4, shape, "the shape of the output"));
    return mien__make_output(call, 0, call->in[0]->dtype, 4, shape);
}

/* ---- whole numbers ------------------------------------------------------------------------- */

static mien_dtype quantised_dtype(double is_signed) {
    return is_signed ? MIEN_I8 : MIEN_U8;
}

static mien_status want_positive(const mien_op_call *call, const double *attr) {
    char name[32];
    int slot = (int)(attr - (const double *)call->attr);
    if (*attr > 0 && isfinite(*attr)) return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: %s is %g but must be above 0 and finite",
              mien_op_info_at(call->op)->name, mien__attr_name(call, slot, name, sizeof name),
              *attr);
}

mien_status mien__infer_conv2d_int8(mien_op_call *call) {
    const mien_conv2d_int8_attr *a = call->attr;
    int64_t shape[4];
    MIEN_TRY(mien__want_dtypes(call, 0, MIEN_U8, MIEN_I8));
    MIEN_TRY(mien__want_dtypes(call, 1, MIEN_I8, MIEN_I8));
    MIEN_TRY(mien__want_dtypes(call, 2, MIEN_F32, MIEN_F64));
    MIEN_TRY(mien__want_dtypes(call, 3, MIEN_F32, MIEN_F64));
    MIEN_TRY(mien__want_dtypes(call, 4, MIEN_U8, MIEN_I8));
    MIEN_TRY(infer_conv(call, call->attr, shape));
    MIEN_TRY(mien__want_shape(call, 3, 1, &shape[1], "[K] with K from weight's dimension 1"));
    MIEN_TRY(mien__want_shape(call, 4, 4, shape, "the shape of the output"));
    MIEN_TRY(mien__want_whole(call, &a->relu, 0, 1));
    MIEN_TRY(mien__want_whole(call, &a->is_signed, 0, 1));
    MIEN_TRY(want_positive(call, &a->residual_scale));
    return mien__make_output(call, 0, quantised_dtype(a->is_signed), 4, shape);
}

mien_status mien__infer_quantise(mien_op_call *call) {
    const mien_quantise_attr *a = call->attr;
    MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, 0));
    MIEN_TRY(want_positive(call, &a->scale));
    MIEN_TRY(mien__want_whole(call, &a->is_signed, 0, 1));
    const mien_tensor *in = call->in[0];
    return mien__make_output(call, 0, quantised_dtype(a->is_signed), in->ndim, in->shape);
}

/* ---- pooling ------------------------------------------------------------------------------- */

/* max_pool2d and avg_pool2d have the same attributes in the same order. */
static mien_status infer_pool(mien_op_call *call, const mien_max_pool2d_attr *a, int64_t shape[4]) {
    MIEN_TRY(mien__want_ndim(call, 0, 4, 4, "[N,C,H,W]"));
    MIEN_TRY(mien__want_whole(call, &a->kernel_h, 1, MAX_WINDOW));
    MIEN_TRY(mien__want_whole(call, &a->kernel_w, 1, MAX_WINDOW));
    MIEN_TRY(mien__want_whole(call, &a->stride_h, 1, MAX_WINDOW));
    MIEN_TRY(mien__want_whole(call, &a->stride_w, 1, MAX_WINDOW));
    /* Padding below the window's size: no window lies in padding alone. */
    int64_t most_h = (int64_t)a->kernel_h - 1, most_w = (int64_t)a->kernel_w - 1;
    MIEN_TRY(mien__want_whole(call, &a->pad_top, 0, most_h));
    MIEN_TRY(mien__want_whole(call, &a->pad_left, 0, most_w));
    MIEN_TRY(mien__want_whole(call, &a->pad_bottom, 0, most_h));
    MIEN_TRY(mien__want_whole(call, &a->pad_right, 0, most_w));
    const int64_t *x = call->in[0]->shape;
    if (x[2] < 1 || x[3] < 1)
        MIEN_FAIL(MIEN_ERR_SHAPE, "%s: input has an empty plane of %lldx%lld",
                  mien_op_info_at(call->op)->name, (long long)x[2], (long long)x[3]);
    shape[0] = x[0];
    shape[1] = x[1];
    MIEN_TRY(slide(call, "height", x[2], (int64_t)a->pad_top, (int64_t)a->pad_bottom,
                   (int64_t)a->kernel_h, (int64_t)a->stride_h, &shape[2]));
    return slide(call, "width", x[3], (int64_t)a->pad_left, (int64_t)a->pad_right,
                 (int64_t)a->kernel_w, (int64_t)a->stride_w, &shape[3]);
}

mien_status mien__infer_pool2d(mien_op_call *call) {
    int64_t shape[4];
    MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, 0));
    MIEN_TRY(infer_pool(call, call->attr, shape));
    return mien__make_output(call, 0, call->in[0]->dtype, 4, shape);
}

mien_status mien__infer_max_pool2d(mien_op_call *call) {
    int64_t shape[4];
    if (!mien__is_quantised(call->in[0])) MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, 0));
    MIEN_TRY(infer_pool(call, call->attr, shape));
    const int64_t *x = call->in[0]->shape;
    if (x[2] > INT32_MAX / x[3])
        MIEN_FAIL(MIEN_ERR_SHAPE, "%s: a plane of %lldx%lld has more than %d places",
                  mien_op_info_at(call->op)->name, (long long)x[2], (long long)x[3], INT32_MAX);
    MIEN_TRY(mien__make_output(call, 0, call->in[0]->dtype, 4, shape));
    return mien__make_output(call, 1, MIEN_I32, 4, shape);
}

mien_status mien__infer_global_pool(mien_op_call *call) {
    bool quantised = mien__is_quantised(call->in[0]);
    if (!quantised) MIEN_TRY(mien__want_floats(call, MIEN_ALL_INPUTS, 0));
    MIEN_TRY(mien__want_ndim(call, 0, 4, 4, "[N,C,H,W]"));
    mien_dtype dtype = quantised ? MIEN_F32 : call->in[0]->dtype;
    return mien__make_output(call, 0, dtype, 2, call->in[0]->shape);
}
