/* CCC of every candidate of a post-processing step, over recordings joined.
 * Not here: which candidate is kept (lua/mien/affect/post). */
#include "median.h"
#include "base/nan.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>

mien_status mien_shift(const double *in, double *out, int64_t n, int delay) {
    if (delay < 0)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "shift: %d frames, but a shift goes forward in time (>= 0)",
                  delay);
    int64_t held = delay < n ? delay : n;
    for (int64_t t = 0; t < held; t++) out[t] = in[0];
    if (held < n) memcpy(out + held, in, sizeof(double) * (size_t)(n - held));
    mien__canonical_doubles(out, n);
    return MIEN_OK;
}

mien_status mien__search_stopped(const char *name) {
    if (mien_interrupt_requested()) MIEN_FAIL(MIEN_ERR_INTERRUPTED, "%s: stopped on request", name);
    return MIEN_OK;
}

static mien_status longest(const int64_t *lengths, int recordings, const char *name, int64_t *out) {
    if (recordings < 1) MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: no recordings", name);
    *out = 0;
    for (int r = 0; r < recordings; r++) {
        if (lengths[r] < 0)
            MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: recording %d has %lld frames", name, r + 1,
                      (long long)lengths[r]);
        if (lengths[r] > *out) *out = lengths[r];
    }
    return MIEN_OK;
}

/* Room of one worker: a changed recording and the set of ranks in its window. */
typedef struct room {
    double *out;
    mien__rank_set set;
} room;

static void rooms_free(room *rooms, int workers) {
    for (int i = 0; rooms && i < workers; i++) {
        free(rooms[i].out);
        mien__rank_set_free(&rooms[i].set);
    }
    free(rooms);
}

/* frames: of the longest recording; ranks: how many its window draws from. NULL: no memory. */
static room *rooms_make(int workers, int64_t frames, int64_t ranks, const char *name) {
    room *rooms = calloc((size_t)workers, sizeof *rooms);
    for (int i = 0; rooms && i < workers; i++) {
        rooms[i].out = malloc(sizeof(double) * (size_t)(frames + 1));
        if (!rooms[i].out || mien__rank_set_make(&rooms[i].set, ranks, name) != MIEN_OK) {
            rooms_free(rooms, workers);
            rooms = NULL;
        }
    }
    if (!rooms) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "%s: no memory for %d workers", name, workers);
    return rooms;
}

mien_status mien_search_median(const double *x, const double *y, const int64_t *lengths,
                               int recordings, int max_window, double *scores) {
    const char *name = "median search";
    MIEN_CALL(name);
    int64_t frames = 0, first = 0;
    MIEN_TRY(longest(lengths, recordings, name, &frames));
    if (max_window < 1)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: the largest window is %d frames", name, max_window);
    int candidates = (max_window + 1) / 2, margin = candidates - 1;
    int workers = omp_get_max_threads();

    mien__ranks *ranks = calloc((size_t)recordings, sizeof *ranks);
    if (!ranks) MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no memory", name);
    mien_status status = MIEN_OK;
    for (int r = 0; r < recordings && status == MIEN_OK; first += lengths[r++])
        status = mien__ranks_make(&ranks[r], x + first, lengths[r], margin, name);
    room *rooms = NULL;
    if (status == MIEN_OK) {
        rooms = rooms_make(workers, frames, frames + 2 * margin, name);
        if (!rooms) status = MIEN_ERR_MEMORY;
    }
    if (status == MIEN_OK) {
        /* A candidate is one worker's, recordings in order: same bits with any number of them. */
#pragma omp parallel for schedule(dynamic, 4) num_threads(workers)
        for (int c = 0; c < candidates; c++) {
            if (mien_interrupt_requested()) continue;
            room *own = &rooms[omp_get_thread_num()];
            mien_moments m = {0};
            const double *gold = y;
            for (int r = 0; r < recordings; gold += lengths[r++]) {
                mien__median_slide(&ranks[r], 2 * c + 1, &own->set, own->out);
                mien_moments_add(&m, own->out, gold, lengths[r]);
            }
            scores[c] = mien_moments_ccc(&m);
        }
        status = mien__search_stopped(name);
    }
    rooms_free(rooms, workers);
    for (int r = 0; r < recordings; r++) mien__ranks_free(&ranks[r]);
    free(ranks);
    return status;
}

mien_status mien_search_shift(const double *x, const double *y, const int64_t *lengths,
                              int recordings, int max_delay, double *scores) {
    const char *name = "shift search";
    MIEN_CALL(name);
    int64_t frames = 0;
    MIEN_TRY(longest(lengths, recordings, name, &frames));
    if (max_delay < 0)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: the largest delay is %d frames", name, max_delay);
    int workers = omp_get_max_threads();
    room *rooms = rooms_make(workers, frames, 0, name);
    if (!rooms) return MIEN_ERR_MEMORY;
#pragma omp parallel for schedule(dynamic, 4) num_threads(workers)
    for (int d = 0; d <= max_delay; d++) {
        if (mien_interrupt_requested()) continue;
        double *out = rooms[omp_get_thread_num()].out;
        mien_moments m = {0};
        int64_t first = 0;
        for (int r = 0; r < recordings; first += lengths[r++]) {
            if (lengths[r] > 0) mien_shift(x + first, out, lengths[r], d);
            mien_moments_add(&m, out, y + first, lengths[r]);
        }
        scores[d] = mien_moments_ccc(&m);
    }
    rooms_free(rooms, workers);
    return mien__search_stopped(name);
}
