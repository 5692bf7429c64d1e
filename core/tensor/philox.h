/* Philox4x32-10, for the CPU and for kernels (Salmon, Moraes, Dror, Shaw 2011, "Parallel random
 * numbers"). Not here: streams, distributions (rng.c). */
#ifndef MIEN_PHILOX_H
#define MIEN_PHILOX_H
#include <stdint.h>

#ifdef __CUDACC__
#define MIEN_PHILOX __host__ __device__ __forceinline__
#else
#define MIEN_PHILOX static inline
#endif

/* The four words of block `counter`: a pure function, used by dropout on every backend. */
MIEN_PHILOX void mien__philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}
/* u in [0,1) with 24 bits from one word: exact in float on every backend. */
MIEN_PHILOX float mien__u24(uint32_t word) {
    return (float)(word >> 8) * 0x1p-24f;
}
#endif
