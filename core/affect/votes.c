/* Several annotators' votes on categories: agreement, and the label that wins.
 * Not here: turning marked starts of states into votes (datasets/). */
#include "affect.h"
#include <math.h>
#include <stdlib.h>

static mien_status check_counts(const double *counts, int64_t n, int categories, const char *name) {
    if (n < 0 || categories < 1)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: %lld items over %d categories", name, (long long)n,
                  categories);
    for (int64_t i = 0; i < n * categories; i++)
        if (!(counts[i] >= 0) || isinf(counts[i]))
            MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: item %lld has %g votes for category %lld", name,
                      (long long)(i / categories) + 1, counts[i], (long long)(i % categories) + 1);
    return MIEN_OK;
}

/* Fleiss 1971, equations 1 to 7. */
mien_status mien_fleiss_kappa(const double *counts, int64_t n, int categories, double *kappa) {
    const char *name = "Fleiss' kappa";
    MIEN_TRY(check_counts(counts, n, categories, name));
    if (n < 1) MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: no items", name);
    double *share = calloc((size_t)categories, sizeof(double));
    if (!share) MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no memory for %d categories", name, categories);
    double raters = 0, agreement = 0;
    for (int64_t i = 0; i < n; i++) {
        double votes = 0, squares = 0;
        for (int c = 0; c < categories; c++) {
            double v = counts[i * categories + c];
            votes += v;
            squares += v * v;
            share[c] += v;
        }
        if (i == 0) raters = votes;
        if (votes != raters || votes < 2) {
            free(share);
            MIEN_FAIL(MIEN_ERR_ARGUMENT,
                      "%s: item %lld has %g votes and item 1 has %g: every item needs the same "
                      "number, 2 or more; leave the others out",
                      name, (long long)i + 1, votes, raters);
        }
        agreement += (squares - votes) / (votes * (votes - 1));
    }
    double by_chance = 0;
    for (int c = 0; c < categories; c++) {
        double p = share[c] / ((double)n * raters);
        by_chance += p * p;
    }
    free(share);
    /* One category for everything: agreement cannot be told from chance. */
    *kappa = by_chance < 1 ? (agreement / (double)n - by_chance) / (1 - by_chance) : NAN;
    return MIEN_OK;
}

mien_status mien_winner_takes_all(const double *counts, int64_t n, int categories, int32_t *winner,
                                  int32_t *ties) {
    MIEN_TRY(check_counts(counts, n, categories, "winner takes all"));
    for (int64_t i = 0; i < n; i++) {
        double most = 0;
        winner[i] = -1;
        ties[i] = 0;
        for (int c = 0; c < categories; c++) {
            double v = counts[i * categories + c];
            if (v > most) {
                most = v;
                winner[i] = c;
                ties[i] = 1;
            } else if (v == most && v > 0) {
                ties[i]++;
            }
        }
    }
    return MIEN_OK;
}
