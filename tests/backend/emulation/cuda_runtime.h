/* CUDA's run-time API as far as kernels and their launchers use it, on the CPU: memory is the
 * host's, a launch runs every thread of every block as a fibre. Not here: speed, and anything about
 * timing, memory order or the compiler nvcc: only a GPU shows those. */
#ifndef MIEN_EMULATED_CUDA_H
#define MIEN_EMULATED_CUDA_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "backend/backend.h"
/* The emulated device's memory is the CPU's. */
#define MIEN_DEVICE_CUDA MIEN_DEVICE_CPU

typedef int cudaError_t;
typedef void *cudaStream_t;
enum { cudaSuccess = 0 };
typedef enum cudaMemcpyKind {
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice
} cudaMemcpyKind;
typedef enum cudaStreamCaptureStatus {
    cudaStreamCaptureStatusNone,
    cudaStreamCaptureStatusActive
} cudaStreamCaptureStatus;

static inline cudaError_t cudaGetLastError(void) {
    return cudaSuccess;
}
static inline cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t n, cudaMemcpyKind kind,
                                          cudaStream_t stream) {
    memcpy(dst, src, n);
    return cudaSuccess;
}
static inline cudaError_t cudaMemsetAsync(void *dst, int value, size_t n, cudaStream_t stream) {
    memset(dst, value, n);
    return cudaSuccess;
}
static inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    return cudaSuccess;
}
static inline cudaError_t cudaStreamIsCapturing(cudaStream_t stream,
                                                cudaStreamCaptureStatus *status) {
    *status = cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
static inline cudaError_t cudaMalloc(void **data, size_t bytes) {
    *data = mien__host_alloc(bytes);
    return cudaSuccess;
}
static inline cudaError_t cudaFree(void *data) {
    return cudaSuccess;
}

/* Order in which the threads of a block run between two barriers: a result that depends on it is a
 * race. 0: upwards, 1: downwards, 2: every third. */
void mien_emulation_order(int order);
#ifdef __cplusplus
}

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__      static
#define __launch_bounds__(...)
#define __grid_constant__

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

/* Runs body() for every thread; `cluster` blocks in x see each other's shared memory. */
typedef void (*mien_emulated_body)(void *closure);
void mien_emulate_run(dim3 grid, dim3 block, int cluster, size_t shared, mien_emulated_body body,
                      void *closure);
template <typename F> void mien_emulate(dim3 grid, dim3 block, int cluster, size_t shared, F f) {
    mien_emulate_run(
        grid, block, cluster, shared, [](void *p) { (*(F *)p)(); }, &f);
}

void __syncthreads(void);
void __syncwarp(void);
void mien_emulated_cluster_sync(void);
int mien_emulated_cluster_rank(void);
void *mien_emulated_shared(void);
/* The same place in the shared memory of another block of the cluster. */
void *mien_emulated_map(void *own, int rank);
/* What thread `lane` of the warp gave; all threads of the warp call. */
uint64_t mien_emulated_exchange(uint64_t value, int lane);
int mien_emulated_lane(void);

template <typename V> V __shfl_xor_sync(unsigned mask, V v, int bits) {
    uint64_t word = 0;
    memcpy(&word, &v, sizeof v);
    word = mien_emulated_exchange(word, mien_emulated_lane() ^ bits);
    memcpy(&v, &word, sizeof v);
    return v;
}
template <typename V> V __shfl_sync(unsigned mask, V v, int lane) {
    uint64_t word = 0;
    memcpy(&word, &v, sizeof v);
    word = mien_emulated_exchange(word, lane % 32);
    memcpy(&v, &word, sizeof v);
    return v;
}
#endif
#endif
