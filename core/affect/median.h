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

/* Elements in a row of medians of n frames: a row begins on a cache line, and not at the place in
 * the cache where the one before begins. */
static inline int64_t mien__median_row(int64_t n) {
    return (n + 7) / 8 * 8 | 8;
}
/* Medians of many windows, windows 2 half + 1 for half in [first, last]: rows[(half - first) * row
 * + t] = median around frame t, by all threads. The largest window holds all the others: from the
 * list of its values in order, each smaller one takes two away. The bits of mien__median_slide, an
 * eighth of its time when there are many. Windows at most 2 margin + 1. Ends early on a wish to
 * stop. */
mien_status mien__medians(const mien__ranks *ranks, int64_t first, int64_t last, double *rows,
                          int64_t row, const char *name);
/* How many rows of medians are worth having at once: about 16 MiB of them. */
int64_t mien__medians_at_once(int64_t frames);
#endif
