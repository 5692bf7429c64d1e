/* Optimisers: fused in-place updates of parameters, and gradient clipping.
 * Not here: which parameters, schedules, and the Lua state table (lua/mien/optim.lua). */
#ifndef MIEN_OPTIM_H
#define MIEN_OPTIM_H
#include "../tensor/tensor.h"

/* cdef:begin */
/* Adam (Kingma & Ba 2015, algorithm 1, bias-corrected):
 * m = b1 m + (1-b1) g, v = b2 v + (1-b2) g^2,
 * p -= lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps).
 * weight_decay adds weight_decay * p to g (L2), or, decoupled, lr * weight_decay * p to the step.
 * The gradients are divided by `divisor` on the way (loss scaling, clipping); 0 stands for 1. */
typedef struct mien_adam {
    double lr, beta1, beta2, eps, weight_decay;
    int decoupled;
    double divisor;
    mien_tensor *gate; /* f32 [1] beside the parameters: 0 leaves the update out; NULL: none */
} mien_adam;

/* SGD: g += weight_decay p; v = momentum v + g; p -= lr v, or lr (g + momentum v) with nesterov.
 * divisor: as Adam's. */
typedef struct mien_sgd {
    double lr, momentum, weight_decay;
    int nesterov;
    double divisor;
    mien_tensor *gate; /* as in mien_adam */
} mien_sgd;

/* One step for n parameters; params[i], grads[i], m[i], v[i] share a shape, all f32 or f64 alike.
 * grads[i] NULL skips a parameter. step counts from 1. */
mien_status mien_adam_step(const mien_adam *hyper, mien_tensor *const *params,
                           mien_tensor *const *grads, mien_tensor *const *m, mien_tensor *const *v,
                           int n, int64_t step);
/* velocity may hold NULLs when momentum is 0. */
mien_status mien_sgd_step(const mien_sgd *hyper, mien_tensor *const *params,
                          mien_tensor *const *grads, mien_tensor *const *velocity, int n,
                          int64_t step);
/* The 2-norm of all gradients together (NULLs skipped). */
mien_status mien_grad_norm(mien_tensor *const *grads, int n, double *norm);
/* Scales all gradients by max_norm / norm when norm exceeds it; gives the norm found. */
mien_status mien_grad_clip(mien_tensor *const *grads, int n, double max_norm, double *norm);
/* The same with the norm into an f64 tensor [1] beside the gradients, so that the host need not
 * wait; one that is not finite scales nothing and is the caller's to look at. */
mien_status mien_grad_clip_to(mien_tensor *const *grads, int n, double max_norm, mien_tensor *norm);
/* gate (f32 [1]) becomes 1 when every element of the n tensors (NULLs skipped), which lie beside
 * it, is finite, else 0. */
mien_status mien_gate_finite(mien_tensor *gate, mien_tensor *const *tensors, int n);
/* cdef:end */

/* What a backend multiplies gradients by; exact for the powers of two of loss scaling. */
static inline double mien__grad_factor(double divisor) {
    return divisor ? 1 / divisor : 1;
}
/* The numbers of Adam's update that change from step to step: lr / (1 - b1^t), 1 / sqrt(1 - b2^t),
 * the share of p that decoupled decay takes, and the gradients' factor. Of SGD's: the learning rate
 * and that factor. */
void mien__adam_numbers(const mien_adam *hyper, int64_t step, double numbers[4]);
void mien__sgd_numbers(const mien_sgd *hyper, double numbers[2]);
#endif
