/* oneDNN's engine, the bounded cache of primitives, the one scratchpad.
 * Not here: descriptors of any op (conv_plan.c, gemm.c). */
#include "onednn.h"
#include "base/cache.h"
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static struct {
    pthread_mutex_t lock;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    void *scratchpad; /* grows, never shrinks: a step that repeats touches no new page */
    size_t scratchpad_bytes;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* oneDNN keeps to the set of our own kernels, with what goes along in newer processors (VNNI). It
 * is left alone at the processor's best, so that ONEDNN_MAX_CPU_ISA counts there. */
static void follow(void) {
    mien__isa isa = mien__isa_now();
    if (isa < mien__isa_best())
        dnnl_set_max_cpu_isa(isa == MIEN_ISA_AVX2 ? dnnl_cpu_isa_avx2_vnni : dnnl_cpu_isa_sse41);
}

/* Once, before oneDNN is asked for anything that depends on it. */
static void follow_isa(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, follow);
}

static mien_status start(void) {
    if (state.stream) return MIEN_OK;
    follow_isa();
    if (!state.engine)
        MIEN_TRY_DNNL(dnnl_engine_create(&state.engine, dnnl_cpu, 0), "cpu: start engine");
    MIEN_TRY_DNNL(dnnl_stream_create(&state.stream, state.engine, dnnl_stream_default_flags),
                  "cpu: start stream");
    return MIEN_OK;
}

mien_status mien__onednn_lock(void) {
    pthread_mutex_lock(&state.lock);
    mien_status status = start();
    if (status != MIEN_OK) pthread_mutex_unlock(&state.lock);
    return status;
}

void mien__onednn_unlock(void) {
    pthread_mutex_unlock(&state.lock);
}

dnnl_engine_t mien__onednn_engine(void) {
    return state.engine;
}

bool mien__onednn_is_naive(const char *name) {
#if defined(__x86_64__)
    return strncmp(name, "ref", 3) == 0;
#else
    return false; /* other processors have little else */
#endif
}

/* ---- the cache ------------------------------------------------------------------------------- */

void mien__primitive_destroy(mien__primitive *p) {
    if (!p) return;
    if (p->run) dnnl_primitive_destroy(p->run);
    for (int i = 0; i < p->n_args + (p->scratchpad > 0); i++)
        if (p->arg[i].memory) dnnl_memory_destroy(p->arg[i].memory);
    if (p->reorder) dnnl_primitive_destroy(p->reorder);
    if (p->reorder_from) dnnl_memory_destroy(p->reorder_from);
    if (p->reorder_to) dnnl_memory_destroy(p->reorder_to);
    free(p);
}

static void drop_primitive(void *value) {
    mien__primitive_destroy(*(mien__primitive **)value);
}

/* A ResNet-50 step needs about 70 distinct primitives; many nets and shapes fit. */
static mien__cache primitives = {.key_bytes = sizeof(mien__primitive_key),
                                 .value_bytes = sizeof(mien__primitive *),
                                 .most = 1024,
                                 .drop = drop_primitive};

mien__primitive *mien__primitive_find(const mien__primitive_key *key) {
    mien__primitive **found = mien__cache_find(&primitives, key);
    return found ? *found : NULL;
}

mien_status mien__primitive_keep(mien__primitive *p) {
    mien__cache_shrink(&primitives, primitives.most - 1);
    mien__primitive **kept = mien__cache_add(&primitives, &p->key);
    if (!kept) {
        mien__primitive_destroy(p);
        MIEN_FAIL(MIEN_ERR_MEMORY, "cpu: no memory for the cache of primitives");
    }
    *kept = p;
    return MIEN_OK;
}

/* ---- building and running -------------------------------------------------------------------- */

mien_status mien__primitive_arg(mien__primitive *p, int id, const dnnl_memory_desc_t *md) {
    dnnl_memory_t memory = NULL;
    MIEN_TRY_DNNL(dnnl_memory_create(&memory, md, state.engine, DNNL_MEMORY_NONE),
                  "cpu: describe an argument");
    p->arg[p->n_args++] = (dnnl_exec_arg_t){.arg = id, .memory = memory};
    return MIEN_OK;
}

mien_status mien__primitive_build(mien__primitive *p, const_dnnl_primitive_desc_t pd) {
    const char *name = "";
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    snprintf(p->name, sizeof p->name, "%s", name);
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    size_t bytes = md ? dnnl_memory_desc_get_size(md) : 0;
    if (bytes) {
        dnnl_memory_t memory = NULL;
        MIEN_TRY_DNNL(dnnl_memory_create(&memory, md, state.engine, DNNL_MEMORY_NONE),
                      "cpu: describe the scratchpad");
        p->scratchpad = bytes;
        p->arg[p->n_args] = (dnnl_exec_arg_t){.arg = DNNL_ARG_SCRATCHPAD, .memory = memory};
    }
    MIEN_TRY_DNNL(dnnl_primitive_create(&p->run, pd), "cpu: build a primitive");
    return MIEN_OK;
}

mien_status mien__primitive_weights(mien__primitive *p, const dnnl_memory_desc_t *plain,
                                    const dnnl_memory_desc_t *weights, bool back) {
    if (dnnl_memory_desc_equal(plain, weights)) return MIEN_OK;
    p->weights_bytes = dnnl_memory_desc_get_size(weights);
    if (mien__tiles_of(weights, back, &p->tiles)) return MIEN_OK;
    const dnnl_memory_desc_t *from = back ? weights : plain, *to = back ? plain : weights;
    dnnl_primitive_desc_t pd = NULL;
    MIEN_TRY_DNNL(
        dnnl_reorder_primitive_desc_create(&pd, from, state.engine, to, state.engine, NULL),
        "cpu: describe a reorder");
    dnnl_status_t made = dnnl_primitive_create(&p->reorder, pd);
    dnnl_primitive_desc_destroy(pd);
    MIEN_TRY_DNNL(made, "cpu: build a reorder");
    MIEN_TRY_DNNL(dnnl_memory_create(&p->reorder_from, from, state.engine, DNNL_MEMORY_NONE),
                  "cpu: describe weights");
    MIEN_TRY_DNNL(dnnl_memory_create(&p->reorder_to, to, state.engine, DNNL_MEMORY_NONE),
                  "cpu: describe weights");
    return MIEN_OK;
}

static mien_status reserve_scratchpad(size_t bytes) {
    if (bytes <= state.scratchpad_bytes) return MIEN_OK;
    size_t huge = (size_t)2 << 20;
    bytes = (bytes + huge - 1) / huge * huge;
    void *grown = NULL;
    if (posix_memalign(&grown, huge, bytes))
        MIEN_FAIL(MIEN_ERR_MEMORY, "cpu: no memory for a scratchpad of %zu MiB", bytes >> 20);
    madvise(grown, bytes, MADV_HUGEPAGE);
    free(state.scratchpad);
    state.scratchpad = grown;
    state.scratchpad_bytes = bytes;
    return MIEN_OK;
}

mien_status mien__primitive_run(mien__primitive *p, void *const *data) {
    for (int i = 0; i < p->n_args; i++)
        MIEN_TRY_DNNL(dnnl_memory_set_data_handle(p->arg[i].memory, data[i]), "cpu: set argument");
    int n = p->n_args;
    if (p->scratchpad) {
        MIEN_TRY(reserve_scratchpad(p->scratchpad));
        MIEN_TRY_DNNL(dnnl_memory_set_data_handle(p->arg[n++].memory, state.scratchpad),
                      "cpu: set scratchpad");
    }
    MIEN_TRY_DNNL(dnnl_primitive_execute(p->run, state.stream, n, p->arg), p->name);
    return MIEN_OK;
}

mien_status mien__primitive_reorder(mien__primitive *p, void *from, void *to) {
    if (p->tiles.taps) {
        mien__tiles_move(&p->tiles, from, to);
        return MIEN_OK;
    }
    MIEN_TRY_DNNL(dnnl_memory_set_data_handle(p->reorder_from, from), "cpu: set weights");
    MIEN_TRY_DNNL(dnnl_memory_set_data_handle(p->reorder_to, to), "cpu: set weights");
    dnnl_exec_arg_t arg[2] = {{DNNL_ARG_FROM, p->reorder_from}, {DNNL_ARG_TO, p->reorder_to}};
    MIEN_TRY_DNNL(dnnl_primitive_execute(p->reorder, state.stream, 2, arg), "cpu: reorder weights");
    return MIEN_OK;
}

dnnl_data_type_t mien__onednn_dtype(mien_dtype dtype) {
    return dtype == MIEN_BF16 ? dnnl_bf16 : dnnl_f32;
}

mien_status mien__onednn_activation(dnnl_memory_desc_t *md, const int64_t *shape, mien_dtype dtype,
                                    int block) {
    dnnl_format_tag_t tag = block == 16 ? dnnl_nChw16c : block == 8 ? dnnl_nChw8c : dnnl_nchw;
    dnnl_dims_t sizes = {shape[0], shape[1], shape[2], shape[3]};
    MIEN_TRY_DNNL(dnnl_memory_desc_init_by_tag(md, 4, sizes, mien__onednn_dtype(dtype), tag),
                  "cpu: describe an activation");
    return MIEN_OK;
}

/* ---- the rest -------------------------------------------------------------------------------- */

int mien__cpu_threads(void) {
    return omp_get_max_threads();
}

bool mien__cpu_plain(void) {
    static int known;
    const char *text = known ? NULL : getenv("MIEN_CPU_PLAIN");
    if (!known) known = text && *text && strcmp(text, "0") != 0 ? 1 : -1;
    return known > 0;
}

bool mien__onednn_has(unsigned isa) {
    follow_isa();
    return (dnnl_get_effective_cpu_isa() & isa) == isa;
}

int mien__cpu_block(void) {
    static int block;
    if (!block) block = mien__onednn_has(dnnl_cpu_isa_avx512_core) ? 16 : 8;
    return block;
}

bool mien__cpu_has_bf16(void) {
    static int known;
    if (!known) known = mien__onednn_has(dnnl_cpu_isa_avx512_core_bf16) ? 1 : -1;
    return known > 0;
}
