/* Raters' traces brought to one clock: each rater's lag, and dynamic time warping.
 * Not here: fusing them (gold.c), the lag of predictions (search.c). */
#include "affect.h"
#include "base/nan.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

static mien_status stopped(const char *name) {
    if (mien_interrupt_requested()) MIEN_FAIL(MIEN_ERR_INTERRUPTED, "%s: stopped on request", name);
    return MIEN_OK;
}

/* ---- lags ------------------------------------------------------------------------------------ */

void mien_compensate_lag(const double *in, double *out, int64_t n, int lag) {
    for (int64_t t = 0; t < n; t++) {
        int64_t from = t + lag;
        out[t] = in[from < 0 ? 0 : from >= n ? n - 1 : from];
    }
    mien__canonical_doubles(out, n);
}

static void compensate_all(const double *in, double *out, const int64_t *lengths, int recordings,
                           int lag) {
    for (int i = 0; i < recordings; in += lengths[i], out += lengths[i++])
        mien_compensate_lag(in, out, lengths[i], lag);
}

/* Mean of the others at each time: of those that have a value there. */
static void mean_of_others(const double *aligned, int raters, int64_t n, int rater, double *mean) {
    for (int64_t t = 0; t < n; t++) {
        double sum = 0;
        int count = 0;
        for (int s = 0; s < raters; s++) {
            double x = aligned[s * n + t];
            if (s == rater || isnan(x)) continue;
            sum += x;
            count++;
        }
        mean[t] = count > 0 ? sum / count : NAN;
    }
}

/* Pearson's r of trace(t + lag) and reference(t), over the times that both have; recordings are
 * joined and never crossed. Bias and scale of a rater say nothing about his lag. */
static double agreement_at(const double *trace, const double *reference, const int64_t *lengths,
                           int recordings, int lag) {
    mien_moments m = {0};
    for (int i = 0; i < recordings; trace += lengths[i], reference += lengths[i++]) {
        int64_t common = lengths[i] - abs(lag);
        mien_moments_add(&m, trace + (lag > 0 ? lag : 0), reference + (lag < 0 ? -lag : 0), common);
    }
    return mien_moments_pearson(&m);
}

/* The lag from -most to most that agrees best, of equals the smallest; 0 where nothing agrees.
 * scores[2 * most + 1]: room. */
static int best_lag(const double *trace, const double *reference, const int64_t *lengths,
                    int recordings, int most, double *scores, double *agreement) {
#pragma omp parallel for schedule(static)
    for (int i = 0; i <= 2 * most; i++)
        scores[i] = agreement_at(trace, reference, lengths, recordings, i - most);
    int best = 0;
    for (int d = 1; d <= most; d++)
        for (int sign = -1; sign <= 1; sign += 2)
            if (scores[most + sign * d] > scores[most + best] || isnan(scores[most + best]))
                best = isnan(scores[most + sign * d]) ? best : sign * d;
    *agreement = scores[most + best];
    return *agreement > 0 ? best : 0;
}

static int by_value(const void *a, const void *b) {
    int p = *(const int *)a, q = *(const int *)b;
    return (p > q) - (p < q);
}

/* Only differences between raters can be seen: their middle becomes 0. sorted[raters]: room. */
static void centre(int *lags, int raters, int most, int *sorted) {
    memcpy(sorted, lags, sizeof(int) * (size_t)raters);
    qsort(sorted, (size_t)raters, sizeof *sorted, by_value);
    int middle = sorted[(raters - 1) / 2];
    for (int r = 0; r < raters; r++) {
        int lag = lags[r] - middle;
        lags[r] = lag > most ? most : lag < -most ? -most : lag;
    }
}

mien_status mien_rater_lags(const double *traces, int raters, const int64_t *lengths,
                            int recordings, int most, const double *reference, int *lags,
                            double *agreement) {
    const char *name = "rater lags";
    enum { ROUNDS = 20 };
    MIEN_CALL(name);
    if (raters < 1 || recordings < 1 || most < 0)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: %d raters, %d recordings, lags to %d frames", name,
                  raters, recordings, most);
    int64_t n = 0;
    for (int i = 0; i < recordings; n += lengths[i++])
        if (lengths[i] < 2 * (int64_t)most + 2)
            MIEN_FAIL(MIEN_ERR_ARGUMENT,
                      "%s: recording %d has %lld frames; lags to %d frames need %d or more", name,
                      i + 1, (long long)lengths[i], most, 2 * most + 2);
    size_t room = (size_t)(raters + 1) * (size_t)n + 2 * (size_t)most + 1;
    double *aligned = malloc(sizeof(double) * room);
    int *before = malloc(sizeof(int) * 2 * (size_t)raters);
    if (!aligned || !before) {
        free(aligned);
        free(before);
        MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no memory for %lld frames", name, (long long)n);
    }
    double *others = aligned + raters * n, *scores = others + n;
    memset(lags, 0, sizeof(int) * (size_t)raters);
    memcpy(aligned, traces, sizeof(double) * (size_t)(raters * n));
    mien_status status = MIEN_OK;
    bool changed = true;
    for (int round = 0; changed && round < ROUNDS && status == MIEN_OK; round++) {
        memcpy(before, lags, sizeof(int) * (size_t)raters);
        for (int r = 0; r < raters && status == MIEN_OK; r++) {
            const double *trace = traces + r * n;
            if (!reference) mean_of_others(aligned, raters, n, r, others);
            lags[r] = best_lag(trace, reference ? reference : others, lengths, recordings, most,
                               scores, &agreement[r]);
            compensate_all(trace, aligned + r * n, lengths, recordings, lags[r]);
            status = stopped(name);
        }
        if (reference) break;
        centre(lags, raters, most, before + raters);
        for (int r = 0; r < raters; r++)
            compensate_all(traces + r * n, aligned + r * n, lengths, recordings, lags[r]);
        changed = memcmp(before, lags, sizeof(int) * (size_t)raters) != 0;
    }
    free(aligned);
    free(before);
    return status;
}

/* ---- dynamic time warping -------------------------------------------------------------------- */

enum { DIAGONAL, FROM_ABOVE, FROM_LEFT };

/* One rater's path against the average: room for the walk, and what was matched with each time. */
typedef struct path {
    double *cost;   /* two rows of 2 * band + 3 */
    uint8_t *steps; /* [n, 2 * band + 1]: where the cheapest path to (i, j) comes from */
} path;

/* Matches x[n] with average[n], |i - j| <= band, at the smallest sum of squared differences (Sakoe
 * & Chiba 1978, their band); of equal steps the diagonal one. Adds the raw[n] and x matched with
 * each time to the sums, and how many they are. */
static void warp(const double *average, const double *x, const double *raw, int64_t n, int band,
                 path *p, double *sum_x, double *sum_raw, double *count) {
    int width = 2 * band + 1;
    double *above = p->cost + 1, *here = above + width + 2;
    for (int k = -1; k <= width; k++) above[k] = here[k] = INFINITY;
    for (int64_t i = 0; i < n; i++) {
        uint8_t *steps = p->steps + i * width;
        for (int k = 0; k < width; k++) { /* column k is time j = i + k - band */
            int64_t j = i + k - band;
            double d = j >= 0 && j < n ? average[i] - x[j] : INFINITY;
            double least = above[k];
            uint8_t step = DIAGONAL;
            if (above[k + 1] < least) least = above[k + 1], step = FROM_ABOVE;
            if (here[k - 1] < least) least = here[k - 1], step = FROM_LEFT;
            if (i == 0 && j == 0) least = 0, step = DIAGONAL;
            here[k] = least + d * d;
            steps[k] = step;
        }
        double *swap = above;
        above = here;
        here = swap;
    }
    int64_t i = n - 1, j = i;
    for (;;) {
        sum_x[i] += x[j];
        sum_raw[i] += raw[j];
        count[i]++;
        if (i == 0 && j == 0) break;
        uint8_t step = p->steps[i * width + (j - i + band)];
        i -= step != FROM_LEFT;
        j -= step != FROM_ABOVE;
    }
}

/* To mean 0 and deviation 1; a rater who never moves becomes 0. */
static void standardise(const double *in, double *out, int64_t n) {
    mien_moments m = {0};
    mien_moments_add(&m, in, in, n);
    double deviation = sqrt(m.m2_x / m.n);
    for (int64_t t = 0; t < n; t++) out[t] = deviation > 0 ? (in[t] - m.mean_x) / deviation : 0;
}

typedef struct warping {
    const double *traces; /* as given */
    double *x;            /* as they are matched, [raters, n] */
    double *centre;       /* the average of x, [n] */
    double *sums;         /* sum_x, sum_raw, count: [3, raters, n] */
    path *paths;          /* one a worker */
    int raters, band, workers;
    int64_t n;
} warping;

static void warping_free(warping *w) {
    for (int i = 0; w->paths && i < w->workers; i++) {
        free(w->paths[i].cost);
        free(w->paths[i].steps);
    }
    free(w->paths);
    free(w->x);
}

static bool warping_make(warping *w) {
    size_t n = (size_t)w->n, raters = (size_t)w->raters, width = 2 * (size_t)w->band + 1;
    w->x = malloc(sizeof(double) * n * (4 * raters + 1));
    w->paths = calloc((size_t)w->workers, sizeof *w->paths);
    bool memory = w->x && w->paths;
    for (int i = 0; memory && i < w->workers; i++) {
        w->paths[i].cost = malloc(sizeof(double) * 2 * (width + 2));
        w->paths[i].steps = malloc(n * width);
        memory = w->paths[i].cost && w->paths[i].steps;
    }
    if (memory) {
        w->sums = w->x + n * raters;
        w->centre = w->sums + 3 * n * raters;
    }
    return memory;
}

/* Matches all raters with the centre and moves it to the barycentre of what was matched with it;
 * true when it moved. */
static bool improve(warping *w, double *average, double *aligned) {
    int64_t n = w->n, all = w->raters * n;
    memset(w->sums, 0, sizeof(double) * 3 * (size_t)all);
#pragma omp parallel for schedule(dynamic) num_threads(w->workers)
    for (int r = 0; r < w->raters; r++) {
        double *sums = w->sums + r * n;
        warp(w->centre, w->x + r * n, w->traces + r * n, n, w->band,
             &w->paths[omp_get_thread_num()], sums, sums + all, sums + 2 * all);
    }
    bool moved = false;
    for (int64_t t = 0; t < n; t++) {
        double x = 0, raw = 0, count = 0;
        for (int r = 0; r < w->raters; r++) {
            const double *sums = w->sums + r * n + t;
            x += sums[0];
            raw += sums[all];
            count += sums[2 * all];
            aligned[r * n + t] = sums[all] / sums[2 * all];
        }
        moved = moved || w->centre[t] != x / count;
        w->centre[t] = x / count;
        average[t] = raw / count;
    }
    return moved;
}

mien_status mien_barycentre(const double *traces, int raters, int64_t n, int band, int rounds,
                            bool standardised, double *average, double *aligned) {
    const char *name = "barycentre";
    MIEN_CALL("the alignment of raters");
    if (raters < 1 || n < 1 || band < 0 || rounds < 1)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: %d raters over %lld times, band %d, %d rounds", name,
                  raters, (long long)n, band, rounds);
    for (int64_t i = 0; i < raters * n; i++)
        if (!isfinite(traces[i]))
            MIEN_FAIL(MIEN_ERR_NUMERIC,
                      "%s: rater %d has no value at time %lld (counted from 1); fill gaps or leave "
                      "that rater out",
                      name, (int)(i / n) + 1, (long long)(i % n) + 1);
    if (band >= n) band = (int)n - 1;
    int threads = omp_get_max_threads();
    warping w = {.traces = traces,
                 .raters = raters,
                 .band = band,
                 .n = n,
                 .workers = threads < raters ? threads : raters};
    if (!warping_make(&w)) {
        warping_free(&w);
        MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no memory for %lld times and a band of %d", name,
                  (long long)n, band);
    }
    memset(w.centre, 0, sizeof(double) * (size_t)n);
    for (int r = 0; r < raters; r++) {
        double *x = w.x + r * n;
        if (standardised)
            standardise(traces + r * n, x, n);
        else
            memcpy(x, traces + r * n, sizeof(double) * (size_t)n);
        for (int64_t t = 0; t < n; t++) w.centre[t] += x[t] / raters;
    }
    mien_status status = MIEN_OK;
    bool moved = true;
    for (int round = 0; round < rounds && moved && status == MIEN_OK; round++) {
        moved = improve(&w, average, aligned);
        status = stopped(name);
    }
    warping_free(&w);
    return status;
}
