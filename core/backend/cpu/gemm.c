/* Matrix products: oneDNN's matmul on matrices as they lie, or its sgemm where that is faster.
 * Not here: what is multiplied (linear.c, recurrent.c). */
#include "onednn.h"
#include "base/allocate.h"
#include <stdlib.h>

static mien__primitive_key key_of(const mien__product *p) {
    mien__primitive_key key = {{-1}}; /* those of conv_plan.c begin with 1 or more */
    const int64_t sizes[] = {p->m, p->n, p->k, p->lda, p->ldb, p->ldc};
    for (int i = 0; i < 6; i++) key.v[1 + i] = (int32_t)sizes[i];
    key.v[7] = p->a_t + 2 * p->b_t;
    key.v[8] = p->in;
    key.v[9] = p->out;
    key.v[10] = mien__cpu_threads();
    return key;
}

static mien_status describe(dnnl_memory_desc_t *md, int64_t rows, int64_t columns, int64_t ld,
                            bool transposed, mien_dtype dtype) {
    dnnl_dims_t sizes = {rows, columns}, strides = {transposed ? 1 : ld, transposed ? ld : 1};
    MIEN_TRY_DNNL(
        dnnl_memory_desc_init_by_strides(md, 2, sizes, mien__onednn_dtype(dtype), strides),
        "cpu: describe a matrix");
    return MIEN_OK;
}

/* *made stays NULL, without an error, when oneDNN has no kernel for it. */
static mien_status build(const mien__product *p, mien__primitive **made) {
    dnnl_memory_desc_t a, b, c;
    MIEN_TRY(describe(&a, p->m, p->k, p->lda, p->a_t, p->in));
    MIEN_TRY(describe(&b, p->k, p->n, p->ldb, p->b_t, p->in));
    MIEN_TRY(describe(&c, p->m, p->n, p->ldc, false, p->out));
    dnnl_matmul_desc_t matmul;
    MIEN_TRY_DNNL(dnnl_matmul_desc_init(&matmul, &a, &b, NULL, &c), "cpu: describe a product");
    dnnl_primitive_attr_t attr = NULL;
    MIEN_TRY_DNNL(dnnl_primitive_attr_create(&attr), "cpu: attributes of a product");
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t found = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (found == dnnl_success)
        found = dnnl_primitive_desc_create(&pd, &matmul, attr, mien__onednn_engine(), NULL);
    dnnl_primitive_attr_destroy(attr);
    if (found != dnnl_success) return MIEN_OK;
    const char *name = "";
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    mien__primitive *new = mien__onednn_is_naive(name) ? NULL : mien__calloc(1, sizeof *new);
    mien_status status = MIEN_OK;
    if (new) {
        status = mien__primitive_arg(new, DNNL_ARG_SRC, &a);
        if (status == MIEN_OK) status = mien__primitive_arg(new, DNNL_ARG_WEIGHTS, &b);
        if (status == MIEN_OK) status = mien__primitive_arg(new, DNNL_ARG_DST, &c);
        if (status == MIEN_OK) status = mien__primitive_build(new, pd);
        if (status != MIEN_OK) {
            mien__primitive_destroy(new);
            new = NULL;
        }
    }
    dnnl_primitive_desc_destroy(pd);
    *made = new;
    return status;
}

static mien_status multiply(const mien__product *p, void *const *data, bool *done) {
    mien__primitive_key key = key_of(p);
    mien__primitive *primitive = mien__primitive_find(&key);
    if (!primitive) {
        MIEN_TRY(build(p, &primitive));
        if (!primitive) return MIEN_OK;
        primitive->key = key;
        MIEN_TRY(mien__primitive_keep(primitive));
    }
    *done = true;
    return mien__primitive_run(primitive, data);
}

/* Without AVX-512 oneDNN's sgemm reads a transposed left factor where it lies when there are few
 * columns, and rows 2 KiB or more apart fall on the same places of the cache: 37 GF/s of 100. */
static bool better_turned(const mien__product *p) {
    return mien__isa_now() == MIEN_ISA_AVX2 && p->a_t && p->lda >= 512 && p->n >= 64 && p->n < 384;
}

/* to[m,k] = from[k,lda] transposed, in squares of a cache line. */
static void turn(float *to, const float *from, int64_t m, int64_t k, int64_t lda) {
#pragma omp parallel for collapse(2) if (m * k > MIEN_PARALLEL_FLOATS)
    for (int64_t i0 = 0; i0 < m; i0 += 16)
        for (int64_t j0 = 0; j0 < k; j0 += 16)
            for (int64_t j = j0; j < mien__min64(k, j0 + 16); j++)
                for (int64_t i = i0; i < mien__min64(m, i0 + 16); i++)
                    to[i * k + j] = from[j * lda + i];
}

mien_status mien__gemm(const mien__product *p, const void *a, const void *b, void *c) {
    if (p->m == 0 || p->n == 0) return MIEN_OK;
    size_t size = mien_dtype_size(p->out);
    if (p->k == 0) {
        for (int64_t i = 0; i < p->m; i++)
            memset((char *)c + (size_t)(i * p->ldc) * size, 0, (size_t)p->n * size);
        return MIEN_OK;
    }
    bool single = p->in == MIEN_F32 && p->out == MIEN_F32, done = false;
    if (single && better_turned(p)) {
        mien_tensor *room = mien__cpu_scratch(p->m * p->k);
        if (!room) return mien_error_last()->code;
        mien__product turned = *p;
        turned.a_t = false;
        turned.lda = p->k;
        turn(mien__cpu_f32(room), a, p->m, p->k, p->lda);
        mien_status status = mien__gemm(&turned, mien__cpu_f32(room), b, c);
        mien_tensor_release(room);
        return status;
    }
    /* matmul re-lays a transposed left factor again and again. */
    if (!single || !p->a_t) {
        void *data[] = {(void *)a, (void *)b, c};
        MIEN_TRY(mien__onednn_lock());
        mien_status status = multiply(p, data, &done);
        mien__onednn_unlock();
        MIEN_TRY(status);
    }
    if (done) return MIEN_OK;
    if (!single)
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED,
                  "cpu: oneDNN has only its naive loops for a product of [%lld,%lld] and "
                  "[%lld,%lld] in bf16",
                  (long long)p->m, (long long)p->k, (long long)p->k, (long long)p->n);
    MIEN_TRY_DNNL(dnnl_sgemm(p->a_t ? 'T' : 'N', p->b_t ? 'T' : 'N', p->m, p->n, p->k, 1, a, p->lda,
                             b, p->ldb, 0, c, p->ldc),
                  "cpu: sgemm");
    return MIEN_OK;
}

mien_status mien__sgemm(bool a_t, bool b_t, int64_t m, int64_t n, int64_t k, const float *a,
                        int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc) {
    return mien__gemm(&(mien__product){a_t, b_t, m, n, k, lda, ldb, ldc, MIEN_F32, MIEN_F32}, a, b,
                      c);
}

mien_status mien__sgemm_batch(bool a_t, bool b_t, int64_t batch, int64_t m, int64_t n, int64_t k,
                              const float *a, const float *b, float *c) {
    int64_t lda = a_t ? m : k, ldb = b_t ? k : n;
    bool apart = batch > 1 && batch >= mien__cpu_threads();
    MIEN_TRY(mien__onednn_lock()); /* starts it with the instruction set that is in use */
    mien__onednn_unlock();
    dnnl_status_t failed = dnnl_success;
    for (int64_t i = 0; i < batch && !apart; i++)
        MIEN_TRY(mien__sgemm(a_t, b_t, m, n, k, a + i * m * k, lda, b + i * k * n, ldb,
                             c + i * m * n, n));
#pragma omp parallel for schedule(static) if (batch * m * n > 4096)
    for (int64_t i = 0; i < (apart ? batch : 0); i++) {
        dnnl_status_t status =
            dnnl_sgemm(a_t ? 'T' : 'N', b_t ? 'T' : 'N', m, n, k, 1, a + i * m * k, lda,
                       b + i * k * n, ldb, 0, c + i * m * n, n);
        if (status != dnnl_success)
#pragma omp atomic write
            failed = status;
    }
    MIEN_TRY_DNNL(failed, "cpu: sgemm");
    return MIEN_OK;
}
