/* How well a score ranks what is true above what is not.
 * Not here: thresholds and F1 (lua/mien/affect/metric.lua). */
#include "affect.h"
#include <math.h>
#include <stdlib.h>

typedef struct scored {
    double score;
    bool positive;
} scored;

static int by_score_falling(const void *a, const void *b) {
    double p = ((const scored *)a)->score, q = ((const scored *)b)->score;
    return (p < q) - (p > q);
}

double mien_average_precision(const double *score, const double *truth, int64_t n) {
    if (n < 1) return NAN;
    scored *items = malloc(sizeof *items * (size_t)n);
    if (!items) return NAN;
    double positives = 0;
    bool ranked = true;
    for (int64_t i = 0; i < n; i++) {
        items[i] = (scored){score[i], truth[i] > 0.5};
        positives += items[i].positive;
        ranked = ranked && !isnan(score[i]) && !isnan(truth[i]);
    }
    double sum = 0, found = 0;
    if (ranked && positives > 0) {
        qsort(items, (size_t)n, sizeof *items, by_score_falling);
        for (int64_t first = 0, end; first < n; first = end) {
            double here = 0; /* positives among equal scores, which no order tells apart */
            for (end = first; end < n && items[end].score == items[first].score; end++)
                here += items[end].positive;
            found += here;
            sum += here * found / (double)end;
        }
    }
    free(items);
    return ranked && positives > 0 ? sum / positives : NAN;
}
