/* What updates need of a device: the table that its backend registers.
 * Not here: checks, and the public functions (optim.h). */
#ifndef MIEN_UPDATES_H
#define MIEN_UPDATES_H
#include "optim.h"

/* What writes elements also calls mien__tensor_touch. */
typedef struct mien__updates {
    mien_status (*sum_squares)(mien_tensor *t, double *sum);
    mien_status (*scale)(mien_tensor *t, double factor);
    mien_status (*adam)(const mien_adam *hyper, mien_tensor *param, mien_tensor *grad,
                        mien_tensor *m, mien_tensor *v, int64_t step);
    mien_status (*sgd)(const mien_sgd *hyper, mien_tensor *param, mien_tensor *grad,
                       mien_tensor *velocity);
    /* The same of n tensors in one go, NULLs and those without a gradient skipped. Each may be
     * NULL: then one by one. */
    mien_status (*sum_squares_all)(mien_tensor *const *tensors, int n, double *sum);
    mien_status (*adam_all)(const mien_adam *hyper, mien_tensor *const *params,
                            mien_tensor *const *grads, mien_tensor *const *m, mien_tensor *const *v,
                            int n, int64_t step);
    mien_status (*sgd_all)(const mien_sgd *hyper, mien_tensor *const *params,
                           mien_tensor *const *grads, mien_tensor *const *velocity, int n);
    /* Decisions that the host need not know of, so that it does not wait for the device. NULL: the
     * host decides. norm, f64 [1], gets the 2-norm of all tensors (NULLs skipped), which are scaled
     * by max_norm / norm where that is below 1. judge: mien__judge (judge.h). */
    mien_status (*clip)(mien_tensor *const *tensors, int n, double max_norm, mien_tensor *norm);
    mien_status (*judge)(const mien_scaling *rules, mien_tensor *verdict, mien_tensor *loss);
} mien__updates;

/* From now on the device's table is what `table` gives: NULL with an error record when the device
 * cannot be used. */
void mien__updates_register(mien_device device, const mien__updates *(*table)(void));
/* NULL with an error record when the device cannot be used, or has no updates. */
const mien__updates *mien__updates_for(mien_device device);
#endif
