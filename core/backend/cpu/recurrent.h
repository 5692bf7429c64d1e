/* What the LSTM and the GRU share: their tensors, packed recurrent weights, the loop over time, and
 * the products over all frames. Not here: gates (lstm.c, gru.c).
 *
 * Hidden units are worked on in blocks of 16, one per lane. Recurrent weights are packed as
 * [groups][tiles][length][columns of a tile][16]: one stretch of memory per group of blocks, read
 * once per step from the cache of the thread that owns the group. */
#ifndef MIEN_RECURRENT_H
#define MIEN_RECURRENT_H
#include "vmath.h"

/* Rows of a batch, and columns of 16 sums, that one product takes at a time. */
#define MIEN_RNN_ROWS    4
#define MIEN_RNN_COLUMNS 4
#define MIEN_RNN_HELD    24

/* One call: sizes, and every tensor that it holds until it ends. */
typedef struct mien__rnn {
    mien_op_call *call;
    int64_t batch, steps, input, hidden;
    int64_t wide;   /* gates * hidden */
    int64_t blocks; /* of hidden units */
    int64_t group;  /* blocks that a product without several gates takes at once */
    int threads;
    mien_dtype factors; /* of the products over all frames: f32, or bf16 when the input is */
    mien_tensor *held[MIEN_RNN_HELD];
    mien_tensor *rounded[MIEN_RNN_HELD]; /* bf16 tensor that takes held[i] at the end, or NULL */
    int n_held;
} mien__rnn;

mien__rnn mien__rnn_begin(mien_op_call *call, int gates);
/* Rounds what is written in bf16, if status is OK, and lets go of what is held. */
mien_status mien__rnn_end(mien__rnn *r, mien_status status);
/* The elements of t, dense; NULL where there is no t. bf16 is read and written as f32. */
mien_status mien__rnn_read(mien__rnn *r, mien_tensor *t, const float **to);
/* The same, but `n` zeros where there is no t. */
mien_status mien__rnn_read_or_zeros(mien__rnn *r, mien_tensor *t, int64_t n, const float **to);
/* The gradient of input i if it is wanted, else NULL. */
static inline mien_tensor *mien__rnn_gradient(const mien__rnn *r, int i) {
    return r->call->want[i] ? r->call->din[i] : NULL;
}
/* Space of n floats. */
mien_status mien__rnn_room(mien__rnn *r, int64_t n, float **to);
/* Where an output or a gradient goes; NULL where there is no t. */
mien_status mien__rnn_write(mien__rnn *r, mien_tensor *t, float **to);

/* ---- recurrent weights ----------------------------------------------------------------------- */

/* Which of the weights [gates * hidden, hidden] a product takes: `gates` gates from `first` on, for
 * `group` blocks of units at a time. For h -> gates a group has a column per gate and block, and
 * length `hidden`; back, from gates to h, a column per block, and length gates * hidden. */
typedef struct mien__rnn_part {
    int first, gates;
    int64_t group;
    bool back;
    const float *packed;
} mien__rnn_part;

mien_status mien__rnn_pack(mien__rnn *r, mien__rnn_part *part);
/* sums[row][column] (16 lanes each) = sum over k of x[row * row_step + k] times the weights, for
 * the group that begins at `block` and 1 to 4 rows. Returns the columns it has. */
int mien__rnn_product(float *sums, const mien__rnn *r, const mien__rnn_part *part, int64_t block,
                      const float *x, int64_t row_step, int rows);

/* ---- time ------------------------------------------------------------------------------------ */

/* What one thread does at step t, for its blocks [first, last) of hidden units. */
typedef void (*mien__rnn_phase)(const void *layer, int64_t t, int64_t first, int64_t last);
/* Runs the phases of step `from`, then of the steps after it up to `to` (down, if that is less).
 * All threads meet after each phase. `layer` is handed on. */
void mien__rnn_run(const mien__rnn *r, const void *layer, int64_t from, int64_t to,
                   const mien__rnn_phase *phases, int count);

/* ---- all frames at once ---------------------------------------------------------------------- */

/* gates [B,T,wide] = input times weight_ih transposed. */
mien_status mien__rnn_input(mien__rnn *r, float *gates);
/* x [B,T,columns] as the products below take it: in place, or rounded to bf16. */
mien_status mien__rnn_factor(mien__rnn *r, int64_t columns, const float *x, const void **factor);
/* From the gradients of those, and the same as a factor, to what is wanted of input, weight_ih and
 * its bias, input 3. */
mien_status mien__rnn_input_back(mien__rnn *r, const float *gates, const void *factor);
/* Rows [first, first + count) of the gradient of weight_hh [wide,H]: these columns of the gates'
 * gradients [B,T,wide], transposed, times x [B,T,H]. */
mien_status mien__rnn_weights_back(mien__rnn *r, int64_t first, int64_t count, const void *gates,
                                   const float *x);
/* states [B,T,H]: the one each step started from. */
mien_status mien__rnn_states(mien__rnn *r, const float *output, const float *h_first,
                             const float **states);
/* The last step of [B,T,H], as [B,H]. */
void mien__rnn_last(const mien__rnn *r, const float *output, float *to);

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
