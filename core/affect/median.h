/* The sliding median over ranks: sort a recording once, filter it with any window after that.
 * Not here: the public functions (affect.h). */
#ifndef MIEN_MEDIAN_H
#define MIEN_MEDIAN_H
#include "affect.h"

/* After a loop whose workers leave candidates out once a wish to stop is there: MIEN_OK without
 * one, else the error. */
mien_status mien__search_stopped(const char *name);

/* A recording with both ends repeated `margin` times: every element's place among the sorted
 * ones. Serves all windows up to 2 * margin + 1, and several threads at once. */
typedef struct mien__ranks {
    int64_t n;      /* elements of the recording */
    int64_t margin; /* repeated elements on either side */
    int32_t *rank;  /* [n + 2 margin] distinct; equal values rank in order of time */
    double *sorted; /* [n + 2 margin] value of each rank */
} mien__ranks;

/* name: what the message calls the caller. Error: NaN, or no memory. */
mien_status mien__ranks_make(mien__ranks *ranks, const double *x, int64_t n, int64_t margin,
                             const char *name);
void mien__ranks_free(mien__ranks *ranks);

/* Which ranks are inside the window: 64-bit words, each level marks the non-empty words of the
 * level below, so that the neighbour of a rank is found in a few steps. */
#define MIEN__RANK_LEVELS 6
typedef struct mien__rank_set {
    int levels;
    uint64_t *word[MIEN__RANK_LEVELS];
} mien__rank_set;

/* Room for ranks below `size`. */
mien_status mien__rank_set_make(mien__rank_set *set, int64_t size, const char *name);
void mien__rank_set_free(mien__rank_set *set);
/* out[n] = median over `window` (odd, at most 2 margin + 1); set: empty before and after. */
void mien__median_slide(const mien__ranks *ranks, int window, mien__rank_set *set, double *out);
#endif
