/* Adam, SGD, and what is decided about gradients: one launch for all parameters.
 * Not here: schedules and checks (optim/). */
#include <math.h>

#include "kernels.h"
#include "launch.h"

#include "optim/judge.h"

namespace {

/* ---- a list of tensors as one launch --------------------------------------------------------- */

enum { LIST_MOST = 480, CHUNK = 4096 }; /* a launch takes 32 KB of arguments */

struct item {
    float *p;
    const float *g;
    float *m, *v;
    int64_t n;
};
/* Blocks first[i] to first[i+1]-1 work on item i, CHUNK elements each. */
struct list {
    int n;
    int first[LIST_MOST + 1];
    item items[LIST_MOST];
};

static void add_item(list *l, const item &it) {
    l->items[l->n] = it;
    l->first[l->n + 1] = l->first[l->n] + (int)((it.n + CHUNK - 1) / CHUNK);
    l->n++;
}

__device__ static int item_of(const list &l, int block) {
    int low = 0, high = l.n;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (l.first[middle] <= block)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* f(item, i) for each element of the block's chunk. */
template <typename F> __device__ static void each_element(const list &l, F f) {
    int own = item_of(l, (int)blockIdx.x);
    const item &it = l.items[own];
    int64_t first = ((int64_t)blockIdx.x - l.first[own]) * CHUNK;
    int64_t last = first + CHUNK < it.n ? first + CHUNK : it.n;
    for (int64_t i = first + threadIdx.x; i < last; i += MIEN_THREADS) f(it, i);
}

/* ---- the updates ----------------------------------------------------------------------------- */

/* Kingma & Ba 2015, algorithm 1; decoupled decay as Loshchilov & Hutter 2019, algorithm 2. */
struct adam_fn {
    float beta1, rest1, beta2, rest2, step, root, eps, decay, shrink, factor;
    __device__ void take(const mien__feed &now) {
        step = (float)now.adam[0];
        root = (float)now.adam[1];
        shrink = (float)now.adam[2];
        factor = (float)now.adam[3];
    }
    __device__ void operator()(const item &it, int64_t i) const {
        float p = it.p[i], g = factor * it.g[i] + decay * p;
        float m = beta1 * it.m[i] + rest1 * g, v = beta2 * it.v[i] + rest2 * g * g;
        it.m[i] = m;
        it.v[i] = v;
        it.p[i] = p - step * m / (sqrtf(v) * root + eps) - shrink * p;
    }
};

struct sgd_fn {
    float lr, momentum, decay, factor;
    bool nesterov;
    __device__ void take(const mien__feed &now) {
        lr = (float)now.sgd[0];
        factor = (float)now.sgd[1];
    }
    __device__ void operator()(const item &it, int64_t i) const {
        float p = it.p[i], g = factor * it.g[i] + decay * p, v = g;
        if (it.v) v = it.v[i] = momentum * it.v[i] + g;
        it.p[i] = p - lr * (nesterov ? g + momentum * v : v);
    }
};

/* What decides about an update on the device; see mien_adam and record.h. Both may be NULL. */
struct control {
    const mien__feed *now;
    const double *verdict;
};

template <typename F>
__global__ void __launch_bounds__(MIEN_THREADS)
    update_kernel(const __grid_constant__ list l, F f, control c) {
    if (c.verdict && c.verdict[MIEN_VERDICT_OPEN] == 0) return;
    if (c.now) f.take(*c.now);
    if (c.verdict) f.factor = (float)(1 / c.verdict[MIEN_VERDICT_DIVISOR]);
    each_element(l, f);
}

struct square_fn {
    double *sum;
    __device__ void operator()(const item &it, int64_t i) const {
        *sum += (double)it.g[i] * it.g[i];
    }
};

/* partial [blocks of the list] */
__global__ void __launch_bounds__(MIEN_THREADS)
    squares_kernel(double *partial, const __grid_constant__ list l) {
    double sum = 0;
    each_element(l, square_fn{&sum});
    sum = mien_block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/* One block; total += the sum. */
__global__ void __launch_bounds__(MIEN_THREADS)
    total_kernel(double *total, const double *partial, int n) {
    double sum = 0;
    for (int i = (int)threadIdx.x; i < n; i += MIEN_THREADS) sum += partial[i];
    sum = mien_block_sum(sum);
    if (threadIdx.x == 0) *total += sum;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* t in f32 with the strides of `like`, and back into t at the end when that took a copy. */
struct updated {
    mien_tensor *t;
    mien_held made;
    updated() : t(NULL) {}
    mien_status start(mien_tensor *own, const mien_tensor *like) {
        t = own;
        made.take(mien__cuda_as_like(own, like, MIEN_F32));
        return made.failed() ? mien_last() : MIEN_OK;
    }
    float *at() const { return t ? made.data<float>() : NULL; }
    mien_status finish() {
        if (!t) return MIEN_OK;
        if (made.t != t) return mien__cuda_copy(t, made.t);
        mien__tensor_touch(t);
        return MIEN_OK;
    }
};

/* The tensors of up to LIST_MOST parameters while a launch works on them. */
struct group {
    updated p[LIST_MOST], m[LIST_MOST], v[LIST_MOST];
    mien_held g[LIST_MOST];
    list l;
    group() : l() {}

    mien_status add(mien_tensor *param, mien_tensor *grad, mien_tensor *first,
                    mien_tensor *second) {
        int i = l.n;
        if (param->dtype == MIEN_F64)
            MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "cuda: parameters in f64 are for the CPU; use f32");
        MIEN_TRY(p[i].start(param, param));
        MIEN_TRY(first ? m[i].start(first, p[i].made.t) : MIEN_OK);
        MIEN_TRY(second ? v[i].start(second, p[i].made.t) : MIEN_OK);
        g[i].take(mien__cuda_as_like(grad, p[i].made.t, MIEN_F32));
        if (g[i].failed()) return mien_last();
        add_item(&l, item{p[i].at(), g[i].data<float>(), m[i].at(), v[i].at(),
                          mien_tensor_count(param)});
        return MIEN_OK;
    }
    unsigned blocks() const { return (unsigned)l.first[l.n]; }
    mien_status finish() {
        for (int i = 0; i < l.n; i++) {
            MIEN_TRY(p[i].finish());
            MIEN_TRY(m[i].finish());
            MIEN_TRY(v[i].finish());
        }
        return MIEN_OK;
    }
};

/* From parameter `next` on. The groups behind the first come before its launch, so that all that
 * needs memory, or is refused, comes before the first change. */
template <typename F>
static mien_status update(F f, const control &c, mien_tensor *const *params,
                          mien_tensor *const *grads, mien_tensor *const *m, mien_tensor *const *v,
                          int n, int next = 0) {
    if (next == n) return MIEN_OK;
    MIEN_TRY(mien__cuda_check());
    group g;
    for (; next < n && g.l.n < LIST_MOST; next++)
        if (grads[next])
            MIEN_TRY(g.add(params[next], grads[next], m ? m[next] : NULL, v ? v[next] : NULL));
    MIEN_TRY(update(f, c, params, grads, m, v, n, next));
    if (g.blocks() > 0) MIEN_LAUNCH(update_kernel<F>, g.blocks(), MIEN_THREADS, 0, g.l, f, c);
    return g.finish();
}

static mien_status control_of(mien__feed_kind kind, const void *hyper, mien_tensor *verdict,
                              const mien__feed &first, control *c) {
    bool failed;
    c->verdict = (const double *)mien__cuda_ptr(verdict);
    c->now = mien__capture_feed(kind, hyper, 0, 0, &first, &failed);
    return failed ? mien_last() : MIEN_OK;
}

static mien_status adam_all(const mien_adam *h, mien_tensor *const *params,
                            mien_tensor *const *grads, mien_tensor *const *m, mien_tensor *const *v,
                            int n, int64_t step) {
    mien__feed now = {};
    control c;
    mien__adam_numbers(h, step, now.adam);
    MIEN_TRY(control_of(MIEN_FEED_ADAM, h, h->verdict, now, &c));
    adam_fn f = {(float)h->beta1,    (float)(1 - h->beta1),
                 (float)h->beta2,    (float)(1 - h->beta2),
                 (float)now.adam[0], (float)now.adam[1],
                 (float)h->eps,      h->decoupled ? 0 : (float)h->weight_decay,
                 (float)now.adam[2], (float)now.adam[3]};
    return update(f, c, params, grads, m, v, n);
}

static mien_status adam(const mien_adam *h, mien_tensor *param, mien_tensor *grad, mien_tensor *m,
                        mien_tensor *v, int64_t step) {
    return adam_all(h, &param, &grad, &m, &v, 1, step);
}

static mien_status sgd_all(const mien_sgd *h, mien_tensor *const *params, mien_tensor *const *grads,
                           mien_tensor *const *velocity, int n) {
    mien__feed now = {};
    control c;
    mien__sgd_numbers(h, now.sgd);
    MIEN_TRY(control_of(MIEN_FEED_SGD, h, h->verdict, now, &c));
    sgd_fn f = {(float)now.sgd[0], (float)h->momentum, (float)h->weight_decay, (float)now.sgd[1],
                h->nesterov != 0};
    return update(f, c, params, grads, NULL, velocity, n);
}

static mien_status sgd(const mien_sgd *h, mien_tensor *param, mien_tensor *grad,
                       mien_tensor *velocity) {
    return sgd_all(h, &param, &grad, &velocity, 1);
}

/* ---- norms ----------------------------------------------------------------------------------- */

/* The next tensors that a launch takes, to be read. */
static mien_status collect(list *l, mien_held *held, mien_tensor *const *tensors, int n,
                           int *next) {
    for (; *next < n && l->n < LIST_MOST; (*next)++) {
        mien_tensor *t = tensors[*next];
        if (!t) continue;
        held[l->n].take(mien__cuda_as_like(t, t, MIEN_F32));
        if (held[l->n].failed()) return mien_last();
        add_item(l, item{NULL, held[l->n].data<float>(), NULL, NULL, mien_tensor_count(t)});
    }
    return MIEN_OK;
}

static mien_status add_squares(double *total, mien_tensor *const *tensors, int n, int *next) {
    mien_held held[LIST_MOST];
    list l = {};
    MIEN_TRY(collect(&l, held, tensors, n, next));
    int blocks = l.first[l.n];
    if (blocks == 0) return MIEN_OK;
    mien_scratch partial((size_t)blocks * sizeof(double));
    if (partial.failed()) return mien_last();
    MIEN_LAUNCH(squares_kernel, (unsigned)blocks, MIEN_THREADS, 0, partial.at<double>(), l);
    MIEN_LAUNCH(total_kernel, 1, MIEN_THREADS, 0, total, partial.at<double>(), blocks);
    return MIEN_OK;
}

static mien_status squares_to(double *total, mien_tensor *const *tensors, int n) {
    MIEN_TRY(mien__cuda_check());
    MIEN_CUDA(cudaMemsetAsync(total, 0, sizeof *total, mien__cuda_context.stream));
    for (int next = 0; next < n;) MIEN_TRY(add_squares(total, tensors, n, &next));
    return MIEN_OK;
}

/* One wait for the device, however many tensors. */
static mien_status sum_squares_all(mien_tensor *const *tensors, int n, double *sum) {
    mien_scratch total(sizeof(double));
    if (total.failed()) return mien_last();
    MIEN_TRY(squares_to(total.at<double>(), tensors, n));
    return mien__cuda_read(sum, total.at<double>(), sizeof(double));
}

static mien_status sum_squares(mien_tensor *t, double *sum) {
    return sum_squares_all(&t, 1, sum);
}

/* ---- decisions on the device ----------------------------------------------------------------- */

__device__ static bool is_finite(double x) {
    return x - x == 0;
}

/* One thread: the norm from its square, and what brings it down to max_norm. */
__global__ void clip_factor_kernel(double *norm, float *factor, const double *total,
                                   double max_norm) {
    double found = sqrt(*total);
    *norm = found;
    *factor = is_finite(found) && found > max_norm ? (float)(max_norm / found) : 1;
}

struct scale_fn {
    const float *factor;
    __device__ void operator()(const item &it, int64_t i) const { it.p[i] *= *factor; }
};

__global__ void __launch_bounds__(MIEN_THREADS)
    scale_kernel(const __grid_constant__ list l, scale_fn f) {
    if (*f.factor != 1) each_element(l, f);
}

/* From tensor `next` on, in the order of `update`. */
static mien_status scale_all(mien_tensor *const *tensors, int n, const float *factor,
                             int next = 0) {
    if (next == n) return MIEN_OK;
    updated held[LIST_MOST];
    list l = {};
    for (; next < n && l.n < LIST_MOST; next++) {
        if (!tensors[next]) continue;
        updated &u = held[l.n];
        MIEN_TRY(u.start(tensors[next], tensors[next]));
        add_item(&l, item{u.at(), NULL, NULL, NULL, mien_tensor_count(tensors[next])});
    }
    MIEN_TRY(scale_all(tensors, n, factor, next));
    if (l.first[l.n] > 0)
        MIEN_LAUNCH(scale_kernel, (unsigned)l.first[l.n], MIEN_THREADS, 0, l, scale_fn{factor});
    for (int i = 0; i < l.n; i++) MIEN_TRY(held[i].finish());
    return MIEN_OK;
}

static mien_status clip(mien_tensor *const *tensors, int n, double max_norm, mien_tensor *norm) {
    mien_scratch space(2 * sizeof(double)); /* the sum of squares, then the factor */
    if (space.failed()) return mien_last();
    MIEN_TRY(squares_to(space.at<double>(), tensors, n));
    MIEN_LAUNCH(clip_factor_kernel, 1, 1, 0, (double *)mien__cuda_ptr(norm), space.at<float>(2),
                space.at<double>(), max_norm);
    mien__tensor_touch(norm);
    return isinf(max_norm) ? MIEN_OK : scale_all(tensors, n, space.at<float>(2));
}

__global__ void judge_kernel(double *verdict, mien_scaling rules, const float *loss) {
    mien__judge(verdict, rules, loss ? *loss : 0);
}

static mien_status judge(const mien_scaling *rules, mien_tensor *verdict, mien_tensor *loss) {
    mien_held held;
    MIEN_TRY(mien__cuda_check());
    if (loss) held.take(mien__cuda_as_plain(loss, MIEN_F32));
    if (loss && held.failed()) return mien_last();
    MIEN_LAUNCH(judge_kernel, 1, 1, 0, (double *)mien__cuda_ptr(verdict), *rules,
                loss ? held.data<float>() : NULL);
    mien__tensor_touch(verdict);
    return MIEN_OK;
}

} // namespace

void mien__cuda_part_optim(mien_backend *table) {
    mien__updates *updates = &table->updates;
    updates->adam = adam;
    updates->adam_all = adam_all;
    updates->sgd = sgd;
    updates->sgd_all = sgd_all;
    updates->clip = clip;
    updates->judge = judge;
    updates->sum_squares = sum_squares;
    updates->sum_squares_all = sum_squares_all;
}
