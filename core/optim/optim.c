/* The front of the optimisers: checks, then the device's fused update for each parameter.
 * Not here: the updates themselves (backend/), schedules (lua/mien/optim/init.lua). */
#include "optim.h"

#include <math.h>

#include "judge.h"
#include "updates.h"
#include "base/profile.h"
#include "base/allocate.h"
#include "base/assert.h"
#include "base/nan.h"

/* ---- checks ---------------------------------------------------------------------------------- */

static mien_status check_like(const mien_tensor *param, const mien_tensor *t, const char *who,
                              const char *what, int i) {
    char a[96], b[96];
    if (!t || !t->storage)
        MIEN_FAIL(MIEN_ERR_MEMORY, "%s: %s of parameter %d was freed", who, what, i + 1);
    if (!mien__same_kind(t, param))
        MIEN_FAIL(MIEN_ERR_SHAPE, "%s: parameter %d%s%s is %s%s but its %s %s%s", who, i + 1,
                  param->name ? " " : "", param->name ? param->name : "",
                  mien_dtype_name(param->dtype), mien__shape_text(param, a, sizeof a), what,
                  mien_dtype_name(t->dtype), mien__shape_text(t, b, sizeof b));
    return MIEN_OK;
}

static mien_status check_param(const mien_tensor *param, const char *who, int i) {
    if (!param || !param->storage)
        MIEN_FAIL(MIEN_ERR_MEMORY, "%s: parameter %d was freed", who, i + 1);
    if (param->dtype != MIEN_F32 && param->dtype != MIEN_F64)
        MIEN_FAIL(MIEN_ERR_DTYPE, "%s: parameter %d is %s; f32 or f64 is needed", who, i + 1,
                  mien_dtype_name(param->dtype));
    return MIEN_OK;
}

static mien_status check_verdict(mien_tensor *verdict, const char *who) {
    MIEN_TRY(mien__tensor_check(verdict, who));
    if (verdict->dtype != MIEN_F64 || !mien__tensor_is_contiguous(verdict) ||
        mien_tensor_count(verdict) != MIEN_VERDICT_COUNT)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: a verdict is %d numbers in f64", who, MIEN_VERDICT_COUNT);
    return MIEN_OK;
}

/* A device looks at the verdict by itself. On the host: here; *divisor 0 leaves the update out. */
static mien_status read_verdict(mien_tensor *verdict, mien_tensor *const *grads, int n,
                                const char *who, double *divisor) {
    MIEN_TRY(check_verdict(verdict, who));
    mien__tensor_read(verdict);
    for (int i = 0; i < n; i++)
        if (grads[i] && grads[i]->device != verdict->device)
            MIEN_FAIL(MIEN_ERR_DEVICE, "%s: the verdict is on another device than gradient %d", who,
                      i + 1);
    double v[MIEN_VERDICT_COUNT] = {1, 1};
    if (verdict->device == MIEN_DEVICE_CPU)
        MIEN_TRY(mien_tensor_read(verdict, v, MIEN_VERDICT_COUNT));
    *divisor = v[MIEN_VERDICT_OPEN] ? v[MIEN_VERDICT_DIVISOR] : 0;
    return MIEN_OK;
}

/* The device that all of them are on; false: they are on several, or there are none. */
static bool one_device(mien_tensor *const *tensors, int n, mien_device *device) {
    bool any = false;
    for (int i = 0; i < n; i++) {
        if (!tensors[i]) continue;
        if (any && tensors[i]->device != *device) return false;
        *device = tensors[i]->device;
        any = true;
    }
    return any;
}

/* ---- what a step needs, before its first change ---------------------------------------------- */

static void let_go(mien_tensor **ready, int n) {
    for (int i = 0; ready && i < n; i++) mien_tensor_release(ready[i]);
    free(ready);
}

/* The gradients as updates read them, retained, in a list to be let go of; what is updated comes
 * into the plain layout as well. After this an update of the host needs no memory: it is one of all
 * parameters or of none. A device gathers what it needs before it launches anything. */
static mien_status prepare(mien_tensor *const *params, mien_tensor *const *grads,
                           mien_tensor *const *a, mien_tensor *const *b, int n,
                           mien_tensor ***ready) {
    mien_status status = MIEN_OK;
    mien_tensor **list = *ready = mien__calloc((size_t)n + 1, sizeof *list);
    if (!list) MIEN_FAIL(MIEN_ERR_MEMORY, "no memory for the list of gradients");
    for (int i = 0; i < n && status == MIEN_OK; i++) {
        if (!grads[i]) continue;
        mien_tensor *all[] = {params[i], grads[i], a ? a[i] : NULL, b ? b[i] : NULL};
        mien__tensor_read(grads[i]);
        for (int k = 0; k < 4 && status == MIEN_OK; k++)
            if (all[k]) status = mien__tensor_make_plain(all[k]);
        if (status != MIEN_OK) break;
        list[i] = grads[i]->device == MIEN_DEVICE_CPU ? mien__tensor_contiguous(grads[i])
                                                      : mien_tensor_retain(grads[i]);
        if (!list[i]) status = mien_error_last()->code;
    }
    if (status == MIEN_OK) return MIEN_OK;
    let_go(list, n);
    return status;
}

/* ---- steps ----------------------------------------------------------------------------------- */

void mien__adam_numbers(const mien_adam *h, int64_t step, double numbers[4]) {
    numbers[0] = h->lr / (1 - pow(h->beta1, (double)step));
    numbers[1] = 1 / sqrt(1 - pow(h->beta2, (double)step));
    numbers[2] = h->decoupled ? h->lr * h->weight_decay : 0;
    numbers[3] = mien__grad_factor(h->divisor);
}

void mien__sgd_numbers(const mien_sgd *h, double numbers[2]) {
    numbers[0] = h->lr;
    numbers[1] = mien__grad_factor(h->divisor);
}

static mien_status adam_all(const mien_adam *hyper, mien_tensor *const *params,
                            mien_tensor *const *grads, mien_tensor *const *m, mien_tensor *const *v,
                            int n, int64_t step) {
    mien_device device;
    if (one_device(grads, n, &device)) {
        const mien__updates *u = mien__updates_for(device);
        if (u->adam_all) return u->adam_all(hyper, params, grads, m, v, n, step);
    }
    for (int i = 0; i < n; i++) {
        if (!grads[i]) continue;
        const mien__updates *u = mien__updates_for(params[i]->device);
        double start = mien__profile_start();
        MIEN_TRY(u->adam(hyper, params[i], grads[i], m[i], v[i], step));
        mien_tensor *touched[] = {grads[i], params[i], params[i], m[i], m[i], v[i], v[i]};
        mien__profile_work(
            start, "adam", 12 * (double)mien_tensor_count(params[i]),
            mien__bytes_of(touched, 7)); /* all but the gradient are read and written */
    }
    return MIEN_OK;
}

mien_status mien_adam_step(const mien_adam *hyper, mien_tensor *const *params,
                           mien_tensor *const *grads, mien_tensor *const *m, mien_tensor *const *v,
                           int n, int64_t step) {
    MIEN_CALL("a step of adam");
    if (step < 1)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "adam: step %lld, steps count from 1", (long long)step);
    for (int i = 0; i < n; i++) {
        if (!grads[i]) continue;
        MIEN_TRY(check_param(params[i], "adam", i));
        MIEN_TRY(check_like(params[i], grads[i], "adam", "gradient", i));
        MIEN_TRY(check_like(params[i], m[i], "adam", "first moment", i));
        MIEN_TRY(check_like(params[i], v[i], "adam", "second moment", i));
        if (!mien__updates_for(params[i]->device)) return mien_error_last()->code;
    }
    mien_adam divided = *hyper;
    if (hyper->verdict) {
        MIEN_TRY(read_verdict(hyper->verdict, grads, n, "adam", &divided.divisor));
        if (divided.divisor == 0) return MIEN_OK;
        if (hyper->verdict->device == MIEN_DEVICE_CPU) hyper = &divided;
    }
    mien_tensor **ready;
    MIEN_ASSERT_LUA_THREAD();
    MIEN_TRY(prepare(params, grads, m, v, n, &ready));
    mien_status status = adam_all(hyper, params, ready, m, v, n, step);
    let_go(ready, n);
    return status;
}

static mien_status sgd_all(const mien_sgd *hyper, mien_tensor *const *params,
                           mien_tensor *const *grads, mien_tensor *const *velocity, int n) {
    mien_device device;
    if (one_device(grads, n, &device)) {
        const mien__updates *u = mien__updates_for(device);
        if (u->sgd_all) return u->sgd_all(hyper, params, grads, velocity, n);
    }
    for (int i = 0; i < n; i++) {
        if (!grads[i]) continue;
        const mien__updates *u = mien__updates_for(params[i]->device);
        mien_tensor *v = velocity ? velocity[i] : NULL;
        double start = mien__profile_start();
        MIEN_TRY(u->sgd(hyper, params[i], grads[i], v));
        mien__profile_work(
            start, "sgd", 4 * (double)mien_tensor_count(params[i]),
            mien__bytes_of((mien_tensor *[]){grads[i], params[i], params[i], v, v}, 5));
    }
    return MIEN_OK;
}

mien_status mien_sgd_step(const mien_sgd *hyper, mien_tensor *const *params,
                          mien_tensor *const *grads, mien_tensor *const *velocity, int n,
                          int64_t step) {
    MIEN_CALL("a step of sgd");
    if (step < 1)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "sgd: step %lld, steps count from 1", (long long)step);
    for (int i = 0; i < n; i++) {
        if (!grads[i]) continue;
        MIEN_TRY(check_param(params[i], "sgd", i));
        MIEN_TRY(check_like(params[i], grads[i], "sgd", "gradient", i));
        if (velocity && velocity[i])
            MIEN_TRY(check_like(params[i], velocity[i], "sgd", "velocity", i));
        else if (hyper->momentum != 0)
            MIEN_FAIL(MIEN_ERR_ARGUMENT, "sgd: momentum is %g but parameter %d has no velocity",
                      hyper->momentum, i + 1);
        if (!mien__updates_for(params[i]->device)) return mien_error_last()->code;
    }
    mien_sgd divided = *hyper;
    if (hyper->verdict) {
        MIEN_TRY(read_verdict(hyper->verdict, grads, n, "sgd", &divided.divisor));
        if (divided.divisor == 0) return MIEN_OK;
        if (hyper->verdict->device == MIEN_DEVICE_CPU) hyper = &divided;
    }
    mien_tensor **ready;
    MIEN_ASSERT_LUA_THREAD();
    MIEN_TRY(prepare(params, grads, velocity, NULL, n, &ready));
    mien_status status = sgd_all(hyper, params, ready, velocity, n);
    let_go(ready, n);
    return status;
}

/* ---- the norm of all gradients --------------------------------------------------------------- */

mien_status mien_grad_norm(mien_tensor *const *grads, int n, double *norm) {
    double total = 0;
    mien_device device;
    for (int i = 0; i < n; i++) {
        if (!grads[i]) continue;
        MIEN_TRY(mien__tensor_check(grads[i], "gradient norm"));
        mien__tensor_read(grads[i]);
    }
    if (one_device(grads, n, &device)) {
        const mien__updates *u = mien__updates_for(device);
        if (!u) return mien_error_last()->code;
        if (u->sum_squares_all) {
            MIEN_TRY(u->sum_squares_all(grads, n, &total));
            *norm = mien__canonical(sqrt(total));
            return MIEN_OK;
        }
    }
    for (int i = 0; i < n; i++) {
        if (!grads[i]) continue;
        const mien__updates *u = mien__updates_for(grads[i]->device);
        if (!u) return mien_error_last()->code;
        double sum = 0;
        MIEN_TRY(u->sum_squares(grads[i], &sum));
        total += sum;
    }
    *norm = mien__canonical(sqrt(total));
    return MIEN_OK;
}

/* The device's own clipping, where all gradients are on one that has it. */
static const mien__updates *clips_itself(mien_tensor *const *grads, int n, mien_device *device) {
    if (!one_device(grads, n, device)) return NULL;
    const mien__updates *u = mien__updates_for(*device);
    return u && u->clip ? u : NULL;
}

static mien_status scale_all(mien_tensor *const *grads, int n, double factor) {
    for (int i = 0; i < n; i++) {
        if (!grads[i]) continue;
        const mien__updates *u = mien__updates_for(grads[i]->device);
        if (!u) return mien_error_last()->code;
        MIEN_TRY(u->scale(grads[i], factor));
    }
    return MIEN_OK;
}

static mien_status check_clip(mien_tensor *const *grads, int n, double max_norm) {
    if (!(max_norm > 0))
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "clip: the largest norm must be positive, it is %g", max_norm);
    for (int i = 0; i < n; i++) {
        if (!grads[i]) continue;
        MIEN_TRY(mien__tensor_check(grads[i], "clip"));
        mien__tensor_read(grads[i]);
    }
    return MIEN_OK;
}

mien_status mien_grad_clip_to(mien_tensor *const *grads, int n, double max_norm,
                              mien_tensor *norm) {
    MIEN_TRY(check_clip(grads, n, max_norm));
    MIEN_TRY(mien__tensor_check(norm, "clip, norm"));
    if (norm->dtype != MIEN_F64 || mien_tensor_count(norm) != 1)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "clip: the norm goes into one f64 element");
    mien_device device;
    const mien__updates *u = clips_itself(grads, n, &device);
    if (u && norm->device == device) return u->clip(grads, n, max_norm, norm);
    double found = 0;
    MIEN_TRY(mien_grad_norm(grads, n, &found));
    if (isfinite(found) && found > max_norm) MIEN_TRY(scale_all(grads, n, max_norm / found));
    return mien_tensor_write(norm, &found, 1);
}

mien_status mien_grad_clip(mien_tensor *const *grads, int n, double max_norm, double *norm) {
    mien_device device = MIEN_DEVICE_CPU;
    if (!clips_itself(grads, n, &device)) device = MIEN_DEVICE_CPU;
    mien_tensor *there = mien_tensor_new(MIEN_F64, device, 0, NULL);
    if (!there) return mien_error_last()->code;
    mien_status status = mien_grad_clip_to(grads, n, max_norm, there);
    if (status == MIEN_OK) status = mien_tensor_read(there, norm, 1);
    mien_tensor_release(there);
    if (status == MIEN_OK && !isfinite(*norm))
        MIEN_FAIL(MIEN_ERR_NUMERIC,
                  "clip: the norm of the gradients is %g; a loss or an input was not finite, or "
                  "the learning rate is too high",
                  *norm);
    return status;
}

/* ---- the verdict on a step ------------------------------------------------------------------- */

mien_status mien_judge(const mien_scaling *rules, mien_tensor *verdict, mien_tensor *loss) {
    MIEN_TRY(check_verdict(verdict, "judge"));
    double value = 0, v[MIEN_VERDICT_COUNT];
    if (loss) {
        MIEN_TRY(mien__tensor_check(loss, "judge, loss"));
        if (mien_tensor_count(loss) != 1 || loss->device != verdict->device)
            MIEN_FAIL(MIEN_ERR_ARGUMENT, "judge: the loss must be one number beside the verdict");
    }
    const mien__updates *u = mien__updates_for(verdict->device);
    if (!u) return mien_error_last()->code;
    mien__tensor_read(loss);
    mien__tensor_read(verdict);
    if (u->judge) return u->judge(rules, verdict, loss);
    if (loss) MIEN_TRY(mien_tensor_read(loss, &value, 1));
    MIEN_TRY(mien_tensor_read(verdict, v, MIEN_VERDICT_COUNT));
    mien__judge(v, *rules, value);
    return mien_tensor_write(verdict, v, MIEN_VERDICT_COUNT);
}
