/* Checks of dtypes, shapes and attributes that the shape rules share, and output headers.
 * Not here: the rule of any one op (infer_*.c). */
#include "infer.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- names --------------------------------------------------------------------------------- */

/* Word `i` of a list such as "input weight bias?", without its marks; the last word when the list
 * ends before (a list input "x*" repeats). */
static const char *word(const char *list, int i, char *buffer, size_t size) {
    const char *at = list;
    for (int k = 0; k < i; k++) {
        const char *next = strchr(at, ' ');
        if (!next) break;
        at = next + 1;
    }
    snprintf(buffer, size, "%.*s", (int)strcspn(at, " ?*-=!"), at);
    return buffer;
}

const char *mien__input_name(const mien_op_call *call, int i, char *buffer, size_t size) {
    return word(mien_op_info_at(call->op)->inputs, i, buffer, size);
}

const char *mien__attr_name(const mien_op_call *call, int slot, char *buffer, size_t size) {
    return word(mien_op_info_at(call->op)->attributes, slot, buffer, size);
}

static const char *op_name(const mien_op_call *call) {
    return mien_op_info_at(call->op)->name;
}

/* ---- inputs -------------------------------------------------------------------------------- */

static bool is_float(mien_dtype dtype) {
    return dtype == MIEN_F32 || dtype == MIEN_BF16 || dtype == MIEN_F16 || dtype == MIEN_F64;
}

mien_status mien__want_dtypes(const mien_op_call *call, int i, mien_dtype a, mien_dtype b) {
    char name[32];
    if (!call->in[i] || call->in[i]->dtype == a || call->in[i]->dtype == b) return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_DTYPE, "%s: %s is %s but must be %s%s%s", op_name(call),
              mien__input_name(call, i, name, sizeof name), mien_dtype_name(call->in[i]->dtype),
              mien_dtype_name(a), a == b ? "" : " or ", a == b ? "" : mien_dtype_name(b));
}

mien_status mien__want_floats(const mien_op_call *call, unsigned mask, unsigned wide) {
    char first[32], name[32];
    mien_dtype want = call->in[0]->dtype;
    mien__input_name(call, 0, first, sizeof first);
    if (!is_float(want))
        MIEN_FAIL(MIEN_ERR_DTYPE,
                  "%s: %s is %s but must be f32, bf16, f16 or f64; convert it first", op_name(call),
                  first, mien_dtype_name(want));
    bool half = want == MIEN_BF16 || want == MIEN_F16;
    for (int i = 1; i < MIEN_OP_MAX_IN; i++) {
        if (!call->in[i] || !(mask & MIEN_INPUT(i))) continue;
        mien_dtype got = call->in[i]->dtype;
        bool may_be_wide = (wide & MIEN_INPUT(i)) && half;
        if (got == want || (may_be_wide && got == MIEN_F32)) continue;
        MIEN_FAIL(MIEN_ERR_DTYPE, "%s: %s is %s but %s is %s; convert one, it takes %s%s",
                  op_name(call), mien__input_name(call, i, name, sizeof name), mien_dtype_name(got),
                  first, mien_dtype_name(want), mien_dtype_name(want),
                  may_be_wide ? " or f32 here" : " for both");
    }
    return MIEN_OK;
}

mien_status mien__want_ndim(const mien_op_call *call, int i, int lo, int hi, const char *layout) {
    char name[32], shape[128];
    const mien_tensor *t = call->in[i];
    if (!t || (t->ndim >= lo && t->ndim <= hi)) return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_SHAPE, "%s: %s is %s (%d dimensions) but must be %s", op_name(call),
              mien__input_name(call, i, name, sizeof name),
              mien__shape_text(t, shape, sizeof shape), t->ndim, layout);
}

mien_status mien__want_shape(const mien_op_call *call, int i, int ndim, const int64_t *shape,
                             const char *why) {
    const mien_tensor *t = call->in[i];
    if (!t || (t->ndim == ndim && !memcmp(t->shape, shape, (size_t)ndim * sizeof *shape)))
        return MIEN_OK;
    char name[32], got[128], want[128];
    int used = 0;
    for (int d = 0; d < ndim && used < (int)sizeof want; d++)
        used += snprintf(want + used, sizeof want - (size_t)used, "%s%lld", d ? "," : "",
                         (long long)shape[d]);
    MIEN_FAIL(MIEN_ERR_SHAPE, "%s: %s is %s but must be [%s]: %s", op_name(call),
              mien__input_name(call, i, name, sizeof name), mien__shape_text(t, got, sizeof got),
              ndim ? want : "", why);
}

mien_status mien__want_whole(const mien_op_call *call, const double *attr, int64_t lo, int64_t hi) {
    if (*attr >= (double)lo && *attr <= (double)hi && *attr == floor(*attr)) return MIEN_OK;
    char name[32];
    int slot = (int)(attr - (const double *)call->attr);
    MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: %s is %g but must be a whole number from %lld to %lld",
              op_name(call), mien__attr_name(call, slot, name, sizeof name), *attr, (long long)lo,
              (long long)hi);
}

/* ---- outputs ------------------------------------------------------------------------------- */

mien_status mien__make_output(mien_op_call *call, int i, mien_dtype dtype, int ndim,
                              const int64_t *shape) {
    call->out[i] = mien__tensor_header(dtype, call->in[0]->device, ndim, shape);
    if (call->out[i]) return MIEN_OK;
    for (int k = 0; k < i; k++) {
        mien_tensor_release(call->out[k]);
        call->out[k] = NULL;
    }
    return mien_error_last()->code;
}

mien_dtype mien__at_least_f32(mien_dtype dtype) {
    return dtype == MIEN_F64 ? MIEN_F64 : MIEN_F32;
}
