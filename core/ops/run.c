/* The table of ops made from ops.def, and the one way through which each op runs.
 * Not here: shapes (infer_*.c), results (backend/), the tape (autograd/). */
#include "ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/autograd.h"
#include "backend/backend.h"
#include "backend/capture.h"
#include "backend/discovery.h"
#include "base/profile.h"
#include "base/assert.h"

_Static_assert((int)MIEN_OP_COUNT <= (int)MIEN__PROFILE_OPS, "the profile has a row for each op");

/* ---- the table ----------------------------------------------------------------------------- */

/* A(name, value) becomes "name=value ", or "name! " where value is REQUIRED: that word expands to
 * two arguments, which brings another one to the place that SECOND looks at. */
#define REQUIRED          ~, "!"
#define SECOND(a, b, ...) b
#define PICK(...)         SECOND(__VA_ARGS__, )
#define A(name, value)    #name PICK(value, "=" #value) " "

static mien_op_info infos[MIEN_OP_COUNT] = {
#define MIEN_OP(op, infer, in, outs, attrs, saved, text)                                           \
    {.name = #op,                                                                                  \
     .inputs = in,                                                                                 \
     .outputs = outs,                                                                              \
     .attributes = "" attrs,                                                                       \
     .saves = saved,                                                                               \
     .doc = text,                                                                                  \
     .n_attr = (int)(sizeof(mien_##op##_attr) / sizeof(double))},
#include "ops.def"
#undef MIEN_OP
};
#undef A
#undef PICK
#undef SECOND
#undef REQUIRED

static const mien_op_fn infers[MIEN_OP_COUNT] = {
#define MIEN_OP(op, infer, ...) mien__infer_##infer,
#include "ops.def"
#undef MIEN_OP
};

/* One word of a column such as "input bias? mean-": its mark is 0, '?', '-' or '*'. */
typedef struct word {
    const char *text;
    int length;
    char mark;
} word;

typedef struct op_words {
    word in[MIEN_OP_MAX_IN], out[MIEN_OP_MAX_OUT];
    unsigned saves_in, saves_out;
} op_words;

static op_words words[MIEN_OP_COUNT];

static int split(const char *text, word *list, int most) {
    int n = 0;
    while (*text && n < most) {
        int length = (int)strcspn(text, " ");
        char last = text[length - 1];
        bool marked = last == '?' || last == '-' || last == '*';
        list[n++] = (word){text, length - marked, marked ? last : 0};
        text += length + strspn(text + length, " ");
    }
    return n;
}

static bool names(const word *list, int n, const word *w) {
    for (int i = 0; i < n; i++)
        if (list[i].length == w->length && strncmp(list[i].text, w->text, (size_t)w->length) == 0)
            return true;
    return false;
}

__attribute__((constructor)) static void complete_table(void) {
    for (int op = 0; op < MIEN_OP_COUNT; op++) {
        mien_op_info *info = &infos[op];
        op_words *w = &words[op];
        info->n_in = split(info->inputs, w->in, MIEN_OP_MAX_IN);
        info->n_out = split(info->outputs, w->out, MIEN_OP_MAX_OUT);
        word saves[MIEN_OP_MAX_IN + MIEN_OP_MAX_OUT];
        int n_saves = split(info->saves, saves, MIEN_OP_MAX_IN + MIEN_OP_MAX_OUT);
        for (int i = 0; i < info->n_in; i++) {
            info->n_in_min += w->in[i].mark != '?';
            w->saves_in |= (unsigned)names(saves, n_saves, &w->in[i]) << i;
        }
        for (int i = 0; i < info->n_out; i++) {
            info->n_visible += w->out[i].mark != '-';
            w->saves_out |= (unsigned)names(saves, n_saves, &w->out[i]) << i;
        }
        if (w->in[0].mark == '*') { /* a list: every further input goes by the same name */
            for (int i = 1; i < MIEN_OP_MAX_IN; i++)
                w->in[i] = (word){w->in[0].text, w->in[0].length, '?'};
            info->n_in = MIEN_OP_MAX_IN;
        }
    }
}

int mien_op_count(void) {
    return MIEN_OP_COUNT;
}

const mien_op_info *mien_op_info_at(int op) {
    return op >= 0 && op < MIEN_OP_COUNT ? &infos[op] : NULL;
}

bool mien__op_saves(mien_op op, bool output, int i) {
    return (output ? words[op].saves_out : words[op].saves_in) >> i & 1u;
}

const char *mien__op_value_name(mien_op op, bool output, int i, char *buffer, size_t size) {
    const word *w = output ? &words[op].out[i] : &words[op].in[i];
    snprintf(buffer, size, "%.*s", w->length, w->text);
    return buffer;
}

const char *mien__op_running;

/* Says once what of the CPU's is left to its slow reference, where it was not chosen: each op of
 * f32 or bf16, the other floats as a whole. */
static void tell_slow(const mien_op_call *call, bool backward, const char *backend) {
    enum { LARGE = 1000000 };
    if (strcmp(backend, "ref") != 0 || strcmp(mien_backend_current(), "ref") == 0) return;
    int64_t most = 0;
    for (int i = 0; i < MIEN_OP_MAX_IN; i++)
        if (call->in[i] && mien_tensor_count(call->in[i]) > most)
            most = mien_tensor_count(call->in[i]);
    if (most < LARGE) return;
    const char *rule = "one thread, in doubles, for tensors of a million elements and more; "
                       "docs/performance.md lists what does";
    mien_dtype dtype = call->in[0]->dtype;
    if (dtype == MIEN_F16 || dtype == MIEN_F64)
        mien__notice("%s on the CPU runs in its slow reference: %s", mien_dtype_name(dtype), rule);
    else
        mien__notice("%s%s of these inputs runs in the CPU's slow reference: %s",
                     backward ? "backward of " : "", infos[call->op].name, rule);
}

/* Runs fn and books it. */
static mien_status timed(mien_op_fn fn, mien_op_call *call, bool backward, const char *backend) {
    MIEN_CALL(infos[call->op].name);
    tell_slow(call, backward, backend);
    char implementation[64];
    strncpy(implementation, backend, sizeof implementation - 1);
    implementation[sizeof implementation - 1] = '\0';
    call->implementation = implementation;
    double start = mien__profile_start();
    MIEN_ASSERT_LUA_THREAD();
    MIEN_ASSERT(!mien__op_running);
    mien__op_running = infos[call->op].name;
    for (int i = 0; i < infos[call->op].n_in; i++) mien__tensor_read(call->in[i]);
    for (int i = 0; backward && i < infos[call->op].n_out; i++) {
        mien__tensor_read(call->out[i]);
        mien__tensor_read(call->dout[i]);
    }
    mien_status status = fn(call);
    mien__op_running = NULL;
    /* A GPU has only been told what to do by now. */
    if (start > 0 && status == MIEN_OK && call->in[0] && !mien__recording())
        status = mien_device_synchronize(call->in[0]->device);
    call->implementation = NULL;
    if (status == MIEN_OK)
        mien__profile_op(start, call->op, infos[call->op].name, backward, backend, implementation,
                         start > 0 ? mien__op_flops(call, backward) : 0,
                         start > 0 ? mien__op_bytes(call, backward) : 0);
    return status;
}

/* ---- running ------------------------------------------------------------------------------- */

static mien_status check_arguments(int op, mien_tensor *const *in, int n_in, const double *attr,
                                   int n_attr, int n_out) {
    const mien_op_info *info = &infos[op];
    const op_words *w = &words[op];
    if (n_in < info->n_in_min || n_in > info->n_in)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: %d inputs given, it takes \"%s\"", info->name, n_in,
                  info->inputs);
    if (n_attr != info->n_attr)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: %d attributes given, it takes %d: %s", info->name, n_attr,
                  info->n_attr, info->attributes);
    if (n_out != info->n_visible)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: room for %d outputs, it gives %d", info->name, n_out,
                  info->n_visible);
    for (int i = 0; i < n_attr; i++)
        if (isnan(attr[i]))
            MIEN_FAIL(MIEN_ERR_NUMERIC, "%s: attribute %d of \"%s\" is not a number", info->name,
                      i + 1, info->attributes);
    const mien_tensor *first = NULL;
    for (int i = 0; i < n_in; i++) {
        char shape[96];
        const word *name = &w->in[i];
        if (!in[i]) {
            if (name->mark == '?' && !(i > 0 && w->in[0].mark == '*')) continue;
            MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: input '%.*s' is missing", info->name, name->length,
                      name->text);
        }
        if (!in[i]->storage)
            MIEN_FAIL(MIEN_ERR_MEMORY, "%s: input '%.*s' %s was freed", info->name, name->length,
                      name->text, mien__shape_text(in[i], shape, sizeof shape));
        if (!first) first = in[i];
        if (in[i]->device != first->device)
            MIEN_FAIL(MIEN_ERR_DEVICE,
                      "%s: input '%.*s' is on another device than input '%.*s'; bring both to one",
                      info->name, name->length, name->text, w->in[0].length, w->in[0].text);
    }
    return MIEN_OK;
}

/* Runs one pass where the dispatch has put it. Its library may find no kernel for the shape when it
 * looks closer, before anything has happened: then ref serves, and that is said. */
static mien_status serve(mien_op_call *call, bool backward) {
    const mien_backend *b = mien__backend_for(call, backward);
    if (!backward) call->served = b;
    if (!b) return mien_error_last()->code;
    mien_status status =
        timed(backward ? b->backward[call->op] : b->forward[call->op], call, backward, b->name);
    const mien_backend *ref = &mien__backend_ref;
    if (status != MIEN_ERR_UNSUPPORTED || b == ref || b->device != MIEN_DEVICE_CPU) return status;
    mien__notice("%s: the reference's loops serve it, slowly", mien_error_last()->message);
    if (!backward) call->served = ref;
    return timed(backward ? ref->backward[call->op] : ref->forward[call->op], call, backward,
                 ref->name);
}

static mien_status compute(mien_op_call *call) {
    if (mien__op_is_view(call->op)) return timed(mien__view_forward, call, false, "view");
    return serve(call, false);
}

mien_status mien_op_run(int op, mien_tensor *const *in, int n_in, const double *attr, int n_attr,
                        mien_tensor **out, int n_out) {
    if (op < 0 || op >= MIEN_OP_COUNT) MIEN_FAIL(MIEN_ERR_ARGUMENT, "there is no op %d", op);
    if (mien_interrupt_requested())
        MIEN_FAIL(MIEN_ERR_INTERRUPTED, "%s: stopped on request", infos[op].name);
    MIEN_TRY(check_arguments(op, in, n_in, attr, n_attr, n_out));
    static const double none[1];
    mien_op_call call = {.op = (mien_op)op, .attr = attr ? attr : none};
    for (int i = 0; i < n_in; i++) {
        call.in[i] = in[i];
        call.want[i] = in[i] && mien_grad_enabled() && mien_tensor_requires_grad(in[i]);
        call.recording = call.recording || call.want[i];
    }
    struct mien_node *node = NULL;
    mien_status status = infers[op](&call);
    if (status == MIEN_OK && call.recording)
        status = mien__tape_begin(&call, n_in, infos[op].n_out, &node);
    if (status == MIEN_OK) status = compute(&call);
    if (status == MIEN_OK && call.recording) mien__tape_end(node, &call, infos[op].n_out);
    mien__node_release(node);
    for (int i = 0, visible = 0; i < infos[op].n_out; i++) {
        if (status == MIEN_OK && words[op].out[i].mark != '-')
            out[visible++] = call.out[i];
        else
            mien_tensor_release(call.out[i]);
    }
    return status;
}

const char *mien_op_server(int op, mien_tensor *const *in, int n_in, const double *attr,
                           int n_attr) {
    if (op < 0 || op >= MIEN_OP_COUNT) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "there is no op %d", op);
    if (check_arguments(op, in, n_in, attr, n_attr, infos[op].n_visible) != MIEN_OK) return NULL;
    static const double none[1];
    mien_op_call call = {.op = (mien_op)op, .attr = attr ? attr : none};
    for (int i = 0; i < n_in; i++) call.in[i] = in[i];
    if (infers[op](&call) != MIEN_OK) return NULL;
    const mien_backend *b = mien__op_is_view(call.op) ? NULL : mien__backend_for(&call, false);
    for (int i = 0; i < infos[op].n_out; i++) mien_tensor_release(call.out[i]);
    return b ? b->name : mien__op_is_view(call.op) ? "view" : NULL;
}

mien_status mien__op_backward(mien_op_call *call) {
    if (mien_interrupt_requested())
        MIEN_FAIL(MIEN_ERR_INTERRUPTED, "backward of %s: stopped on request", infos[call->op].name);
    if (mien__op_is_view(call->op)) return timed(mien__view_backward, call, true, "view");
    return serve(call, true);
}
