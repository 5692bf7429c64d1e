/* Runs one case forward and backward on a chosen backend, with inputs in a chosen layout.
 * Not here: what the results should be (test_*.c). */
#ifndef MIEN_TEST_HARNESS_H
#define MIEN_TEST_HARNESS_H
#include "backend/backend.h"
#include "base/threads.h"
#include "run/run.h"
#include "cases.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

typedef enum layout { PLAIN, STRIDED, BLOCK8, BLOCK16, LAYOUTS } layout;

/* One run of a case: what came out, as doubles. */
typedef struct case_run {
    const test_case *c;
    mien_dtype dtype;
    mien_device device;
    layout layout;
    mien_op_call call;
    double *in[MIEN_OP_MAX_IN];   /* as given, rounded to the dtype */
    double *out[MIEN_OP_MAX_OUT]; /* all outputs */
    double *din[MIEN_OP_MAX_IN];  /* of every input that has a gradient */
} case_run;

/* Fails the test with the error record when the status is not OK. */
static inline void must(mien_status status, const char *what) {
    if (status != MIEN_OK) fail_msg("%s: %s", what, mien_error_last()->message);
}

/* ---- tensors --------------------------------------------------------------------------------- */

static inline mien_tensor *plain_tensor(const double *values, mien_dtype dtype, int ndim,
                                        const int64_t *shape) {
    mien_tensor *t = mien_tensor_new(dtype, MIEN_DEVICE_CPU, ndim, shape);
    if (!t) fail_msg("%s", mien_error_last()->message);
    must(mien_tensor_write(t, values, mien_tensor_count(t)), "write");
    return t;
}

/* The last two dimensions lie transposed in memory; maps on a GPU lie channels-last. */
static inline mien_tensor *strided_tensor(const double *values, mien_dtype dtype,
                                          mien_device device, int ndim, const int64_t *shape) {
    mien_tensor *t = mien_tensor_new(dtype, device, ndim, shape);
    if (!t) fail_msg("%s", mien_error_last()->message);
    if (device == MIEN_DEVICE_CUDA && ndim == 4) {
        t->stride[1] = 1;
        t->stride[3] = shape[1];
        t->stride[2] = shape[3] * shape[1];
    } else {
        t->stride[ndim - 2] = 1;
        t->stride[ndim - 1] = shape[ndim - 2];
    }
    must(mien_tensor_write(t, values, mien_tensor_count(t)), "write");
    return t;
}

static inline mien_tensor *blocked_tensor(const double *values, mien_dtype dtype,
                                          const int64_t *shape, int block) {
    mien_tensor *t = mien__tensor_header(dtype, MIEN_DEVICE_CPU, 4, shape);
    if (!t) fail_msg("%s", mien_error_last()->message);
    must(mien__tensor_alloc(t, block), "alloc");
    must(mien_tensor_write(t, values, mien_tensor_count(t)), "write");
    assert_int_equal(t->block, block);
    return t;
}

/* A tensor in the run's layout where that makes sense: only maps come blocked. */
static inline mien_tensor *laid_out(const case_run *r, const double *values, mien_dtype dtype,
                                    int ndim, const int64_t *shape, bool map) {
    bool is_class = dtype == MIEN_I64 || dtype == MIEN_I32;
    mien_tensor *t;
    if (r->layout == STRIDED && ndim >= 2)
        return strided_tensor(values, dtype, r->device, ndim, shape);
    if (r->layout >= BLOCK8 && ndim == 4 && map && !is_class)
        t = blocked_tensor(values, dtype, shape, r->layout == BLOCK8 ? 8 : 16);
    else
        t = plain_tensor(values, dtype, ndim, shape);
    if (r->device == MIEN_DEVICE_CPU) return t;
    mien_tensor *there = mien_tensor_to(t, dtype, r->device);
    if (!there) fail_msg("%s", mien_error_last()->message);
    mien_tensor_release(t);
    return there;
}

static inline double *elements(mien_tensor *t) {
    int64_t n = mien_tensor_count(t);
    double *values = malloc(((size_t)n + 1) * sizeof *values);
    must(mien_tensor_read(t, values, n), "read");
    return values;
}

/* What own kernels may differ by in this tensor: nothing where it holds 8-bit whole numbers. */
static inline double tolerance_of(const mien_tensor *t, double tolerance) {
    return t->dtype == MIEN_U8 || t->dtype == MIEN_I8 ? 0 : tolerance;
}

/* Leaves NaN in the pooled buffers that an output of this shape is likely to get. */
static inline void poison(const mien_tensor *header) {
    bool host = header->device == MIEN_DEVICE_CPU;
    mien_tensor *held[3];
    for (int i = 0; i < 3; i++) {
        held[i] = mien__tensor_header(header->dtype, header->device, header->ndim, header->shape);
        must(mien__tensor_alloc(held[i], host && i && header->ndim == 4 ? 8 * i : 0), "alloc");
        bool whole = tolerance_of(held[i], 1) == 0; /* has no NaN */
        if (host)
            memset(held[i]->storage->data, 0xff, held[i]->storage->bytes);
        else
            must(mien_tensor_fill(held[i], whole ? 85 : NAN), "fill");
    }
    for (int i = 0; i < 3; i++) mien_tensor_release(held[i]);
}

/* ---- what ops.def says ----------------------------------------------------------------------- */

/* Does word `i` of the list end with this mark, or is it this name? */
static inline const char *list_word(const char *list, int i, size_t *length) {
    for (; i > 0 && strchr(list, ' '); i--) list = strchr(list, ' ') + 1;
    *length = strcspn(list, " ?*-");
    return list;
}

static inline bool input_is(const test_case *c, int i, const char *name) {
    size_t length;
    const char *word = list_word(mien_op_info_at(c->op)->inputs, i, &length);
    return length == strlen(name) && !strncmp(word, name, length);
}

static inline bool input_begins(const test_case *c, int i, const char *name) {
    size_t length;
    return !strncmp(list_word(mien_op_info_at(c->op)->inputs, i, &length), name, strlen(name));
}

/* What a module learns or counts: it may stay in f32 when activations are in bf16. */
static inline bool is_parameter(const test_case *c, int i) {
    return input_begins(c, i, "weight") || input_begins(c, i, "bias") ||
           input_begins(c, i, "running");
}

static inline mien_dtype input_dtype(const test_case *c, int i, mien_dtype dtype) {
    switch (c->in[i].kind) {
    case 'c':
        return MIEN_I64;
    case 'k':
        return MIEN_I32;
    case 'u':
        return MIEN_U8;
    case 'b':
        return MIEN_I8;
    case 'a':
    case 'm':
    case 'w':
        return dtype == MIEN_F64 ? MIEN_F64 : MIEN_F32;
    default:
        return dtype;
    }
}

static inline bool has_gradient(const test_case *c, int i) {
    char kind = c->in[i].kind;
    if (i >= c->n_in || strchr("-ckub", kind)) return false;
    return !input_is(c, i, "running_mean") && !input_is(c, i, "running_var") &&
           !input_is(c, i, "class_weight");
}

static inline int visible_outputs(const test_case *c) {
    return mien_op_info_at(c->op)->n_visible;
}

static const mien_op_fn infer_functions[MIEN_OP_COUNT] = {
#define MIEN_OP(name, infer, ...) [MIEN_OP_##name] = mien__infer_##infer,
#include "ops/ops.def"
#undef MIEN_OP
};

/* ---- running --------------------------------------------------------------------------------- */

/* Values of f32 parameters that 16 bits hold as well: a recurrent layer with weights as large as
 * these multiplies what is lost by rounding them from step to step, and that is no kernel's error.
 */
static inline double *rounded(double *values, const case_input *in, mien_dtype dtype) {
    mien_tensor *t = mien_tensor_new(dtype, MIEN_DEVICE_CPU, in->ndim, in->shape);
    must(t ? mien_tensor_write(t, values, in->count) : mien_error_last()->code, "write");
    double *held = elements(t);
    mien_tensor_release(t);
    free(values);
    return held;
}

/* Makes the inputs and the output headers. values: elements instead of the case's own, or NULL. */
static inline case_run *run_start_mixed(const test_case *c, mien_dtype dtype, mien_dtype parameters,
                                        mien_device device, layout how, double *const *values) {
    case_run *r = calloc(1, sizeof *r);
    *r = (case_run){.c = c, .dtype = dtype, .device = device, .layout = how};
    r->call.op = c->op;
    r->call.attr = c->attr;
    r->call.recording = true;
    for (int i = 0; i < c->n_in; i++) {
        const case_input *in = &c->in[i];
        if (in->kind == '-') continue;
        double *own = values ? NULL : case_values(c, i);
        bool recurrent = c->op == MIEN_OP_lstm || c->op == MIEN_OP_gru;
        if (own && recurrent && is_parameter(c, i)) own = rounded(own, in, dtype);
        mien_dtype given = input_dtype(c, i, is_parameter(c, i) ? parameters : dtype);
        r->call.in[i] = laid_out(r, values ? values[i] : own, given, in->ndim, in->shape,
                                 !input_is(c, i, "weight"));
        r->in[i] = elements(r->call.in[i]);
        free(own);
    }
    must(infer_functions[c->op](&r->call), c->key);
    return r;
}

static inline case_run *run_start(const test_case *c, mien_dtype dtype, mien_device device,
                                  layout how, double *const *values) {
    return run_start_mixed(c, dtype, dtype, device, how, values);
}

/* fn NULL: a view op, served by ops/shape.c. */
static inline void run_forward(case_run *r, mien_op_fn fn) {
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++)
        if (r->call.out[i] && fn) poison(r->call.out[i]);
    must((fn ? fn : mien__view_forward)(&r->call), r->c->key);
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++)
        if (r->call.out[i] && r->call.out[i]->storage) r->out[i] = elements(r->call.out[i]);
}

/* Gradients of the visible outputs in `mask`, seeded by the key. */
static inline void make_douts(case_run *r, unsigned mask) {
    for (int i = 0; i < visible_outputs(r->c); i++) {
        mien_tensor *out = r->call.out[i];
        if (!(mask & 1u << i)) continue;
        double *values = uniform(r->c->key, STREAM_DOUT + i, mien_tensor_count(out));
        r->call.dout[i] = laid_out(r, values, out->dtype, out->ndim, out->shape, true);
        free(values);
    }
}

static inline void drop_unsaved(case_run *r, mien_tensor **tensors, int n, bool output) {
    for (int i = 0; i < n; i++) {
        mien_tensor *t = tensors[i];
        if (!t || mien__op_saves(r->c->op, output, i)) continue;
        tensors[i] = mien__tensor_header(t->dtype, t->device, t->ndim, t->shape);
        mien_tensor_release(t);
    }
}

/* What backward gets: gradients of outputs, what the op saved, headers of the rest. */
static inline void prepare_backward(case_run *r, unsigned mask) {
    make_douts(r, mask);
    drop_unsaved(r, r->call.in, MIEN_OP_MAX_IN, false);
    drop_unsaved(r, r->call.out, MIEN_OP_MAX_OUT, true);
    for (int i = 0; i < r->c->n_in; i++) {
        const mien_tensor *t = r->call.in[i];
        if (!has_gradient(r->c, i)) continue;
        r->call.want[i] = true;
        r->call.din[i] = mien__tensor_header(t->dtype, t->device, t->ndim, t->shape);
    }
}

static inline void run_backward(case_run *r, mien_op_fn fn) {
    for (int i = 0; i < MIEN_OP_MAX_IN; i++)
        if (r->call.want[i] && fn) poison(r->call.din[i]);
    must((fn ? fn : mien__view_backward)(&r->call), r->c->key);
    for (int i = 0; i < MIEN_OP_MAX_IN; i++)
        if (r->call.want[i]) r->din[i] = elements(r->call.din[i]);
}

static inline void run_end(case_run *r) {
    for (int i = 0; i < MIEN_OP_MAX_IN; i++) {
        mien_tensor_release(r->call.in[i]);
        mien_tensor_release(r->call.din[i]);
        free(r->in[i]);
        free(r->din[i]);
    }
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++) {
        mien_tensor_release(r->call.out[i]);
        mien_tensor_release(r->call.dout[i]);
        free(r->out[i]);
    }
    free(r);
}

/* The function of ref, NULL for view ops. */
static inline mien_op_fn ref_forward_of(const test_case *c) {
    return mien__op_is_view(c->op) ? NULL : mien__backend_ref.forward[c->op];
}

static inline mien_op_fn ref_backward_of(const test_case *c) {
    return mien__op_is_view(c->op) ? NULL : mien__backend_ref.backward[c->op];
}

static inline bool is_for_inference(int op) {
    return op == MIEN_OP_conv2d_fused || op == MIEN_OP_conv2d_int8 || op == MIEN_OP_quantise ||
           op == MIEN_OP_augment;
}

/* Ops and cases of inference in 8 bits. */
static inline bool is_in_whole_numbers(const test_case *c) {
    char kind = c->in[0].kind;
    return c->op != MIEN_OP_augment && (kind == 'u' || kind == 'b' || c->op == MIEN_OP_quantise);
}

static inline bool has_backward(const test_case *c) {
    return !is_in_whole_numbers(c) && !is_for_inference(c->op);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static inline double norm(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(x[i])) sum += x[i] * x[i];
    return sqrt(sum);
}

/* |a - b| / |b|, or |a| when b is zero. NaN belongs where b has it and nowhere else: else the
 * distance is infinite. */
static inline double distance(const double *a, const double *b, int64_t n) {
    double sum = 0, size = norm(b, n);
    for (int64_t i = 0; i < n; i++) {
        if (isnan(a[i]) != isnan(b[i])) return INFINITY;
        if (!isnan(b[i])) sum += (a[i] - b[i]) * (a[i] - b[i]);
    }
    return size > 0 ? sqrt(sum) / size : sqrt(sum);
}
#endif
