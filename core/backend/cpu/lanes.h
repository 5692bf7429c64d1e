/* Elements of f32 and bf16 activations as floats, sixteen at a time or one: the kernels are written
 * once, for both. Not here: any arithmetic; whole tensors (layout.c). */
#ifndef MIEN_LANES_H
#define MIEN_LANES_H
#include "tensor/half.h"
#include "cpu.h"

typedef uint32_t v16u __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t v16h __attribute__((vector_size(32), aligned(2), may_alias));

/* What lies in memory, and how it is read: by instructions that every AVX-512 has, or by those that
 * are made for bf16. A kernel gets it as a constant: one source, several bodies. */
enum { MIEN_LANES_F32, MIEN_LANES_BF16, MIEN_LANES_BF16_NATIVE };

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MIEN_NATIVE __attribute__((target("arch=x86-64-v4,avx512bf16"), noinline))
#else
#define MIEN_NATIVE
#endif

static inline int mien__lanes_of(mien_dtype dtype) {
    if (dtype != MIEN_BF16) return MIEN_LANES_F32;
    return mien__cpu_has_bf16() ? MIEN_LANES_BF16_NATIVE : MIEN_LANES_BF16;
}

/* Makes a function that calls `kernel` for what `form`, its first parameter, says. function:
 * linkage, type and name; parameters: in parentheses; then the arguments after `form`. */
#define MIEN_KERNEL(function, kernel, parameters, ...)                                             \
    MIEN_CLONES(void, kernel##_portable, parameters, (form, __VA_ARGS__)) {                        \
        if (form == MIEN_LANES_F32)                                                                \
            kernel(MIEN_LANES_F32, __VA_ARGS__);                                                   \
        else                                                                                       \
            kernel(MIEN_LANES_BF16, __VA_ARGS__);                                                  \
    }                                                                                              \
    MIEN_NATIVE static void kernel##_native parameters {                                           \
        const mien__isa isa = MIEN_ISA_AVX512;                                                     \
        (void)isa;                                                                                 \
        kernel(MIEN_LANES_BF16_NATIVE, __VA_ARGS__);                                               \
    }                                                                                              \
    function parameters {                                                                          \
        if (form == MIEN_LANES_BF16_NATIVE)                                                        \
            kernel##_native(form, __VA_ARGS__);                                                    \
        else                                                                                       \
            kernel##_portable(form, __VA_ARGS__);                                                  \
    }

/* Round to nearest, ties to even; NaN stays NaN (as mien__f32_to_bf16). */
MIEN_INLINE v16h mien__lanes_narrow(v16 v) {
    v16u bits = (v16u)v, nan = (v16u)mien__v16_is_nan(v);
    v16u rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    rounded = (nan & (bits | 0x400000u)) | (~nan & rounded);
    return __builtin_convertvector(rounded >> 16, v16h);
}

MIEN_INLINE v16 mien__lanes_widen(v16h h) {
    return (v16)(__builtin_convertvector(h, v16u) << 16);
}

/* Elements [i, i + 16) of `base`. (GCC 12 widens 16 numbers in two halves, which costs three times
 * the one instruction there is.) */
MIEN_INLINE v16 mien__lanes_load(int form, const void *base, int64_t i) {
    if (form == MIEN_LANES_F32) {
        v16 v;
        memcpy(&v, (const float *)base + i, sizeof v);
        return v;
    }
    const mien__bf16 *from = (const mien__bf16 *)base + i;
#ifdef __x86_64__
    if (form == MIEN_LANES_BF16_NATIVE) {
        v16u wide;
        __asm__("vpmovzxwd %1, %0" : "=v"(wide) : "m"(*(const v16h *)from));
        return (v16)(wide << 16);
    }
#endif
    v16h h;
    memcpy(&h, from, sizeof h);
    return mien__lanes_widen(h);
}

MIEN_INLINE void mien__lanes_store(int form, void *base, int64_t i, v16 v) {
    if (form == MIEN_LANES_F32) {
        memcpy((float *)base + i, &v, sizeof v);
        return;
    }
    v16h h;
#ifdef __x86_64__
    if (form == MIEN_LANES_BF16_NATIVE)
        __asm__("vcvtneps2bf16 %1, %0" : "=v"(h) : "v"(v));
    else
#endif
        h = mien__lanes_narrow(v);
    memcpy((mien__bf16 *)base + i, &h, sizeof h);
}

/* value, or 0 where sign is not positive; NaN in sign keeps the value, so that NaN shows. */
MIEN_INLINE v16 mien__lanes_keep_positive(v16 value, v16 sign) {
    v16u bits = (v16u)sign;
    v16i not_positive = mien__v16_negative((v16i)(bits | (bits - 1)));
    return (v16)(~(not_positive & ~mien__v16_is_nan(sign)) & (v16i)value);
}

/* ---- as long as a register ------------------------------------------------------------------- */

/* The same for vectors of n floats, n 4, 8 or 16: mien__v8, mien__lanes_load_8, ... A kernel takes
 * those of its set. Without AVX-512 there is no form MIEN_LANES_BF16_NATIVE. */
#define MIEN_LANES_JOIN(a, b) a##b
#define MIEN_LANES_NAME(a, b) MIEN_LANES_JOIN(a, b)
#define MIEN_LANES_OF(n)                                                                           \
    typedef float mien__v##n __attribute__((vector_size(n * 4), aligned(4), may_alias));           \
    typedef int32_t mien__v##n##i __attribute__((vector_size(n * 4), aligned(4), may_alias));      \
    typedef uint32_t mien__v##n##u __attribute__((vector_size(n * 4), aligned(4), may_alias));     \
    typedef uint16_t mien__v##n##h __attribute__((vector_size(n * 2), aligned(2), may_alias));     \
    MIEN_INLINE mien__v##n mien__lanes_load_##n(int form, const void *base, int64_t i) {           \
        if (form == MIEN_LANES_F32) return *(const mien__v##n *)((const float *)base + i);         \
        mien__v##n##h half = *(const mien__v##n##h *)((const mien__bf16 *)base + i);               \
        return (mien__v##n)(__builtin_convertvector(half, mien__v##n##u) << 16);                   \
    }                                                                                              \
    MIEN_INLINE mien__v##n##i mien__lanes_is_nan_##n(mien__v##n x) {                               \
        return (0x7f800000 - ((mien__v##n##i)x & 0x7fffffff)) >> 31;                               \
    }                                                                                              \
    MIEN_INLINE void mien__lanes_store_##n(int form, void *base, int64_t i, mien__v##n v) {        \
        if (form == MIEN_LANES_F32) {                                                              \
            *(mien__v##n *)((float *)base + i) = v;                                                \
            return;                                                                                \
        }                                                                                          \
        mien__v##n##u bits = (mien__v##n##u)v, nan = (mien__v##n##u)mien__lanes_is_nan_##n(v);     \
        mien__v##n##u rounded = bits + 0x7fffu + ((bits >> 16) & 1u);                              \
        rounded = (nan & (bits | 0x400000u)) | (~nan & rounded);                                   \
        *(mien__v##n##h *)((mien__bf16 *)base + i) =                                               \
            __builtin_convertvector(rounded >> 16, mien__v##n##h);                                 \
    }                                                                                              \
    MIEN_INLINE mien__v##n mien__lanes_keep_positive_##n(mien__v##n value, mien__v##n sign) {      \
        mien__v##n##u bits = (mien__v##n##u)sign;                                                  \
        mien__v##n##i not_positive = (mien__v##n##i)(bits | (bits - 1)) >> 31;                     \
        return (mien__v##n)(~(not_positive & ~mien__lanes_is_nan_##n(sign)) &                      \
                            (mien__v##n##i)value);                                                 \
    }
MIEN_LANES_OF(8) // cppcheck-suppress shiftTooManyBitsSigned
MIEN_LANES_OF(4) // cppcheck-suppress shiftTooManyBitsSigned
typedef v16 mien__v16;
#define mien__lanes_load_16          mien__lanes_load
#define mien__lanes_store_16         mien__lanes_store
#define mien__lanes_keep_positive_16 mien__lanes_keep_positive

MIEN_INLINE float mien__lane_load(int form, const void *base, int64_t i) {
    return form ? mien__bf16_to_f32(((const mien__bf16 *)base)[i]) : ((const float *)base)[i];
}

MIEN_INLINE void mien__lane_store(int form, void *base, int64_t i, float v) {
    if (form)
        ((mien__bf16 *)base)[i] = mien__f32_to_bf16(v);
    else
        ((float *)base)[i] = v;
}

/* Address of element i. */
MIEN_INLINE void *mien__lane_at(int form, const void *base, int64_t i) {
    return (char *)base + i * (form ? 2 : 4);
}
#endif
