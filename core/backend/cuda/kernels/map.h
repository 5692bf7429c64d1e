/* Element by element: y = f(a, b, ...) over any strides, broadcast, wide accesses where they lie
 * flat. Not here: which functions (pointwise.cu, ...). */
#ifndef MIEN_CUDA_MAP_H
#define MIEN_CUDA_MAP_H
#include "backend/cuda/math/walk.h"
#include "launch.h"

template <typename T, int N> struct mien_sources { const T *at[N]; };

/* The first `packs` packs in wide accesses, the rest one by one. y may be one of the sources. */
template <typename O, typename T, int N, typename F>
__global__ void __launch_bounds__(MIEN_THREADS)
    mien_map_flat(O *y, mien_sources<T, N> in, int64_t n, int64_t packs, F f) {
    const int V = mien_wide<T>::n;
    typedef mien_pack<T, V> pack;
    for (int64_t i = mien_grid_thread(); i < packs; i += mien_grid_threads()) {
        pack x[N];
        mien_pack<O, V> out;
#pragma unroll
        for (int k = 0; k < N; k++) x[k] = ((const pack *)in.at[k])[i];
#pragma unroll
        for (int v = 0; v < V; v++) {
            float values[N];
            for (int k = 0; k < N; k++) values[k] = get(x[k].v[v]);
            put(&out.v[v], f(values));
        }
        ((mien_pack<O, V> *)y)[i] = out;
    }
    for (int64_t i = packs * V + mien_grid_thread(); i < n; i += mien_grid_threads()) {
        float values[N];
        for (int k = 0; k < N; k++) values[k] = get(in.at[k][i]);
        put(&y[i], f(values));
    }
}

/* walk: strides of y, then of the sources. */
template <typename O, typename T, int N, typename F, typename Index>
__global__ void __launch_bounds__(MIEN_THREADS)
    mien_map_walk(O *y, mien_sources<T, N> in, Index n, mien_walk<N + 1> walk, F f) {
    for (Index i = (Index)mien_grid_thread(); i < n; i += (Index)mien_grid_threads()) {
        int64_t at[N + 1];
        mien_walk_at(walk, i, at);
        float values[N];
        for (int k = 0; k < N; k++) values[k] = get(in.at[k][at[k + 1]]);
        put(&y[at[0]], f(values));
    }
}

/* Stride of dimension d (of `model`'s) in t, which is aligned with it at the right; 0 where t
 * repeats. */
static inline int64_t mien_stride_in(const mien_tensor *t, const mien_tensor *model, int d) {
    int own = d - (model->ndim - t->ndim);
    return own < 0 || t->shape[own] == 1 ? 0 : t->stride[own];
}

/* The dimensions of t from the one with the smallest stride on. */
static inline int mien_memory_order(const mien_tensor *t, int *order) {
    for (int d = 0; d < t->ndim; d++) {
        int at = d;
        for (; at > 0 && t->stride[order[at - 1]] > t->stride[d]; at--) order[at] = order[at - 1];
        order[at] = d;
    }
    return t->ndim;
}

/* O: of y; T: of all sources. */
template <typename O, typename T, int N, typename F>
static mien_status mien_run_map(mien_tensor *y, mien_tensor *const *in, F f) {
    int64_t n = mien_tensor_count(y);
    O *to = (O *)mien__cuda_ptr(y);
    mien_sources<T, N> from;
    bool flat = mien__cuda_is_dense(y), wide = mien_aligned(to);
    for (int k = 0; k < N; k++) {
        from.at[k] = (const T *)mien__cuda_ptr(in[k]);
        flat = flat && mien__cuda_same_strides(y, in[k]);
        wide = wide && mien_aligned(from.at[k]);
    }
    if (flat) {
        int64_t packs = wide ? n / mien_wide<T>::n : 0;
        unsigned grid = mien__cuda_grid(wide ? packs + 1 : n, MIEN_THREADS);
        MIEN_LAUNCH((mien_map_flat<O, T, N, F>), grid, MIEN_THREADS, 0, to, from, n, packs, f);
        return MIEN_OK;
    }
    mien_walk<N + 1> walk = {};
    int order[MIEN_MAX_DIMS];
    for (int i = 0, dims = mien_memory_order(y, order); i < dims; i++) {
        int64_t stride[N + 1];
        stride[0] = y->stride[order[i]];
        for (int k = 0; k < N; k++) stride[k + 1] = mien_stride_in(in[k], y, order[i]);
        mien_walk_add(&walk, y->shape[order[i]], stride);
    }
    unsigned grid = mien__cuda_grid(n, MIEN_THREADS);
    if (n < (int64_t)1 << 30) /* 32-bit division is several times faster */
        MIEN_LAUNCH((mien_map_walk<O, T, N, F, uint32_t>), grid, MIEN_THREADS, 0, to, from,
                    (uint32_t)n, walk, f);
    else
        MIEN_LAUNCH((mien_map_walk<O, T, N, F, int64_t>), grid, MIEN_THREADS, 0, to, from, n, walk,
                    f);
    return MIEN_OK;
}

/* y, which has storage, = f(in[0], ..., in[N-1]); the sources are broadcast to y's shape. */
template <int N, typename F>
static mien_status mien_map(mien_tensor *y, mien_tensor *const *in, F f) {
    MIEN_TRY(mien__cuda_check());
    if (mien_tensor_count(y) == 0) return MIEN_OK;
    mien_held alike[N];
    mien_tensor *source[N];
    for (int k = 0; k < N; k++) {
        alike[k].take(mien_in_dtype(in[k], y->dtype));
        if (alike[k].failed()) return mien_last();
        source[k] = alike[k].t;
    }
    MIEN_BY_DTYPE(y->dtype, (mien_run_map<T, T, N, F>(y, source, f)));
}
#endif
