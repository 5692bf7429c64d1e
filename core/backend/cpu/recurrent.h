/* What the LSTM and the GRU share: packed recurrent weights and their product with a few rows.
 * Not here: gates (lstm.c, gru.c).
 *
 * Hidden units are worked on in blocks of 16, one per lane. For `gates` gates the packed weights
 * are [blocks][length][gates][16]: one stretch of memory per block, read once per step from the
 * cache of the thread that owns the block. */
#ifndef MIEN_RECURRENT_H
#define MIEN_RECURRENT_H
#include "vmath.h"

/* Rows of a batch that one product takes at a time. */
#define MIEN_RNN_ROWS 4

static inline int64_t mien__rnn_blocks(int64_t hidden) {
    return (hidden + 15) / 16;
}
/* Packs gates first_gate ... of weight [.., hidden] (rows: gate * hidden + unit) for h -> gates. */
mien_tensor *mien__rnn_pack(const float *weight, int64_t hidden, int first_gate, int gates);
/* The same transposed, for gates -> h. */
mien_tensor *mien__rnn_pack_transposed(const float *weight, int64_t hidden, int first_gate,
                                       int gates);
/* out[row][gate] (16 lanes each) = sum over k of x[row * row_step + gate * gate_step + k] times
 * packed[k][gate], for `rows` of 1 to 4 rows. */
void mien__rnn_product(float *out, const float *packed, const float *x, int64_t row_step,
                       int64_t gate_step, int64_t length, int gates, int rows);
/* Threads that a step of this size is worth. */
int mien__rnn_threads(int64_t hidden, int64_t batch);

static inline __attribute__((always_inline)) v16 mien__v16_load(const float *from, int64_t n) {
    v16 v = {0};
    if (n >= 16)
        memcpy(&v, from, sizeof v);
    else
        for (int64_t i = 0; i < n; i++) v[i] = from[i];
    return v;
}

static inline __attribute__((always_inline)) void mien__v16_store(float *to, v16 v, int64_t n) {
    if (n >= 16)
        memcpy(to, &v, sizeof v);
    else
        for (int64_t i = 0; i < n; i++) to[i] = v[i];
}
#endif
