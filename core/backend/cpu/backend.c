/* The table of the CPU backend: which passes it serves, and for which calls.
 * Not here: any pass; what is missing goes to backend/ref. */
#include "onednn.h"
#include "ops/infer.h"
#include <stdio.h>

static bool has_elements(const mien_op_call *call) {
    for (int i = 0; i < MIEN_OP_MAX_IN; i++)
        if (call->in[i])
            for (int d = 0; d < call->in[i]->ndim; d++)
                if (call->in[i]->shape[d] == 0) return false;
    return true;
}

static bool supports(const mien_op_call *call, bool backward) {
    if (!has_elements(call)) return false;
    if (call->op == MIEN_OP_cast || call->op == MIEN_OP_concat) return true; /* of any dtype */
    if (call->op == MIEN_OP_conv2d_int8 || call->op == MIEN_OP_quantise ||
        mien__is_quantised(call->in[0]))
        return mien__cpu_int8_supports(call);
    if (!mien__cpu_all_floats(call)) return false;
    switch (call->op) {
    case MIEN_OP_batch_norm: {
        /* The gradient over a handful of values is a difference of nearly equal numbers: ref's
         * double arithmetic keeps its digits, and there is nothing to gain. */
        const mien_tensor *x = call->in[0];
        bool statistics =
            backward && (call->want[3] || call->want[4]); /* ref says they have none */
        return mien_tensor_count(x) / x->shape[1] >= 8 && mien__cpu_f32_parameters(call) &&
               !statistics;
    }
    case MIEN_OP_sigmoid_cross_entropy: /* ref says that there is no gradient of these inputs */
        return !call->want[2] || !backward;
    case MIEN_OP_softmax_cross_entropy:
        return !(call->want[1] || call->want[2]) || !backward;
    default:
        return true;
    }
}

static const char *describe(void) {
    static char line[160];
    const dnnl_version_t *v = dnnl_version();
    const struct {
        unsigned bits;
        const char *name;
    } known[] = {
        {dnnl_cpu_isa_avx512_core_amx, "AVX-512 with AMX"},
        {dnnl_cpu_isa_avx512_core_bf16, "AVX-512 with VNNI and bf16"},
        {dnnl_cpu_isa_avx512_core_vnni, "AVX-512 with VNNI"},
        {dnnl_cpu_isa_avx512_core, "AVX-512"},
        {dnnl_cpu_isa_avx2, "AVX2"},
    };
    const char *name = "baseline";
    for (int i = 4; i >= 0; i--)
        if (mien__onednn_has(known[i].bits)) name = known[i].name;
    snprintf(line, sizeof line, "cpu: oneDNN %d.%d.%d and own kernels, %s%s, %d threads%s",
             v->major, v->minor, v->patch, name,
             mien__isa_now() < mien__isa_best() ? " (MIEN_CPU_ISA)" : "", mien__cpu_threads(),
             mien__cpu_plain() ? ", plain (MIEN_CPU_PLAIN)" : "");
    return line;
}

#define BOTH(op, pass)                                                                             \
    .forward[MIEN_OP_##op] = mien__cpu_##pass##_forward,                                           \
    .backward[MIEN_OP_##op] = mien__cpu_##pass##_backward

const mien_backend mien__backend_cpu = {
    .name = "cpu",
    .device = MIEN_DEVICE_CPU,
    .describe = describe,
    .supports = supports,
    BOTH(conv2d, conv2d),
    .forward[MIEN_OP_conv2d_fused] = mien__cpu_conv2d_fused_forward,
    .forward[MIEN_OP_conv2d_int8] = mien__cpu_conv2d_int8_forward,
    .forward[MIEN_OP_quantise] = mien__cpu_quantise_forward,
    BOTH(batch_norm, batch_norm),
    BOTH(max_pool2d, max_pool2d),
    BOTH(avg_pool2d, avg_pool2d),
    BOTH(global_avg_pool, global_avg_pool),
    BOTH(lrn, lrn),
    BOTH(linear, linear),
    BOTH(matmul, matmul),
    BOTH(lstm, lstm),
    BOTH(gru, gru),
    BOTH(add, binary),
    BOTH(sub, binary),
    BOTH(mul, binary),
    BOTH(div, binary),
    BOTH(cast, cast),
    BOTH(affine, pointwise),
    BOTH(power, pointwise),
    BOTH(relu, pointwise),
    BOTH(sigmoid, pointwise),
    BOTH(tanh, pointwise),
    BOTH(exp, pointwise),
    BOTH(log, pointwise),
    BOTH(abs, pointwise),
    BOTH(dropout, dropout),
    BOTH(sum, reduce),
    BOTH(mean, reduce),
    BOTH(max, reduce),
    BOTH(softmax, softmax),
    BOTH(log_softmax, softmax),
    BOTH(concat, concat),
    BOTH(ccc_loss, ccc_loss),
    BOTH(mse_loss, mse_loss),
    BOTH(sigmoid_cross_entropy, sigmoid_cross_entropy),
    BOTH(softmax_cross_entropy, softmax_cross_entropy),
    .remake[MIEN_OP_batch_norm] = mien__cpu_batch_norm_remake,
    .memory = {.copy = mien__cpu_copy, .fill = mien__cpu_fill},
    .accumulate = mien__cpu_accumulate,
    .updates = {.sum_squares = mien__cpu_sum_squares,
                .scale = mien__cpu_scale,
                .adam = mien__cpu_adam,
                .sgd = mien__cpu_sgd},
};
