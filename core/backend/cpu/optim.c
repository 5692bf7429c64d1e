/* Adam, SGD, gradient norms and sums of gradients: one pass over memory each, all threads.
 * Not here: lists of parameters (optim/); f64 and strided tensors, which are ref's. */
#include "lanes.h"
#include <math.h>

/* Work is cut into pieces of this many floats, whatever the number of threads: sums of pieces are
 * added in order, so that their bits depend on nothing else. */
#define PIECE 65536

static bool plain_f32(const mien_tensor *t) {
    return t->dtype == MIEN_F32 && t->block == 0 && mien__tensor_is_contiguous(t);
}

/* ---- sums ------------------------------------------------------------------------------------ */

MIEN_INLINE void add(int form, void *acc, const void *x, int64_t n) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        mien__lanes_store(form, acc, i,
                          mien__lanes_load(form, acc, i) + mien__lanes_load(form, x, i));
    for (; i < n; i++)
        mien__lane_store(form, acc, i, mien__lane_load(form, acc, i) + mien__lane_load(form, x, i));
}

MIEN_KERNEL(static void add_piece, add, (int form, void *acc, const void *x, int64_t n), acc, x, n)

MIEN_CLONES(double, squares_piece, (const float *x, int64_t n), (x, n)) {
    double total = 0;
    for (int64_t i = 0; i < n; i += 1024) {
        double lanes[16] = {0};
        int64_t stop = mien__min64(n, i + 1024), j = i;
        for (; j + 16 <= stop; j += 16)
            for (int k = 0; k < 16; k++) lanes[k] += (double)x[j + k] * x[j + k];
        for (; j < stop; j++) lanes[0] += (double)x[j] * x[j];
        for (int k = 0; k < 16; k++) total += lanes[k];
    }
    return total;
}

MIEN_CLONES(void, scale_piece, (float *x, int64_t n, float factor), (x, n, factor)) {
    for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

mien_status mien__cpu_accumulate(mien_tensor *acc, mien_tensor *x) {
    bool floats = acc->dtype == MIEN_F32 || acc->dtype == MIEN_BF16;
    if (!floats || x->dtype != acc->dtype || !mien__cpu_dense(acc))
        return mien__backend_ref.accumulate(acc, x);
    mien_tensor *same = mien__cpu_as_layout(x, acc->block);
    if (!same) return mien_error_last()->code;
    int form = mien__lanes_of(acc->dtype);
    void *to = mien__cpu_ptr(acc), *from = mien__cpu_ptr(same);
    int64_t n = mien__cpu_floats(acc, acc->block);
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < n; i += PIECE)
        add_piece(form, mien__lane_at(form, to, i), mien__lane_at(form, from, i),
                  mien__min64(PIECE, n - i));
    mien_tensor_release(same);
    mien__tensor_touch(acc);
    return MIEN_OK;
}

mien_status mien__cpu_sum_squares(mien_tensor *t, double *sum) {
    if (t->dtype != MIEN_F32 || !mien__cpu_dense(t))
        return mien__backend_ref.updates.sum_squares(t, sum);
    const float *x = mien__cpu_f32(t);
    int64_t n = mien__cpu_floats(t, t->block), batch = 64 * PIECE;
    double total = 0;
    for (int64_t first = 0; first < n; first += batch) {
        double piece[64] = {0};
        int64_t stop = mien__min64(n, first + batch);
#pragma omp parallel for schedule(static) if (stop - first > MIEN_PARALLEL_FLOATS)
        for (int64_t i = first; i < stop; i += PIECE)
            piece[(i - first) / PIECE] = squares_piece(x + i, mien__min64(PIECE, stop - i));
        for (int i = 0; i < 64; i++) total += piece[i];
    }
    *sum = total;
    return MIEN_OK;
}

mien_status mien__cpu_scale(mien_tensor *t, double factor) {
    if (t->dtype != MIEN_F32 || !mien__cpu_dense(t))
        return mien__backend_ref.updates.scale(t, factor);
    float *x = mien__cpu_f32(t);
    int64_t n = mien__cpu_floats(t, t->block);
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < n; i += PIECE)
        scale_piece(x + i, mien__min64(PIECE, n - i), (float)factor);
    mien__tensor_touch(t);
    return MIEN_OK;
}

/* ---- updates --------------------------------------------------------------------------------- */

typedef struct adam_numbers {
    float beta1, rest1, beta2, rest2; /* rest: 1 - beta, from doubles: 1 - 0.999f errs by 1e-5 */
    float step, root, eps, l2, shrink, factor;
} adam_numbers;

MIEN_CLONES(void, adam_piece,
            (const adam_numbers *h, float *restrict p, const float *restrict grad,
             float *restrict m, float *restrict v, int64_t n),
            (h, p, grad, m, v, n)) {
    adam_numbers a = *h;
    for (int64_t i = 0; i < n; i++) {
        float g = a.factor * grad[i] + a.l2 * p[i];
        m[i] = a.beta1 * m[i] + a.rest1 * g;
        v[i] = a.beta2 * v[i] + a.rest2 * g * g;
        p[i] = a.shrink * p[i] - a.step * m[i] / (sqrtf(v[i]) * a.root + a.eps);
    }
}

mien_status mien__cpu_adam(const mien_adam *hyper, mien_tensor *param, mien_tensor *grad,
                           mien_tensor *m, mien_tensor *v, int64_t step) {
    if (!plain_f32(param) || !plain_f32(m) || !plain_f32(v) || grad->dtype != MIEN_F32)
        return mien__backend_ref.updates.adam(hyper, param, grad, m, v, step);
    mien_tensor *g = mien__cpu_as_layout(grad, 0);
    if (!g) return mien_error_last()->code;
    double now[4];
    mien__adam_numbers(hyper, step, now);
    adam_numbers a = {
        .beta1 = (float)hyper->beta1,
        .rest1 = (float)(1 - hyper->beta1),
        .beta2 = (float)hyper->beta2,
        .rest2 = (float)(1 - hyper->beta2),
        .step = (float)now[0],
        .root = (float)now[1],
        .eps = (float)hyper->eps,
        .l2 = hyper->decoupled ? 0 : (float)hyper->weight_decay,
        .shrink = (float)(1 - now[2]),
        .factor = (float)now[3],
    };
    float *pp = mien__cpu_f32(param), *mm = mien__cpu_f32(m), *vv = mien__cpu_f32(v);
    const float *gg = mien__cpu_f32(g);
    int64_t n = mien_tensor_count(param);
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < n; i += 8192)
        adam_piece(&a, pp + i, gg + i, mm + i, vv + i, mien__min64(8192, n - i));
    mien_tensor_release(g);
    mien__tensor_touch(param);
    mien__tensor_touch(m);
    mien__tensor_touch(v);
    return MIEN_OK;
}

typedef struct sgd_numbers {
    float lr, momentum, decay, factor;
    bool nesterov;
} sgd_numbers;

MIEN_CLONES(void, sgd_piece,
            (const sgd_numbers *h, float *restrict p, const float *restrict grad,
             float *restrict velocity, int64_t n),
            (h, p, grad, velocity, n)) {
    sgd_numbers a = *h;
    for (int64_t i = 0; i < n; i++) {
        float g = a.factor * grad[i] + a.decay * p[i];
        velocity[i] = a.momentum * velocity[i] + g;
        p[i] -= a.lr * (a.nesterov ? g + a.momentum * velocity[i] : velocity[i]);
    }
}

MIEN_CLONES(void, sgd_plain_piece,
            (const sgd_numbers *h, float *restrict p, const float *restrict grad, int64_t n),
            (h, p, grad, n)) {
    sgd_numbers a = *h;
    for (int64_t i = 0; i < n; i++) p[i] -= a.lr * (a.factor * grad[i] + a.decay * p[i]);
}

mien_status mien__cpu_sgd(const mien_sgd *hyper, mien_tensor *param, mien_tensor *grad,
                          mien_tensor *velocity) {
    if (!plain_f32(param) || (velocity && !plain_f32(velocity)) || grad->dtype != MIEN_F32)
        return mien__backend_ref.updates.sgd(hyper, param, grad, velocity);
    mien_tensor *g = mien__cpu_as_layout(grad, 0);
    if (!g) return mien_error_last()->code;
    float *p = mien__cpu_f32(param), *v = velocity ? mien__cpu_f32(velocity) : NULL;
    const float *gg = mien__cpu_f32(g);
    sgd_numbers a = {(float)hyper->lr, (float)hyper->momentum, (float)hyper->weight_decay,
                     (float)mien__grad_factor(hyper->divisor), hyper->nesterov != 0};
    int64_t n = mien_tensor_count(param);
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < n; i += 8192) {
        int64_t length = mien__min64(8192, n - i);
        if (v)
            sgd_piece(&a, p + i, gg + i, v + i, length);
        else
            sgd_plain_piece(&a, p + i, gg + i, length);
    }
    mien_tensor_release(g);
    mien__tensor_touch(param);
    if (velocity) mien__tensor_touch(velocity);
    return MIEN_OK;
}
