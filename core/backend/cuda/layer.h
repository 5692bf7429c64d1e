/* Recurrent layers on the GPU: those whose loop over time is our own, and those that cuDNN runs.
 * Not here: which one serves a call (recurrent.c). */
#ifndef MIEN_CUDA_LAYER_H
#define MIEN_CUDA_LAYER_H
#include "cuda.h"

/* ---- one whose loop is our own (layer.c) ----------------------------------------------------- */

typedef struct mien__layer_pass mien__layer_pass;

/* What one kind of layer does its own way: the loop over time, with the states before and after.
 * The loops read `reserve`, the op's last output, which is there; what forward wrote into it is
 * their own. Kinds: mien__lstm_layer (lstm.c), mien__gru_layer (gru.c). */
typedef struct mien__layer {
    const char *name; /* in profiles */
    int gates, biases, reserve;
    bool reads_states; /* the backward loop reads `states` */
    mien_status (*forward)(mien__layer_pass *p);
    mien_status (*backward)(mien__layer_pass *p);
} mien__layer;
extern const mien__layer mien__lstm_layer, mien__gru_layer;

/* One pass over B sequences of T frames, with G gates of H units. */
struct mien__layer_pass {
    const mien__layer *layer;
    mien_op_call *call;
    mien_dtype dtype; /* of what has no other here */
    int64_t batch, steps, hidden;
    mien_tensor *w_hh;
    mien_tensor *gates;  /* forward: x W_ih' + bias, f32 [B,T,GH] */
    mien_tensor *dy;     /* backward: [B,T,H]; NULL: zeros */
    mien_tensor *states; /* backward: that each frame starts from [B,T,H]; NULL: nobody reads it */
    mien_tensor *da;     /* backward: the loop fills it: of the gates [B,T,GH] */
    mien_tensor *gated;  /* backward: the loop may make and fill it: what the last gate's rows of
                          * W_hh  multiplied [B,T,H], where those are not the states */
};

mien_status mien__layer_forward(const mien__layer *layer, mien_op_call *call);
mien_status mien__layer_backward(const mien__layer *layer, mien_op_call *call);

/* For the loops. Those that make a tensor give one to be released: NULL for NULL, after a failure,
 * which goes into *status, and when *status says that something failed before. */

/* t's elements, dense and row-major. */
mien_tensor *mien__layer_plain(mien_tensor *t, mien_dtype dtype, mien_status *status);
/* n elements, not set. */
mien_tensor *mien__layer_vector(mien_dtype dtype, int64_t n, mien_status *status);
void mien__layer_release(mien_tensor **tensors, int n);
/* The header t gets the elements of a vector. */
mien_status mien__layer_assign(mien_tensor *t, const mien_tensor *vector);
/* Zeros for every header of the list that is not NULL: a batch without sequences. */
mien_status mien__layer_zeros(mien_tensor *const *tensors, int n);

/* ---- one that cuDNN runs whole (cudnn_rnn.c) ------------------------------------------------- */

/* `reserve` has a form of cuDNN's own: backward must go where forward went. */
mien_status mien__cudnn_rnn_forward(mien_op_call *call);
mien_status mien__cudnn_rnn_backward(mien_op_call *call);
#endif
