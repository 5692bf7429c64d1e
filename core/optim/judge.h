/* What is decided about an update where its gradients are, for the CPU and for kernels.
 * Not here: the updates (backend/), the norm of the gradients (optim.c). */
#ifndef MIEN_JUDGE_H
#define MIEN_JUDGE_H
#include "optim.h"

#ifdef __CUDACC__
#define MIEN_JUDGE __host__ __device__ __forceinline__
#else
#define MIEN_JUDGE static inline
#endif

/* A loss scale that went on to shrink would become 0, and nothing would ever be updated again. */
#define MIEN__SCALE_LEAST 0x1p-24

/* v[MIEN_VERDICT_NORM] holds the norm as it was found and becomes the true one. Micikevicius et al.
 * 2018, section 3.2, with the rules of PyTorch's GradScaler. */
MIEN_JUDGE void mien__judge(double *v, mien_scaling rules, double loss) {
    double scale = v[MIEN_VERDICT_SCALE], norm = v[MIEN_VERDICT_NORM] / scale;
    bool sound = norm - norm == 0, known = loss - loss == 0;
    v[MIEN_VERDICT_LOSS] = loss;
    v[MIEN_VERDICT_NORM] = norm;
    v[MIEN_VERDICT_OPEN] = sound && known ? 1 : 0;
    v[MIEN_VERDICT_DIVISOR] = sound && rules.max_norm > 0 && norm > rules.max_norm
                                  ? scale * (norm / rules.max_norm)
                                  : scale;
    if (rules.interval == 0 || !known) return;
    if (!sound) {
        v[MIEN_VERDICT_SKIPPED] += 1;
        v[MIEN_VERDICT_IN_A_ROW] += 1;
        v[MIEN_VERDICT_GOOD] = 0;
        if (scale * rules.backoff >= MIEN__SCALE_LEAST)
            v[MIEN_VERDICT_SCALE] = scale * rules.backoff;
        return;
    }
    v[MIEN_VERDICT_IN_A_ROW] = 0;
    v[MIEN_VERDICT_GOOD] += 1;
    if (v[MIEN_VERDICT_GOOD] < rules.interval) return;
    v[MIEN_VERDICT_GOOD] = 0;
    if (scale * rules.growth < 0x1p127) v[MIEN_VERDICT_SCALE] = scale * rules.growth; /* in f32 */
}
#endif
