/* The time loop of an LSTM layer for small batches, in one launch: weights stay in shared memory.
 * Not here: the products over all frames at once (dX, dW, the input's share), which are GEMMs. */
#ifndef MIEN_CUDA_LSTM_H
#define MIEN_CUDA_LSTM_H
#include "backend/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One layer. `dtype` (f32, bf16, f16) is that of weight, y, dy and da; the others are f32. All
 * are dense in the order given; NULL where a comment says so. Gates i, f, g, o. */
typedef struct mien__lstm_loop {
    mien_dtype dtype;
    int batch, steps, hidden;
    const void *weight;   /* weight_hh [4H,H] */
    const float *gates;   /* x W_ih^T + bias [B,T,4H]; forward only */
    const float *h0, *c0; /* [B,H]; NULL: zeros. h0 forward only */
    void *y;              /* [B,T,H]; forward only */
    float *h, *c;         /* last states [B,H]; forward only; NULL: not wanted */
    float *reserve;       /* [T,B,5H]; written forward (NULL: not wanted), read backward */
    const void *dy;       /* [B,T,H]; NULL: zeros */
    const float *dh, *dc; /* of the last states [B,H]; NULL: zeros */
    void *da;             /* of the gates before their non-linearities [B,T,4H] */
    float *dh0, *dc0;     /* [B,H]; NULL: not wanted */
} mien__lstm_loop;

/* Can this device run the loop for these sizes? H 64, 128, 256 or 512 (512 in 16 bits only), up to
 * 8 sequences, compute capability 9.0, and H/32 blocks with their shared memory at once in one
 * cluster, which the driver is asked: 16 blocks do not fit every part of a chip. */
bool mien__lstm_loop_fits(mien_dtype dtype, int batch, int hidden);
mien_status mien__lstm_loop_forward(const mien__lstm_loop *l);
/* da for every frame, then: dX = da W_ih, dW_ih = da^T X, dW_hh = da^T [h0, y shifted by a step],
 * db = column sums of da. */
mien_status mien__lstm_loop_backward(const mien__lstm_loop *l);

#ifdef __cplusplus
}
#endif
#endif
