/* Numbers that kernels and the CPU's tests share: 16-bit floats (on the CPU by tensor/half.h), and
 * packs of 16 bytes.
 * Not here: any op. Plain C++, so that gcc compiles it too. */
#ifndef MIEN_CUDA_NUMBER_H
#define MIEN_CUDA_NUMBER_H
#include <stdint.h>
#include <string.h>

#include "tensor/half.h"

#ifdef __CUDACC__
#include <cuda_fp16.h>
#define MIEN_HD __host__ __device__ __forceinline__
#else
#define MIEN_HD inline
#endif

struct mien_bf16 {
    uint16_t bits;
};
struct mien_f16 {
    uint16_t bits;
};

MIEN_HD uint32_t mien_bits(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}
MIEN_HD float mien_from_bits(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

MIEN_HD float get(float v) {
    return v;
}
MIEN_HD float get(mien_bf16 v) {
    return mien_from_bits((uint32_t)v.bits << 16);
}
MIEN_HD float get(mien_f16 v) {
#ifdef __CUDA_ARCH__
    return __half2float(__ushort_as_half(v.bits));
#else
    return mien__f16_to_f32(v.bits);
#endif
}

MIEN_HD float get(uint8_t v) {
    return v;
}
MIEN_HD float get(int8_t v) {
    return v;
}

/* Round to nearest, ties to even; NaN stays NaN. Whole numbers must be in range. */
MIEN_HD void put(float *at, float v) {
    *at = v;
}
MIEN_HD void put(uint8_t *at, float v) {
    *at = (uint8_t)v;
}
MIEN_HD void put(int8_t *at, float v) {
    *at = (int8_t)v;
}
MIEN_HD void put(mien_bf16 *at, float v) {
    uint32_t bits = mien_bits(v);
    at->bits = v != v ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
MIEN_HD void put(mien_f16 *at, float v) {
#ifdef __CUDA_ARCH__
    at->bits = __half_as_ushort(__float2half_rn(v));
#else
    at->bits = mien__f32_to_f16(v);
#endif
}

/* V neighbours that are moved in one access. */
template <typename T, int V> struct alignas(sizeof(T) * V) mien_pack { T v[V]; };
template <typename T> struct mien_wide { static const int n = 16 / (int)sizeof(T); };
#endif
