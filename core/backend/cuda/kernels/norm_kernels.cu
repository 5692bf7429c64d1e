/* Kernels of batch normalisation over rows of channels (Ioffe & Szegedy 2015, algorithm 1).
 * Not here: tensors and dtypes of parameters (norm.cu). */
#include "backend/cuda/math/moments.h"
#include "norm.h"

/* ---- the grid ------------------------------------------------------------------------------------ */

mien_norm_grid mien__norm_grid(int64_t rows, int channels, mien_dtype dtype, bool aligned) {
    mien_norm_grid g = {};
    int wide = 16 / (int)mien_dtype_size(dtype);
    g.rows = rows;
    g.channels = channels;
    g.wide = aligned && channels % wide == 0 ? wide : 1;
    int packs = channels / g.wide;
    for (g.across = 1; g.across < packs && g.across < 32;) g.across *= 2;
    g.groups = (packs + g.across - 1) / g.across;
    int64_t height = MIEN_THREADS / g.across;
    int64_t most = (rows + height - 1) / height, wanted = mien__cuda_context.multiprocs * 8;
    wanted = (wanted + g.groups - 1) / g.groups;
    int64_t shares = wanted > most ? most : wanted;
    g.share = shares > 0 ? (rows + shares - 1) / shares : 0;
    g.shares = g.share > 0 ? (int)((rows + g.share - 1) / g.share) : 1;
    return g;
}

/* What a thread works on. */
struct seat {
    int channel; /* its first one */
    bool inside;
    int row, height, across;
    int64_t first, last; /* rows of its block */
};

template <int V> __device__ static seat take_seat(const mien_norm_grid &g) {
    seat s;
    s.across = g.across;
    s.height = MIEN_THREADS / g.across;
    s.row = (int)threadIdx.x / g.across;
    s.channel = ((int)blockIdx.y * g.across + (int)threadIdx.x % g.across) * V;
    s.inside = s.channel < g.channels;
    s.first = blockIdx.x * g.share;
    s.last = s.first + g.share < g.rows ? s.first + g.share : g.rows;
    return s;
}

template <typename T, int V>
__device__ static mien_pack<T, V> load(const T *x, const mien_norm_grid &g, int64_t row,
                                       int channel) {
    return *(const mien_pack<T, V> *)(x + row * g.channels + channel);
}

template <int V> __device__ static void load_floats(float *to, const float *from, const seat &s) {
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = s.inside ? from[s.channel + v] : 0;
}

/* ---- batch statistics ---------------------------------------------------------------------------- */

/* partial [shares][channels] */
template <typename T, int V>
__global__ void __launch_bounds__(MIEN_THREADS)
    moments_kernel(mien_norm_moments<float> *partial, const T *x, mien_norm_grid g) {
    __shared__ mien_norm_moments<float> part[MIEN_THREADS];
    seat s = take_seat<V>(g);
    float shift[V] = {}, sum[V] = {}, squares[V] = {};
    int64_t own = s.first + s.row;
    int n = 0;
    if (s.inside && own < s.last) {
        mien_pack<T, V> at = load<T, V>(x, g, own, s.channel);
#pragma unroll
        for (int v = 0; v < V; v++) shift[v] = get(at.v[v]);
    }
    if (s.inside)
        for (int64_t row = own; row < s.last; row += s.height, n++) {
            mien_pack<T, V> at = load<T, V>(x, g, row, s.channel);
#pragma unroll
            for (int v = 0; v < V; v++) {
                float d = get(at.v[v]) - shift[v];
                sum[v] += d;
                squares[v] += d * d;
            }
        }
#pragma unroll
    for (int v = 0; v < V; v++) {
        __syncthreads();
        part[threadIdx.x] = mien_from_shifted((float)n, shift[v], sum[v], squares[v]);
        __syncthreads();
        for (int step = s.height / 2; step > 0; step /= 2) {
            if (s.row < step)
                part[threadIdx.x] =
                    mien_join(part[threadIdx.x], part[threadIdx.x + step * s.across]);
            __syncthreads();
        }
        if (s.row == 0 && s.inside)
            partial[(int64_t)blockIdx.x * g.channels + s.channel + v] = part[threadIdx.x];
    }
}

template <typename V> __device__ static V neighbour(V v, int step) {
    return __shfl_xor_sync(~0u, v, step);
}

/* A warp per channel joins the shares, in double. */
__global__ void __launch_bounds__(MIEN_THREADS)
    finish_moments(float *mean, float *rstd, float *running_mean, float *running_var,
                   const mien_norm_moments<float> *partial, int channels, int shares, double momentum,
                   double eps) {
    int channel = (int)(mien_grid_thread() / 32), lane = (int)threadIdx.x % 32;
    mien_norm_moments<double> m = {0, 0, 0};
    for (int i = lane; channel < channels && i < shares; i += 32) {
        mien_norm_moments<float> p = partial[(int64_t)i * channels + channel];
        m = mien_join(m, mien_norm_moments<double>{p.n, p.mean, p.m2});
    }
    for (int step = 16; step > 0; step /= 2) {
        mien_norm_moments<double> other = {neighbour(m.n, step), neighbour(m.mean, step),
                                      neighbour(m.m2, step)};
        m = lane & step ? mien_join(other, m) : mien_join(m, other);
    }
    if (lane > 0 || channel >= channels) return;
    mean[channel] = (float)m.mean;
    rstd[channel] = (float)(1 / sqrt(m.m2 / m.n + eps));
    if (!running_mean) return;
    running_mean[channel] = (float)((1 - momentum) * running_mean[channel] + momentum * m.mean);
    running_var[channel] =
        (float)((1 - momentum) * running_var[channel] + momentum * m.m2 / (m.n - 1));
}

template <typename T, int V>
static mien_status statistics(const mien_norm_grid &g, const void *x, float *mean, float *rstd,
                              float *running_mean, float *running_var, double momentum,
                              double eps) {
    mien_scratch partial((size_t)g.shares * (size_t)g.channels * sizeof(mien_norm_moments<float>));
    if (partial.failed()) return mien_last();
    MIEN_LAUNCH((moments_kernel<T, V>), dim3((unsigned)g.shares, (unsigned)g.groups), MIEN_THREADS,
                0, partial.at<mien_norm_moments<float>>(), (const T *)x, g);
    MIEN_LAUNCH(finish_moments, (unsigned)(g.channels + 7) / 8, MIEN_THREADS, 0, mean, rstd,
                running_mean, running_var, partial.at<mien_norm_moments<float>>(), g.channels, g.shares,
                momentum, eps);
    return MIEN_OK;
}

mien_status mien__norm_statistics(const mien_norm_grid &g, mien_dtype dtype, const void *x,
                                  float *mean, float *rstd, float *running_mean,
                                  float *running_var, double momentum, double eps) {
    MIEN_BY_DTYPE(dtype, (g.wide > 1
                              ? statistics<T, mien_wide<T>::n>(g, x, mean, rstd, running_mean,
                                                               running_var, momentum, eps)
                              : statistics<T, 1>(g, x, mean, rstd, running_mean, running_var,
                                                 momentum, eps)));
}

__global__ void running_kernel(int channels, const float *running_mean, const float *running_var,
                               double eps, float *mean, float *rstd) {
    int c = (int)mien_grid_thread();
    if (c >= channels) return;
    mean[c] = running_mean[c];
    rstd[c] = (float)(1 / sqrt(running_var[c] + eps));
}

mien_status mien__norm_running(int channels, const float *running_mean, const float *running_var,
                               double eps, float *mean, float *rstd) {
    MIEN_LAUNCH(running_kernel, (unsigned)(channels + 255) / 256, MIEN_THREADS, 0, channels,
                running_mean, running_var, eps, mean, rstd);
    return MIEN_OK;
}

/* ---- forward --------------------------------------------------------------------------------------- */

/* x - mean first: with mean/sd = 1000, x * scale + shift would lose three digits. */
template <typename T, int V>
__global__ void __launch_bounds__(MIEN_THREADS)
    apply_kernel(T *y, const T *x, const T *residual, const float *mean, const float *rstd,
                 const float *weight, const float *bias, bool relu, mien_norm_grid g) {
    seat s = take_seat<V>(g);
    if (!s.inside) return;
    float m[V], scale[V], b[V];
    load_floats<V>(m, mean, s);
    load_floats<V>(scale, rstd, s);
    load_floats<V>(b, weight, s);
#pragma unroll
    for (int v = 0; v < V; v++) scale[v] *= b[v];
    load_floats<V>(b, bias, s);
    for (int64_t row = s.first + s.row; row < s.last; row += s.height) {
        mien_pack<T, V> at = load<T, V>(x, g, row, s.channel), out, more;
        if (residual) more = load<T, V>(residual, g, row, s.channel);
#pragma unroll
        for (int v = 0; v < V; v++) {
            float z = (get(at.v[v]) - m[v]) * scale[v] + b[v];
            if (residual) z += get(more.v[v]);
            put(&out.v[v], relu && z < 0 ? 0 : z); /* NaN stays */
        }
        *(mien_pack<T, V> *)(y + row * g.channels + s.channel) = out;
    }
}

template <typename T, int V>
static mien_status apply(const mien_norm_grid &g, void *y, const void *x, const void *residual,
                         const float *mean, const float *rstd, const float *weight,
                         const float *bias, bool relu) {
    MIEN_LAUNCH((apply_kernel<T, V>), dim3((unsigned)g.shares, (unsigned)g.groups), MIEN_THREADS, 0,
                (T *)y, (const T *)x, (const T *)residual, mean, rstd, weight, bias, relu, g);
    return MIEN_OK;
}

mien_status mien__norm_apply(const mien_norm_grid &g, mien_dtype dtype, void *y, const void *x,
                             const void *residual, const float *mean, const float *rstd,
                             const float *weight, const float *bias, bool relu) {
    MIEN_BY_DTYPE(dtype,
                  (g.wide > 1 ? apply<T, mien_wide<T>::n>(g, y, x, residual, mean, rstd, weight,
                                                          bias, relu)
                              : apply<T, 1>(g, y, x, residual, mean, rstd, weight, bias, relu)));
}

/* ---- backward -------------------------------------------------------------------------------------- */

/* partial [2][shares][channels]: sums of dz and of dz (x - mean). */
template <typename T, int V>
__global__ void __launch_bounds__(MIEN_THREADS)
    sums_kernel(float *partial, const T *dy, const T *y, const T *x, const float *mean,
                mien_norm_grid g) {
    __shared__ float part[2][MIEN_THREADS];
    seat s = take_seat<V>(g);
    float m[V], b[V] = {}, w[V] = {};
    load_floats<V>(m, mean, s);
    if (s.inside)
        for (int64_t row = s.first + s.row; row < s.last; row += s.height) {
            mien_pack<T, V> d = load<T, V>(dy, g, row, s.channel), out;
            mien_pack<T, V> at = load<T, V>(x, g, row, s.channel);
            if (y) out = load<T, V>(y, g, row, s.channel);
#pragma unroll
            for (int v = 0; v < V; v++) {
                float dz = y && get(out.v[v]) <= 0 ? 0 : get(d.v[v]);
                b[v] += dz;
                w[v] += dz * (get(at.v[v]) - m[v]);
            }
        }
#pragma unroll
    for (int v = 0; v < V; v++) {
        __syncthreads();
        part[0][threadIdx.x] = b[v];
        part[1][threadIdx.x] = w[v];
        __syncthreads();
        for (int step = s.height / 2; step > 0; step /= 2) {
            if (s.row < step)
                for (int i = 0; i < 2; i++)
                    part[i][threadIdx.x] += part[i][threadIdx.x + step * s.across];
            __syncthreads();
        }
        if (s.row == 0 && s.inside)
            for (int64_t i = 0; i < 2; i++)
                partial[(i * gridDim.x + blockIdx.x) * g.channels + s.channel + v] =
                    part[i][threadIdx.x];
    }
}

/* A warp per channel. */
__global__ void __launch_bounds__(MIEN_THREADS)
    finish_sums(float *dw, float *db, const float *partial, const float *rstd, int channels,
                int shares) {
    int channel = (int)(mien_grid_thread() / 32), lane = (int)threadIdx.x % 32;
    double b = 0, w = 0;
    for (int i = lane; channel < channels && i < shares; i += 32) {
        b += partial[(int64_t)i * channels + channel];
        w += partial[(int64_t)(shares + i) * channels + channel];
    }
    for (int step = 16; step > 0; step /= 2) {
        b += neighbour(b, step);
        w += neighbour(w, step);
    }
    if (lane > 0 || channel >= channels) return;
    db[channel] = (float)b;
    dw[channel] = (float)(w * rstd[channel]);
}

template <typename T, int V>
static mien_status sums(const mien_norm_grid &g, const void *dy, const void *y, const void *x,
                        const float *mean, const float *rstd, float *dw, float *db) {
    mien_scratch partial(2 * (size_t)g.shares * (size_t)g.channels * sizeof(float));
    if (partial.failed()) return mien_last();
    MIEN_LAUNCH((sums_kernel<T, V>), dim3((unsigned)g.shares, (unsigned)g.groups), MIEN_THREADS, 0,
                partial.at<float>(), (const T *)dy, (const T *)y, (const T *)x, mean, g);
    MIEN_LAUNCH(finish_sums, (unsigned)(g.channels + 7) / 8, MIEN_THREADS, 0, dw, db,
                partial.at<float>(), rstd, g.channels, g.shares);
    return MIEN_OK;
}

mien_status mien__norm_sums(const mien_norm_grid &g, mien_dtype dtype, const void *dy,
                            const void *y, const void *x, const float *mean, const float *rstd,
                            float *dw, float *db) {
    MIEN_BY_DTYPE(dtype, (g.wide > 1
                              ? sums<T, mien_wide<T>::n>(g, dy, y, x, mean, rstd, dw, db)
                              : sums<T, 1>(g, dy, y, x, mean, rstd, dw, db)));
}

template <typename T, int V>
__global__ void __launch_bounds__(MIEN_THREADS)
    back_kernel(T *dx, T *dz_out, const T *dy, const T *y, const T *x, const float *mean,
                const float *rstd, const float *weight, const float *dw, const float *db,
                mien_norm_grid g) {
    seat s = take_seat<V>(g);
    if (!s.inside) return;
    float m[V], r[V], scale[V], slope[V] = {}, level[V] = {};
    float each = 1 / (float)g.rows;
    load_floats<V>(m, mean, s);
    load_floats<V>(r, rstd, s);
    load_floats<V>(scale, weight, s);
    if (dw) load_floats<V>(slope, dw, s);
    if (dw) load_floats<V>(level, db, s);
#pragma unroll
    for (int v = 0; v < V; v++) {
        scale[v] *= r[v];
        slope[v] *= r[v] * each;
        level[v] *= each;
    }
    for (int64_t row = s.first + s.row; row < s.last; row += s.height) {
        int64_t at = row * g.channels + s.channel;
        mien_pack<T, V> d = load<T, V>(dy, g, row, s.channel), out, in, result, masked;
        if (dx && dw) in = load<T, V>(x, g, row, s.channel);
        if (y) out = load<T, V>(y, g, row, s.channel);
#pragma unroll
        for (int v = 0; v < V; v++) {
            float dz = y && get(out.v[v]) <= 0 ? 0 : get(d.v[v]), z = dz;
            if (dx && dw) z -= level[v] + (get(in.v[v]) - m[v]) * slope[v];
            put(&result.v[v], scale[v] * z);
            put(&masked.v[v], dz);
        }
        if (dx) *(mien_pack<T, V> *)(dx + at) = result;
        if (dz_out) *(mien_pack<T, V> *)(dz_out + at) = masked;
    }
}

template <typename T, int V>
static mien_status back(const mien_norm_grid &g, void *dx, void *dz, const void *dy, const void *y,
                        const void *x, const float *mean, const float *rstd, const float *weight,
                        const float *dw, const float *db) {
    MIEN_LAUNCH((back_kernel<T, V>), dim3((unsigned)g.shares, (unsigned)g.groups), MIEN_THREADS, 0,
                (T *)dx, (T *)dz, (const T *)dy, (const T *)y, (const T *)x, mean, rstd, weight, dw,
                db, g);
    return MIEN_OK;
}

mien_status mien__norm_back(const mien_norm_grid &g, mien_dtype dtype, void *dx, void *dz,
                            const void *dy, const void *y, const void *x, const float *mean,
                            const float *rstd, const float *weight, const float *dw,
                            const float *db) {
    MIEN_BY_DTYPE(dtype,
                  (g.wide > 1
                       ? back<T, mien_wide<T>::n>(g, dx, dz, dy, y, x, mean, rstd, weight, dw, db)
                       : back<T, 1>(g, dx, dz, dy, y, x, mean, rstd, weight, dw, db)));
}
