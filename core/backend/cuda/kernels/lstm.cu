/* The LSTM's time loop on clusters: each block keeps the weights of 32 units in shared memory, and
 * the blocks exchange h (forward) or dh (backward) through each other's once a step.
 * Not here: other sizes and devices, which cuDNN serves. */
#include "lstm.h"

#include "backend/cuda/math/lstm.h"
#include "cluster.h"

namespace {

/* Block of a cluster: UNITS units, ROWS rows of weight_hh (row q * UNITS + u: gate q of unit u). */
enum { UNITS = 32, ROWS = 4 * UNITS, THREADS = 512, WARPS = THREADS / 32 };

/* ---- shared ---------------------------------------------------------------------------------- */

template <typename T, int H> __device__ void load_weights(T *to, const T *weight, int rank) {
    const int V = mien_wide<T>::n, packs = H / V;
    for (int i = (int)threadIdx.x; i < ROWS * packs; i += THREADS) {
        int row = i / packs, q = row / UNITS, u = row % UNITS;
        ((mien_pack<T, V> *)to)[i] =
            ((const mien_pack<T, V> *)
                 weight)[((int64_t)q * H + rank * UNITS + u) * packs + i % packs];
    }
}

/* ---- forward --------------------------------------------------------------------------------- */

/* A warp has two units: 8 rows, whose columns are spread over the lanes. `B` sequences at a time.
 */
enum { OWN = 2, OWN_ROWS = 4 * OWN };

/* Adds up `N` values over the warp; lane l gets the sum of value l / (32 / N). */
template <int N> __device__ float spread_sum(float *v, int lane) {
    int n = N;
#pragma unroll
    for (int bit = 16; bit > 0; bit /= 2) {
        if (n == 1) {
            v[0] += __shfl_xor_sync(~0u, v[0], bit);
            continue;
        }
        n /= 2;
        bool upper = lane & bit;
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            if (i >= n) break;
            float give = upper ? v[i] : v[i + n], keep = upper ? v[i + n] : v[i];
            v[i] = keep + __shfl_xor_sync(~0u, give, bit);
        }
    }
    return v[0];
}

/* The own rows times h, for `B` sequences: gate q of cell `lane % (OWN * B)` (unit * B + sequence)
 * in a[q] of every lane. h: [B][H] of this pass. */
template <typename T, int H, int B>
__device__ void products(const T *weight, const float *h, int warp, int lane, float a[4]) {
    const int columns = H / 32, most = mien_wide<T>::n;
    const int P = columns < most ? columns : most, packs = columns / P, N = OWN_ROWS * B;
    float in[B][columns], sum[N];
#pragma unroll
    for (int b = 0; b < B; b++)
#pragma unroll
        for (int k = 0; k < packs; k++)
#pragma unroll
            for (int v = 0; v < P; v++) in[b][k * P + v] = h[b * H + (k * 32 + lane) * P + v];
#pragma unroll
    for (int r = 0; r < OWN_ROWS; r++) {
        const T *row = weight + (r / OWN * UNITS + warp * OWN + r % OWN) * H;
#pragma unroll
        for (int b = 0; b < B; b++) sum[r * B + b] = 0;
#pragma unroll
        for (int k = 0; k < packs; k++) {
            mien_pack<T, P> w = ((const mien_pack<T, P> *)row)[k * 32 + lane];
#pragma unroll
            for (int v = 0; v < P; v++)
#pragma unroll
                for (int b = 0; b < B; b++) sum[r * B + b] += get(w.v[v]) * in[b][k * P + v];
        }
    }
    float mine = spread_sum<N>(sum, lane);
    int cell = lane % (OWN * B);
#pragma unroll
    for (int q = 0; q < 4; q++) a[q] = __shfl_sync(~0u, mine, (q * OWN * B + cell) * (32 / N));
}

template <int H, int B> struct forward_shape {
    static const int pass = B < 4 ? B : 4, passes = B / pass;
};

/* Grid: one cluster of H / UNITS blocks. Sequences from `batch` up to B are computed and dropped.
 */
template <typename T, int H, int B>
__global__ void __launch_bounds__(THREADS) forward_kernel(mien__lstm_loop l) {
#ifdef MIEN_HAS_CLUSTERS
    const int pass = forward_shape<H, B>::pass, passes = forward_shape<H, B>::passes;
    const int cells = OWN * pass, blocks = H / UNITS;
    T *weight = (T *)mien_shared();
    float *state = (float *)(weight + ROWS * H); /* h [2][B][H] */
    int rank = mien_cluster_rank(), warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    int cell = lane % cells, unit = rank * UNITS + warp * OWN + cell / pass;
    int64_t T4 = 4 * (int64_t)H;
    load_weights<T, H>(weight, (const T *)l.weight, rank);
    for (int i = (int)threadIdx.x; i < B * H; i += THREADS)
        state[i] = l.h0 && i / H < l.batch ? l.h0[i] : 0;
    float c[passes], next[passes][4];
#pragma unroll
    for (int p = 0; p < passes; p++) {
        int b = p * pass + cell % pass;
        bool real = b < l.batch;
        c[p] = real && l.c0 ? l.c0[b * H + unit] : 0;
        for (int q = 0; q < 4; q++)
            next[p][q] = real ? l.gates[b * (int64_t)l.steps * T4 + q * H + unit] : 0;
    }
    mien_cluster_arrive(); /* all blocks are there, and have their weights */
    mien_cluster_wait();
    for (int t = 0; t < l.steps; t++) {
        const float *from = state + (t & 1) * B * H;
        float *to = state + (~t & 1) * B * H;
        mien_lstm_cell s[passes];
        float h[passes];
#pragma unroll
        for (int p = 0; p < passes; p++) {
            float a[4];
            products<T, H, pass>(weight, from + p * pass * H, warp, lane, a);
#pragma unroll
            for (int q = 0; q < 4; q++) a[q] += next[p][q];
            s[p] = mien_lstm_step(a, c[p]);
            c[p] = s[p].c;
            /* As the next step would read it from y. */
            T rounded;
            put(&rounded, mien_lstm_output(s[p]));
            h[p] = get(rounded);
            /* Lane `lane` gives cell `lane % cells` to the blocks lane / cells, ... */
            for (int r = lane / cells; r < blocks; r += 32 / cells)
                mien_cluster_store(&to[(p * pass + cell % pass) * H + unit], r, h[p]);
        }
        mien_cluster_arrive();
        if (lane < cells) {
#pragma unroll
            for (int p = 0; p < passes; p++) {
                int b = p * pass + cell % pass;
                if (b >= l.batch) continue;
                int64_t frame = b * (int64_t)l.steps + t;
                put(&((T *)l.y)[frame * H + unit], h[p]);
                if (l.reserve) {
                    float *kept = l.reserve + ((int64_t)t * l.batch + b) * 5 * H + unit;
                    kept[0] = s[p].i;
                    kept[H] = s[p].f;
                    kept[2 * H] = s[p].g;
                    kept[3 * H] = s[p].o;
                    kept[4 * H] = s[p].c;
                }
                if (t == l.steps - 1 && l.h) l.h[b * H + unit] = h[p];
                if (t == l.steps - 1 && l.c) l.c[b * H + unit] = c[p];
            }
        }
#pragma unroll
        for (int p = 0; p < passes; p++) {
            int b = p * pass + cell % pass;
            if (b >= l.batch || t + 1 >= l.steps) continue;
            for (int q = 0; q < 4; q++)
                next[p][q] = l.gates[(b * (int64_t)l.steps + t + 1) * T4 + q * H + unit];
        }
        mien_cluster_wait();
    }
#endif
}

/* ---- backward -------------------------------------------------------------------------------- */

/* Thread: V neighbouring columns of weight_hh and every `groups`-th row of the block's. The groups'
 * sums meet in `meet`, PASS sequences at a time; the block's sums go to the blocks that own the
 * columns, which add those of all blocks in their order. */
enum { PASS = 2 };

template <typename T, int H, int B> struct backward_shape {
    static const int V = mien_wide<T>::n, packs = H / V, groups = THREADS / packs;
    static const int pass = B < PASS ? B : (int)PASS, blocks = H / UNITS;
    static const size_t meet = (size_t)groups * pass * H, got = 2 * (size_t)blocks * B * UNITS;
    static const size_t bytes =
        (size_t)ROWS * H * sizeof(T) + sizeof(float) * (meet + got + ROWS * B);
};

template <typename T, int H, int B>
__global__ void __launch_bounds__(THREADS) backward_kernel(mien__lstm_loop l) {
#ifdef MIEN_HAS_CLUSTERS
    typedef backward_shape<T, H, B> shape;
    const int V = shape::V, packs = shape::packs, groups = shape::groups, pass = shape::pass;
    T *weight = (T *)mien_shared();
    float *meet = (float *)(weight + ROWS * H); /* [groups][pass][H] */
    float *got = meet + shape::meet;            /* [2][blocks][B][UNITS] */
    float *gate = got + shape::got;             /* da [ROWS][B] */
    int rank = mien_cluster_rank(), thread = (int)threadIdx.x;
    int group = thread / packs, column = thread % packs * V;
    /* The first UNITS * B threads have a cell each. */
    int b = thread / UNITS, u = thread % UNITS, unit = rank * UNITS + u;
    bool cell = b < B, real = b < l.batch;
    load_weights<T, H>(weight, (const T *)l.weight, rank);
    for (int i = thread; i < (int)shape::got; i += THREADS) got[i] = 0;
    float dc = real && l.dc ? l.dc[b * H + unit] : 0;
    float dh = real && l.dh ? l.dh[b * H + unit] : 0;
    mien_cluster_arrive();
    mien_cluster_wait();
    for (int t = l.steps - 1; t >= 0; t--) {
        const float *from = got + (t & 1) * shape::blocks * B * UNITS;
        float *to = got + (~t & 1) * shape::blocks * B * UNITS;
        if (cell) {
            float da[4] = {};
            for (int r = 0; r < shape::blocks; r++) dh += from[(r * B + b) * UNITS + u];
            if (real) {
                int64_t frame = b * (int64_t)l.steps + t;
                const float *kept = l.reserve + ((int64_t)t * l.batch + b) * 5 * H + unit;
                mien_lstm_cell s = {kept[0], kept[H], kept[2 * H], kept[3 * H], kept[4 * H]};
                float c = t > 0 ? kept[4 * H - (int64_t)l.batch * 5 * H]
                                : (l.c0 ? l.c0[b * H + unit] : 0);
                if (l.dy) dh += get(((const T *)l.dy)[frame * H + unit]);
                mien_lstm_back(s, c, dh, &dc, da);
                for (int q = 0; q < 4; q++) put(&((T *)l.da)[frame * 4 * H + q * H + unit], da[q]);
            }
            for (int q = 0; q < 4; q++) gate[(q * UNITS + u) * B + b] = da[q];
        }
        dh = 0;
        __syncthreads();
        for (int first = 0; first < B; first += pass) {
            float sum[pass][V] = {};
            for (int row = group; row < ROWS; row += groups) {
                mien_pack<T, V> w = *(const mien_pack<T, V> *)(weight + row * H + column);
#pragma unroll
                for (int k = 0; k < pass; k++) {
                    float d = gate[row * B + first + k];
#pragma unroll
                    for (int v = 0; v < V; v++) sum[k][v] += d * get(w.v[v]);
                }
            }
#pragma unroll
            for (int k = 0; k < pass; k++)
#pragma unroll
                for (int v = 0; v < V; v++) meet[(group * pass + k) * H + column + v] = sum[k][v];
            __syncthreads();
            for (int i = thread; i < pass * H; i += THREADS) {
                float whole = 0;
                for (int g = 0; g < groups; g++) whole += meet[g * pass * H + i];
                int k = i / H, at = i % H;
                mien_cluster_store(&to[(rank * B + first + k) * UNITS + at % UNITS], at / UNITS,
                                   whole);
            }
            __syncthreads();
        }
        mien_cluster_arrive();
        mien_cluster_wait();
    }
    if (!cell || !real) return;
    /* What the last step (t = 0) sent went to the half that t = -1 would read. */
    for (int r = 0; r < shape::blocks; r++) dh += got[((shape::blocks + r) * B + b) * UNITS + u];
    if (l.dh0) l.dh0[b * H + unit] = dh;
    if (l.dc0) l.dc0[b * H + unit] = dc;
#endif
}

/* ---- launching ------------------------------------------------------------------------------- */

/* What is done with a kernel: a pass, or the question whether the device takes its cluster. */
enum use { FORWARD, BACKWARD, FORWARD_FITS, BACKWARD_FITS };

template <typename K>
mien_status launch(K kernel, int blocks, size_t shared, const mien__lstm_loop &l, use what) {
#ifdef __CUDACC__
    MIEN_CUDA(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared));
    if (blocks > 8)
        MIEN_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute cluster = {};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = (unsigned)blocks;
    cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    config.gridDim = dim3((unsigned)blocks);
    config.blockDim = dim3(THREADS);
    config.dynamicSmemBytes = shared;
    config.stream = mien__cuda_context.stream;
    config.attrs = &cluster;
    config.numAttrs = 1;
    if (what == FORWARD_FITS || what == BACKWARD_FITS) {
        int clusters = 0;
        MIEN_CUDA(cudaOccupancyMaxActiveClusters(&clusters, kernel, &config));
        if (clusters < 1)
            MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "lstm: no %d blocks of this device form a cluster",
                      blocks);
        return MIEN_OK;
    }
    MIEN_CUDA(cudaLaunchKernelEx(&config, kernel, l));
#else
    if (what == FORWARD || what == BACKWARD)
        mien_emulate(dim3((unsigned)blocks), dim3(THREADS), blocks, shared, [&] { kernel(l); });
#endif
    return MIEN_OK;
}

template <typename T, int H, int B> mien_status run(const mien__lstm_loop &l, use what) {
    size_t shared = (size_t)ROWS * H * sizeof(T) + 2 * (size_t)B * H * sizeof(float);
    if (what == BACKWARD || what == BACKWARD_FITS)
        return launch(backward_kernel<T, H, B>, H / UNITS, backward_shape<T, H, B>::bytes, l, what);
    return launch(forward_kernel<T, H, B>, H / UNITS, shared, l, what);
}

template <typename T, int H> mien_status by_batch(const mien__lstm_loop &l, use what) {
    if (l.batch <= 1) return run<T, H, 1>(l, what);
    if (l.batch <= 2) return run<T, H, 2>(l, what);
    if (l.batch <= 4) return run<T, H, 4>(l, what);
    return run<T, H, 8>(l, what);
}

template <typename T> mien_status by_hidden(const mien__lstm_loop &l, use what) {
    switch (l.hidden) {
    case 64:
        return by_batch<T, 64>(l, what);
    case 128:
        return by_batch<T, 128>(l, what);
    default:
        return by_batch<T, 256>(l, what);
    }
}

/* The sizes that there are kernels for. */
bool has_kernels(mien_dtype dtype, int batch, int hidden) {
    bool half = dtype == MIEN_BF16 || dtype == MIEN_F16;
    bool size = hidden == 64 || hidden == 128 || hidden == 256 || (hidden == 512 && half);
    return mien__cuda_context.arch == 90 && (half || dtype == MIEN_F32) && size && batch >= 1 &&
           batch <= 8;
}

mien_status dispatch(const mien__lstm_loop &l, use what) {
    MIEN_TRY(mien__cuda_check());
    if (!has_kernels(l.dtype, l.batch, l.hidden))
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "lstm: no loop in one launch for %d sequences, H = %d",
                  l.batch, l.hidden);
    if (l.hidden == 512 && l.dtype == MIEN_BF16) return by_batch<mien_bf16, 512>(l, what);
    if (l.hidden == 512) return by_batch<mien_f16, 512>(l, what);
    MIEN_BY_DTYPE(l.dtype, by_hidden<T>(l, what));
}

} // namespace

bool mien__lstm_loop_fits(mien_dtype dtype, int batch, int hidden) {
    mien__lstm_loop l = {};
    l.dtype = dtype;
    l.batch = batch;
    l.hidden = hidden;
    return has_kernels(dtype, batch, hidden) && dispatch(l, FORWARD_FITS) == MIEN_OK &&
           dispatch(l, BACKWARD_FITS) == MIEN_OK;
}

mien_status mien__lstm_loop_forward(const mien__lstm_loop *l) {
    return dispatch(*l, FORWARD);
}
mien_status mien__lstm_loop_backward(const mien__lstm_loop *l) {
    return dispatch(*l, BACKWARD);
}
