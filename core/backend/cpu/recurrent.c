/* Packing of recurrent weights and the product at the heart of every time step.
 * Not here: gates (lstm.c, gru.c). */
#include "recurrent.h"

static mien_tensor *pack(const float *weight, int64_t hidden, int first_gate, int gates,
                         bool transposed) {
    int64_t blocks = mien__rnn_blocks(hidden);
    mien_tensor *packed = mien__cpu_scratch(blocks * hidden * gates * 16);
    if (!packed) return NULL;
    float *to = mien__cpu_f32(packed);
#pragma omp parallel for if (hidden * hidden * gates > MIEN_PARALLEL_FLOATS)
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t k = 0; k < hidden; k++)
            for (int g = 0; g < gates; g++)
                for (int64_t lane = 0; lane < 16; lane++) {
                    int64_t unit = b * 16 + lane, gate = (first_gate + g) * hidden;
                    int64_t from =
                        transposed ? (gate + k) * hidden + unit : (gate + unit) * hidden + k;
                    to[((b * hidden + k) * gates + g) * 16 + lane] =
                        unit < hidden ? weight[from] : 0;
                }
    return packed;
}

mien_tensor *mien__rnn_pack(const float *weight, int64_t hidden, int first_gate, int gates) {
    return pack(weight, hidden, first_gate, gates, false);
}

mien_tensor *mien__rnn_pack_transposed(const float *weight, int64_t hidden, int first_gate,
                                       int gates) {
    return pack(weight, hidden, first_gate, gates, true);
}

static inline __attribute__((always_inline)) void product(float *out, const float *packed,
                                                          const float *x, int64_t row_step,
                                                          int64_t gate_step, int64_t length,
                                                          int gates, int rows) {
    v16 sum[MIEN_RNN_ROWS * 4];
    for (int i = 0; i < rows * gates; i++) sum[i] = (v16){0};
    for (int64_t k = 0; k < length; k++)
        for (int g = 0; g < gates; g++) {
            v16 w;
            memcpy(&w, packed + (k * gates + g) * 16, sizeof w);
            for (int r = 0; r < rows; r++)
                sum[r * gates + g] += w * x[r * row_step + g * gate_step + k];
        }
    for (int i = 0; i < rows * gates; i++) memcpy(out + i * 16, &sum[i], sizeof sum[i]);
}

/* Constants for the inner loops, so that the sums stay in registers. */
#define ROWS(gates)                                                                                \
    switch (rows) {                                                                                \
    case 1:                                                                                        \
        product(out, packed, x, row_step, gate_step, length, gates, 1);                            \
        return;                                                                                    \
    case 2:                                                                                        \
        product(out, packed, x, row_step, gate_step, length, gates, 2);                            \
        return;                                                                                    \
    case 3:                                                                                        \
        product(out, packed, x, row_step, gate_step, length, gates, 3);                            \
        return;                                                                                    \
    default:                                                                                       \
        product(out, packed, x, row_step, gate_step, length, gates, 4);                            \
        return;                                                                                    \
    }

MIEN_CLONES void mien__rnn_product(float *out, const float *packed, const float *x,
                                   int64_t row_step, int64_t gate_step, int64_t length, int gates,
                                   int rows) {
    switch (gates) {
    case 1:
        ROWS(1);
    case 2:
        ROWS(2);
    case 3:
        ROWS(3);
    default:
        ROWS(4);
    }
}

int mien__rnn_threads(int64_t hidden, int64_t batch) {
    int64_t most = mien__min64(mien__cpu_threads(), mien__rnn_blocks(hidden));
    return hidden * hidden * batch < 8192 ? 1 : (int)most;
}
