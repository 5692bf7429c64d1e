/* Clusters of blocks that see each other's shared memory (compute capability 9.0).
 * Not here: launching one (lstm.cu). */
#ifndef MIEN_CUDA_CLUSTER_H
#define MIEN_CUDA_CLUSTER_H
#include "launch.h"

#ifdef __CUDACC__

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define MIEN_HAS_CLUSTERS 1
#endif

__device__ inline void *mien_shared(void) {
    extern __shared__ __align__(16) unsigned char memory[];
    return memory;
}

#ifdef MIEN_HAS_CLUSTERS
__device__ inline int mien_cluster_rank(void) {
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return (int)rank;
}
/* What was written before arriving, also to other blocks, is seen after waiting. */
__device__ inline void mien_cluster_arrive(void) {
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
}
__device__ inline void mien_cluster_wait(void) {
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
}
/* *at = v in block `rank`; `at` is the place in the own shared memory. */
__device__ inline void mien_cluster_store(float *at, int rank, float v) {
    unsigned own = (unsigned)__cvta_generic_to_shared(at), there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(own), "r"(rank));
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"(v) : "memory");
}
#endif

#else /* emulated */

#define MIEN_HAS_CLUSTERS 1
inline void *mien_shared(void) {
    return mien_emulated_shared();
}
inline int mien_cluster_rank(void) {
    return mien_emulated_cluster_rank();
}
inline void mien_cluster_arrive(void) {}
inline void mien_cluster_wait(void) {
    mien_emulated_cluster_sync();
}
inline void mien_cluster_store(float *at, int rank, float v) {
    *(float *)mien_emulated_map(at, rank) = v;
}
#endif
#endif
