/* Elements of f32 and bf16 activations as floats, sixteen at a time or one: the kernels are written
 * once, for both. Not here: any arithmetic; whole tensors (layout.c). */
#ifndef MIEN_LANES_H
#define MIEN_LANES_H
#include "../../tensor/half.h"
#include "cpu.h"

typedef uint32_t v16u __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t v16h __attribute__((vector_size(32), aligned(2), may_alias));

/* Always inlined, so no call passes such vectors and their calling convention does not matter. */
#pragma GCC diagnostic ignored "-Wpsabi"
#define MIEN_INLINE static inline __attribute__((always_inline))

/* Calls kernel(half, ...) with `half` as a constant: two bodies from one source. */
#define MIEN_BY_HALF(half, kernel, ...)                                                            \
    do {                                                                                           \
        if (half)                                                                                  \
            kernel(true, __VA_ARGS__);                                                             \
        else                                                                                       \
            kernel(false, __VA_ARGS__);                                                            \
    } while (0)

/* Round to nearest, ties to even; NaN stays NaN (as mien__f32_to_bf16). */
MIEN_INLINE v16h mien__lanes_narrow(v16 v) {
    v16u bits = (v16u)v, nan = (v16u)(v != v);
    v16u rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    rounded = (nan & (bits | 0x400000u)) | (~nan & rounded);
    return __builtin_convertvector(rounded >> 16, v16h);
}

MIEN_INLINE v16 mien__lanes_widen(v16h h) {
    return (v16)(__builtin_convertvector(h, v16u) << 16);
}

/* Elements [i, i + 16) of `base`. half: bf16 lies there, else f32. */
MIEN_INLINE v16 mien__lanes_load(bool half, const void *base, int64_t i) {
    if (half) {
        v16h h;
        memcpy(&h, (const mien__bf16 *)base + i, sizeof h);
        return mien__lanes_widen(h);
    }
    v16 v;
    memcpy(&v, (const float *)base + i, sizeof v);
    return v;
}

MIEN_INLINE void mien__lanes_store(bool half, void *base, int64_t i, v16 v) {
    if (half) {
        v16h h = mien__lanes_narrow(v);
        memcpy((mien__bf16 *)base + i, &h, sizeof h);
    } else {
        memcpy((float *)base + i, &v, sizeof v);
    }
}

MIEN_INLINE float mien__lane_load(bool half, const void *base, int64_t i) {
    return half ? mien__bf16_to_f32(((const mien__bf16 *)base)[i]) : ((const float *)base)[i];
}

MIEN_INLINE void mien__lane_store(bool half, void *base, int64_t i, float v) {
    if (half)
        ((mien__bf16 *)base)[i] = mien__f32_to_bf16(v);
    else
        ((float *)base)[i] = v;
}

/* Address of element i. */
MIEN_INLINE void *mien__lane_at(bool half, const void *base, int64_t i) {
    return (char *)base + i * (half ? 2 : 4);
}
#endif
