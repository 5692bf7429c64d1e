/* Median filters by ranks: one window by a bit set, in constant time a frame, and many at once.
 * Not here: choosing a window (search.c). */
#include "median.h"
#include "base/isa.h"
#include <limits.h>
#include <math.h>
#include <omp.h>
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

/* ---- all windows at once --------------------------------------------------------------------- */

/* A value's neighbours in order, while it is in the window; values are numbered from 1 in order. */
typedef struct link {
    int32_t lower, higher;
} link;

/* Frames whose medians are turned into rows at once: a cache line of each row. */
#define COLUMNS 8

/* Room of one worker for windows of up to `size` values. */
typedef struct nest {
    int32_t
        *place;    /* [frames of one piece + size]: each value's number among those of the window */
    double *value; /* [size + 2] by number */
    link *fresh, *links; /* [size + 2]: all values there; those left */
    double *columns;     /* [COLUMNS][windows] */
} nest;

static void nest_free(nest *nest) {
    free(nest->place);
    free(nest->value);
    free(nest->fresh);
    free(nest->links);
    free(nest->columns);
}

static bool nest_make(nest *nest, int64_t size, int64_t piece) {
    size_t all = (size_t)size + 2;
    nest->place = malloc((size_t)(piece + size) * sizeof *nest->place);
    nest->value = malloc(all * sizeof *nest->value);
    nest->fresh = malloc(all * sizeof *nest->fresh);
    nest->links = malloc(all * sizeof *nest->links);
    nest->columns = malloc(COLUMNS * all * sizeof *nest->columns);
    if (!nest->place || !nest->value || !nest->fresh || !nest->links || !nest->columns)
        return false;
    for (size_t i = 0; i < all; i++) nest->fresh[i] = (link){(int32_t)i - 1, (int32_t)i + 1};
    return true;
}

/* 1 + how many of rank[n] are lower than `limit`. */
MIEN_INLINE int32_t number_of(const int32_t *rank, int64_t n, int32_t limit) {
    int32_t lower = 1;
    for (int64_t i = 0; i < n; i++) lower += rank[i] < limit;
    return lower;
}

/* The next window: numbers of place[0, n] without place[0], which leaves, and with the last, whose
 * rank in[n] is new. */
MIEN_INLINE void advance(nest *nest, const double *sorted, int32_t *place, const int32_t *in,
                         int64_t n) {
    int32_t gone = place[0], come = number_of(in + 1, n - 1, in[n]);
    double *value = nest->value;
    if (come > gone)
        memmove(value + gone, value + gone + 1, (size_t)(come - gone) * sizeof *value);
    else
        memmove(value + come + 1, value + come, (size_t)(gone - come) * sizeof *value);
    value[come] = sorted[in[n]];
    for (int64_t i = 1; i < n; i++) {
        int32_t left = place[i] - (place[i] > gone);
        place[i] = left + (left >= come);
    }
    place[n] = come;
}

MIEN_INLINE void take(link *links, int32_t number) {
    link gone = links[number];
    links[gone.lower].higher = gone.higher;
    links[gone.higher].lower = gone.lower;
}

/* column[half - first] = median of the window of 2 half + 1, for half in [first, last]. */
MIEN_INLINE void nested(nest *nest, const int32_t *place, int64_t first, int64_t last,
                        double *column) {
    link *links = nest->links;
    memcpy(links, nest->fresh, (size_t)(2 * last + 3) * sizeof *links);
    int32_t median = (int32_t)last + 1;
    const int32_t *left = place, *right = place + 2 * last;
    for (int64_t i = last - first; i > 0; i--, left++, right--) {
        column[i] = nest->value[median];
        int32_t low = *left < *right ? *left : *right, high = *left < *right ? *right : *left;
        take(links, low);
        take(links, high);
        /* Two that go on one side move the median to the other; itself is on either. */
        link beside = links[median];
        int32_t next = low >= median ? beside.lower : median;
        median = high <= median ? beside.higher : next;
    }
    column[0] = nest->value[median];
}

/* Frames [from, to). */
MIEN_CLONES(void, medians_of,
            (nest * nest, const mien__ranks *ranks, int64_t first, int64_t last, int64_t from,
             int64_t to, double *rows, int64_t row),
            (nest, ranks, first, last, from, to, rows, row)) {
    int64_t size = 2 * last + 1, windows = last - first + 1;
    const int32_t *in = ranks->rank + ranks->margin - last + from;
    int32_t *place = nest->place;
    for (int64_t i = 0; i < size; i++) {
        place[i] = number_of(in, size, in[i]);
        nest->value[place[i]] = ranks->sorted[in[i]];
    }
    for (int64_t t = from; t < to; t += COLUMNS) {
        int64_t frames = t + COLUMNS < to ? COLUMNS : to - t;
        for (int64_t i = 0; i < frames; i++, place++, in++) {
            nested(nest, place, first, last, nest->columns + i * windows);
            if (t + i + 1 < to) advance(nest, ranks->sorted, place, in, size);
        }
        for (int64_t w = 0; w < windows; w++)
            for (int64_t i = 0; i < frames; i++)
                rows[w * row + t + i] = nest->columns[i * windows + w];
    }
}

int64_t mien__medians_at_once(int64_t frames) {
    int64_t rows = (16 << 20) / (int64_t)sizeof(double) / mien__median_row(frames);
    return rows < 8 ? 8 : rows;
}

mien_status mien__medians(const mien__ranks *ranks, int64_t first, int64_t last, double *rows,
                          int64_t row, const char *name) {
    int workers = omp_get_max_threads();
    int64_t piece = ranks->n / workers / 4, pieces;
    if (piece < 256) piece = 256;
    pieces = (ranks->n + piece - 1) / piece;
    nest *nests = calloc((size_t)workers, sizeof *nests);
    bool memory = nests;
    for (int i = 0; memory && i < workers; i++) memory = nest_make(&nests[i], 2 * last + 1, piece);
    if (memory)
#pragma omp parallel for schedule(dynamic, 1) num_threads(workers)
        for (int64_t i = 0; i < pieces; i++) {
            int64_t from = i * piece, to = from + piece < ranks->n ? from + piece : ranks->n;
            if (!mien_interrupt_requested())
                medians_of(&nests[omp_get_thread_num()], ranks, first, last, from, to, rows, row);
        }
    for (int i = 0; nests && i < workers; i++) nest_free(&nests[i]);
    free(nests);
    if (!memory)
        MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no memory for windows of %lld frames", name,
                  (long long)(2 * last + 1));
    return MIEN_OK;
}

/* ---- one window ------------------------------------------------------------------------------ */

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
