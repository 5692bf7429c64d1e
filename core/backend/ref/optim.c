/* In-place updates: gradients that meet, norms, Adam and SGD.
 * Not here: the loop over parameters (optim/). */
#include "ref.h"
#include <math.h>

enum { MOST_TENSORS = 4, RUN = 512 };

/* Up to RUN elements that follow each other along the last dimension, as doubles: of each tensor,
 * NULL where there is none. */
typedef void (*run_fn)(double *const *values, int64_t n, void *context);

/* Elements of t from `first` along the last dimension of the row that starts at `offset`. */
static mien_tensor part_of(const mien_tensor *t, int64_t offset, int64_t first, int64_t n) {
    int64_t stride = t->ndim ? t->stride[t->ndim - 1] : 1;
    return (mien_tensor){.refs = 1,
                         .dtype = t->dtype,
                         .ndim = 1,
                         .shape = {n},
                         .stride = {stride},
                         .offset = offset + first * stride,
                         .storage = t->storage};
}

static mien_status move(const mien_tensor *t, int64_t offset, int64_t first, int64_t n,
                        double *values, bool back) {
    mien_storage storage = {.refs = 1, .bytes = RUN * sizeof *values, .data = values};
    mien_tensor here = {
        .refs = 1, .dtype = MIEN_F64, .ndim = 1, .shape = {n}, .stride = {1}, .storage = &storage};
    mien_tensor there = part_of(t, offset, first, n);
    return back ? mien__host_copy(&there, &here) : mien__host_copy(&here, &there);
}

/* Runs f over all elements of tensors of one shape, row by row; those of the bits in `written` get
 * what it left. Only bringing them into a plain layout needs memory, before the first change. */
static mien_status each_run(int n, mien_tensor *const *tensors, unsigned written, run_fn f,
                            void *context) {
    double room[MOST_TENSORS][RUN], *values[MOST_TENSORS] = {0};
    int64_t index[MIEN_MAX_DIMS] = {0};
    const mien_tensor *t = tensors[0];
    int last = t->ndim - 1, d;
    int64_t length = t->ndim ? t->shape[last] : 1;
    for (int i = 0; i < n; i++)
        if (tensors[i]) MIEN_TRY(mien__tensor_make_plain(tensors[i]));
    if (mien_tensor_count(t) == 0) return MIEN_OK;
    for (int i = 0; i < n; i++)
        if (tensors[i]) values[i] = room[i];
    do {
        int64_t offset[MOST_TENSORS] = {0};
        for (int i = 0; i < n; i++) {
            if (!tensors[i]) continue;
            offset[i] = tensors[i]->offset;
            for (d = 0; d < last; d++) offset[i] += index[d] * tensors[i]->stride[d];
        }
        for (int64_t first = 0; first < length; first += RUN) {
            int64_t count = length - first < RUN ? length - first : RUN;
            for (int i = 0; i < n; i++)
                if (values[i])
                    MIEN_TRY(move(tensors[i], offset[i], first, count, values[i], false));
            f(values, count, context);
            for (int i = 0; i < n; i++)
                if (values[i] && written >> i & 1u)
                    MIEN_TRY(move(tensors[i], offset[i], first, count, values[i], true));
        }
        for (d = last - 1; d >= 0 && ++index[d] == t->shape[d]; d--) index[d] = 0;
    } while (d >= 0);
    return MIEN_OK;
}

static void add_run(double *const *v, int64_t n, void *context) {
    for (int64_t i = 0; i < n; i++) v[0][i] += v[1][i];
}
mien_status mien__ref_accumulate(mien_tensor *acc, mien_tensor *x) {
    return each_run(2, (mien_tensor *[]){acc, x}, 1, add_run, NULL);
}

static void square_run(double *const *v, int64_t n, void *sum) {
    for (int64_t i = 0; i < n; i++) *(double *)sum += v[0][i] * v[0][i];
}
mien_status mien__ref_sum_squares(mien_tensor *t, double *sum) {
    *sum = 0;
    return each_run(1, &t, 0, square_run, sum);
}

static void scale_run(double *const *v, int64_t n, void *factor) {
    for (int64_t i = 0; i < n; i++) v[0][i] *= *(double *)factor;
}
mien_status mien__ref_scale(mien_tensor *t, double factor) {
    return each_run(1, &t, 1, scale_run, &factor);
}

typedef struct adam_step {
    const mien_adam *hyper;
    double unbias1, unbias2, factor;
} adam_step;

/* Kingma & Ba 2015, algorithm 1; decoupled decay as Loshchilov & Hutter 2019, algorithm 2. */
static void adam_run(double *const *v, int64_t n, void *context) {
    const adam_step *s = context;
    const mien_adam *hyper = s->hyper;
    for (int64_t i = 0; i < n; i++) {
        double *p = &v[0][i], *mi = &v[2][i], *vi = &v[3][i];
        double grad_i = s->factor * v[1][i], decay = hyper->weight_decay * *p;
        if (!hyper->decoupled) grad_i += decay;
        *mi = hyper->beta1 * *mi + (1 - hyper->beta1) * grad_i;
        *vi = hyper->beta2 * *vi + (1 - hyper->beta2) * grad_i * grad_i;
        *p -= hyper->lr * (*mi / s->unbias1) / (sqrt(*vi / s->unbias2) + hyper->eps);
        if (hyper->decoupled) *p -= hyper->lr * decay;
    }
}

mien_status mien__ref_adam(const mien_adam *hyper, mien_tensor *param, mien_tensor *grad,
                           mien_tensor *m, mien_tensor *v, int64_t step) {
    adam_step s = {hyper, 1 - pow(hyper->beta1, (double)step), 1 - pow(hyper->beta2, (double)step),
                   mien__grad_factor(hyper->divisor)};
    return each_run(4, (mien_tensor *[]){param, grad, m, v}, 1u | 4u | 8u, adam_run, &s);
}

static void sgd_run(double *const *v, int64_t n, void *context) {
    const mien_sgd *hyper = context;
    double factor = mien__grad_factor(hyper->divisor);
    for (int64_t i = 0; i < n; i++) {
        double *p = &v[0][i], grad_i = factor * v[1][i] + hyper->weight_decay * *p, speed = grad_i;
        if (v[2]) speed = v[2][i] = hyper->momentum * v[2][i] + grad_i;
        *p -= hyper->lr * (hyper->nesterov ? grad_i + hyper->momentum * speed : speed);
    }
}

mien_status mien__ref_sgd(const mien_sgd *hyper, mien_tensor *param, mien_tensor *grad,
                          mien_tensor *velocity) {
    mien_sgd h = *hyper;
    return each_run(3, (mien_tensor *[]){param, grad, velocity}, 1u | 4u, sgd_run, &h);
}
