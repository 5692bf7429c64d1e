/* The ops of a GPU that is none: each brings its tensors to the host, asks the reference, and takes
 * the results back. Not here: memory and transfers (fake_gpu.c); speed. */
#include "fake_gpu_ops.h"

/* A tensor of the host with the same elements; a header for a header. */
static mien_tensor *here(mien_tensor *t) {
    if (!t) return NULL;
    if (!t->storage) return mien__tensor_header(t->dtype, MIEN_DEVICE_CPU, t->ndim, t->shape);
    return mien_tensor_to(t, t->dtype, MIEN_DEVICE_CPU);
}

static mien_status take_back(mien_tensor *there, mien_tensor *host) {
    if (!there->storage) MIEN_TRY(mien__tensor_alloc(there, 0));
    return mien_tensor_copy(there, host);
}

/* ---- ops ---------------------------------------------------------------------------------------
 */

static mien_status run(mien_op_call *call, bool backward) {
    mien_op_call own = *call;
    mien_status status = MIEN_OK;
    own.implementation = NULL;
    for (int i = 0; i < MIEN_OP_MAX_IN; i++) {
        own.in[i] = here(call->in[i]);
        own.din[i] = here(call->din[i]);
    }
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++) {
        own.out[i] = here(call->out[i]);
        own.dout[i] = here(call->dout[i]);
    }
    const mien_backend *ref = &mien__backend_ref;
    status = (backward ? ref->backward : ref->forward)[call->op](&own);
    for (int i = 0; i < MIEN_OP_MAX_OUT && status == MIEN_OK && !backward; i++)
        if (call->out[i]) status = take_back(call->out[i], own.out[i]);
    for (int i = 0; i < MIEN_OP_MAX_IN && status == MIEN_OK && backward; i++)
        if (call->want[i]) status = take_back(call->din[i], own.din[i]);
    for (int i = 3; i <= 4 && status == MIEN_OK && !backward; i++) /* running statistics */
        if (call->op == MIEN_OP_batch_norm) status = mien_tensor_copy(call->in[i], own.in[i]);
    for (int i = 0; i < MIEN_OP_MAX_IN; i++) {
        mien_tensor_release(own.in[i]);
        mien_tensor_release(own.din[i]);
    }
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++) {
        mien_tensor_release(own.out[i]);
        mien_tensor_release(own.dout[i]);
    }
    return status;
}

static mien_status forward(mien_op_call *call) {
    return run(call, false);
}
static mien_status backward(mien_op_call *call) {
    return run(call, true);
}

/* As the real one. */
static bool supports(const mien_op_call *call, bool backward) {
    const mien_gru_attr *gru = call->attr;
    return call->op != MIEN_OP_gru || gru->reset_after;
}

/* ---- updates in place --------------------------------------------------------------------------
 */

enum { MOST = 4 };
typedef struct group {
    mien_tensor *there[MOST], *host[MOST];
} group;

static group bring(mien_tensor *a, mien_tensor *b, mien_tensor *c, mien_tensor *d) {
    group g = {.there = {a, b, c, d}};
    for (int i = 0; i < MOST; i++) g.host[i] = here(g.there[i]);
    return g;
}

static mien_status finish(group *g, mien_status status) {
    for (int i = 0; i < MOST; i++) {
        if (status == MIEN_OK && g->there[i]) status = mien_tensor_copy(g->there[i], g->host[i]);
        mien_tensor_release(g->host[i]);
    }
    return status;
}

static mien_status accumulate(mien_tensor *acc, mien_tensor *x) {
    group g = bring(acc, x, NULL, NULL);
    return finish(&g, mien__backend_ref.accumulate(g.host[0], g.host[1]));
}
static mien_status sum_squares(mien_tensor *t, double *sum) {
    group g = bring(t, NULL, NULL, NULL);
    return finish(&g, mien__backend_ref.sum_squares(g.host[0], sum));
}
static mien_status scale(mien_tensor *t, double factor) {
    group g = bring(t, NULL, NULL, NULL);
    return finish(&g, mien__backend_ref.scale(g.host[0], factor));
}
static mien_status adam(const mien_adam *hyper, mien_tensor *param, mien_tensor *grad,
                        mien_tensor *m, mien_tensor *v, int64_t step) {
    group g = bring(param, grad, m, v);
    return finish(&g,
                  mien__backend_ref.adam(hyper, g.host[0], g.host[1], g.host[2], g.host[3], step));
}
static mien_status sgd(const mien_sgd *hyper, mien_tensor *param, mien_tensor *grad,
                       mien_tensor *velocity, int64_t step) {
    group g = bring(param, grad, velocity, NULL);
    return finish(&g, mien__backend_ref.sgd(hyper, g.host[0], g.host[1], g.host[2], step));
}

void fake_gpu_serve(mien_backend *table) {
    for (int op = 0; op < MIEN_OP_COUNT; op++) {
        if (mien__backend_ref.forward[op]) table->forward[op] = forward;
        if (mien__backend_ref.backward[op]) table->backward[op] = backward;
    }
    table->supports = supports;
    table->accumulate = accumulate;
    table->sum_squares = sum_squares;
    table->scale = scale;
    table->adam = adam;
    table->sgd = sgd;
}
