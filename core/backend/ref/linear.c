/* Linear layer and matrix product, forward and backward.
 * Not here: recurrent layers (recurrent.c). */
#include "ref.h"

/* input [rows,D], weight [K,D], bias [K] -> [rows,K]. */
mien_status mien__ref_linear_forward(mien__ref *r) {
    int64_t k_count = r->call->in[1]->shape[0], d_count = r->call->in[1]->shape[1];
    int64_t total = mien_tensor_count(r->call->out[0]);
    for (int64_t i = 0; i < total; i++) {
        int64_t row = i / k_count, k = i % k_count;
        double sum = r->in[2] ? r->in[2][k] : 0;
        for (int64_t d = 0; d < d_count; d++)
            sum += r->in[0][row * d_count + d] * r->in[1][k * d_count + d];
        r->out[0][i] = sum;
    }
    return MIEN_OK;
}

mien_status mien__ref_linear_backward(mien__ref *r) {
    int64_t k_count = r->call->in[1]->shape[0], d_count = r->call->in[1]->shape[1];
    int64_t total = mien_tensor_count(r->call->dout[0]);
    for (int64_t i = 0; i < total; i++) {
        int64_t row = i / k_count, k = i % k_count;
        double dy = r->dout[0][i];
        for (int64_t d = 0; d < d_count; d++) {
            if (r->din[0]) r->din[0][row * d_count + d] += dy * r->in[1][k * d_count + d];
            if (r->din[1]) r->din[1][k * d_count + d] += dy * r->in[0][row * d_count + d];
        }
        if (r->din[2]) r->din[2][k] += dy;
    }
    return MIEN_OK;
}

/* Sizes of [B,]M,K times [B,]K,N. */
typedef struct product {
    int64_t batch, m, k, n;
} product;

static product product_of(const mien__ref *r) {
    const mien_tensor *a = r->call->in[0], *b = r->call->in[1];
    bool batched = a->ndim == 3;
    return (product){batched ? a->shape[0] : 1, a->shape[batched], a->shape[batched + 1],
                     b->shape[batched + 1]};
}

mien_status mien__ref_matmul_forward(mien__ref *r) {
    product s = product_of(r);
    for (int64_t i = 0; i < s.batch * s.m; i++)
        for (int64_t j = 0; j < s.n; j++)
            for (int64_t k = 0; k < s.k; k++)
                r->out[0][i * s.n + j] +=
                    r->in[0][i * s.k + k] * r->in[1][(i / s.m * s.k + k) * s.n + j];
    return MIEN_OK;
}

mien_status mien__ref_matmul_backward(mien__ref *r) {
    product s = product_of(r);
    for (int64_t i = 0; i < s.batch * s.m; i++)
        for (int64_t j = 0; j < s.n; j++)
            for (int64_t k = 0; k < s.k; k++) {
                int64_t a = i * s.k + k, b = (i / s.m * s.k + k) * s.n + j;
                double dy = r->dout[0][i * s.n + j];
                if (r->din[0]) r->din[0][a] += dy * r->in[1][b];
                if (r->din[1]) r->din[1][b] += dy * r->in[0][a];
            }
    return MIEN_OK;
}
