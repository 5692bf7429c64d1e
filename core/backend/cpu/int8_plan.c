/* Descriptors of convolutions of whole numbers (u8 or i8 by i8, sums in i32), channels-last.
 * Not here: running them (int8.c), floats (conv_plan.c). oneDNN 2 fixes the scales when it builds a
 * primitive (its fast kernels know none at run time), so each layer has its own. */
#include "int8_plan.h"
#include "base/allocate.h"
#include "base/hash.h"
#include <stdlib.h>

enum { KIND = 64 }; /* apart from the uses of conv_plan.c in the first number of a key */

static mien__primitive_key key_of(const mien__int8_case *c) {
    mien__primitive_key key = {{0}};
    int32_t *v = key.v;
    int k = 0;
    uint64_t scales = mien__hash(MIEN_HASH_START, c->scale, (size_t)c->dst[1] * sizeof(float));
    scales = mien__hash(scales, &c->residual_scale, sizeof c->residual_scale);
    v[k++] = KIND;
    for (int i = 0; i < 4; i++) v[k++] = (int32_t)c->src[i];
    for (int i = 1; i < 4; i++) v[k++] = (int32_t)c->dst[i];
    for (int i = 2; i < 4; i++) v[k++] = (int32_t)c->weight[i];
    for (int i = 0; i < 2; i++) {
        v[k++] = (int32_t)c->stride[i];
        v[k++] = (int32_t)c->pad_before[i];
        v[k++] = (int32_t)c->pad_after[i];
    }
    v[k++] = c->relu + 2 * (int32_t)c->src_type + 32 * (int32_t)c->dst_type +
             512 * (int32_t)c->residual_type;
    v[k++] = (int32_t)scales;
    v[k++] = (int32_t)(scales >> 32);
    v[k++] = mien__cpu_threads();
    return key;
}

static mien_status describe_map(dnnl_memory_desc_t *md, const dnnl_dims_t shape,
                                dnnl_data_type_t type) {
    MIEN_TRY_DNNL(dnnl_memory_desc_init_by_tag(md, 4, shape, type, dnnl_nhwc),
                  "conv2d_int8: describe an activation");
    return MIEN_OK;
}

/* oneDNN gives scale' (sum + bias) + residual, then what follows: so the residual is added in its
 * own quanta, and what they are worth is multiplied in at the end (as it is positive, after ReLU).
 * A binary post-op reads the residual where it lies; `sum` would want it in the output's place. */
static mien_status append_post_ops(const mien__int8_case *c, const dnnl_memory_desc_t *residual,
                                   dnnl_primitive_attr_t attr) {
    dnnl_post_ops_t post = NULL;
    MIEN_TRY_DNNL(dnnl_post_ops_create(&post), "conv2d_int8: post-ops");
    dnnl_status_t status = dnnl_success;
    if (c->residual_type) status = dnnl_post_ops_append_binary(post, dnnl_binary_add, residual);
    if (status == dnnl_success && c->relu)
        status = dnnl_post_ops_append_eltwise(post, 1, dnnl_eltwise_relu, 0, 0);
    if (status == dnnl_success && c->residual_type)
        status = dnnl_post_ops_append_eltwise(post, 1, dnnl_eltwise_linear, c->residual_scale, 0);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attr, post);
    dnnl_post_ops_destroy(post);
    MIEN_TRY_DNNL(status, "conv2d_int8: post-ops");
    return MIEN_OK;
}

static mien_status set_scales(const mien__int8_case *c, dnnl_primitive_attr_t attr) {
    float *scale = mien__malloc((size_t)c->dst[1] * sizeof *scale);
    if (!scale)
        MIEN_FAIL(MIEN_ERR_MEMORY, "conv2d_int8: no memory for %lld scales", (long long)c->dst[1]);
    for (int64_t k = 0; k < c->dst[1]; k++)
        scale[k] = c->residual_type ? c->scale[k] / c->residual_scale : c->scale[k];
    dnnl_status_t status = dnnl_primitive_attr_set_output_scales(attr, c->dst[1], 1 << 1, scale);
    free(scale);
    MIEN_TRY_DNNL(status, "conv2d_int8: scales");
    return MIEN_OK;
}

typedef struct descriptors {
    dnnl_memory_desc_t src, weights, bias, dst, residual;
} descriptors;

static mien_status describe(const mien__int8_case *c, descriptors *d, dnnl_primitive_attr_t attr,
                            dnnl_primitive_desc_t *pd) {
    MIEN_TRY(describe_map(&d->src, c->src, c->src_type));
    MIEN_TRY(describe_map(&d->dst, c->dst, c->dst_type));
    if (c->residual_type) MIEN_TRY(describe_map(&d->residual, c->dst, c->residual_type));
    MIEN_TRY_DNNL(
        dnnl_memory_desc_init_by_tag(&d->weights, 4, c->weight, dnnl_s8, dnnl_format_tag_any),
        "conv2d_int8: describe weights");
    dnnl_dims_t filters = {c->dst[1]};
    MIEN_TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->bias, 1, filters, dnnl_f32, dnnl_a),
                  "conv2d_int8: describe bias");
    MIEN_TRY_DNNL(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user),
                  "conv2d_int8: scratchpad mode");
    MIEN_TRY(set_scales(c, attr));
    MIEN_TRY(append_post_ops(c, &d->residual, attr));
    dnnl_convolution_desc_t forward;
    MIEN_TRY_DNNL(dnnl_convolution_forward_desc_init(
                      &forward, dnnl_forward_inference, dnnl_convolution_direct, &d->src,
                      &d->weights, &d->bias, &d->dst, c->stride, c->pad_before, c->pad_after),
                  "conv2d_int8: describe");
    MIEN_TRY_DNNL(dnnl_primitive_desc_create(pd, &forward, attr, mien__onednn_engine(), NULL),
                  "conv2d_int8: choose a kernel");
    const char *name = "";
    dnnl_primitive_desc_query(*pd, dnnl_query_impl_info_str, 0, &name);
    if (mien__onednn_is_naive(name))
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED,
                  "conv2d_int8: oneDNN has only its naive loops for [%lld,%lld,%lld,%lld] by a "
                  "%lldx%lld kernel",
                  (long long)c->src[0], (long long)c->src[1], (long long)c->src[2],
                  (long long)c->src[3], (long long)c->weight[2], (long long)c->weight[3]);
    return MIEN_OK;
}

static mien_status build(const mien__int8_case *c, const descriptors *d, dnnl_primitive_desc_t pd,
                         mien__primitive *p) {
    const dnnl_memory_desc_t *weights = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    dnnl_memory_desc_t plain;
    MIEN_TRY_DNNL(dnnl_memory_desc_init_by_tag(&plain, 4, c->weight, dnnl_s8, dnnl_oihw),
                  "conv2d_int8: describe weights");
    /* The layout of signed input carries sums of the weights behind them. */
    MIEN_TRY(mien__primitive_weights(p, &plain, weights, false));
    MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_SRC, &d->src));
    MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_WEIGHTS, weights));
    MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_DST, &d->dst));
    MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_BIAS, &d->bias));
    if (c->residual_type)
        MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
                                     &d->residual));
    return mien__primitive_build(p, pd);
}

static mien_status make(const mien__int8_case *c, dnnl_primitive_attr_t attr,
                        dnnl_primitive_desc_t *pd, mien__primitive *p) {
    descriptors d;
    MIEN_TRY(describe(c, &d, attr, pd));
    return build(c, &d, *pd, p);
}

mien_status mien__int8_plan(const mien__int8_case *c, mien__primitive **primitive) {
    mien__primitive_key key = key_of(c);
    if ((*primitive = mien__primitive_find(&key))) return MIEN_OK;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    MIEN_TRY_DNNL(dnnl_primitive_attr_create(&attr), "conv2d_int8: attributes");
    mien__primitive *p = mien__calloc(1, sizeof *p);
    mien_status status =
        p ? make(c, attr, &pd, p)
          : mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "conv2d_int8: no memory for a plan");
    dnnl_primitive_attr_destroy(attr);
    dnnl_primitive_desc_destroy(pd);
    if (status != MIEN_OK) {
        mien__primitive_destroy(p);
        return status;
    }
    p->key = key;
    MIEN_TRY(mien__primitive_keep(p));
    *primitive = p;
    return MIEN_OK;
}
