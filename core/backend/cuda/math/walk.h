/* Where elements lie: a loop over several strided tensors of one shape, as one number.
 * Not here: what is done with the elements. */
#ifndef MIEN_CUDA_WALK_H
#define MIEN_CUDA_WALK_H
#include "number.h"

enum { MIEN_WALK_DIMS = 6 };

/* Dimensions from the innermost on; stride[k] are those of tensor k. */
template <int N> struct mien_walk {
    int n;
    int64_t size[MIEN_WALK_DIMS], stride[N][MIEN_WALK_DIMS];
};

/* Adds a dimension outside of those there are; joins it with the last where all strides allow. */
template <int N> inline void mien_walk_add(mien_walk<N> *w, int64_t size, const int64_t *stride) {
    if (size == 1) return;
    bool joins = w->n > 0;
    for (int k = 0; k < N && joins; k++)
        joins = stride[k] == w->stride[k][w->n - 1] * w->size[w->n - 1];
    if (joins) {
        w->size[w->n - 1] *= size;
        return;
    }
    w->size[w->n] = size;
    for (int k = 0; k < N; k++) w->stride[k][w->n] = stride[k];
    w->n++;
}

/* Offsets of element i in each tensor. */
template <typename Index, int N>
MIEN_HD void mien_walk_at(const mien_walk<N> &w, Index i, int64_t *offset) {
    for (int k = 0; k < N; k++) offset[k] = 0;
    for (int d = 0; d < w.n; d++) {
        Index next = i / (Index)w.size[d], at = i - next * (Index)w.size[d];
        for (int k = 0; k < N; k++) offset[k] += (int64_t)at * w.stride[k][d];
        i = next;
    }
}
#endif
