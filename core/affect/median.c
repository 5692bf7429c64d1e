/* Median filters by ranks and a bit set: constant time a frame, whatever the window.
 * Not here: choosing a window (search.c). */
#include "median.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- ranks ----------------------------------------------------------------------------------- */

typedef struct sample {
    double value;
    int32_t place;
} sample;

static int by_value_then_place(const void *a, const void *b) {
    const sample *p = a, *q = b;
    if (p->value != q->value) return p->value < q->value ? -1 : 1;
    return (p->place > q->place) - (p->place < q->place);
}

mien_status mien__ranks_make(mien__ranks *ranks, const double *x, int64_t n, int64_t margin,
                             const char *name) {
    int64_t total = n + 2 * margin;
    memset(ranks, 0, sizeof *ranks);
    if (n == 0) return MIEN_OK;
    if (total > INT32_MAX)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: %lld values are too many", name, (long long)total);
    for (int64_t i = 0; i < n; i++)
        if (isnan(x[i]))
            MIEN_FAIL(MIEN_ERR_NUMERIC, "%s: value %lld (counted from 1) is NaN: it has no rank",
                      name, (long long)i + 1);
    sample *samples = malloc((size_t)total * sizeof *samples);
    ranks->rank = malloc((size_t)total * sizeof(int32_t));
    ranks->sorted = malloc((size_t)total * sizeof(double));
    if (!samples || !ranks->rank || !ranks->sorted) {
        free(samples);
        mien__ranks_free(ranks);
        MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no memory for %lld values", name, (long long)total);
    }
    ranks->n = n;
    ranks->margin = margin;
    for (int64_t i = 0; i < total; i++) {
        int64_t from = i - margin;
        from = from < 0 ? 0 : from >= n ? n - 1 : from;
        samples[i] = (sample){x[from], (int32_t)i};
    }
    qsort(samples, (size_t)total, sizeof *samples, by_value_then_place);
    for (int64_t i = 0; i < total; i++) {
        ranks->rank[samples[i].place] = (int32_t)i;
        ranks->sorted[i] = samples[i].value;
    }
    free(samples);
    return MIEN_OK;
}

void mien__ranks_free(mien__ranks *ranks) {
    free(ranks->rank);
    free(ranks->sorted);
    memset(ranks, 0, sizeof *ranks);
}

/* ---- the set --------------------------------------------------------------------------------- */

mien_status mien__rank_set_make(mien__rank_set *set, int64_t size, const char *name) {
    memset(set, 0, sizeof *set);
    int64_t words = size;
    do {
        words = (words + 63) / 64;
        if (words == 0) words = 1;
        uint64_t *level = calloc((size_t)words, sizeof(uint64_t));
        if (!level) {
            mien__rank_set_free(set);
            MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no memory for %lld ranks", name, (long long)size);
        }
        set->word[set->levels++] = level;
    } while (words > 1);
    return MIEN_OK;
}

void mien__rank_set_free(mien__rank_set *set) {
    for (int i = 0; i < set->levels; i++) free(set->word[i]);
    set->levels = 0;
}

static inline void set_insert(mien__rank_set *set, int32_t rank) {
    uint32_t at = (uint32_t)rank;
    for (int i = 0; i < set->levels; i++, at >>= 6) {
        uint64_t *word = &set->word[i][at >> 6], before = *word;
        *word |= 1ull << (at & 63);
        if (before) return; /* the levels above know this word already */
    }
}

static inline void set_remove(mien__rank_set *set, int32_t rank) {
    uint32_t at = (uint32_t)rank;
    for (int i = 0; i < set->levels; i++, at >>= 6) {
        uint64_t *word = &set->word[i][at >> 6];
        *word &= ~(1ull << (at & 63));
        if (*word) return;
    }
}

/* The nearest rank in the set above (up) or below `rank`, -1 when there is none. */
static inline int32_t set_neighbour(const mien__rank_set *set, int32_t rank, bool up) {
    uint32_t at = (uint32_t)rank;
    for (int i = 0; i < set->levels; i++, at >>= 6) {
        uint32_t bit = at & 63;
        uint64_t mask = up ? ~1ull << bit : (1ull << bit) - 1; /* for bit 63, ~1 << 63 is 0 */
        uint64_t found = set->word[i][at >> 6] & mask;
        if (!found) continue;
        at = (at & ~63u) | (uint32_t)(up ? __builtin_ctzll(found) : 63 - __builtin_clzll(found));
        while (i-- > 0) { /* down to the rank itself: the outermost bit of each word */
            uint64_t word = set->word[i][at];
            at = at << 6 | (uint32_t)(up ? __builtin_ctzll(word) : 63 - __builtin_clzll(word));
        }
        return (int32_t)at;
    }
    return -1;
}

/* ---- sliding --------------------------------------------------------------------------------- */

void mien__median_slide(const mien__ranks *ranks, int window, mien__rank_set *set, double *out) {
    if (ranks->n == 0) return;
    int64_t half = window / 2;
    const int32_t *in = ranks->rank + ranks->margin - half; /* [n + 2 half] */
    for (int64_t i = 0; i < window; i++) set_insert(set, in[i]);
    /* Invariant: `below` elements of the window rank lower than `median`; it is the median when
     * that is `half`. */
    int32_t median = in[0];
    int64_t below = 0;
    for (int64_t i = 1; i < window; i++) below += in[i] < median;
    for (int64_t t = 0;; t++) {
        for (; below < half; below++) median = set_neighbour(set, median, true);
        for (; below > half; below--) median = set_neighbour(set, median, false);
        out[t] = ranks->sorted[median];
        if (t + 1 == ranks->n) break;
        int32_t entering = in[t + window], leaving = in[t];
        set_insert(set, entering);
        below += entering < median;
        if (leaving == median) {
            int32_t next = set_neighbour(set, median, true);
            if (next < 0) {
                next = set_neighbour(set, median, false);
                below--;
            }
            median = next;
        } else {
            below -= leaving < median;
        }
        set_remove(set, leaving);
    }
    for (int64_t i = 0; i < window; i++) set_remove(set, in[ranks->n - 1 + i]);
}

mien_status mien_median_filter(const double *in, double *out, int64_t n, int window) {
    MIEN_CALL("a median filter");
    if (window < 1 || window % 2 == 0)
        MIEN_FAIL(MIEN_ERR_ARGUMENT,
                  "median filter: the window is %d frames but must be an odd number of them",
                  window);
    mien__ranks ranks;
    mien__rank_set set;
    MIEN_TRY(mien__ranks_make(&ranks, in, n, window / 2, "median filter"));
    mien_status status = mien__rank_set_make(&set, n + window - 1, "median filter");
    if (status == MIEN_OK) {
        mien__median_slide(&ranks, window, &set, out);
        mien__rank_set_free(&set);
    }
    mien__ranks_free(&ranks);
    return status;
}
