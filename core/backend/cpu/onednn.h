/* oneDNN 2.x behind one door: engine, primitive cache, shared scratchpad, matrix products.
 * Not here: which primitive an op wants (conv_plan.c). */
#ifndef MIEN_ONEDNN_H
#define MIEN_ONEDNN_H
#include "tiles.h"
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

/* Fails the calling function when oneDNN refuses, with its word for why. */
#define MIEN_TRY_DNNL(call, what)                                                                  \
    do {                                                                                           \
        dnnl_status_t mien_dnnl_status = (call);                                                   \
        if (mien_dnnl_status != dnnl_success) {                                                    \
            mien_status mien_status_here =                                                         \
                mien_dnnl_status == dnnl_unimplemented ? MIEN_ERR_UNSUPPORTED : MIEN_ERR_VENDOR;   \
            mien__fail(mien_status_here, __FILE__, __LINE__, "%s: oneDNN refused", (what));        \
            mien__fail_cause("%s", dnnl_status2str(mien_dnnl_status));                             \
            return mien_status_here;                                                               \
        }                                                                                          \
    } while (0)

#define MIEN_PRIMITIVE_KEY 24

/* What makes two primitives the same; unused numbers are 0. */
typedef struct mien__primitive_key {
    int32_t v[MIEN_PRIMITIVE_KEY];
} mien__primitive_key;

/* A primitive, its arguments, and (convolution) the re-layout of its weights. */
typedef struct mien__primitive {
    mien__primitive_key key;
    dnnl_primitive_t run;
    int n_args; /* without the scratchpad, which is the last of arg when there is one */
    dnnl_exec_arg_t arg[6];
    size_t scratchpad;
    size_t weights_bytes; /* of the primitive's own weights layout; 0: it uses them as they are */
    mien__tiles tiles;    /* that layout, if taps > 0; */
    dnnl_primitive_t reorder; /* else oneDNN's own way to it */
    dnnl_memory_t reorder_from, reorder_to;
    char name[48];
} mien__primitive;

/* Everything of oneDNN that is shared is used between these two. */
mien_status mien__onednn_lock(void);
void mien__onednn_unlock(void);

/* The primitive of this key, or NULL. */
mien__primitive *mien__primitive_find(const mien__primitive_key *key);
/* Takes a new primitive, which has its key, into the cache; of a full one that goes which was not
 * used for longest. On failure the primitive is destroyed. */
mien_status mien__primitive_keep(mien__primitive *p);
void mien__primitive_destroy(mien__primitive *p);
/* Adds an argument of the descriptor's layout; its address is set at each run. */
mien_status mien__primitive_arg(mien__primitive *p, int id, const dnnl_memory_desc_t *md);
/* Reads the scratchpad size and the implementation's name of `pd` and makes the primitive. */
mien_status mien__primitive_build(mien__primitive *p, const_dnnl_primitive_desc_t pd);
/* Runs it; data[i] is the address of argument i. */
mien_status mien__primitive_run(mien__primitive *p, void *const *data);
/* Makes ready to re-lay weights from `plain` to the primitive's layout, or with `back` from there,
 * if the two differ. */
mien_status mien__primitive_weights(mien__primitive *p, const dnnl_memory_desc_t *plain,
                                    const dnnl_memory_desc_t *weights, bool back);
/* Re-lays them. */
mien_status mien__primitive_reorder(mien__primitive *p, void *from, void *to);
dnnl_engine_t mien__onednn_engine(void);
/* Does oneDNN use all of these instructions (dnnl_cpu_isa_t) here? */
bool mien__onednn_has(unsigned isa);
/* Is this name one of oneDNN's naive fall-backs? */
bool mien__onednn_is_naive(const char *name);
/* oneDNN's name of f32 or bf16. */
dnnl_data_type_t mien__onednn_dtype(mien_dtype dtype);
/* Descriptor of a [N,C,H,W] activation in layout `block`. */
mien_status mien__onednn_activation(dnnl_memory_desc_t *md, const int64_t *shape, mien_dtype dtype,
                                    int block);

/* A matrix product C[m,n] = op(A) op(B), row-major with leading dimensions lda, ldb, ldc; a_t, b_t:
 * that operand is stored transposed. A and B hold `in`, C holds `out`, each f32 or bf16; sums are
 * in f32. */
typedef struct mien__product {
    bool a_t, b_t;
    int64_t m, n, k, lda, ldb, ldc;
    mien_dtype in, out;
} mien__product;
mien_status mien__gemm(const mien__product *p, const void *a, const void *b, void *c);
/* The same in f32. */
mien_status mien__sgemm(bool a_t, bool b_t, int64_t m, int64_t n, int64_t k, const float *a,
                        int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc);
/* `batch` of them, one after the other in memory, dense: each by one thread where there are as many
 * as threads. */
mien_status mien__sgemm_batch(bool a_t, bool b_t, int64_t batch, int64_t m, int64_t n, int64_t k,
                              const float *a, const float *b, float *c);
#endif
