/* Products of 8-bit matrices by a warp on tensor cores (compute capability 8.0).
 * Not here: bringing the operands to the lanes (int8.cu). */
#ifndef MIEN_CUDA_MMA_H
#define MIEN_CUDA_MMA_H
#include "launch.h"

/* c [16,8] += a [16,32] b [32,8]; a u8 or (IsSigned) i8, b i8. With g = lane / 4 and t = lane % 4 a
 * lane holds four neighbours in a word: a[0] row g, columns 4t...; a[1] row g + 8; a[2], a[3] the
 * same rows, columns 16 + 4t...; b[0] column g, rows 4t...; b[1] rows 16 + 4t...; c: columns 2t and
 * 2t + 1 of row g, then of row g + 8. (PTX ISA, "Matrix Fragments for mma.m16n8k32") */
#ifdef __CUDACC__
template <bool IsSigned>
__device__ inline void mien_mma(int32_t c[4], const uint32_t a[4], const uint32_t b[2]) {
    if (IsSigned)
        asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
            "{%8,%9}, {%0,%1,%2,%3};"
            : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
            "{%8,%9}, {%0,%1,%2,%3};"
            : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else
template <bool IsSigned>
inline void mien_mma(int32_t c[4], const uint32_t a[4], const uint32_t b[2]) {
    int lane = mien_emulated_lane(), group = lane / 4, pair = lane % 4 * 2;
    for (int t = 0; t < 4; t++) { /* who holds columns 4t... and 16 + 4t... of a, rows of b */
        uint64_t row[2], column[2];
        for (int k = 0; k < 2; k++)
            row[k] = mien_emulated_exchange(a[k] | (uint64_t)a[2 + k] << 32, group * 4 + t);
        for (int k = 0; k < 2; k++)
            column[k] = mien_emulated_exchange(b[0] | (uint64_t)b[1] << 32, (pair + k) * 4 + t);
        for (int i = 0; i < 4; i++)
            for (int bit = 0; bit < 64; bit += 8) {
                uint8_t x = (uint8_t)(row[i / 2] >> bit);
                c[i] += (IsSigned ? (int8_t)x : x) * (int8_t)(column[i % 2] >> bit);
            }
    }
}
#endif
#endif
