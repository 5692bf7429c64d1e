/* Pieces of recurrent layers whose loop over time is our own: what is done for all frames at once.
 * Not here: the loops (lstm.c, gru.c), layers that cuDNN runs whole (recurrent.c). */
#ifndef MIEN_CUDA_LAYER_H
#define MIEN_CUDA_LAYER_H
#include "cuda.h"

/* Those that make a tensor give one to be released: NULL for NULL, after a failure, which goes into
 * *status, and when *status says that something failed before. */

/* t's elements, dense and row-major. */
mien_tensor *mien__layer_plain(mien_tensor *t, mien_dtype dtype, mien_status *status);
/* The same of a weight, whose copy stays with its storage. */
mien_tensor *mien__layer_weight(mien_tensor *t, mien_dtype dtype, mien_status *status);
/* n elements, not set. */
mien_tensor *mien__layer_vector(mien_dtype dtype, int64_t n, mien_status *status);
/* The state that each frame starts from, [B,T,H]: h0 [B,H] (NULL: zeros), then y [B,T,H] without
 * its last frame. */
mien_tensor *mien__layer_states(mien_tensor *y, mien_tensor *h0, mien_dtype dtype,
                                mien_status *status);
void mien__layer_release(mien_tensor **tensors, int n);

/* The input's share of the gates: x [rows,D] w_ih [G,D]' + bias -> f32 [rows,G]. */
mien_status mien__layer_input(mien_tensor *x, mien_tensor *w_ih, mien_tensor *bias, int64_t rows,
                              mien_tensor *gates);
/* The header t gets the elements of a vector. */
mien_status mien__layer_put(mien_tensor *t, const mien_tensor *vector);
/* The header din = da w, [rows,k] by [k,n]; or da' x, [rows,m] by [rows,n]. */
mien_status mien__layer_input_gradient(mien_tensor *din, mien_tensor *da, mien_tensor *w,
                                       int64_t rows);
mien_status mien__layer_weight_gradient(mien_tensor *din, mien_tensor *da, mien_tensor *x,
                                        int64_t rows);
/* The header din = sums over the rows of da. */
mien_status mien__layer_bias_gradient(mien_tensor *din, mien_tensor *da, int64_t rows);
/* Zeros for every header of the list that is not NULL: a batch without sequences. */
mien_status mien__layer_zeros(mien_tensor *const *tensors, int n);
#endif
