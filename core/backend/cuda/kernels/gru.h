/* What the gates of a GRU with its reset before the product do at one step, between two products.
 * Not here: the products and the loop over time (../gru.c). */
#ifndef MIEN_CUDA_GRU_H
#define MIEN_CUDA_GRU_H
#include "backend/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One layer. What has no type is of `dtype` (f32, bf16, f16). All are dense; gates r, z, n. */
typedef struct mien__gru_loop {
    mien_dtype dtype;
    int64_t batch, steps, hidden;
    float *reserve; /* [T,B,4H]: r, z, n, U(r h) + c; written forward, read backward */
    /* forward */
    const float *gates; /* x W_ih' + bias_ih [B,T,3H] */
    const float *bias;  /* bias_hh [3H] */
    void *h;            /* the state [B,H], as the next product reads it */
    void *reset;        /* r h [B,H] */
    void *y;            /* [B,T,H] */
    /* backward */
    const void *before; /* the state that each frame started from [B,T,H] */
    const void *dy;     /* [B,T,H]; NULL: zeros */
    float *carry;       /* [B,H]: of the state, as far as no product is needed for it */
    void *da;           /* of the gates before their non-linearities [B,T,3H] */
    void *open;         /* those of r and z in this step [B,2H] */
    void *candidate;    /* those of n in this step [B,H] */
    void *gated;        /* r h of every frame [B,T,H]; NULL: not wanted */
} mien__gru_loop;

/* Step t forward: r, z and r h from sums = h U_rz' [B,2H]; then the new state from those of the
 * candidate, (r h) U_n' [B,H]. */
mien_status mien__gru_open(const mien__gru_loop *l, int64_t t, const float *sums);
mien_status mien__gru_next(const mien__gru_loop *l, int64_t t, const float *sums);
/* Step t backward: z and n from sums = open U_rz [B,H] of the step after (NULL: none); t = -1
 * leaves the gradient of h0 in `carry`. Then r from sums = candidate U_n [B,H]. */
mien_status mien__gru_next_back(const mien__gru_loop *l, int64_t t, const float *sums);
mien_status mien__gru_open_back(const mien__gru_loop *l, int64_t t, const float *sums);

#ifdef __cplusplus
}
#endif
#endif
