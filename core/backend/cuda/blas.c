/* Matrix products through cuBLASLt, with its choice of algorithm kept by shape.
 * Not here: the ops that multiply (linear.c). */
#include "blas.h"

#include <pthread.h>
#include <string.h>

#include "base/cache.h"
#include "vendor.h"

/* cuBLASLt counts by columns. A row-major [m,n] is a column-major [n,m], so c = a b is asked for as
 * c' = b' a': the operands change places, and none is moved. */

/* What an algorithm depends on; compared byte by byte. */
typedef struct key {
    int64_t batch, m, n, k, transpose_a, transpose_b, in, out, tf32;
    int64_t align_a, align_b, align_c;
} key;

typedef struct choice {
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace;
} choice;

enum { WORKSPACE = 32 << 20 };
static mien__cache choices = {.key_bytes = sizeof(key), .value_bytes = sizeof(choice), .most = 256};
static cublasLtHandle_t handle;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Descriptors of one product; NULL where not made yet. */
typedef struct call {
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, c; /* in cuBLASLt's order */
    cublasLtMatmulPreference_t preference;
} call;

static void call_free(call *l) {
    const mien__vendor *v = &mien__vendor_table;
    if (l->preference) v->cublasLtMatmulPreferenceDestroy(l->preference);
    if (l->a) v->cublasLtMatrixLayoutDestroy(l->a);
    if (l->b) v->cublasLtMatrixLayoutDestroy(l->b);
    if (l->c) v->cublasLtMatrixLayoutDestroy(l->c);
    if (l->operation) v->cublasLtMatmulDescDestroy(l->operation);
}

static cudaDataType_t type_of(mien_dtype dtype) {
    return dtype == MIEN_BF16 ? CUDA_R_16BF : dtype == MIEN_F16 ? CUDA_R_16F : CUDA_R_32F;
}

/* rows x columns of a row-major matrix, as its transpose by columns. */
static mien_status layout(cublasLtMatrixLayout_t *l, mien_dtype dtype, int64_t rows,
                          int64_t columns, int64_t batch) {
    int32_t count = (int32_t)batch;
    int64_t stride = rows * columns;
    MIEN_CUBLASLT(
        cublasLtMatrixLayoutCreate(l, type_of(dtype), (uint64_t)columns, (uint64_t)rows, columns));
    if (batch == 1) return MIEN_OK;
    MIEN_CUBLASLT(cublasLtMatrixLayoutSetAttribute(*l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                                   sizeof count));
    MIEN_CUBLASLT(cublasLtMatrixLayoutSetAttribute(*l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                   &stride, sizeof stride));
    return MIEN_OK;
}

static mien_status describe(call *l, const mien__cuda_product *p) {
    bool tf32 = p->in == MIEN_F32 && mien__cuda_tf32();
    cublasComputeType_t sums = tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    cublasOperation_t first = p->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t second = p->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    MIEN_CUBLASLT(cublasLtMatmulDescCreate(&l->operation, sums, CUDA_R_32F));
    MIEN_CUBLASLT(cublasLtMatmulDescSetAttribute(l->operation, CUBLASLT_MATMUL_DESC_TRANSA, &first,
                                                 sizeof first));
    MIEN_CUBLASLT(cublasLtMatmulDescSetAttribute(l->operation, CUBLASLT_MATMUL_DESC_TRANSB, &second,
                                                 sizeof second));
    MIEN_TRY(
        layout(&l->a, p->in, p->transpose_b ? p->n : p->k, p->transpose_b ? p->k : p->n, p->batch));
    MIEN_TRY(
        layout(&l->b, p->in, p->transpose_a ? p->k : p->m, p->transpose_a ? p->m : p->k, p->batch));
    return layout(&l->c, p->out, p->m, p->n, p->batch);
}

/* The largest power of two, at most 256, that divides the address of every matrix of a batch. */
static int64_t alignment(const void *data, mien_dtype dtype, int64_t count, int64_t batch) {
    uint64_t bits = (uint64_t)(uintptr_t)data | 256u;
    if (batch > 1) bits |= (uint64_t)count * mien_dtype_size(dtype);
    return (int64_t)(bits & (~bits + 1));
}

/* Sums split over blocks are joined in f32 and in order: the same bits on every run. */
static mien_status choose(call *l, const key *k, choice *made) {
    const mien__vendor *v = &mien__vendor_table;
    uint64_t workspace = WORKSPACE;
    uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    uint32_t align_a = (uint32_t)k->align_b, align_b = (uint32_t)k->align_a;
    uint32_t align_c = (uint32_t)k->align_c;
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        const void *value;
        size_t size;
    } wishes[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &align_a, sizeof align_a},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &align_b, sizeof align_b},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &align_c, sizeof align_c},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &align_c, sizeof align_c},
    };
    MIEN_CUBLASLT(cublasLtMatmulPreferenceCreate(&l->preference));
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        MIEN_CUBLASLT(cublasLtMatmulPreferenceSetAttribute(l->preference, wishes[i].name,
                                                           wishes[i].value, wishes[i].size));
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    cublasStatus_t status = v->cublasLtMatmulAlgoGetHeuristic(
        handle, l->operation, l->a, l->b, l->c, l->c, l->preference, 1, &found, &count);
    MIEN_TRY(mien__cublas_check(status, "cublasLtMatmulAlgoGetHeuristic", __FILE__, __LINE__));
    if (count == 0)
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED,
                  "cuda: cuBLASLt has no algorithm for [%lld,%lld] times [%lld,%lld] of %s",
                  (long long)k->m, (long long)k->k, (long long)k->k, (long long)k->n,
                  mien_dtype_name((mien_dtype)k->in));
    *made = (choice){found.algo, found.workspaceSize};
    return MIEN_OK;
}

/* A full table starts anew. */
static mien_status find(call *l, const key *k, choice **found) {
    if ((*found = mien__cache_find(&choices, k))) return MIEN_OK;
    choice made;
    MIEN_TRY(choose(l, k, &made));
    if (choices.count == choices.most) mien__cache_shrink(&choices, 0);
    if (!(*found = mien__cache_add(&choices, k)))
        MIEN_FAIL(MIEN_ERR_MEMORY, "cuda: no memory for the choices of products");
    **found = made;
    return MIEN_OK;
}

static mien_status multiply(call *l, const mien__cuda_product *p, const void *a, const void *b,
                            void *c) {
    key k;
    memset(&k, 0, sizeof k);
    k.batch = p->batch, k.m = p->m, k.n = p->n, k.k = p->k;
    k.transpose_a = p->transpose_a, k.transpose_b = p->transpose_b;
    k.in = p->in, k.out = p->out, k.tf32 = mien__cuda_tf32();
    k.align_a = alignment(a, p->in, p->m * p->k, p->batch);
    k.align_b = alignment(b, p->in, p->k * p->n, p->batch);
    k.align_c = alignment(c, p->out, p->m * p->n, p->batch);
    if (!handle) MIEN_CUBLASLT(cublasLtCreate(&handle));
    MIEN_TRY(describe(l, p));
    choice *e;
    MIEN_TRY(find(l, &k, &e));
    mien_storage *workspace = NULL;
    if (e->workspace > 0 && !(workspace = mien__cuda_scratch(e->workspace)))
        return mien_error_last()->code;
    float one = 1, zero = 0;
    cublasStatus_t status = mien__vendor_table.cublasLtMatmul(
        handle, l->operation, &one, b, l->a, a, l->b, &zero, c, l->c, c, l->c, &e->algorithm,
        workspace ? workspace->data : NULL, e->workspace, mien__cuda_context.stream);
    mien__storage_release(workspace);
    return mien__cublas_check(status, "cublasLtMatmul", __FILE__, __LINE__);
}

mien_status mien__cuda_multiply(const mien__cuda_product *p, const void *a, const void *b,
                                void *c) {
    MIEN_TRY(mien__cuda_check());
    size_t bytes = (size_t)(p->batch * p->m * p->n) * mien_dtype_size(p->out);
    if (bytes == 0) return MIEN_OK;
    if (p->k == 0) { /* sums over nothing */
        MIEN_CUDA(cudaMemsetAsync(c, 0, bytes, mien__cuda_context.stream));
        return MIEN_OK;
    }
    call l = {0};
    pthread_mutex_lock(&lock);
    mien_status status = multiply(&l, p, a, b, c);
    call_free(&l);
    pthread_mutex_unlock(&lock);
    return status;
}
