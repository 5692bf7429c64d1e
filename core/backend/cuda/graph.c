/* Builds the operation graph of one convolution with its epilogue, descriptor by descriptor.
 * Not here: heuristics and plans (plan.c). */
#include "graph.h"

#include <string.h>

/* ---- descriptors --------------------------------------------------------------------------- */

mien__descriptor mien__descriptor_new(cudnnBackendDescriptorType_t type) {
    mien__descriptor d = NULL;
    cudnnStatus_t status = mien__vendor_table.cudnnBackendCreateDescriptor(type, &d);
    mien__cudnn_check(status, "cudnnBackendCreateDescriptor", __FILE__, __LINE__);
    return status == CUDNN_STATUS_SUCCESS ? d : NULL;
}

void mien__descriptor_free(mien__descriptor d) {
    if (d) mien__vendor_table.cudnnBackendDestroyDescriptor(d);
}

mien_status mien__descriptor_set(mien__descriptor d, cudnnBackendAttributeName_t name,
                                 cudnnBackendAttributeType_t type, int64_t count,
                                 const void *values) {
    MIEN_CUDNN(cudnnBackendSetAttribute(d, name, type, count, values));
    return MIEN_OK;
}

mien_status mien__descriptor_finalize(mien__descriptor d) {
    MIEN_CUDNN(cudnnBackendFinalize(d));
    return MIEN_OK;
}

/* ---- a graph's own ------------------------------------------------------------------------- */

#define SET(d, name, type, count, values)                                                          \
    MIEN_TRY(mien__descriptor_set(d, CUDNN_ATTR_##name, CUDNN_TYPE_##type, count, values))

static mien_status make(mien__graph *g, cudnnBackendDescriptorType_t type, mien__descriptor *d) {
    *d = mien__descriptor_new(type);
    if (!*d) return mien_error_last()->code;
    if (g->count == (int)(sizeof g->made / sizeof *g->made)) {
        mien__descriptor_free(*d);
        MIEN_FAIL(MIEN_ERR_INTERNAL, "cuda: a graph with more than %d descriptors", g->count);
    }
    g->made[g->count++] = *d;
    return MIEN_OK;
}

void mien__graph_free(mien__graph *g) {
    while (g->count > 0) mien__descriptor_free(g->made[--g->count]);
    g->graph = NULL;
}

static cudnnDataType_t data_type(int64_t dtype) {
    return dtype == MIEN_BF16  ? CUDNN_DATA_BFLOAT16
           : dtype == MIEN_F16 ? CUDNN_DATA_HALF
                               : CUDNN_DATA_FLOAT;
}

/* A channels-last tensor [a,b,c,d] (KRSC when it holds weights). */
static mien_status tensor(mien__graph *g, int64_t uid, cudnnDataType_t type, bool is_virtual,
                          const int64_t dim[4], mien__descriptor *d) {
    int64_t stride[4] = {dim[1] * dim[2] * dim[3], 1, dim[3] * dim[1], dim[1]}, alignment = 16;
    MIEN_TRY(make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR, d));
    SET(*d, TENSOR_DATA_TYPE, DATA_TYPE, 1, &type);
    SET(*d, TENSOR_DIMENSIONS, INT64, 4, dim);
    SET(*d, TENSOR_STRIDES, INT64, 4, stride);
    SET(*d, TENSOR_UNIQUE_ID, INT64, 1, &uid);
    SET(*d, TENSOR_BYTE_ALIGNMENT, INT64, 1, &alignment);
    SET(*d, TENSOR_IS_VIRTUAL, BOOLEAN, 1, &is_virtual);
    return mien__descriptor_finalize(*d);
}

static mien_status convolution(mien__graph *g, const mien__cudnn_conv_case *c,
                               mien__descriptor *d) {
    cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t two = 2, one[2] = {1, 1}, stride[2] = {c->stride_h, c->stride_w};
    int64_t before[2] = {c->top, c->left}, after[2] = {c->bottom, c->right};
    MIEN_TRY(make(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, d));
    SET(*d, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1, &sums);
    SET(*d, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1, &mode);
    SET(*d, CONVOLUTION_SPATIAL_DIMS, INT64, 1, &two);
    SET(*d, CONVOLUTION_DILATIONS, INT64, 2, one);
    SET(*d, CONVOLUTION_FILTER_STRIDES, INT64, 2, stride);
    SET(*d, CONVOLUTION_PRE_PADDINGS, INT64, 2, before);
    SET(*d, CONVOLUTION_POST_PADDINGS, INT64, 2, after);
    return mien__descriptor_finalize(*d);
}

/* The three operations have the same attributes under other names: of x, w, y, the descriptor, and
 * the factors of the result and of what lies there before. */
typedef struct conv_names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t x, w, y, conv, alpha, beta;
} conv_names;

static conv_names names_of(int64_t use) {
    switch (use) {
    case MIEN_CUDNN_CONV_DATA_GRADIENT:
        return (conv_names){CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case MIEN_CUDNN_CONV_WEIGHT_GRADIENT:
        return (conv_names){CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
    default:
        return (conv_names){CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    }
}

static mien_status conv_operation(mien__graph *g, int64_t use, mien__descriptor x,
                                  mien__descriptor w, mien__descriptor y, mien__descriptor conv,
                                  mien__descriptor *d) {
    conv_names names = names_of(use);
    float one = 1, zero = 0;
    MIEN_TRY(make(g, names.type, d));
    MIEN_TRY(mien__descriptor_set(*d, names.x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x));
    MIEN_TRY(mien__descriptor_set(*d, names.w, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &w));
    MIEN_TRY(mien__descriptor_set(*d, names.y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y));
    MIEN_TRY(mien__descriptor_set(*d, names.conv, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv));
    MIEN_TRY(mien__descriptor_set(*d, names.alpha, CUDNN_TYPE_FLOAT, 1, &one));
    MIEN_TRY(mien__descriptor_set(*d, names.beta, CUDNN_TYPE_FLOAT, 1, &zero));
    return mien__descriptor_finalize(*d);
}

/* y = x + b, or relu(x) when b is NULL. */
static mien_status pointwise(mien__graph *g, mien__descriptor x, mien__descriptor b,
                             mien__descriptor y, mien__descriptor *d) {
    cudnnPointwiseMode_t mode = b ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD;
    cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    mien__descriptor how;
    MIEN_TRY(make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &how));
    SET(how, POINTWISE_MODE, POINTWISE_MODE, 1, &mode);
    SET(how, POINTWISE_MATH_PREC, DATA_TYPE, 1, &sums);
    MIEN_TRY(mien__descriptor_finalize(how));
    MIEN_TRY(make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, d));
    SET(*d, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, 1, &how);
    SET(*d, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, 1, &x);
    if (b) SET(*d, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR, 1, &b);
    SET(*d, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, 1, &y);
    return mien__descriptor_finalize(*d);
}

/* conv -> + bias -> (+ residual) -> (relu); what lies between is virtual, in f32. */
static mien_status fused_operations(mien__graph *g, const mien__cudnn_conv_case *c,
                                    mien__descriptor x, mien__descriptor w, mien__descriptor conv,
                                    mien__descriptor *ops, int64_t *n) {
    int64_t map[4] = {c->n, c->k, c->oh, c->ow}, channels[4] = {1, c->k, 1, 1};
    cudnnDataType_t type = data_type(c->dtype);
    mien__descriptor y, bias, residual, value, next;
    int64_t uid = 100;
    MIEN_TRY(tensor(g, MIEN_UID_Y, type, false, map, &y));
    MIEN_TRY(tensor(g, MIEN_UID_BIAS, CUDNN_DATA_FLOAT, false, channels, &bias));
    MIEN_TRY(tensor(g, uid++, CUDNN_DATA_FLOAT, true, map, &value));
    MIEN_TRY(conv_operation(g, MIEN_CUDNN_CONV_FUSED, x, w, value, conv, &ops[(*n)++]));
    bool last = !c->residual && !c->relu;
    if (last) return pointwise(g, value, bias, y, &ops[(*n)++]);
    MIEN_TRY(tensor(g, uid++, CUDNN_DATA_FLOAT, true, map, &next));
    MIEN_TRY(pointwise(g, value, bias, next, &ops[(*n)++]));
    value = next;
    if (c->residual) {
        MIEN_TRY(tensor(g, MIEN_UID_RESIDUAL, type, false, map, &residual));
        if (!c->relu) return pointwise(g, value, residual, y, &ops[(*n)++]);
        MIEN_TRY(tensor(g, uid++, CUDNN_DATA_FLOAT, true, map, &next));
        MIEN_TRY(pointwise(g, value, residual, next, &ops[(*n)++]));
        value = next;
    }
    return pointwise(g, value, NULL, y, &ops[(*n)++]);
}

static mien_status build(mien__graph *g, const mien__cudnn_conv_case *c, cudnnHandle_t handle) {
    int64_t x_dim[4] = {c->n, c->c, c->h, c->w}, w_dim[4] = {c->k, c->c, c->r, c->s};
    int64_t y_dim[4] = {c->n, c->k, c->oh, c->ow}, n = 0;
    cudnnDataType_t type = data_type(c->dtype);
    mien__descriptor x, w, y, conv, ops[4];
    MIEN_TRY(tensor(g, MIEN_UID_X, type, false, x_dim, &x));
    MIEN_TRY(tensor(g, MIEN_UID_W, type, false, w_dim, &w));
    MIEN_TRY(convolution(g, c, &conv));
    if (c->use == MIEN_CUDNN_CONV_FUSED) {
        MIEN_TRY(fused_operations(g, c, x, w, conv, ops, &n));
    } else {
        MIEN_TRY(tensor(g, MIEN_UID_Y, type, false, y_dim, &y));
        MIEN_TRY(conv_operation(g, c->use, x, w, y, conv, &ops[n++]));
    }
    MIEN_TRY(make(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &g->graph));
    if (handle) SET(g->graph, OPERATIONGRAPH_HANDLE, HANDLE, 1, &handle);
    SET(g->graph, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, n, ops);
    return mien__descriptor_finalize(g->graph);
}

mien_status mien__graph_build(mien__graph *g, const mien__cudnn_conv_case *c,
                              cudnnHandle_t handle) {
    *g = (mien__graph){0};
    mien_status status = build(g, c, handle);
    if (status != MIEN_OK) mien__graph_free(g);
    return status;
}
