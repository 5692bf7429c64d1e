/* The ops of a GPU that is none: the reference computes on the host's view of its memory, at once,
 * or, while a step is recorded, at each replay. Not here: memory and transfers (fake_gpu.c); speed.
 */
#include "fake_gpu_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/record.h"
#include "optim/judge.h"

static void *elements(const mien_tensor *t) {
    return (char *)fake_gpu_use(t->storage->data) + (size_t)t->offset * mien_dtype_size(t->dtype);
}

/* The tensor as a view of host memory. */
static mien_tensor view(const mien_tensor *t, mien_storage *storage) {
    mien_tensor v = *t;
    *storage = *t->storage;
    storage->data = fake_gpu_use(t->storage->data);
    storage->packed = NULL;
    v.storage = storage;
    v.device = MIEN_DEVICE_CPU;
    return v;
}

/* ---- work: what a launch would do, now or at each replay ------------------------------------- */

enum { TENSORS = 4 * MIEN_OP_MAX_IN };

typedef struct work {
    mien_status (*run)(struct work *w);
    mien_tensor t[TENSORS]; /* device tensors; ndim -1: absent. Their storages are not held: that
                               memory stays is what is tested */
    mien_storage storage[TENSORS];
    mien_op_call call; /* of an op */
    bool backward;
    double attr[MIEN_OP_MAX_ATTR], number;
    mien_adam adam;
    mien_sgd sgd;
    mien_scaling scaling;
    const mien__feed *feed; /* on the device; NULL: as given */
    int64_t step;
    void *to;
    const void *from;
    size_t bytes;
} work;

typedef struct made {
    work *list;
    size_t n, room;
} made;

static made *noted; /* the recording that is under way */
size_t fake_gpu_launches;

static void set(work *w, int i, const mien_tensor *t) {
    w->storage[i].data = NULL;
    w->t[i].ndim = -1;
    if (!t) return;
    w->t[i] = *t;
    if (t->storage) w->storage[i] = *t->storage;
}

static const mien_tensor *at(work *w, int i) {
    if (w->t[i].ndim < 0) return NULL;
    /* A header alone has none. Works are moved when their list grows. */
    w->t[i].storage = w->storage[i].data ? &w->storage[i] : NULL;
    return &w->t[i];
}

static mien_status submit(work *w) {
    MIEN_TRY(fake_gpu_alive());
    fake_gpu_launches++;
    if (!noted) return w->run(w);
    if (noted->n == noted->room) {
        noted->room = noted->room ? 2 * noted->room : 64;
        noted->list = realloc(noted->list, noted->room * sizeof *noted->list);
    }
    noted->list[noted->n++] = *w;
    return MIEN_OK;
}

/* ---- copies, fills, updates ------------------------------------------------------------------ */

/* Gives `run` two tensors, of which the first is written. */
static mien_status submit_pair(mien_status (*run)(work *), mien_tensor *to, mien_tensor *from) {
    work w = {.run = run};
    set(&w, 0, to);
    set(&w, 1, from);
    MIEN_TRY(submit(&w));
    mien__tensor_touch(to);
    return MIEN_OK;
}

static mien_status run_copy(work *w) {
    mien_storage a, b;
    mien_tensor to = view(at(w, 0), &a), from = view(at(w, 1), &b);
    return mien__host_copy(&to, &from);
}
static mien_status copy(mien_tensor *dst, mien_tensor *src) {
    return submit_pair(run_copy, dst, src);
}

static mien_status run_fill(work *w) {
    mien_storage a;
    mien_tensor to = view(at(w, 0), &a);
    return mien__host_fill(&to, w->number);
}
static mien_status fill(mien_tensor *t, double value) {
    work w = {.run = run_fill, .number = value};
    set(&w, 0, t);
    MIEN_TRY(submit(&w));
    mien__tensor_touch(t);
    return MIEN_OK;
}

static mien_status run_accumulate(work *w) {
    mien_storage a, b;
    mien_tensor acc = view(at(w, 0), &a), x = view(at(w, 1), &b);
    return mien__backend_ref.accumulate(&acc, &x);
}
static mien_status accumulate(mien_tensor *acc, mien_tensor *x) {
    return submit_pair(run_accumulate, acc, x);
}

/* Scales by the factor that brings the norm in tensor 1 down to `number`. */
static mien_status run_scale(work *w) {
    mien_storage a;
    mien_tensor t = view(at(w, 0), &a);
    double norm = *(double *)elements(at(w, 1));
    return isfinite(norm) && norm > w->number
               ? mien__backend_ref.updates.scale(&t, w->number / norm)
               : MIEN_OK;
}
/* norm += the sum of squares; `number` 1: its root, at the end. */
static mien_status run_norm(work *w) {
    double *norm = elements(at(w, 0)), sum = 0;
    if (w->number == 1) {
        *norm = sqrt(*norm);
        return MIEN_OK;
    }
    mien_storage a;
    mien_tensor t = view(at(w, 1), &a);
    MIEN_TRY(mien__backend_ref.updates.sum_squares(&t, &sum));
    *norm += sum;
    return MIEN_OK;
}
static mien_status clip(mien_tensor *const *tensors, int n, double max_norm, mien_tensor *norm) {
    work w = {.run = run_norm};
    MIEN_TRY(fill(norm, 0));
    set(&w, 0, norm);
    for (int i = 0; i < n; i++) {
        if (!tensors[i]) continue;
        set(&w, 1, tensors[i]);
        MIEN_TRY(submit(&w));
    }
    w.number = 1;
    MIEN_TRY(submit(&w));
    w = (work){.run = run_scale, .number = max_norm};
    set(&w, 1, norm);
    for (int i = 0; i < n; i++) {
        if (!tensors[i]) continue;
        set(&w, 0, tensors[i]);
        MIEN_TRY(submit(&w));
        mien__tensor_touch(tensors[i]);
    }
    return MIEN_OK;
}
static mien_status scale(mien_tensor *t, double factor) {
    mien_storage a;
    mien_tensor here = view(t, &a);
    MIEN_TRY(mien__not_recorded("it scales by a number of the host"));
    mien__tensor_touch(t);
    return mien__backend_ref.updates.scale(&here, factor);
}

static mien_status run_judge(work *w) {
    const mien_tensor *loss = at(w, 1);
    mien__judge(elements(at(w, 0)), w->scaling, loss ? *(float *)elements(loss) : 0);
    return MIEN_OK;
}
static mien_status judge(const mien_scaling *rules, mien_tensor *verdict, mien_tensor *loss) {
    work w = {.run = run_judge, .scaling = *rules};
    set(&w, 0, verdict);
    set(&w, 1, loss);
    MIEN_TRY(submit(&w));
    mien__tensor_touch(verdict);
    return MIEN_OK;
}

/* By the verdict in tensor 4, where there is one: is there an update, with which factor? */
static bool read_verdict(work *w, double *factor) {
    if (!at(w, 4)) return true;
    const double *verdict = elements(at(w, 4));
    *factor = 1 / verdict[MIEN_VERDICT_DIVISOR];
    return verdict[MIEN_VERDICT_OPEN] != 0;
}

/* Tensors: parameter, gradient, moments, verdict. */
static mien_status run_adam(work *w) {
    double now[4], decay = w->adam.decoupled ? 0 : w->adam.weight_decay;
    mien__adam_numbers(&w->adam, w->step, now);
    if (w->feed) memcpy(now, ((const mien__feed *)fake_gpu_host(w->feed))->adam, sizeof now);
    if (!read_verdict(w, &now[3])) return MIEN_OK;
    float *p = elements(at(w, 0)), *m = elements(at(w, 2)), *v = elements(at(w, 3));
    const float *g = elements(at(w, 1));
    for (int64_t i = 0; i < mien_tensor_count(at(w, 0)); i++) {
        double gi = g[i] * now[3] + decay * p[i];
        double mi = w->adam.beta1 * m[i] + (1 - w->adam.beta1) * gi;
        double vi = w->adam.beta2 * v[i] + (1 - w->adam.beta2) * gi * gi;
        m[i] = (float)mi;
        v[i] = (float)vi;
        p[i] = (float)(p[i] - now[0] * mi / (sqrt(vi) * now[1] + w->adam.eps) - now[2] * p[i]);
    }
    return MIEN_OK;
}
static mien_status adam_all(const mien_adam *h, mien_tensor *const *params,
                            mien_tensor *const *grads, mien_tensor *const *m, mien_tensor *const *v,
                            int n, int64_t step) {
    mien__feed first = {{0}};
    bool failed;
    mien__adam_numbers(h, step, first.adam);
    const mien__feed *feed = mien__capture_feed(MIEN_FEED_ADAM, h, 0, 0, &first, &failed);
    if (failed) return mien_error_last()->code;
    for (int i = 0; i < n; i++) {
        if (!grads[i]) continue;
        work w = {.run = run_adam, .adam = *h, .step = step, .feed = feed};
        mien_tensor *all[] = {params[i], grads[i], m[i], v[i], h->verdict};
        for (int k = 0; k < 5; k++) set(&w, k, all[k]);
        MIEN_TRY(submit(&w));
        mien__tensor_touch(params[i]);
        mien__tensor_touch(m[i]);
        mien__tensor_touch(v[i]);
    }
    return MIEN_OK;
}
static mien_status adam(const mien_adam *h, mien_tensor *param, mien_tensor *grad, mien_tensor *m,
                        mien_tensor *v, int64_t step) {
    return adam_all(h, &param, &grad, &m, &v, 1, step);
}

static mien_status run_sgd(work *w) {
    mien_sgd hyper = w->sgd;
    double now[2];
    mien__sgd_numbers(&w->sgd, now);
    if (w->feed) memcpy(now, ((const mien__feed *)fake_gpu_host(w->feed))->sgd, sizeof now);
    if (!read_verdict(w, &now[1])) return MIEN_OK;
    hyper.lr = now[0];
    hyper.divisor = 1 / now[1];
    mien_storage s[3];
    mien_tensor t[3];
    for (int i = 0; i < 3; i++)
        if (at(w, i)) t[i] = view(at(w, i), &s[i]);
    return mien__backend_ref.updates.sgd(&hyper, &t[0], &t[1], at(w, 2) ? &t[2] : NULL);
}
static mien_status sgd_all(const mien_sgd *h, mien_tensor *const *params, mien_tensor *const *grads,
                           mien_tensor *const *velocity, int n) {
    mien__feed first = {{0}};
    mien__sgd_numbers(h, first.sgd);
    bool failed;
    const mien__feed *feed = mien__capture_feed(MIEN_FEED_SGD, h, 0, 0, &first, &failed);
    if (failed) return mien_error_last()->code;
    for (int i = 0; i < n; i++) {
        if (!grads[i]) continue;
        work w = {.run = run_sgd, .sgd = *h, .feed = feed};
        mien_tensor *all[] = {params[i], grads[i], velocity ? velocity[i] : NULL, NULL, h->verdict};
        for (int k = 0; k < 5; k++) set(&w, k, all[k]);
        MIEN_TRY(submit(&w));
        mien__tensor_touch(params[i]);
        if (all[2]) mien__tensor_touch(all[2]);
    }
    return MIEN_OK;
}
static mien_status sgd(const mien_sgd *h, mien_tensor *param, mien_tensor *grad,
                       mien_tensor *velocity) {
    return sgd_all(h, &param, &grad, &velocity, 1);
}

/* ---- ops: by the reference on the host's view ------------------------------------------------ */

/* Headers of one kind of tensor of a call, as views; `made` have no elements yet. */
static void views(work *w, int first, int n, mien_tensor **to, mien_tensor *v, mien_storage *s,
                  bool made) {
    for (int i = 0; i < n; i++) {
        const mien_tensor *t = at(w, first + i);
        to[i] = NULL;
        if (!t) continue;
        if (t->storage) {
            v[i] = view(t, &s[i]);
        } else {
            v[i] = *t;
            v[i].device = MIEN_DEVICE_CPU;
        }
        if (made) v[i].storage = NULL;
        to[i] = &v[i];
    }
}

/* What the reference made, to where the device has room for it. */
static mien_status take(work *w, int first, int n, mien_tensor **from) {
    for (int i = 0; i < n; i++) {
        if (!from[i]) continue;
        mien_storage s;
        mien_tensor to = view(at(w, first + i), &s);
        if (from[i]->storage)
            MIEN_TRY(mien__host_copy(&to, from[i]));
        else
            MIEN_TRY(mien__host_fill(&to, 0));
        mien__storage_release(from[i]->storage);
    }
    return MIEN_OK;
}

enum { IN = 0, OUT = MIEN_OP_MAX_IN, GRAD = 2 * MIEN_OP_MAX_IN, DIN = 3 * MIEN_OP_MAX_IN };

static mien_status run_op(work *w) {
    mien_tensor v[TENSORS];
    mien_storage s[TENSORS];
    mien_op_call call = w->call;
    mien_dropout_attr *drop = (mien_dropout_attr *)w->attr;
    double counter = w->attr[3];
    if (w->feed) drop->counter = (double)((const mien__feed *)fake_gpu_host(w->feed))->counter;
    call.attr = w->attr;
    call.implementation = NULL;
    views(w, IN, MIEN_OP_MAX_IN, call.in, v + IN, s + IN, false);
    views(w, OUT, MIEN_OP_MAX_OUT, call.out, v + OUT, s + OUT, !w->backward);
    views(w, GRAD, MIEN_OP_MAX_OUT, call.dout, v + GRAD, s + GRAD, false);
    views(w, DIN, MIEN_OP_MAX_IN, call.din, v + DIN, s + DIN, true);
    mien_status status = w->backward ? mien__backend_ref.backward[call.op](&call)
                                     : mien__backend_ref.forward[call.op](&call);
    w->attr[3] = counter;
    if (status != MIEN_OK) return status;
    return w->backward ? take(w, DIN, MIEN_OP_MAX_IN, call.din)
                       : take(w, OUT, MIEN_OP_MAX_OUT, call.out);
}

static mien_status op(mien_op_call *call, bool backward) {
    work w = {.run = run_op, .call = *call, .backward = backward};
    mien_tensor *const *made = backward ? call->din : call->out;
    for (int i = 0; i < (backward ? MIEN_OP_MAX_IN : MIEN_OP_MAX_OUT); i++)
        if (made[i]) MIEN_TRY(mien__tensor_alloc(made[i], 0));
    for (int i = 0; i < TENSORS; i++) set(&w, i, NULL);
    for (int i = 0; i < MIEN_OP_MAX_IN; i++) {
        set(&w, IN + i, call->in[i]);
        if (backward) set(&w, DIN + i, call->din[i]);
    }
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++) {
        set(&w, OUT + i, call->out[i]);
        if (backward) set(&w, GRAD + i, call->dout[i]);
    }
    memcpy(w.attr, call->attr, (size_t)mien_op_info_at(call->op)->n_attr * sizeof *w.attr);
    if (call->op == MIEN_OP_dropout) {
        const mien_dropout_attr *a = call->attr;
        mien__feed first = {.counter = (uint64_t)a->counter};
        bool failed;
        w.feed = mien__capture_feed(MIEN_FEED_DRAWS, NULL, a->seed, a->stream, &first, &failed);
        if (failed) return mien_error_last()->code;
    }
    return submit(&w);
}
static mien_status forward(mien_op_call *call) {
    return op(call, false);
}
static mien_status backward(mien_op_call *call) {
    return op(call, true);
}

/* ---- recording ------------------------------------------------------------------------------- */

static mien_status run_feed(work *w) {
    memcpy(fake_gpu_host(w->to), w->from, w->bytes);
    return MIEN_OK;
}
static mien_status record(void *to, const void *from, size_t bytes) {
    MIEN_TRY(fake_gpu_alive());
    noted = calloc(1, sizeof *noted);
    work w = {.run = run_feed, .to = to, .from = from, .bytes = bytes};
    return submit(&w);
}
static void forget(void *data) {
    made *m = data;
    free(m->list);
    free(m);
}
static mien_status recorded(bool keep, void **out) {
    made *m = noted;
    noted = NULL;
    if (keep)
        *out = m;
    else
        forget(m);
    return fake_gpu_alive();
}
static mien_status replay(void *data) {
    made *m = data;
    MIEN_TRY(fake_gpu_alive());
    for (size_t i = 0; i < m->n; i++) MIEN_TRY(m->list[i].run(&m->list[i]));
    return MIEN_OK;
}
static mien_status settle(void *data) {
    (void)data;
    return fake_gpu_alive();
}

/* ---- the table ------------------------------------------------------------------------------- */

static mien_status sum_squares(mien_tensor *t, double *sum) {
    mien_storage a;
    mien_tensor here = view(t, &a);
    MIEN_TRY(mien__not_recorded("it reads a number back from the GPU"));
    return mien__backend_ref.updates.sum_squares(&here, sum);
}

void fake_gpu_serve(mien_backend *table) {
    for (int i = 0; i < MIEN_OP_COUNT; i++) {
        if (mien__backend_ref.forward[i]) table->forward[i] = forward;
        if (mien__backend_ref.backward[i]) table->backward[i] = backward;
    }
    table->memory.copy = copy;
    table->memory.fill = fill;
    table->accumulate = accumulate;
    table->updates.sum_squares = sum_squares;
    table->updates.scale = scale;
    table->updates.clip = clip;
    table->updates.judge = judge;
    table->updates.adam = adam;
    table->updates.adam_all = adam_all;
    table->updates.sgd = sgd;
    table->updates.sgd_all = sgd_all;
    fake_gpu_serve_aside(table);
    table->recorder = (mien__recorder){
        .begin = record, .end = recorded, .replay = replay, .wait = settle, .free = forget};
}
