/* How much several raters agree: coefficients of pairs, of variance, and Krippendorff's alpha.
 * Not here: votes on categories (votes.c), what becomes of the traces (gold.c, alignment.c). */
#include "affect.h"
#include "base/nan.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static mien_status check_raters(int raters, int64_t n, const char *name) {
    if (raters < 2 || n < 1)
        MIEN_FAIL(MIEN_ERR_ARGUMENT,
                  "%s: %d raters over %lld times, but agreement needs two raters and one time",
                  name, raters, (long long)n);
    return MIEN_OK;
}

static void pairwise(const double *traces, int raters, int64_t n, mien_agreement *out) {
    double ccc = 0, pearson = 0;
    for (int r = 0; r < raters; r++) {
        for (int s = r + 1; s < raters; s++) {
            mien_moments m = {0};
            mien_moments_add(&m, traces + r * n, traces + s * n, n);
            double c = mien_moments_ccc(&m), p = mien_moments_pearson(&m);
            out->undefined += isnan(p);
            ccc += isnan(c) ? 0 : c;
            pearson += isnan(p) ? 0 : p;
        }
    }
    int pairs = raters * (raters - 1) / 2;
    out->ccc = ccc / pairs;
    out->pearson = pearson / pairs;
}

static bool complete(const double *traces, int raters, int64_t n, int64_t t) {
    for (int r = 0; r < raters; r++)
        if (isnan(traces[r * n + t])) return false;
    return true;
}

static double ratio(double above, double below) {
    return below > 0 ? mien__canonical(above / below) : NAN;
}

/* Shrout & Fleiss 1979, tables 1 and 3: targets are times, judges are raters; the letters are
 * theirs. Everything is taken from the first complete time, so that the variance of constant
 * raters is 0 to the last bit. means[raters]: room. */
static void analyse_variance(const double *traces, int raters, int64_t n, double *means,
                             mien_agreement *out) {
    double times = 0, k = raters, mean = 0, origin = 0;
    memset(means, 0, sizeof(double) * (size_t)raters);
    for (int64_t t = 0; t < n; t++) {
        if (!complete(traces, raters, n, t)) continue;
        if (times++ == 0) origin = traces[t];
        for (int r = 0; r < raters; r++) means[r] += traces[r * n + t] - origin;
    }
    out->times = times;
    for (int c = 0; c < 3; c++) out->icc_single[c] = out->icc_mean[c] = NAN;
    if (times < 2) return;
    for (int r = 0; r < raters; r++) {
        means[r] /= times;
        mean += means[r] / k;
    }
    double between = 0, within = 0, judges = 0, residual = 0;
    for (int64_t t = 0; t < n; t++) {
        if (!complete(traces, raters, n, t)) continue;
        double own = 0;
        for (int r = 0; r < raters; r++) own += (traces[r * n + t] - origin) / k;
        between += k * (own - mean) * (own - mean);
        for (int r = 0; r < raters; r++) {
            double x = traces[r * n + t] - origin, rest = x - own - means[r] + mean;
            within += (x - own) * (x - own);
            residual += rest * rest;
        }
    }
    for (int r = 0; r < raters; r++) judges += times * (means[r] - mean) * (means[r] - mean);
    double bms = between / (times - 1), wms = within / (times * (k - 1));
    double jms = judges / (k - 1), ems = residual / ((times - 1) * (k - 1));
    out->icc_single[0] = ratio(bms - wms, bms + (k - 1) * wms);
    out->icc_single[1] = ratio(bms - ems, bms + (k - 1) * ems + k * (jms - ems) / times);
    out->icc_single[2] = ratio(bms - ems, bms + (k - 1) * ems);
    out->icc_mean[0] = ratio(bms - wms, bms);
    out->icc_mean[1] = ratio(bms - ems, bms + (jms - ems) / times);
    out->icc_mean[2] = ratio(bms - ems, bms);
}

mien_status mien_rater_agreement(const double *traces, int raters, int64_t n, mien_agreement *out) {
    const char *name = "agreement";
    MIEN_CALL("agreement of raters");
    MIEN_TRY(check_raters(raters, n, name));
    double *means = malloc(sizeof(double) * (size_t)raters);
    if (!means) MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no memory for %d raters", name, raters);
    memset(out, 0, sizeof *out);
    pairwise(traces, raters, n, out);
    analyse_variance(traces, raters, n, means, out);
    free(means);
    return MIEN_OK;
}

/* ---- Krippendorff's alpha -------------------------------------------------------------------- */

static int rising(const void *a, const void *b) {
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* The values of time t that were given, in rising order; returns how many. */
static int collect(const double *values, int raters, int64_t n, int64_t t, double *unit) {
    int m = 0;
    for (int r = 0; r < raters; r++)
        if (!isnan(values[r * n + t])) unit[m++] = values[r * n + t];
    qsort(unit, (size_t)m, sizeof *unit, rising);
    return m;
}

/* The middle rank of v among sorted[n]. With n_g values of category g, Krippendorff's ordinal
 * difference sum(n_g, g = c .. k) - (n_c + n_k) / 2 is the difference of the middle ranks of c and
 * k: an ordinal alpha is the interval alpha of the ranks. */
static double middle_rank(const double *sorted, int64_t n, double v) {
    int64_t below = 0, through = 0; /* how many are smaller, and how many are not larger */
    for (int64_t step = n; step > 0; step /= 2) {
        while (below + step <= n && sorted[below + step - 1] < v) below += step;
        while (through + step <= n && sorted[through + step - 1] <= v) through += step;
    }
    return 0.5 * (double)(below + through);
}

/* Sum of the differences of all ordered pairs among m sorted values: squared, or 1 for each pair of
 * different ones. */
static double differences(const double *sorted, int64_t m, bool nominal) {
    double sum = 0, count = (double)m;
    if (nominal) {
        for (int64_t first = 0, end; first < m; first = end) {
            for (end = first; end < m && sorted[end] == sorted[first];) end++;
            double same = (double)(end - first);
            sum += same * (count - same);
        }
        return sum;
    }
    double mean = 0, squares = 0;
    for (int64_t i = 0; i < m; i++) mean += (sorted[i] - sorted[0]) / count;
    for (int64_t i = 0; i < m; i++) {
        double d = sorted[i] - sorted[0] - mean;
        squares += d * d;
    }
    return 2 * count * squares;
}

mien_status mien_krippendorff_alpha(const double *values, int raters, int64_t n, mien_scale scale,
                                    double *alpha) {
    const char *name = "Krippendorff's alpha";
    MIEN_CALL(name);
    MIEN_TRY(check_raters(raters, n, name));
    for (int64_t i = 0; i < raters * n; i++)
        if (isinf(values[i]))
            MIEN_FAIL(MIEN_ERR_NUMERIC, "%s: rater %d has no finite value at time %lld", name,
                      (int)(i / n) + 1, (long long)(i % n) + 1);
    double *pairable = malloc(sizeof(double) * ((size_t)raters * (size_t)n + (size_t)raters));
    if (!pairable) MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no memory for %lld times", name, (long long)n);
    double *unit = pairable + raters * n;
    int64_t count = 0;
    for (int64_t t = 0; t < n; t++) {
        int m = collect(values, raters, n, t, unit);
        if (m < 2) continue; /* one value agrees with nobody */
        memcpy(pairable + count, unit, sizeof(double) * (size_t)m);
        count += m;
    }
    qsort(pairable, (size_t)count, sizeof *pairable, rising);
    double observed = 0;
    for (int64_t t = 0; t < n; t++) {
        int m = collect(values, raters, n, t, unit);
        if (m < 2) continue;
        for (int i = 0; scale == MIEN_SCALE_ORDINAL && i < m; i++)
            unit[i] = middle_rank(pairable, count, unit[i]);
        observed += differences(unit, m, scale == MIEN_SCALE_NOMINAL) / (m - 1);
    }
    if (scale == MIEN_SCALE_ORDINAL) { /* equal values have one rank, so ranks rise as they do */
        for (int64_t first = 0, end; first < count; first = end) {
            for (end = first; end < count && pairable[end] == pairable[first];) end++;
            double rank = 0.5 * (double)(first + end);
            for (int64_t i = first; i < end; i++) pairable[i] = rank;
        }
    }
    double expected = differences(pairable, count, scale == MIEN_SCALE_NOMINAL);
    free(pairable);
    *alpha = expected > 0 ? mien__canonical(1 - (double)(count - 1) * observed / expected) : NAN;
    return MIEN_OK;
}
