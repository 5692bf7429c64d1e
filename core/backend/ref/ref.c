/* The frame of the reference backend: brings any dtype and layout to plain doubles, calls the op's
 * loops, brings the results back. Not here: the loops (conv.c, norm.c, ...). */
#include "ref.h"
#include "base/allocate.h"
#include <stdlib.h>
#include <string.h>

typedef struct ref_entry {
    mien__ref_fn forward, backward;
    unsigned fixed; /* inputs without a gradient */
} ref_entry;

static const ref_entry entries[MIEN_OP_COUNT] = {
#define XX(op, impl, fixed)                                                                        \
    [MIEN_OP_##op] = {mien__ref_##impl##_forward, mien__ref_##impl##_backward, fixed},
    MIEN_REF_OPS(XX)
#undef XX
#define XX(op) [MIEN_OP_##op] = {mien__ref_##op##_forward, NULL, 0},
        MIEN_REF_INFERENCE_OPS(XX)
#undef XX
};

/* ---- in and out of doubles ----------------------------------------------------------------- */

static mien_status new_doubles(const mien_tensor *t, double **values) {
    size_t n = (size_t)mien_tensor_count(t);
    *values = mien__calloc(n ? n : 1, sizeof **values);
    if (!*values) MIEN_FAIL(MIEN_ERR_MEMORY, "ref: no memory for %zu doubles", n);
    return MIEN_OK;
}

mien_status mien__ref_load(mien_tensor *t, double **values) {
    MIEN_TRY(new_doubles(t, values));
    return mien_tensor_read(t, *values, mien_tensor_count(t));
}

static mien_status load_all(mien_tensor *const *tensors, double **values, int n) {
    for (int i = 0; i < n; i++)
        if (tensors[i] && tensors[i]->storage) MIEN_TRY(mien__ref_load(tensors[i], &values[i]));
    return MIEN_OK;
}

static mien_status store(mien_tensor *t, const double *values) {
    MIEN_TRY(mien__tensor_alloc(t, 0));
    return mien_tensor_write(t, values, mien_tensor_count(t));
}

static void let_go(mien__ref *r) {
    for (int i = 0; i < MIEN_OP_MAX_IN; i++) {
        free(r->in[i]);
        free(r->din[i]);
    }
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++) {
        free(r->out[i]);
        free(r->dout[i]);
    }
}

/* ---- forward and backward ------------------------------------------------------------------ */

static mien_status run_forward(mien__ref *r) {
    mien_op_call *call = r->call;
    MIEN_TRY(load_all(call->in, r->in, MIEN_OP_MAX_IN));
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++)
        if (call->out[i]) MIEN_TRY(new_doubles(call->out[i], &r->out[i]));
    MIEN_TRY(entries[call->op].forward(r));
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++)
        if (call->out[i]) MIEN_TRY(store(call->out[i], r->out[i]));
    for (int i = 0; i < MIEN_OP_MAX_IN; i++) {
        if (!(r->updated & 1u << i)) continue;
        MIEN_TRY(mien_tensor_write(call->in[i], r->in[i], mien_tensor_count(call->in[i])));
    }
    return MIEN_OK;
}

static mien_status run_backward(mien__ref *r) {
    mien_op_call *call = r->call;
    const mien_op_info *info = mien_op_info_at(call->op);
    MIEN_TRY(load_all(call->in, r->in, MIEN_OP_MAX_IN));
    MIEN_TRY(load_all(call->out, r->out, MIEN_OP_MAX_OUT));
    MIEN_TRY(load_all(call->dout, r->dout, MIEN_OP_MAX_OUT));
    for (int i = 0; i < MIEN_OP_MAX_IN; i++) {
        if (!call->want[i]) continue;
        if (entries[call->op].fixed & 1u << i)
            MIEN_FAIL(MIEN_ERR_UNSUPPORTED,
                      "%s: input %d of \"%s\" has no gradient; detach it or let it not require one",
                      info->name, i + 1, info->inputs);
        MIEN_TRY(new_doubles(call->din[i], &r->din[i]));
    }
    MIEN_TRY(entries[call->op].backward(r));
    for (int i = 0; i < MIEN_OP_MAX_IN; i++)
        if (call->want[i]) MIEN_TRY(store(call->din[i], r->din[i]));
    return MIEN_OK;
}

static mien_status ref_run(mien_op_call *call, mien_status (*pass)(mien__ref *r)) {
    mien__ref r = {.call = call, .attr = call->attr};
    mien_status status = pass(&r);
    let_go(&r);
    if (call->implementation) strcpy(call->implementation, "ref");
    return status;
}

static mien_status ref_forward(mien_op_call *call) {
    return ref_run(call, run_forward);
}
static mien_status ref_backward(mien_op_call *call) {
    return ref_run(call, run_backward);
}

static const char *describe(void) {
    return "ref: naive loops in double precision, one thread";
}

/* ---- the table ----------------------------------------------------------------------------- */

const mien_backend mien__backend_ref = {
    .name = "ref",
    .device = MIEN_DEVICE_CPU,
    .describe = describe,
#define XX(op, impl, fixed) [MIEN_OP_##op] = ref_forward,
#define YY(op)              [MIEN_OP_##op] = ref_forward,
    .forward = {MIEN_REF_OPS(XX) MIEN_REF_INFERENCE_OPS(YY)},
#undef YY
#undef XX
#define XX(op, impl, fixed) [MIEN_OP_##op] = ref_backward,
    .backward = {MIEN_REF_OPS(XX)},
#undef XX
    .memory = {.copy = mien__host_copy, .fill = mien__host_fill},
    .accumulate = mien__ref_accumulate,
    .updates = {.sum_squares = mien__ref_sum_squares,
                .scale = mien__ref_scale,
                .adam = mien__ref_adam,
                .sgd = mien__ref_sgd},
};
