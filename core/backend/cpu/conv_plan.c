/* Descriptors of convolutions, the choice of layout and of algorithm.
 * Not here: running them (conv.c). Choices depend on shapes alone, never on a measurement, so that
 * the same seed gives the same bits. */
#include "conv_plan.h"
#include "base/allocate.h"
#include <stdlib.h>

/* Winograd F(4x4,3x3) (Lavin & Gray 2016) does 3x3 convolutions of stride 1 in about a quarter of
 * the multiplications. It pays while its transforms fit the caches and are amortised over channels;
 * see docs/performance.md for the figures behind the limits. */
bool mien__winograd_pays(const mien__conv_case *c) {
    /* The direct weights gradient is slow on small maps, so there Winograd pays earlier; on the
     * smallest, products over pixels pay (wgrad.c), which make no gradient of a bias. */
    bool gradient = c->use == MIEN_CONV_WEIGHTS_GRADIENT;
    int64_t channels = c->src[1], filters = c->dst[1], pixels = c->dst[2] * c->dst[3];
    int64_t small = c->bias ? 25 : 36;
    int64_t most = gradient ? 512 : 256, fewest_pixels = gradient && channels > 256 ? small : 64;
    return !mien__cpu_plain() && c->dtype == MIEN_F32 && c->weight[2] == 3 && c->weight[3] == 3 &&
           c->stride[0] == 1 && c->stride[1] == 1 && channels >= 64 && channels <= most &&
           filters >= 64 && filters <= most && pixels >= fewest_pixels &&
           c->src[0] * pixels >= 16 * fewest_pixels;
}

static mien__primitive_key key_of(const mien__conv_case *c) {
    mien__primitive_key key = {{0}};
    int32_t *v = key.v;
    int k = 0;
    v[k++] = 1 + (int32_t)c->use;
    for (int i = 0; i < 4; i++) v[k++] = (int32_t)c->src[i];
    for (int i = 0; i < 4; i++) v[k++] = (int32_t)c->dst[i];
    for (int i = 2; i < 4; i++) v[k++] = (int32_t)c->weight[i];
    for (int i = 0; i < 2; i++) {
        v[k++] = (int32_t)c->stride[i];
        v[k++] = (int32_t)c->pad_before[i];
        v[k++] = (int32_t)c->pad_after[i];
    }
    v[k++] = c->bias + 2 * c->residual + 4 * c->relu + 8 * (int32_t)c->dtype;
    v[k++] = c->src_block;
    v[k++] = c->dst_block;
    v[k++] = mien__cpu_threads();
    return key;
}

static mien_status attributes(const mien__conv_case *c, const dnnl_memory_desc_t *dst,
                              bool residual_in_dst, dnnl_primitive_attr_t *attr) {
    MIEN_TRY_DNNL(dnnl_primitive_attr_create(attr), "conv2d: attributes");
    MIEN_TRY_DNNL(dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user),
                  "conv2d: scratchpad mode");
    if (!c->residual && !c->relu) return MIEN_OK;
    dnnl_post_ops_t post = NULL;
    MIEN_TRY_DNNL(dnnl_post_ops_create(&post), "conv2d: post-ops");
    dnnl_status_t status = dnnl_success;
    if (c->residual)
        status = residual_in_dst ? dnnl_post_ops_append_sum(post, 1)
                                 : dnnl_post_ops_append_binary(post, dnnl_binary_add, dst);
    if (status == dnnl_success && c->relu)
        status = dnnl_post_ops_append_eltwise(post, 1, dnnl_eltwise_relu, 0, 0);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attr, post);
    dnnl_post_ops_destroy(post);
    MIEN_TRY_DNNL(status, "conv2d: post-ops");
    return MIEN_OK;
}

typedef struct descriptors {
    dnnl_memory_desc_t src, weights, diff_weights, bias, dst;
} descriptors;

static mien_status describe_tensors(const mien__conv_case *c, descriptors *d) {
    MIEN_TRY(mien__onednn_activation(&d->src, c->src, c->dtype, c->src_block));
    MIEN_TRY(mien__onednn_activation(&d->dst, c->dst, c->dtype, c->dst_block));
    MIEN_TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->weights, 4, c->weight,
                                               mien__onednn_dtype(c->dtype), dnnl_format_tag_any),
                  "conv2d: describe weights");
    MIEN_TRY_DNNL(
        dnnl_memory_desc_init_by_tag(&d->diff_weights, 4, c->weight, dnnl_f32, dnnl_format_tag_any),
        "conv2d: describe the gradient of weights");
    dnnl_dims_t filters = {c->dst[1]};
    MIEN_TRY_DNNL(dnnl_memory_desc_init_by_tag(&d->bias, 1, filters, dnnl_f32, dnnl_a),
                  "conv2d: describe bias");
    return MIEN_OK;
}

/* NULL in *pd, without an error, when oneDNN has nothing better than its naive loops. */
static mien_status describe(const mien__conv_case *c, const descriptors *d, dnnl_alg_kind_t alg,
                            dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd) {
    dnnl_convolution_desc_t forward, backward;
    const dnnl_memory_desc_t *bias = c->bias ? &d->bias : NULL;
    *pd = NULL;
    MIEN_TRY_DNNL(
        dnnl_convolution_forward_desc_init(
            &forward,
            c->use == MIEN_CONV_INFERENCE ? dnnl_forward_inference : dnnl_forward_training, alg,
            &d->src, &d->weights, bias, &d->dst, c->stride, c->pad_before, c->pad_after),
        "conv2d: describe");
    bool is_forward = c->use == MIEN_CONV_FORWARD || c->use == MIEN_CONV_INFERENCE;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t status = dnnl_primitive_desc_create(&hint, &forward, is_forward ? attr : NULL,
                                                      mien__onednn_engine(), NULL);
    if (status != dnnl_success) return MIEN_OK;
    if (is_forward) {
        *pd = hint;
    } else {
        if (c->use == MIEN_CONV_DATA_GRADIENT)
            status = dnnl_convolution_backward_data_desc_init(&backward, alg, &d->src, &d->weights,
                                                              &d->dst, c->stride, c->pad_before,
                                                              c->pad_after);
        else
            status = dnnl_convolution_backward_weights_desc_init(
                &backward, alg, &d->src, &d->diff_weights, bias, &d->dst, c->stride, c->pad_before,
                c->pad_after);
        if (status == dnnl_success)
            status = dnnl_primitive_desc_create(pd, &backward, attr, mien__onednn_engine(), hint);
        dnnl_primitive_desc_destroy(hint);
        if (status != dnnl_success) *pd = NULL;
    }
    const char *name = "";
    if (*pd) dnnl_primitive_desc_query(*pd, dnnl_query_impl_info_str, 0, &name);
    if (*pd && mien__onednn_is_naive(name)) {
        dnnl_primitive_desc_destroy(*pd);
        *pd = NULL;
    }
    return MIEN_OK;
}

static mien_status build(const mien__conv_case *c, const descriptors *d, dnnl_primitive_desc_t pd,
                         bool residual_in_dst, mien__primitive *p) {
    bool gradient = c->use == MIEN_CONV_WEIGHTS_GRADIENT;
    const dnnl_memory_desc_t *weights = dnnl_primitive_desc_query_md(
        pd, gradient ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    dnnl_memory_desc_t plain;
    MIEN_TRY_DNNL(dnnl_memory_desc_init_by_tag(&plain, 4, c->weight, dnnl_f32, dnnl_oihw),
                  "conv2d: describe weights");
    MIEN_TRY(mien__primitive_weights(p, &plain, weights, gradient));
    if (gradient) {
        MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_SRC, &d->src));
        MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_DIFF_DST, &d->dst));
        MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_DIFF_WEIGHTS, weights));
        if (c->bias) MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_DIFF_BIAS, &d->bias));
    } else if (c->use == MIEN_CONV_DATA_GRADIENT) {
        MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_DIFF_DST, &d->dst));
        MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_WEIGHTS, weights));
        MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_DIFF_SRC, &d->src));
    } else {
        MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_SRC, &d->src));
        MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_WEIGHTS, weights));
        MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_DST, &d->dst));
        if (c->bias) MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_BIAS, &d->bias));
        if (c->residual && !residual_in_dst)
            MIEN_TRY(mien__primitive_arg(p, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
                                         &d->dst));
    }
    return mien__primitive_build(p, pd);
}

/* One attempt; *p stays NULL, without an error, when oneDNN has no such kernel. */
static mien_status attempt(const mien__conv_case *c, dnnl_alg_kind_t alg, bool residual_in_dst,
                           mien__primitive **p) {
    descriptors d;
    MIEN_TRY(describe_tensors(c, &d));
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    mien_status status = attributes(c, &d.dst, residual_in_dst, &attr);
    if (status == MIEN_OK) status = describe(c, &d, alg, attr, &pd);
    if (status == MIEN_OK && pd) {
        mien__primitive *made = mien__calloc(1, sizeof *made);
        if (!made) {
            status =
                mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "conv2d: no memory for a plan");
        } else {
            status = build(c, &d, pd, residual_in_dst, made);
            if (status == MIEN_OK)
                *p = made;
            else
                mien__primitive_destroy(made);
        }
    }
    dnnl_primitive_attr_destroy(attr);
    dnnl_primitive_desc_destroy(pd);
    return status;
}

mien_status mien__conv_plan(mien__conv_case *c, mien__primitive **primitive) {
    int block = mien__cpu_block();
    /* Pictures (1 to 4 channels) are read as they are; their gradient, rarely wanted, is not. */
    bool picture = c->src[1] <= 4 && c->use != MIEN_CONV_DATA_GRADIENT;
    int layouts[3][2] = {{picture ? 0 : block, block}, {block, block}, {0, 0}};
    for (int i = 0; i < 3; i++) {
        c->src_block = layouts[i][0];
        c->dst_block = layouts[i][1];
        mien__primitive_key key = key_of(c);
        mien__primitive *p = mien__primitive_find(&key);
        bool known = p;
        if (!p && mien__winograd_pays(c) && c->src_block)
            MIEN_TRY(attempt(c, dnnl_convolution_winograd, false, &p));
        if (!p) MIEN_TRY(attempt(c, dnnl_convolution_direct, false, &p));
        if (!p && c->residual) MIEN_TRY(attempt(c, dnnl_convolution_direct, true, &p));
        if (!p) continue;
        p->key = key;
        if (!known) MIEN_TRY(mien__primitive_keep(p));
        *primitive = p;
        return MIEN_OK;
    }
    MIEN_FAIL(MIEN_ERR_UNSUPPORTED,
              "conv2d: oneDNN has only its naive loops for [%lld,%lld,%lld,%lld] by a %lldx%lld "
              "kernel",
              (long long)c->src[0], (long long)c->src[1], (long long)c->src[2],
              (long long)c->src[3], (long long)c->weight[2], (long long)c->weight[3]);
}
