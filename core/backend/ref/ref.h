/* Inside the reference backend: what one op gets, all elements as contiguous doubles.
 * Not here: speed. This backend is the judge of the others. */
#ifndef MIEN_REF_H
#define MIEN_REF_H
#include "backend/backend.h"

/* One call with its tensors as row-major doubles. Forward: out[] start as zeros. Backward: din[]
 * start as zeros where wanted. NULL: absent, not saved, or not wanted. */
typedef struct mien__ref {
    mien_op_call *call; /* shapes and dtypes */
    const void *attr;
    double *in[MIEN_OP_MAX_IN];
    double *out[MIEN_OP_MAX_OUT];
    double *dout[MIEN_OP_MAX_OUT];
    double *din[MIEN_OP_MAX_IN];
    unsigned updated; /* bit i: the op changed in[i], which goes back to its tensor */
} mien__ref;

typedef mien_status (*mien__ref_fn)(mien__ref *r);

/* Every op with the functions that serve it and the inputs (bits) that have no gradient. */
#define MIEN_REF_OPS(XX)                                                                           \
    XX(conv2d, conv2d, 0)                                                                          \
    XX(batch_norm, batch_norm, 1 << 3 | 1 << 4)                                                    \
    XX(max_pool2d, max_pool2d, 0)                                                                  \
    XX(avg_pool2d, avg_pool2d, 0)                                                                  \
    XX(global_avg_pool, global_avg_pool, 0)                                                        \
    XX(lrn, lrn, 0)                                                                                \
    XX(linear, linear, 0)                                                                          \
    XX(matmul, matmul, 0)                                                                          \
    XX(lstm, lstm, 0)                                                                              \
    XX(gru, gru, 0)                                                                                \
    XX(add, binary, 0)                                                                             \
    XX(sub, binary, 0)                                                                             \
    XX(mul, binary, 0)                                                                             \
    XX(div, binary, 0)                                                                             \
    XX(cast, cast, 0)                                                                              \
    XX(affine, unary, 0)                                                                           \
    XX(power, unary, 0)                                                                            \
    XX(relu, unary, 0)                                                                             \
    XX(sigmoid, unary, 0)                                                                          \
    XX(tanh, unary, 0)                                                                             \
    XX(exp, unary, 0)                                                                              \
    XX(log, unary, 0)                                                                              \
    XX(abs, unary, 0)                                                                              \
    XX(dropout, dropout, 0)                                                                        \
    XX(sum, sum, 0)                                                                                \
    XX(mean, sum, 0)                                                                               \
    XX(max, max, 0)                                                                                \
    XX(softmax, softmax, 0)                                                                        \
    XX(log_softmax, softmax, 0)                                                                    \
    XX(concat, concat, 0)                                                                          \
    XX(ccc_loss, ccc_loss, 0)                                                                      \
    XX(mse_loss, mse_loss, 0)                                                                      \
    XX(sigmoid_cross_entropy, sigmoid_cross_entropy, 1 << 2)                                       \
    XX(softmax_cross_entropy, softmax_cross_entropy, 1 << 1 | 1 << 2)

/* Those without a backward pass. */
#define MIEN_REF_INFERENCE_OPS(XX)                                                                 \
    XX(conv2d_fused)                                                                               \
    XX(conv2d_int8)                                                                                \
    XX(quantise)                                                                                   \
    XX(augment)

#define XX(op, impl, fixed)                                                                        \
    mien_status mien__ref_##impl##_forward(mien__ref *r);                                          \
    mien_status mien__ref_##impl##_backward(mien__ref *r);
MIEN_REF_OPS(XX)
#undef XX
#define XX(op) mien_status mien__ref_##op##_forward(mien__ref *r);
MIEN_REF_INFERENCE_OPS(XX)
#undef XX

/* All elements of t as new row-major doubles (free() them), and back. */
mien_status mien__ref_load(mien_tensor *t, double **values);
/* optim.c */
mien_status mien__ref_accumulate(mien_tensor *acc, mien_tensor *x);
mien_status mien__ref_sum_squares(mien_tensor *t, double *sum);
mien_status mien__ref_scale(mien_tensor *t, double factor);
mien_status mien__ref_adam(const mien_adam *hyper, mien_tensor *param, mien_tensor *grad,
                           mien_tensor *m, mien_tensor *v, int64_t step);
mien_status mien__ref_sgd(const mien_sgd *hyper, mien_tensor *param, mien_tensor *grad,
                          mien_tensor *velocity);
#endif
