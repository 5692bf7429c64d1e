/* Optimisers: fused in-place updates of parameters, and gradient clipping.
 * Not here: which parameters, schedules, and the Lua state table (lua/mien/optim/init.lua). */
#ifndef MIEN_OPTIM_H
#define MIEN_OPTIM_H
#include "tensor/tensor.h"

/* cdef:begin */
/* An f64 tensor of MIEN_VERDICT_COUNT numbers beside the parameters: what was decided there about
 * an update, so that a device need not ask the host. A fresh one has scale and divisor 1, else 0.
 */
enum {
    MIEN_VERDICT_OPEN,    /* 0 leaves the update out */
    MIEN_VERDICT_DIVISOR, /* of the gradients on the way: loss scale and clipping */
    MIEN_VERDICT_LOSS,
    MIEN_VERDICT_NORM,     /* 2-norm of the true gradients */
    MIEN_VERDICT_SCALE,    /* of the next loss */
    MIEN_VERDICT_GOOD,     /* steps since the scale last changed */
    MIEN_VERDICT_SKIPPED,  /* steps, in all */
    MIEN_VERDICT_IN_A_ROW, /* steps skipped since one with finite gradients */
    MIEN_VERDICT_COUNT
};

/* Adam (Kingma & Ba 2015, algorithm 1, bias-corrected):
 * m = b1 m + (1-b1) g, v = b2 v + (1-b2) g^2,
 * p -= lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps).
 * weight_decay adds weight_decay * p to g (L2), or, decoupled, lr * weight_decay * p to the step.
 * The gradients are divided by `divisor` on the way (loss scaling, clipping); 0 stands for 1. */
typedef struct mien_adam {
    double lr, beta1, beta2, eps, weight_decay;
    int decoupled;
    double divisor;
    mien_tensor *verdict; /* goes before `divisor`; NULL: none */
} mien_adam;

/* SGD: g += weight_decay p; v = momentum v + g; p -= lr v, or lr (g + momentum v) with nesterov.
 * divisor: as Adam's. */
typedef struct mien_sgd {
    double lr, momentum, weight_decay;
    int nesterov;
    double divisor;
    mien_tensor *verdict; /* as in mien_adam */
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
 * wait; one that is not finite scales nothing and is the caller's to look at. max_norm INFINITY
 * only finds the norm. */
mien_status mien_grad_clip_to(mien_tensor *const *grads, int n, double max_norm, mien_tensor *norm);
/* How the loss scale changes: times `growth` after `interval` good steps in a row (0: it never
 * does), times `backoff` after one whose gradients are not finite, but never below 2^-24, the
 * least number of fp16. max_norm, where above 0, is that
 * of the true gradients, by the divisor. */
typedef struct mien_scaling {
    double growth, backoff, interval, max_norm;
} mien_scaling;
/* Fills the verdict on a step, whose number NORM is the norm of the gradients as they are: one
 * whose norm or loss (one element beside it; NULL: 0) is not finite is left out. */
mien_status mien_judge(const mien_scaling *rules, mien_tensor *verdict, mien_tensor *loss);
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
