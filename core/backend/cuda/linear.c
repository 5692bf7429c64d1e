/* linear and matmul on the GPU, forward and backward.
 * Not here: the products (blas.c). */
#include "blas.h"
#include "epilogue.h"
#include "weights.h"

static bool is_product_dtype(mien_dtype dtype) {
    return dtype == MIEN_F32 || dtype == MIEN_BF16 || dtype == MIEN_F16;
}

bool mien__cuda_supports_linear(const mien_op_call *call, bool backward) {
    (void)backward;
    if (call->op != MIEN_OP_linear && call->op != MIEN_OP_matmul) return true;
    return is_product_dtype(call->in[0]->dtype);
}

/* ---- linear: input [rows,D], weight [K,D] -> [rows,K] ---------------------------------------- */

static int64_t rows_of(const mien_tensor *t) {
    int64_t rows = 1;
    for (int i = 0; i < t->ndim - 1; i++) rows *= t->shape[i];
    return rows;
}

static mien_status linear_forward(mien_op_call *call) {
    mien_dtype dtype = call->in[0]->dtype;
    const int64_t *weight = call->in[1]->shape;
    mien__cuda_product p = {.batch = 1,
                            .m = rows_of(call->in[0]),
                            .n = weight[0],
                            .k = weight[1],
                            .transpose_b = true,
                            .in = dtype,
                            .out = dtype};
    mien_tensor *x = mien__cuda_as_plain(call->in[0], dtype), *bias = NULL;
    mien_tensor *w = x ? mien__cuda_weight(call->in[1], dtype, 0) : NULL;
    mien_status status = w ? MIEN_OK : mien_error_last()->code;
    if (status == MIEN_OK && call->in[2]) {
        bias = mien__cuda_as_channels_last(call->in[2], MIEN_F32, 0);
        if (!bias) status = mien_error_last()->code;
    }
    if (status == MIEN_OK) status = mien__cuda_alloc(call->out[0]);
    void *y = status == MIEN_OK ? mien__cuda_ptr(call->out[0]) : NULL;
    if (y) status = mien__cuda_multiply(&p, mien__cuda_ptr(x), mien__cuda_ptr(w), y);
    if (status == MIEN_OK)
        status = mien__cuda_epilogue(y, dtype, p.m, p.n, mien__cuda_ptr(bias), NULL, false);
    mien__cuda_set_implementation(call, "cublasLt");
    mien_tensor_release(x);
    mien_tensor_release(w);
    mien_tensor_release(bias);
    return status;
}

/* dx [rows,D] = dy [rows,K] w [K,D] */
static mien_status input_gradient(mien_op_call *call, mien_tensor *dy) {
    const int64_t *weight = call->in[1]->shape;
    mien__cuda_product p = {.batch = 1,
                            .m = rows_of(dy),
                            .n = weight[1],
                            .k = weight[0],
                            .in = dy->dtype,
                            .out = call->din[0]->dtype};
    mien_tensor *w = mien__cuda_weight(call->in[1], dy->dtype, 0);
    if (!w) return mien_error_last()->code;
    mien_status status = mien__cuda_alloc(call->din[0]);
    if (status == MIEN_OK)
        status = mien__cuda_multiply(&p, mien__cuda_ptr(dy), mien__cuda_ptr(w),
                                     mien__cuda_ptr(call->din[0]));
    mien_tensor_release(w);
    return status;
}

/* dw [K,D] = dy' [K,rows] x [rows,D]; in f32 when the weights are, whatever x is. */
static mien_status weight_gradient(mien_op_call *call, mien_tensor *dy) {
    const int64_t *weight = call->in[1]->shape;
    mien__cuda_product p = {.batch = 1,
                            .m = weight[0],
                            .n = weight[1],
                            .k = rows_of(dy),
                            .transpose_a = true,
                            .in = dy->dtype,
                            .out = call->din[1]->dtype};
    mien_tensor *x = mien__cuda_as_plain(call->in[0], dy->dtype);
    if (!x) return mien_error_last()->code;
    mien_status status = mien__cuda_alloc(call->din[1]);
    if (status == MIEN_OK)
        status = mien__cuda_multiply(&p, mien__cuda_ptr(dy), mien__cuda_ptr(x),
                                     mien__cuda_ptr(call->din[1]));
    mien_tensor_release(x);
    return status;
}

static mien_status bias_gradient(mien_op_call *call, mien_tensor *dy) {
    int64_t k = call->in[1]->shape[0];
    mien_tensor *sums = mien__cuda_vector(MIEN_F32, k);
    if (!sums) return mien_error_last()->code;
    mien_status status =
        mien__cuda_column_sums(mien__cuda_ptr(sums), mien__cuda_ptr(dy), dy->dtype, rows_of(dy), k);
    if (status == MIEN_OK) status = mien__cuda_assign(call->din[2], sums, false);
    mien_tensor_release(sums);
    return status;
}

static mien_status linear_backward(mien_op_call *call) {
    mien_tensor *dy = mien__cuda_as_plain(call->dout[0], call->in[0]->dtype);
    if (!dy) return mien_error_last()->code;
    mien_status status = MIEN_OK;
    if (call->want[0]) status = input_gradient(call, dy);
    if (call->want[1] && status == MIEN_OK) status = weight_gradient(call, dy);
    if (call->want[2] && status == MIEN_OK) status = bias_gradient(call, dy);
    mien__cuda_set_implementation(call, "cublasLt");
    mien_tensor_release(dy);
    return status;
}

/* ---- matmul: a [B,M,K], b [B,K,N] -> [B,M,N], or without B ----------------------------------- */

static mien__cuda_product product_of(const mien_tensor *a, const mien_tensor *b) {
    int s = a->ndim == 3;
    return (mien__cuda_product){.batch = s ? a->shape[0] : 1,
                                .m = a->shape[s],
                                .n = b->shape[s + 1],
                                .k = a->shape[s + 1],
                                .in = a->dtype,
                                .out = a->dtype};
}

static mien_status matmul_forward(mien_op_call *call) {
    mien__cuda_product p = product_of(call->in[0], call->in[1]);
    mien_tensor *a = mien__cuda_as_plain(call->in[0], p.in);
    mien_tensor *b = a ? mien__cuda_as_plain(call->in[1], p.in) : NULL;
    mien_status status = b ? mien__cuda_alloc(call->out[0]) : mien_error_last()->code;
    if (status == MIEN_OK)
        status = mien__cuda_multiply(&p, mien__cuda_ptr(a), mien__cuda_ptr(b),
                                     mien__cuda_ptr(call->out[0]));
    mien__cuda_set_implementation(call, "cublasLt");
    mien_tensor_release(a);
    mien_tensor_release(b);
    return status;
}

/* da = dy b', db = a' dy */
static mien_status matmul_backward(mien_op_call *call) {
    mien__cuda_product p = product_of(call->in[0], call->in[1]);
    mien__cuda_product to_a = p, to_b = p;
    to_a.n = p.k, to_a.k = p.n, to_a.transpose_b = true;
    to_b.m = p.k, to_b.k = p.m, to_b.transpose_a = true;
    mien_tensor *a = mien__cuda_as_plain(call->in[0], p.in);
    mien_tensor *b = a ? mien__cuda_as_plain(call->in[1], p.in) : NULL;
    mien_tensor *dy = b ? mien__cuda_as_plain(call->dout[0], p.in) : NULL;
    mien_status status = dy ? MIEN_OK : mien_error_last()->code;
    for (int i = 0; i < 2 && status == MIEN_OK; i++)
        if (call->want[i]) status = mien__cuda_alloc(call->din[i]);
    if (status == MIEN_OK && call->want[0])
        status = mien__cuda_multiply(&to_a, mien__cuda_ptr(dy), mien__cuda_ptr(b),
                                     mien__cuda_ptr(call->din[0]));
    if (status == MIEN_OK && call->want[1])
        status = mien__cuda_multiply(&to_b, mien__cuda_ptr(a), mien__cuda_ptr(dy),
                                     mien__cuda_ptr(call->din[1]));
    mien__cuda_set_implementation(call, "cublasLt");
    mien_tensor_release(a);
    mien_tensor_release(b);
    mien_tensor_release(dy);
    return status;
}

void mien__cuda_part_linear(mien_backend *table) {
    table->forward[MIEN_OP_linear] = linear_forward;
    table->backward[MIEN_OP_linear] = linear_backward;
    table->forward[MIEN_OP_matmul] = matmul_forward;
    table->backward[MIEN_OP_matmul] = matmul_backward;
}
