/* Which instruction set the CPU computes with: what the processor has, and MIEN_CPU_ISA.
 * Not here: how kernels are compiled for each (isa.h). */
#include "isa.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[MIEN_ISAS] = {"baseline", "avx2", "avx512"};

int mien__isa_known = -1;
static char refused[32]; /* what MIEN_CPU_ISA says, if that cannot be */

mien__isa mien__isa_best(void) {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) return MIEN_ISA_AVX512;
    if (__builtin_cpu_supports("x86-64-v3")) return MIEN_ISA_AVX2;
#endif
    return MIEN_ISA_BASELINE;
}

static void find(void) {
    const char *wanted = getenv("MIEN_CPU_ISA");
    int best = mien__isa_best(), isa = best;
    if (wanted && *wanted)
        while (isa >= 0 && strcmp(wanted, names[isa]) != 0) isa--;
    if (isa < 0) {
        snprintf(refused, sizeof refused, "%s", wanted);
        isa = best;
    }
    __atomic_store_n(&mien__isa_known, isa, __ATOMIC_RELEASE);
}

mien__isa mien__isa_find(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
    return (mien__isa)mien__isa_known;
}

const char *mien_cpu_isa(void) {
    mien__isa isa = mien__isa_now();
    if (!*refused) return names[isa];
    bool lacks = false;
    for (int i = 0; i < MIEN_ISAS; i++) lacks |= strcmp(refused, names[i]) == 0;
    MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "MIEN_CPU_ISA=%s: %s; this one has: %s", refused,
                   lacks ? "this processor lacks that instruction set"
                         : "no instruction set is called so",
                   mien_cpu_isa_sets());
}

const char *mien_cpu_isa_sets(void) {
    static const char *const sets[MIEN_ISAS] = {"baseline", "avx2 baseline",
                                                "avx512 avx2 baseline"};
    return sets[mien__isa_best()];
}
