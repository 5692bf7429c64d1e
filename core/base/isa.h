/* The instruction set that the CPU's kernels run with, and how one kernel is compiled for each.
 * Not here: any kernel; what oneDNN makes of the choice (backend/cpu/onednn.c). */
#ifndef MIEN_ISA_H
#define MIEN_ISA_H
#include "status.h"

/* cdef:begin */
/* The instruction set of all that the CPU computes, own kernels and oneDNN alike: "avx512", "avx2"
 * or "baseline", the best that the processor has unless MIEN_CPU_ISA in the environment names
 * another one. Read once, at the first use. NULL with an error record when that names none, or one
 * that the processor lacks: then no op runs on the CPU. */
const char *mien_cpu_isa(void);
/* Those that this processor has, best first: "avx2 baseline". */
const char *mien_cpu_isa_sets(void);
/* cdef:end */

typedef enum mien__isa { MIEN_ISA_BASELINE, MIEN_ISA_AVX2, MIEN_ISA_AVX512, MIEN_ISAS } mien__isa;

extern int mien__isa_known; /* -1 before the first use */
mien__isa mien__isa_find(void);
/* The set in use. */
static inline mien__isa mien__isa_now(void) {
    int known = __atomic_load_n(&mien__isa_known, __ATOMIC_RELAXED);
    return known < 0 ? mien__isa_find() : (mien__isa)known;
}
/* The best that the processor has. */
mien__isa mien__isa_best(void);

#define MIEN_INLINE static inline __attribute__((always_inline))

/* A kernel compiled for each set, of which the call runs the one in use:
 *     MIEN_CLONES(void, scale, (float *x, int64_t n, float by), (x, n, by)) { ... }
 * is `static void scale(float *x, int64_t n, float by)`. In the body `isa` is the set it is
 * compiled for, a constant. A file may define what the sets mean to the compiler before it includes
 * this one. */
#define MIEN__LIST(...) __VA_ARGS__
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#ifndef MIEN_TARGET_AVX2
#define MIEN_TARGET_AVX2   "arch=x86-64-v3"
#define MIEN_TARGET_AVX512 "arch=x86-64-v4"
#endif
#define MIEN_CLONES(result, name, parameters, arguments)                                           \
    MIEN_INLINE result name##_body(mien__isa isa, MIEN__LIST parameters);                          \
    __attribute__((target(MIEN_TARGET_AVX512), noipa)) static result name##_avx512 parameters {    \
        return name##_body(MIEN_ISA_AVX512, MIEN__LIST arguments);                                 \
    }                                                                                              \
    __attribute__((target(MIEN_TARGET_AVX2), noipa)) static result name##_avx2 parameters {        \
        return name##_body(MIEN_ISA_AVX2, MIEN__LIST arguments);                                   \
    }                                                                                              \
    __attribute__((noipa)) static result name##_baseline parameters {                              \
        return name##_body(MIEN_ISA_BASELINE, MIEN__LIST arguments);                               \
    }                                                                                              \
    static result name parameters {                                                                \
        mien__isa isa = mien__isa_now();                                                           \
        return isa == MIEN_ISA_AVX512 ? name##_avx512 arguments                                    \
               : isa == MIEN_ISA_AVX2 ? name##_avx2 arguments                                      \
                                      : name##_baseline arguments;                                 \
    }                                                                                              \
    MIEN_INLINE result name##_body(mien__isa isa, MIEN__LIST parameters)
#else
#define MIEN_CLONES(result, name, parameters, arguments)                                           \
    static result name##_body(mien__isa isa, MIEN__LIST parameters);                               \
    __attribute__((noinline)) static result name parameters {                                      \
        return name##_body(MIEN_ISA_BASELINE, MIEN__LIST arguments);                               \
    }                                                                                              \
    static result name##_body(mien__isa isa, MIEN__LIST parameters)
#endif
#endif
