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

static int64_t rows_at_once(int64_t candidates, int64_t frames) {
    int64_t some = mien__medians_at_once(frames);
    return some < candidates ? some : candidates;
}

/* Adds one recording, filtered with every window, to the moments of each. */
static mien_status add_recording(const double *x, const double *y, int64_t n, int64_t candidates,
                                 double *rows, mien_moments *moments, const char *name) {
    if (n == 0) return MIEN_OK;
    mien__ranks ranks;
    MIEN_TRY(mien__ranks_make(&ranks, x, n, candidates - 1, name));
    mien_status status = MIEN_OK;
    int64_t at_once = rows_at_once(candidates, n), row = mien__median_row(n);
    for (int64_t first = 0; first < candidates && status == MIEN_OK; first += at_once) {
        int64_t last = first + at_once < candidates ? first + at_once : candidates;
        status = mien__medians(&ranks, first, last - 1, rows, row, name);
        if (status != MIEN_OK || mien_interrupt_requested()) break;
            /* A candidate is one worker's, recordings in order: same bits with any number of them.
             */
#pragma omp parallel for schedule(dynamic, 4)
        for (int64_t c = first; c < last; c++)
            mien_moments_add(&moments[c], rows + (c - first) * row, y, n);
    }
    mien__ranks_free(&ranks);
    return status;
}

mien_status mien_search_median(const double *x, const double *y, const int64_t *lengths,
                               int recordings, int max_window, double *scores) {
    const char *name = "median search";
    MIEN_CALL(name);
    int64_t frames = 0, first = 0;
    MIEN_TRY(longest(lengths, recordings, name, &frames));
    if (max_window < 1)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: the largest window is %d frames", name, max_window);
    int64_t candidates = (max_window + 1) / 2, room = 0;
    for (int r = 0; r < recordings; r++) {
        int64_t need = rows_at_once(candidates, lengths[r]) * mien__median_row(lengths[r]);
        if (need > room) room = need;
    }
    mien_moments *moments = calloc((size_t)candidates, sizeof *moments);
    double *rows = malloc((size_t)room * sizeof *rows);
    mien_status status = MIEN_OK;
    if (!moments || !rows)
        status = mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "%s: no memory", name);
    for (int r = 0; r < recordings && status == MIEN_OK; first += lengths[r++])
        status = add_recording(x + first, y + first, lengths[r], candidates, rows, moments, name);
    if (status == MIEN_OK) status = mien__search_stopped(name);
    if (status == MIEN_OK)
        for (int64_t c = 0; c < candidates; c++) scores[c] = mien_moments_ccc(&moments[c]);
    free(rows);
    free(moments);
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
    double *rooms = malloc(sizeof(double) * (size_t)(frames + 1) * (size_t)workers);
    if (!rooms) MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no memory for %d workers", name, workers);
#pragma omp parallel for schedule(dynamic, 4) num_threads(workers)
    for (int d = 0; d <= max_delay; d++) {
        if (mien_interrupt_requested()) continue;
        double *out = rooms + (frames + 1) * omp_get_thread_num();
        mien_moments m = {0};
        int64_t first = 0;
        for (int r = 0; r < recordings; first += lengths[r++]) {
            if (lengths[r] > 0) mien_shift(x + first, out, lengths[r], d);
            mien_moments_add(&m, out, y + first, lengths[r]);
        }
        scores[d] = mien_moments_ccc(&m);
    }
    free(rooms);
    return mien__search_stopped(name);
}
