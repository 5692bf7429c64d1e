/* The numeric kernels of this field: agreement, gold standards, post-processing.
 * Not here: tables, choices and logging (lua/mien/affect, data/gold.lua). */
#ifndef MIEN_AFFECT_H
#define MIEN_AFFECT_H
#include "base/status.h"

/* cdef:begin */
/* Streaming 1/n moments of pairs (prediction x, gold y) in double; pairs with a NaN are left out
 * and counted. Start from zeros; merging is exact up to rounding (Chan et al. 1979). */
typedef struct mien_moments {
    double n, mean_x, mean_y, m2_x, m2_y, m_xy; /* sums of squared deviations and products */
    double skipped;
    double squared_error; /* sum of (x-y)^2 */
} mien_moments;

void mien_moments_add(mien_moments *m, const double *x, const double *y, int64_t n);
void mien_moments_merge(mien_moments *m, const mien_moments *other);
/* CCC = 2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2) (Lin 1989), 1/n moments; NaN without pairs or when
 * the denominator is 0. Pearson's r: NaN when one side is constant. RMSE. */
double mien_moments_ccc(const mien_moments *m);
double mien_moments_pearson(const mien_moments *m);
double mien_moments_rmse(const mien_moments *m);

/* Gold standard of R raters' traces over n times, traces[r * n + t].
 * CENTRED (AVEC 2016/2018): w_r = mean over s != r of CCC(x_r, x_s), gold(t) = mean_r
 *   [x_r(t) - m_r] + sum w_r m_r / sum w_r; clip: negative weights count as 0.
 * MEAN: the plain mean. MEDIAN: of the raters, at each time; of an even number the mean of the
 *   middle two.
 * EWE, the evaluator weighted estimator: sum w_r x_r / sum w_r, negative weights 0. EWE_ALL: w_r =
 *   Pearson's r of rater r and the mean of all raters, r among them (Grimm & Kroschel 2005;
 *   Coutinho et al. 2016: "the average ratings of all evaluators"). EWE_OTHERS: and the mean of
 *   the other raters (what audpsychometric computes, though it quotes Coutinho et al.).
 * weights[R] gets the weights: 1 for MEAN, MEDIAN and a single rater; a rater who never moves
 * agrees with nobody (0). Error: fewer than one rater or time, a NaN, or weights that sum to 0. */
typedef enum mien_gold {
    MIEN_GOLD_CENTRED = 0,
    MIEN_GOLD_MEAN,
    MIEN_GOLD_EWE_ALL,
    MIEN_GOLD_EWE_OTHERS,
    MIEN_GOLD_MEDIAN
} mien_gold;
mien_status mien_gold_standard(const double *traces, int raters, int64_t n, mien_gold kind,
                               bool clip, double *gold, double *weights);

/* How R raters agree over n times, traces[r * n + t]; a NaN is a value that is missing.
 * ccc, pearson: mean over all pairs of raters, of the times that both have; a coefficient that is
 *   undefined (a rater who never moves) counts as 0, as in a gold standard.
 * icc_single, icc_mean: intraclass correlations of one rater, and of the mean of all, for the
 *   cases 1 to 3 of Shrout & Fleiss 1979: [0] each time has raters of its own, [1] all raters rate
 *   all times and stand for others, [2] these raters alone count. ICC(2,k) is icc_mean[1],
 *   Cronbach's alpha icc_mean[2] (Hoyt 1941). Of the times that every rater has; NaN with fewer
 *   than two of them, and where nobody moves.
 * Error: fewer than two raters, or no time. */
typedef struct mien_agreement {
    double ccc, pearson, icc_single[3], icc_mean[3];
    double times;     /* that every rater has */
    double undefined; /* pairs without a Pearson's r */
} mien_agreement;
mien_status mien_rater_agreement(const double *traces, int raters, int64_t n, mien_agreement *out);

/* Krippendorff's alpha of values[r * n + t], NaN where a rater gave none (Krippendorff 2011,
 * "Computing Krippendorff's alpha-reliability"): 1 - observed / expected disagreement, which are
 * different values (nominal), ranks' squared differences (ordinal), or squared differences
 * (interval). Times with one value are left out. NaN where all values are equal or none is left.
 * Error: fewer than two raters, no time, a value that is infinite. */
typedef enum mien_scale {
    MIEN_SCALE_NOMINAL = 0,
    MIEN_SCALE_ORDINAL,
    MIEN_SCALE_INTERVAL
} mien_scale;
mien_status mien_krippendorff_alpha(const double *values, int raters, int64_t n, mien_scale scale,
                                    double *alpha);

/* Each rater's lag in frames, -most to most, positive for one who is late: the one at which his
 * Pearson's r with the mean of the others is highest, over all recordings joined (lengths: frames
 * of each, sum n); the others are compensated, in rounds until no lag changes (20 at most). What
 * raters have in common, as a time of reaction, cannot be seen from them: the middle lag is 0 (of
 * an even number the lower one). With reference[n] each rater is compared with that instead, and
 * lags are absolute. agreement[R]: r at that lag; where it is not above 0, the lag is 0. NaN: no
 * value, left out. Error: a recording with fewer than 2 most + 2 frames. */
mien_status mien_rater_lags(const double *traces, int raters, const int64_t *lengths,
                            int recordings, int most, const double *reference, int *lags,
                            double *agreement);
/* out(t) = in(t + lag) within one recording, its first or last value held; in and out differ. */
void mien_compensate_lag(const double *in, double *out, int64_t n, int lag);

/* DTW barycentre averaging (Petitjean, Ketterlin & Gancarski 2011, algorithm 5): begins at the
 * plain mean, so that the average keeps the recording's clock, and `rounds` times (fewer when
 * nothing moves) matches every trace with the average, at most `band` frames apart (Sakoe & Chiba
 * 1978), and averages what was matched. standardised: matched by the traces brought to mean 0 and
 * deviation 1, as a rater's bias and scale are no time; what is averaged are the traces.
 * average[n], aligned[r * n + t]: mean of what rater r has matched with time t.
 * Error: fewer than one rater or time, a NaN or infinity. */
mien_status mien_barycentre(const double *traces, int raters, int64_t n, int band, int rounds,
                            bool standardised, double *average, double *aligned);

/* Median over odd `window` centred at each element, edges by repetition; in and out differ.
 * Error: an even window, or a NaN. */
mien_status mien_median_filter(const double *in, double *out, int64_t n, int window);
/* out(t) = in(t - delay), the first value held; delay in frames, >= 0. */
mien_status mien_shift(const double *in, double *out, int64_t n, int delay);
/* CCC of every candidate, over recordings joined; filters and shifts never cross recordings.
 * x, y: n values; lengths: frames of each of `recordings`, sum n. Error: a NaN in x (median).
 * median: windows 1, 3, 5, ... max_window, scores[(w-1)/2]; shift: delays 0..max_delay,
 * scores[d]. */
mien_status mien_search_median(const double *x, const double *y, const int64_t *lengths,
                               int recordings, int max_window, double *scores);
mien_status mien_search_shift(const double *x, const double *y, const int64_t *lengths,
                              int recordings, int max_delay, double *scores);

/* Moments of every pair of window and delay, the filter before the shift: moments[(w-1)/2 *
 * (max_delay+1) + d]; an affine step between them changes moments by arithmetic alone. The same
 * bits for any number of threads, but last digits depend on the instruction set (mien_cpu_isa), so
 * that a choice by CCC wants a margin (post.joint: a later combination must gain 1e-11). Sums, not
 * two passes: right to about 1e-12; squared_error stays 0. Error: a NaN anywhere. */
mien_status mien_search_joint(const double *x, const double *y, const int64_t *lengths,
                              int recordings, int max_window, int max_delay, mien_moments *moments);

/* Fleiss' kappa of counts[n * categories] (votes per item and category; each item needs the same
 * number of votes >= 2), and winner-takes-all: winner[n], -1 for no votes, ties to the category
 * with the lower index, ties[n] = number of categories that share the most votes. */
mien_status mien_fleiss_kappa(const double *counts, int64_t n, int categories, double *kappa);
mien_status mien_winner_takes_all(const double *counts, int64_t n, int categories, int32_t *winner,
                                  int32_t *ties);
/* Average precision: mean over positives of precision at their rank, ties in score share a rank
 * (as scikit-learn); truth > 0.5 is a positive; NaN without positives, with a NaN, or without
 * memory. */
double mien_average_precision(const double *score, const double *truth, int64_t n);
/* cdef:end */
#endif
