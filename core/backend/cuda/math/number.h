/* Numbers that kernels and the CPU's tests share: 16-bit floats, and packs of 16 bytes.
 * Not here: any op. Plain C++, so that gcc compiles it too. */
#ifndef MIEN_CUDA_NUMBER_H
#define MIEN_CUDA_NUMBER_H
#include <stdint.h>
#include <string.h>

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
    uint32_t sign = (uint32_t)(v.bits & 0x8000) << 16, rest = v.bits & 0x7fff;
    if (rest >= 0x7c00) return mien_from_bits(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    /* 2^112 moves the exponent's bias from 15 to 127, subnormals included. */
    return mien_from_bits(sign | mien_bits(mien_from_bits(rest << 13) * 0x1p112f));
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
    uint32_t bits = mien_bits(v), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff, half;
    if (rest > 0x7f800000)
        half = 0x7e00;
    else if (rest >= 0x477ff000) /* rounds to 65536 or more */
        half = 0x7c00;
    else if (rest < 0x38800000) /* subnormal: adding 1/2 leaves the bits at the bottom */
        half = mien_bits(mien_from_bits(rest) + 0.5f) - 0x3f000000;
    else
        half = (rest + 0xfff + (rest >> 13 & 1) - 0x38000000) >> 13;
    at->bits = (uint16_t)(sign | half);
#endif
}

/* V neighbours that are moved in one access. */
template <typename T, int V> struct alignas(sizeof(T) * V) mien_pack { T v[V]; };
template <typename T> struct mien_wide { static const int n = 16 / (int)sizeof(T); };
#endif
