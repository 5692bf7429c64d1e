/* Copies between any two strided layouts and dtypes of the GPU, and fills.
 * Not here: arithmetic (kernels/). */
#include "convert.h"

#include "backend/cuda/math/number.h"

/* ---- loops: dimensions in the order of dst's memory, neighbours joined ----------------------- */

struct loops {
    int n;
    int64_t size[MIEN_MAX_DIMS], dst[MIEN_MAX_DIMS], src[MIEN_MAX_DIMS]; /* innermost first */
};

/* src NULL: stride 0 everywhere. */
static loops loops_of(const mien_tensor *dst, const mien_tensor *src) {
    loops l = {};
    for (int i = 0; i < dst->ndim; i++) {
        if (dst->shape[i] == 1) continue;
        int at = l.n++;
        for (; at > 0 && l.dst[at - 1] > dst->stride[i]; at--) {
            l.size[at] = l.size[at - 1];
            l.dst[at] = l.dst[at - 1];
            l.src[at] = l.src[at - 1];
        }
        l.size[at] = dst->shape[i];
        l.dst[at] = dst->stride[i];
        l.src[at] = src ? src->stride[i] : 0;
    }
    int n = l.n > 0;
    for (int i = 1; i < l.n; i++) {
        int64_t inner = l.size[n - 1];
        if (l.dst[i] == l.dst[n - 1] * inner && l.src[i] == l.src[n - 1] * inner) {
            l.size[n - 1] *= l.size[i];
            continue;
        }
        l.size[n] = l.size[i];
        l.dst[n] = l.dst[i];
        l.src[n] = l.src[i];
        n++;
    }
    l.n = n;
    return l;
}

/* ---- kernels --------------------------------------------------------------------------------- */

template <typename T> __device__ inline void move(T *to, T from) {
    *to = from;
}
template <typename T, typename F> __device__ inline void move(T *to, F from) {
    put(to, get(from));
}

template <typename T, typename F, typename Index>
__global__ void copy_kernel(T *dst, const F *src, Index n, loops l) {
    Index step = (Index)blockDim.x * gridDim.x;
    for (Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        Index rest = i;
        int64_t to = 0, from = 0;
        for (int d = 0; d < l.n; d++) {
            Index next = rest / (Index)l.size[d], at = rest - next * (Index)l.size[d];
            to += (int64_t)at * l.dst[d];
            from += (int64_t)at * l.src[d];
            rest = next;
        }
        move(dst + to, src[from]);
    }
}

/* Any pair of dtypes, through double; integers truncate and saturate, NaN gives 0. */
static __device__ double load_any(const void *data, int dtype, int64_t i) {
    switch (dtype) {
    case MIEN_F32:
        return ((const float *)data)[i];
    case MIEN_BF16:
        return get(((const mien_bf16 *)data)[i]);
    case MIEN_F16:
        return get(((const mien_f16 *)data)[i]);
    case MIEN_F64:
        return ((const double *)data)[i];
    case MIEN_U8:
        return ((const uint8_t *)data)[i];
    case MIEN_I32:
        return ((const int32_t *)data)[i];
    case MIEN_I8:
        return ((const int8_t *)data)[i];
    default:
        return (double)((const int64_t *)data)[i];
    }
}

static __device__ double clamp(double v, double low, double high) {
    return v != v ? 0 : v < low ? low : v > high ? high : v;
}

static __device__ void store_any(void *data, int dtype, int64_t i, double v) {
    switch (dtype) {
    case MIEN_F32:
        ((float *)data)[i] = (float)v;
        break;
    case MIEN_BF16:
        put((mien_bf16 *)data + i, (float)v);
        break;
    case MIEN_F16:
        put((mien_f16 *)data + i, (float)v);
        break;
    case MIEN_F64:
        ((double *)data)[i] = v;
        break;
    case MIEN_U8:
        ((uint8_t *)data)[i] = (uint8_t)clamp(v, 0, 255);
        break;
    case MIEN_I32:
        ((int32_t *)data)[i] = (int32_t)clamp(v, -2147483648.0, 2147483647.0);
        break;
    case MIEN_I8:
        ((int8_t *)data)[i] = (int8_t)clamp(v, -128, 127);
        break;
    default: /* device conversion saturates */
        ((int64_t *)data)[i] = v != v ? 0 : __double2ll_rz(v);
    }
}

__global__ void copy_any(void *dst, int to_type, const void *src, int from_type, int64_t n,
                         loops l) {
    int64_t step = (int64_t)blockDim.x * gridDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        int64_t rest = i, to = 0, from = 0;
        for (int d = 0; d < l.n; d++) {
            int64_t next = rest / l.size[d], at = rest - next * l.size[d];
            to += at * l.dst[d];
            from += at * l.src[d];
            rest = next;
        }
        store_any(dst, to_type, to, load_any(src, from_type, from));
    }
}

__global__ void fill_any(void *dst, int to_type, double value, int64_t n, loops l) {
    int64_t step = (int64_t)blockDim.x * gridDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        int64_t rest = i, to = 0;
        for (int d = 0; d < l.n; d++) {
            int64_t next = rest / l.size[d];
            to += (rest - next * l.size[d]) * l.dst[d];
            rest = next;
        }
        store_any(dst, to_type, to, value);
    }
}

/* ---- choosing one ---------------------------------------------------------------------------- */

enum { THREADS = 256 };

template <typename T, typename F>
static mien_status launch(void *dst, const void *src, int64_t n, loops l) {
    cudaStream_t stream = mien__cuda_context.stream;
    unsigned grid = mien__cuda_grid(n, THREADS);
    /* 32-bit division is several times faster. */
    if (n < (int64_t)1 << 31)
        copy_kernel<T, F, uint32_t>
            <<<grid, THREADS, 0, stream>>>((T *)dst, (const F *)src, (uint32_t)n, l);
    else
        copy_kernel<T, F, int64_t><<<grid, THREADS, 0, stream>>>((T *)dst, (const F *)src, n, l);
    MIEN_LAUNCHED("copy");
    return MIEN_OK;
}

static mien_status run_copy(void *dst, mien_dtype to, const void *src, mien_dtype from, int64_t n,
                            loops l) {
    MIEN_TRY(mien__cuda_check());
    if (n == 0) return MIEN_OK;
    if (to == from) {
        size_t size = mien_dtype_size(to);
        if (l.n == 0 || (l.n == 1 && l.dst[0] == 1 && l.src[0] == 1)) {
            MIEN_CUDA(cudaMemcpyAsync(dst, src, (size_t)n * size, cudaMemcpyDeviceToDevice,
                                      mien__cuda_context.stream));
            return MIEN_OK;
        }
        switch (size) {
        case 1:
            return launch<uint8_t, uint8_t>(dst, src, n, l);
        case 2:
            return launch<uint16_t, uint16_t>(dst, src, n, l);
        case 4:
            return launch<uint32_t, uint32_t>(dst, src, n, l);
        default:
            return launch<uint64_t, uint64_t>(dst, src, n, l);
        }
    }
    if (from == MIEN_F32 && to == MIEN_BF16) return launch<mien_bf16, float>(dst, src, n, l);
    if (from == MIEN_F32 && to == MIEN_F16) return launch<mien_f16, float>(dst, src, n, l);
    if (from == MIEN_BF16 && to == MIEN_F32) return launch<float, mien_bf16>(dst, src, n, l);
    if (from == MIEN_F16 && to == MIEN_F32) return launch<float, mien_f16>(dst, src, n, l);
    copy_any<<<mien__cuda_grid(n, THREADS), THREADS, 0, mien__cuda_context.stream>>>(dst, to, src,
                                                                                     from, n, l);
    MIEN_LAUNCHED("copy_any");
    return MIEN_OK;
}

mien_status mien__cuda_copy(mien_tensor *dst, mien_tensor *src) {
    MIEN_TRY(run_copy(mien__cuda_ptr(dst), dst->dtype, mien__cuda_ptr(src), src->dtype,
                      mien_tensor_count(dst), loops_of(dst, src)));
    mien__tensor_touch(dst);
    return MIEN_OK;
}

mien_status mien__cuda_convert(void *dst, mien_dtype to, const void *src, mien_dtype from,
                               int64_t n) {
    loops l = {};
    l.n = 1;
    l.size[0] = n;
    l.dst[0] = l.src[0] = 1;
    return run_copy(dst, to, src, from, n, l);
}

mien_status mien__cuda_fill(mien_tensor *t, double value) {
    MIEN_TRY(mien__cuda_check());
    int64_t n = mien_tensor_count(t);
    if (n > 0)
        fill_any<<<mien__cuda_grid(n, THREADS), THREADS, 0, mien__cuda_context.stream>>>(
            mien__cuda_ptr(t), t->dtype, value, n, loops_of(t, NULL));
    if (n > 0) MIEN_LAUNCHED("fill");
    mien__tensor_touch(t);
    return MIEN_OK;
}
