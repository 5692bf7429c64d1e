/* One cell of an LSTM, forward and backward (Hochreiter & Schmidhuber 1997, with forget gates).
 * Not here: the products with the weights. */
#ifndef MIEN_CUDA_MATH_LSTM_H
#define MIEN_CUDA_MATH_LSTM_H
#include "pointwise.h"

/* After the non-linearities; c: the new cell state. */
struct mien_lstm_cell {
    float i, f, g, o, c;
};

/* a: the four gates before their non-linearities. */
MIEN_HD mien_lstm_cell mien_lstm_step(const float a[4], float c) {
    mien_lstm_cell s;
    s.i = mien_sigmoid(a[0]);
    s.f = mien_sigmoid(a[1]);
    s.g = tanhf(a[2]);
    s.o = mien_sigmoid(a[3]);
    s.c = s.f * c + s.i * s.g;
    return s;
}
MIEN_HD float mien_lstm_output(const mien_lstm_cell &s) {
    return s.o * tanhf(s.c);
}

/* dh: of this frame's output, all shares together. dc: of the new state on entry, of the state
 * before (`c`) on return. */
MIEN_HD void mien_lstm_back(const mien_lstm_cell &s, float c, float dh, float *dc, float da[4]) {
    float squashed = tanhf(s.c), d = *dc + dh * s.o * (1 - squashed * squashed);
    da[0] = d * s.g * s.i * (1 - s.i);
    da[1] = d * c * s.f * (1 - s.f);
    da[2] = d * s.i * (1 - s.g * s.g);
    da[3] = dh * squashed * s.o * (1 - s.o);
    *dc = d * s.f;
}
#endif
