/* What all kernels share: launching, dispatch by dtype, sums over a block.
 * Not here: any op. tests/backend/emulation runs the same code on the CPU. */
#ifndef MIEN_CUDA_LAUNCH_H
#define MIEN_CUDA_LAUNCH_H
#include "backend/cuda/cuda.h"
#include "backend/cuda/math/number.h"

/* Launches on the backend's stream; returns from the caller on failure. A template with several
 * arguments goes in parentheses. */
#ifdef __CUDACC__
#define MIEN_LAUNCH(kernel, grid, block, shared, ...)                                              \
    do {                                                                                           \
        (kernel)<<<(grid), (block), (shared), mien__cuda_context.stream>>>(__VA_ARGS__);           \
        MIEN_LAUNCHED(#kernel);                                                                    \
    } while (0)
#else
#define MIEN_LAUNCH(kernel, grid, block, shared, ...)                                              \
    mien_emulate((grid), (block), 1, (shared), [&] { (kernel)(__VA_ARGS__); })
#endif

enum { MIEN_THREADS = 256 };

/* `return f(T())`-like dispatch: calls `call` with T a type of the dtype; f64 was refused before.
 */
#define MIEN_BY_DTYPE(dtype, call)                                                                 \
    do {                                                                                           \
        switch (dtype) {                                                                           \
        case MIEN_BF16: {                                                                          \
            typedef mien_bf16 T;                                                                   \
            return call;                                                                           \
        }                                                                                          \
        case MIEN_F16: {                                                                           \
            typedef mien_f16 T;                                                                    \
            return call;                                                                           \
        }                                                                                          \
        default: {                                                                                 \
            typedef float T;                                                                       \
            return call;                                                                           \
        }                                                                                          \
        }                                                                                          \
    } while (0)

/* Sum over the block in an order that does not change; every thread gets it. The block's threads
 * are numbered by x, a multiple of 32 of them, and all of them call. */
template <typename V> __device__ inline V mien_block_sum(V v) {
    __shared__ V warp[32];
    int lane = (int)threadIdx.x % 32, own = (int)threadIdx.x / 32, warps = (int)blockDim.x / 32;
    for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(~0u, v, step);
    __syncthreads(); /* the last call's readers are done */
    if (lane == 0) warp[own] = v;
    __syncthreads();
    V sum = warp[0];
    for (int i = 1; i < warps; i++) sum += warp[i];
    return sum;
}

__device__ inline int64_t mien_grid_thread(void) {
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}
__device__ inline int64_t mien_grid_threads(void) {
    return (int64_t)gridDim.x * blockDim.x;
}

static inline bool mien_aligned(const void *p) {
    return (uintptr_t)p % 16 == 0;
}

/* Storage that lives until the end of a function. */
struct mien_scratch {
    mien_storage *storage;
    explicit mien_scratch(size_t bytes) : storage(mien__cuda_scratch(bytes)) {}
    ~mien_scratch() { mien__storage_release(storage); }
    mien_scratch(const mien_scratch &) = delete;
    template <typename V> V *at(int64_t i = 0) const { return (V *)storage->data + i; }
    bool failed() const { return !storage; }
};

/* A reference that is given back at the end of a function. */
struct mien_held {
    mien_tensor *t;
    explicit mien_held(mien_tensor *taken = NULL) : t(taken) {}
    ~mien_held() { mien_tensor_release(t); }
    mien_held(const mien_held &) = delete;
    void take(mien_tensor *other) {
        mien_tensor_release(t);
        t = other;
    }
    template <typename V> V *data() const { return (V *)mien__cuda_ptr(t); }
    bool failed() const { return !t; }
};

/* `t` in `dtype` with the layout it has. */
static inline mien_tensor *mien_in_dtype(mien_tensor *t, mien_dtype dtype) {
    return t->dtype == dtype ? mien_tensor_retain(t) : mien__cuda_as_like(t, t, dtype);
}

static inline mien_status mien_last(void) {
    return mien_error_last()->code;
}
#endif
