/* Gold standards: several raters' traces of one recording become one.
 * Not here: resampling traces to frames, and the choice of a kind (lua/mien/data). */
#include "affect.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A rater who never moves agrees with nobody: an undefined coefficient counts as 0. */
static double or_zero(double agreement) {
    return isnan(agreement) ? 0.0 : agreement;
}

/* w_r = mean over s != r of CCC(x_r, x_s), on the traces as they are. */
static void pairwise_ccc(const double *traces, int raters, int64_t n, double *weights) {
    memset(weights, 0, sizeof(double) * (size_t)raters);
    for (int r = 0; r < raters; r++) {
        for (int s = r + 1; s < raters; s++) {
            mien_moments m = {0};
            mien_moments_add(&m, traces + r * n, traces + s * n, n);
            double agreement = or_zero(mien_moments_ccc(&m)) / (raters - 1);
            weights[r] += agreement;
            weights[s] += agreement;
        }
    }
}

/* w_r = Pearson's r of rater r and the mean of all raters, or of the others; negative ones 0.
 * total[n]: sum of all traces; others[n]: room. */
static void pearson_with_mean(const double *traces, int raters, int64_t n, const double *total,
                              bool leave_out, double *others, double *weights) {
    for (int r = 0; r < raters; r++) {
        const double *trace = traces + r * n;
        for (int64_t t = 0; leave_out && t < n; t++)
            others[t] = (total[t] - trace[t]) / (raters - 1);
        mien_moments m = {0};
        mien_moments_add(&m, trace, leave_out ? others : total, n); /* a sum correlates as a mean */
        weights[r] = fmax(0.0, or_zero(mien_moments_pearson(&m)));
    }
}

static int rising(const void *a, const void *b) {
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* Median of the raters at each time; at_once[raters]: room. */
static void median(const double *traces, int raters, int64_t n, double *at_once, double *gold) {
    for (int64_t t = 0; t < n; t++) {
        for (int r = 0; r < raters; r++) at_once[r] = traces[r * n + t];
        qsort(at_once, (size_t)raters, sizeof *at_once, rising);
        gold[t] = 0.5 * (at_once[(raters - 1) / 2] + at_once[raters / 2]);
    }
}

mien_status mien_gold_standard(const double *traces, int raters, int64_t n, mien_gold kind,
                               bool clip, double *gold, double *weights) {
    MIEN_CALL("the gold standard");
    if (raters < 1 || n < 1)
        MIEN_FAIL(MIEN_ERR_ARGUMENT,
                  "gold standard: %d raters over %lld times, but at least one of each is needed",
                  raters, (long long)n);
    for (int64_t i = 0; i < raters * n; i++)
        if (isnan(traces[i]))
            MIEN_FAIL(MIEN_ERR_NUMERIC,
                      "gold standard: rater %d has no value at time %lld (counted from 1); fill "
                      "gaps or leave that rater out",
                      (int)(i / n) + 1, (long long)(i % n) + 1);

    double *total = calloc((size_t)n * 2 + (size_t)raters, sizeof(double));
    if (!total) MIEN_FAIL(MIEN_ERR_MEMORY, "gold standard: no memory for %lld times", (long long)n);
    for (int r = 0; r < raters; r++)
        for (int64_t t = 0; t < n; t++) total[t] += traces[r * n + t];

    for (int r = 0; r < raters; r++) weights[r] = 1;
    if (raters > 1 && kind == MIEN_GOLD_CENTRED) pairwise_ccc(traces, raters, n, weights);
    const bool ewe = kind == MIEN_GOLD_EWE_ALL || kind == MIEN_GOLD_EWE_OTHERS;
    if (raters > 1 && ewe)
        pearson_with_mean(traces, raters, n, total, kind == MIEN_GOLD_EWE_OTHERS, total + n,
                          weights);
    if (clip)
        for (int r = 0; r < raters; r++) weights[r] = fmax(0.0, weights[r]);

    double sum = 0, reference = 0, centre = 0;
    for (int r = 0; r < raters; r++) {
        double mean = 0;
        for (int64_t t = 0; t < n; t++) mean += traces[r * n + t];
        mean /= (double)n;
        sum += weights[r];
        reference += weights[r] * mean;
        centre += mean / raters;
    }
    if (fabs(sum) < 1e-12) {
        free(total);
        MIEN_FAIL(MIEN_ERR_NUMERIC,
                  "gold standard: the weights of the %d raters sum to 0: nobody agrees with "
                  "anybody; kind \"mean\" needs no agreement",
                  raters);
    }
    if (ewe) {
        memset(gold, 0, sizeof(double) * (size_t)n);
        for (int r = 0; r < raters; r++)
            for (int64_t t = 0; t < n; t++) gold[t] += weights[r] / sum * traces[r * n + t];
    } else if (kind == MIEN_GOLD_MEDIAN) {
        median(traces, raters, n, total + 2 * n, gold);
    } else {
        /* mean_r [x_r(t) - m_r] + ref is the plain mean moved by one constant. */
        double offset = kind == MIEN_GOLD_CENTRED ? reference / sum - centre : 0;
        for (int64_t t = 0; t < n; t++) gold[t] = total[t] / raters + offset;
    }
    free(total);
    return MIEN_OK;
}
