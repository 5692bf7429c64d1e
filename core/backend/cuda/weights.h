/* Weights as the libraries want them, kept with their storage from one use to the next.
 * Not here: the space of recurrent weights that cuDNN wants (cudnn_rnn.c). */
#ifndef MIEN_CUDA_WEIGHTS_H
#define MIEN_CUDA_WEIGHTS_H
#include "cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A retained tensor with the elements of t in `dtype`, at a multiple of 16 bytes: 4-d tensors
 * channels-last with `channels` channels (zeros beyond t's own; 0: as many as t has), others
 * row-major. t itself when it is that already. */
mien_tensor *mien__cuda_as_channels_last(mien_tensor *t, mien_dtype dtype, int64_t channels);
/* The same for weights, which change once a step and are used several times: the copy stays with
 * the storage until the weights are written. Master weights in f32 get their 16-bit copy here. */
mien_tensor *mien__cuda_weight(mien_tensor *t, mien_dtype dtype, int64_t channels);
/* Gives the header t the elements of `made` (the same shape, or more channels): made's own storage
 * when dtype and layout allow it, else a copy: channels-last when `keep`, else row-major. */
mien_status mien__cuda_assign(mien_tensor *t, mien_tensor *made, bool keep);

#ifdef __cplusplus
}
#endif
#endif
