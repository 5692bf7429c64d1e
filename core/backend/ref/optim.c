/* In-place updates: gradients that meet, norms, Adam and SGD.
 * Not here: the loop over parameters (optim/). */
#include "ref.h"
#include <math.h>
#include <stdlib.h>

enum { MOST_TENSORS = 4 };

/* Up to four tensors of one shape as doubles; all of them, or none on failure. */
typedef struct group {
    int n;
    int64_t count;
    mien_tensor *tensors[MOST_TENSORS];
    double *values[MOST_TENSORS];
} group;

static void drop_group(group *g) {
    for (int i = 0; i < g->n; i++) free(g->values[i]);
}

/* Absent tensors are NULL and stay NULL. */
static mien_status load_group(group *g) {
    g->count = mien_tensor_count(g->tensors[0]);
    for (int i = 0; i < g->n; i++) {
        if (!g->tensors[i]) continue;
        mien_status status = mien__ref_load(g->tensors[i], &g->values[i]);
        if (status != MIEN_OK) {
            drop_group(g);
            return status;
        }
    }
    return MIEN_OK;
}

/* Writes tensor i back when it is there. */
static mien_status write_back(group *g, int i) {
    if (!g->tensors[i]) return MIEN_OK;
    return mien_tensor_write(g->tensors[i], g->values[i], g->count);
}

mien_status mien__ref_accumulate(mien_tensor *acc, mien_tensor *x) {
    group g = {.n = 2, .tensors = {acc, x}};
    MIEN_TRY(load_group(&g));
    for (int64_t i = 0; i < g.count; i++) g.values[0][i] += g.values[1][i];
    mien_status status = write_back(&g, 0);
    drop_group(&g);
    return status;
}

mien_status mien__ref_sum_squares(mien_tensor *t, double *sum) {
    group g = {.n = 1, .tensors = {t}};
    MIEN_TRY(load_group(&g));
    *sum = 0;
    for (int64_t i = 0; i < g.count; i++) *sum += g.values[0][i] * g.values[0][i];
    drop_group(&g);
    return MIEN_OK;
}

mien_status mien__ref_scale(mien_tensor *t, double factor) {
    group g = {.n = 1, .tensors = {t}};
    MIEN_TRY(load_group(&g));
    for (int64_t i = 0; i < g.count; i++) g.values[0][i] *= factor;
    mien_status status = write_back(&g, 0);
    drop_group(&g);
    return status;
}

/* Kingma & Ba 2015, algorithm 1; decoupled decay as Loshchilov & Hutter 2019, algorithm 2. */
mien_status mien__ref_adam(const mien_adam *hyper, mien_tensor *param, mien_tensor *grad,
                           mien_tensor *m, mien_tensor *v, int64_t step) {
    group g = {.n = 4, .tensors = {param, grad, m, v}};
    MIEN_TRY(load_group(&g));
    double unbias1 = 1 - pow(hyper->beta1, (double)step);
    double unbias2 = 1 - pow(hyper->beta2, (double)step);
    double factor = mien__grad_factor(hyper->divisor);
    for (int64_t i = 0; i < g.count; i++) {
        double *p = &g.values[0][i], *mi = &g.values[2][i], *vi = &g.values[3][i];
        double grad_i = factor * g.values[1][i], decay = hyper->weight_decay * *p;
        if (!hyper->decoupled) grad_i += decay;
        *mi = hyper->beta1 * *mi + (1 - hyper->beta1) * grad_i;
        *vi = hyper->beta2 * *vi + (1 - hyper->beta2) * grad_i * grad_i;
        *p -= hyper->lr * (*mi / unbias1) / (sqrt(*vi / unbias2) + hyper->eps);
        if (hyper->decoupled) *p -= hyper->lr * decay;
    }
    mien_status status = write_back(&g, 0);
    if (status == MIEN_OK) status = write_back(&g, 2);
    if (status == MIEN_OK) status = write_back(&g, 3);
    drop_group(&g);
    return status;
}

mien_status mien__ref_sgd(const mien_sgd *hyper, mien_tensor *param, mien_tensor *grad,
                          mien_tensor *velocity) {
    group g = {.n = 3, .tensors = {param, grad, velocity}};
    MIEN_TRY(load_group(&g));
    double factor = mien__grad_factor(hyper->divisor);
    for (int64_t i = 0; i < g.count; i++) {
        double *p = &g.values[0][i], grad_i = factor * g.values[1][i] + hyper->weight_decay * *p;
        double v = grad_i;
        if (g.values[2]) v = g.values[2][i] = hyper->momentum * g.values[2][i] + grad_i;
        *p -= hyper->lr * (hyper->nesterov ? grad_i + hyper->momentum * v : v);
    }
    mien_status status = write_back(&g, 0);
    if (status == MIEN_OK) status = write_back(&g, 2);
    drop_group(&g);
    return status;
}
