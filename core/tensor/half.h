/* bf16 and f16 <-> f32, one element at a time, the same bits on every machine.
 * Not here: whole tensors (convert.c). */
#ifndef MIEN_HALF_H
#define MIEN_HALF_H
#include <stdint.h>
#include <string.h>

typedef uint16_t mien__bf16;
typedef uint16_t mien__f16;

static inline float mien__bits_to_f32(uint32_t bits) {
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static inline uint32_t mien__f32_to_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits;
}

static inline float mien__bf16_to_f32(mien__bf16 h) {
    return mien__bits_to_f32((uint32_t)h << 16);
}

/* Round to nearest, ties to even; NaN stays a (quiet) NaN. */
static inline mien__bf16 mien__f32_to_bf16(float f) {
    uint32_t bits = mien__f32_to_bits(f);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    uint32_t nan = (bits >> 16) | 0x40u;
    return (mien__bf16)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

static inline float mien__f16_to_f32(mien__f16 h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t magnitude = h & 0x7fffu;
    if (magnitude >= 0x7c00u) return mien__bits_to_f32(sign | 0x7f800000u | magnitude << 13);
    /* 2^112 moves the exponent's bias from 15 to 127 and makes subnormals normal, exactly. */
    float scaled = mien__bits_to_f32(magnitude << 13) * 0x1p112f;
    return mien__bits_to_f32(sign | mien__f32_to_bits(scaled));
}

/* Round to nearest, ties to even; above 65504 (rounded) becomes infinity. */
static inline mien__f16 mien__f32_to_f16(float f) {
    uint32_t bits = mien__f32_to_bits(f);
    uint32_t sign = (bits >> 16) & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (mien__f16)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return (mien__f16)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {
        /* Subnormal: adding 0.5 puts the unit of the last place at 2^-24 and rounds there. */
        uint32_t sum = mien__f32_to_bits(mien__bits_to_f32(magnitude) + 0.5f);
        return (mien__f16)(sign | (sum - 0x3f000000u));
    }
    uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return (mien__f16)(sign | ((rounded - 0x38000000u) >> 13));
}
#endif
