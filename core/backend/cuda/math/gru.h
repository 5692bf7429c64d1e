/* One cell of a GRU whose reset comes before the product (Cho et al. 2014, as TensorFlow's
 * GRUCell). Not here: the products with the weights. */
#ifndef MIEN_CUDA_MATH_GRU_H
#define MIEN_CUDA_MATH_GRU_H
#include "pointwise.h"

/* After the non-linearities: reset, update, candidate n = tanh(W x + b + U(r h) + c). */
struct mien_gru_cell {
    float r, z, n;
};

/* (1 - z) n + z h */
MIEN_HD float mien_gru_state(float z, float n, float h) {
    return n + z * (h - n);
}

/* dh: of the new state. da[1], da[2]: of z and n before their non-linearities. Returns what goes
 * straight on to the state before. */
MIEN_HD float mien_gru_state_back(const mien_gru_cell &s, float h, float dh, float da[3]) {
    da[1] = dh * (h - s.n) * s.z * (1 - s.z);
    da[2] = dh * (1 - s.z) * (1 - s.n * s.n);
    return dh * s.z;
}

/* drh: of r h, which U' da[2] gives. Sets da[0]; returns what goes on through r h. */
MIEN_HD float mien_gru_reset_back(const mien_gru_cell &s, float h, float drh, float da[3]) {
    da[0] = drh * h * s.r * (1 - s.r);
    return drh * s.r;
}
#endif
