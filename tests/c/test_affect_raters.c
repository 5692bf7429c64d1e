/* Agreement of raters, their lags and their alignment: published tables, golden values of other
 * implementations, real raters. Not here: gold standards' formulas, votes
 * (test_affect_agreement.c), what generated raters come to (tests/lua/raters_spec.lua). */
#include "affect_files.h"
#include "affect/affect.h"
#include <math.h>

#define CLOSE(a, b)      assert_true(fabs((a) - (b)) <= 1e-12 * fmax(1.0, fabs(b)))
#define NEAR(a, b, most) assert_true(fabs((a) - (b)) <= (most))

static double *values_of(const char *name, int64_t *n) {
    return golden_in("../golden/agreement.txt", name, n);
}

static double value_of(const char *name, const char *what) {
    char key[64];
    snprintf(key, sizeof key, "%s_%s", name, what);
    double *values = values_of(key, NULL), first = values[0];
    free(values);
    return first;
}

static void check_agreement(const char *name, int raters) {
    char key[64];
    int64_t n;
    double *traces = values_of(name, &n);
    mien_agreement a;
    assert_int_equal(mien_rater_agreement(traces, raters, n / raters, &a), MIEN_OK);
    CLOSE(a.ccc, value_of(name, "ccc"));
    CLOSE(a.pearson, value_of(name, "pearson"));
    CLOSE(a.icc_mean[2], value_of(name, "cronbach"));
    snprintf(key, sizeof key, "%s_icc", name);
    double *icc = values_of(key, NULL);
    for (int c = 0; c < 3; c++) {
        CLOSE(a.icc_single[c], icc[c]);
        CLOSE(a.icc_mean[c], icc[3 + c]);
    }
    assert_true(a.undefined == 0);
    free(icc), free(traces);
}

/* Shrout & Fleiss 1979, tables 2 (the ratings) and 4 (the six coefficients, to two digits). */
static void intraclass_correlations_are_those_of_shrout_and_fleiss(void **state) {
    double ratings[4][6] = {
        {9, 6, 8, 7, 10, 6}, {2, 1, 4, 1, 5, 2}, {5, 3, 6, 2, 6, 4}, {8, 2, 8, 6, 9, 7}};
    double single[] = {.17, .29, .71}, mean[] = {.44, .62, .91};
    mien_agreement a;
    assert_int_equal(mien_rater_agreement(ratings[0], 4, 6, &a), MIEN_OK);
    for (int c = 0; c < 3; c++) {
        NEAR(a.icc_single[c], single[c], .005);
        NEAR(a.icc_mean[c], mean[c], .005);
    }
    check_agreement("shrout", 4);
}

static void agreement_leaves_out_what_is_missing(void **state) {
    check_agreement("traces", 4);
    int64_t n;
    double *traces = values_of("traces", &n);
    mien_agreement a;
    assert_int_equal(mien_rater_agreement(traces, 4, n / 4, &a), MIEN_OK);
    assert_true(a.times == 60 - 4 - 10);
    free(traces);
}

static void agreement_without_an_answer_is_defined_or_refused(void **state) {
    mien_agreement a;
    double moving[] = {1, 2, 3, 1.5, 2.5, 3.5, .1, .1, .1}, flat[] = {.1, .1, .1, .1, .1, .1};
    assert_int_equal(mien_rater_agreement(moving, 1, 3, &a), MIEN_ERR_ARGUMENT);
    assert_non_null(strstr(mien_error_last()->message, "1 raters over 3 times"));
    assert_int_equal(mien_rater_agreement(moving, 2, 0, &a), MIEN_ERR_ARGUMENT);
    /* Two raters who differ by a constant: ICC(3,k) is blind to it. */
    assert_int_equal(mien_rater_agreement(moving, 2, 3, &a), MIEN_OK);
    CLOSE(a.pearson, 1.0);
    CLOSE(a.icc_mean[2], 1.0);
    assert_true(a.icc_mean[1] < 1 && a.ccc < 1);
    /* A third who never moves agrees with nobody: two of three pairs count as 0. */
    assert_int_equal(mien_rater_agreement(moving, 3, 3, &a), MIEN_OK);
    CLOSE(a.pearson, 1.0 / 3);
    assert_true(a.undefined == 2);
    assert_int_equal(mien_rater_agreement(flat, 2, 3, &a), MIEN_OK);
    assert_true(a.ccc == 0 && a.undefined == 1 && isnan(a.icc_mean[1]) && isnan(a.icc_single[2]));
    moving[0] = moving[4] = NAN; /* one time is left that both have */
    assert_int_equal(mien_rater_agreement(moving, 2, 3, &a), MIEN_OK);
    assert_true(a.times == 1 && isnan(a.icc_mean[1]) && a.ccc == 0);
}

/* Krippendorff 2011, sections A (.095), B (.692), C and D (.743, .815, .849), and other data. */
static void alpha_is_that_of_krippendorff(void **state) {
    const char *scales[] = {"nominal", "ordinal", "interval"};
    const char *data[] = {"two", "letters", "missing", "steps", "fine"};
    int raters[] = {2, 2, 4, 4, 4};
    double published[][3] = {{.095, NAN, NAN}, {.692, NAN, NAN}, {.743, .815, .849}};
    for (int d = 0; d < 5; d++) {
        int64_t n;
        double *values = values_of(data[d], &n), alpha;
        for (int scale = 0; scale < 3; scale++) {
            assert_int_equal(mien_krippendorff_alpha(values, raters[d], n / raters[d],
                                                     (mien_scale)scale, &alpha),
                             MIEN_OK);
            NEAR(alpha, value_of(data[d], scales[scale]), 1e-12);
            if (d < 3 && !isnan(published[d][scale])) NEAR(alpha, published[d][scale], .0005);
        }
        free(values);
    }
}

static void alpha_without_an_answer_is_defined_or_refused(void **state) {
    double alpha, one[] = {1, 1, 1, 1}, apart[] = {1, NAN, NAN, 2}, far[] = {1, INFINITY, 2, 1};
    assert_int_equal(mien_krippendorff_alpha(one, 1, 4, MIEN_SCALE_NOMINAL, &alpha),
                     MIEN_ERR_ARGUMENT);
    assert_non_null(strstr(mien_error_last()->message, "needs two raters"));
    assert_int_equal(mien_krippendorff_alpha(far, 2, 2, MIEN_SCALE_INTERVAL, &alpha),
                     MIEN_ERR_NUMERIC);
    assert_non_null(strstr(mien_error_last()->message, "rater 1 has no finite value at time 2"));
    for (int scale = 0; scale < 3; scale++) {
        assert_int_equal(mien_krippendorff_alpha(one, 2, 2, (mien_scale)scale, &alpha), MIEN_OK);
        assert_true(isnan(alpha)); /* nobody could have differed */
        assert_int_equal(mien_krippendorff_alpha(apart, 2, 2, (mien_scale)scale, &alpha), MIEN_OK);
        assert_true(isnan(alpha)); /* no time has two values */
    }
}

/* Fleiss 1971, table 1: 30 patients, 6 psychiatrists, 5 diagnoses; kappa .430. */
static void kappa_is_that_of_fleiss(void **state) {
    const char *votes = "00060 03003 01401 00006 03030 20400 00402 20310 20040 00006"
                        "10050 11040 03300 10050 02031 00501 30012 51000 02040 10203"
                        "00006 01050 02013 20040 10041 05010 40002 02040 10500 00006";
    double counts[150], kappa;
    int n = 0;
    for (const char *c = votes; *c; c++)
        if (*c != ' ') counts[n++] = *c - '0';
    assert_int_equal(n, 150);
    assert_int_equal(mien_fleiss_kappa(counts, 30, 5, &kappa), MIEN_OK);
    NEAR(kappa, .430, .0005);
}

static void the_median_is_the_middle_rater(void **state) {
    double traces[4][3] = {{0, 5, 1}, {1, -5, 2}, {9, 0, 3}, {2, 1, 10}}, gold[3], weights[4];
    assert_int_equal(mien_gold_standard(traces[0], 3, 3, MIEN_GOLD_MEDIAN, false, gold, weights),
                     MIEN_OK);
    assert_true(gold[0] == 1 && gold[1] == 0 && gold[2] == 2 && weights[2] == 1);
    assert_int_equal(mien_gold_standard(traces[0], 4, 3, MIEN_GOLD_MEDIAN, false, gold, weights),
                     MIEN_OK);
    assert_true(gold[0] == 1.5 && gold[1] == .5 && gold[2] == 2.5);
    assert_int_equal(mien_gold_standard(traces[0], 1, 3, MIEN_GOLD_MEDIAN, false, gold, weights),
                     MIEN_OK);
    assert_true(gold[1] == 5);
}

/* ---- lags ------------------------------------------------------------------------------------ */

enum { TIMES = 400 };

/* Something that never repeats, `lag` frames late, with a bias and a scale of its own. */
static void rate(double *trace, int lag, double scale, double bias) {
    for (int t = 0; t < TIMES; t++) {
        double s = t - lag;
        trace[t] = bias + scale * (sin(s / 9) + .5 * sin(s / 23 + s * s / 9e4));
    }
}

static void lags_are_found_whatever_bias_and_scale(void **state) {
    int lags[5], late[] = {0, 3, 7, 4, 12};
    double traces[5][TIMES], agreement[5];
    int64_t length = TIMES;
    for (int r = 0; r < 5; r++) rate(traces[r], late[r], .3 + .4 * r, r - 1.5);
    assert_int_equal(mien_rater_lags(traces[0], 5, &length, 1, 20, NULL, lags, agreement), MIEN_OK);
    for (int r = 0; r < 5; r++) {
        assert_int_equal(lags[r], late[r] - 4); /* their middle is 0 */
        assert_true(agreement[r] > .998);       /* but for ends that are held */
    }
    /* Compensated, all are at the middle one's time; the end is held. */
    double moved[TIMES], middle[TIMES];
    rate(middle, 4, .3, -1.5);
    mien_compensate_lag(traces[0], moved, TIMES, lags[0]);
    for (int t = 4; t < TIMES; t++) CLOSE(moved[t], middle[t]);
    assert_true(moved[0] == traces[0][0] && moved[3] == traces[0][0]);
    /* Against something that is known they are absolute; bounded, the nearest is taken. */
    double truth[TIMES];
    rate(truth, 0, 1, 0);
    assert_int_equal(mien_rater_lags(traces[0], 5, &length, 1, 10, truth, lags, agreement),
                     MIEN_OK);
    for (int r = 0; r < 4; r++) assert_int_equal(lags[r], late[r]);
    assert_int_equal(lags[4], 10);
}

static void lags_of_a_rater_join_recordings_and_cross_none(void **state) {
    int lags[3], late[] = {5, 0, 9};
    double traces[3][TIMES], agreement[3];
    int64_t lengths[] = {150, 250};
    for (int r = 0; r < 3; r++) {
        double whole[TIMES];
        rate(whole, late[r], 1, 0);
        memcpy(traces[r], whole + 250, sizeof(double) * 150); /* two parts that do not meet */
        memcpy(traces[r] + 150, whole, sizeof(double) * 250);
    }
    assert_int_equal(mien_rater_lags(traces[0], 3, lengths, 2, 15, NULL, lags, agreement), MIEN_OK);
    for (int r = 0; r < 3; r++) {
        assert_int_equal(lags[r], late[r] - 5);
        assert_true(agreement[r] > .999); /* no step between the recordings disturbs it */
        for (int t = 0; t < 150; t++) traces[r][t] = .5;
    }
    /* Where nothing happens in one recording, the others tell. */
    assert_int_equal(mien_rater_lags(traces[0], 3, lengths, 2, 15, NULL, lags, agreement), MIEN_OK);
    for (int r = 0; r < 3; r++) assert_int_equal(lags[r], late[r] - 5);
}

static void lags_without_an_answer_are_0_or_refused(void **state) {
    int lags[3];
    double traces[3][TIMES], agreement[3];
    int64_t length = TIMES, shorter = 21;
    for (int r = 0; r < 3; r++) rate(traces[r], 2 * r, 1, 0);
    for (int t = 0; t < TIMES; t++) traces[2][t] = .1;
    assert_int_equal(mien_rater_lags(traces[0], 3, &length, 1, 9, NULL, lags, agreement), MIEN_OK);
    assert_true(isnan(agreement[2])); /* never moves */
    assert_int_equal(lags[1] - lags[0], 2);
    for (int t = 0; t < TIMES; t++) traces[2][t] = NAN;
    assert_int_equal(mien_rater_lags(traces[0], 3, &length, 1, 9, NULL, lags, agreement), MIEN_OK);
    assert_true(isnan(agreement[2]));
    assert_int_equal(lags[1] - lags[0], 2);
    for (int t = 100; t < 120; t++) traces[0][t] = NAN; /* a gap hides no lag */
    assert_int_equal(mien_rater_lags(traces[0], 2, &length, 1, 9, NULL, lags, agreement), MIEN_OK);
    assert_true(lags[0] == 0 && lags[1] == 2);
    for (int t = 0; t < TIMES; t++) traces[0][t] = t, traces[1][t] = -t - (t % 2); /* opposites */
    assert_int_equal(mien_rater_lags(traces[0], 2, &length, 1, 9, NULL, lags, agreement), MIEN_OK);
    assert_true(lags[0] == 0 && lags[1] == 0 && agreement[0] < 0 && agreement[1] < 0);
    assert_int_equal(mien_rater_lags(traces[1], 1, &length, 1, 9, NULL, lags, agreement), MIEN_OK);
    assert_true(lags[0] == 0 && isnan(agreement[0])); /* there are no others */
    assert_int_equal(mien_rater_lags(traces[0], 2, &shorter, 1, 10, NULL, lags, agreement),
                     MIEN_ERR_ARGUMENT);
    assert_non_null(strstr(mien_error_last()->message, "recording 1 has 21 frames"));
}

/* ---- dynamic time warping -------------------------------------------------------------------- */

static void the_barycentre_is_that_of_petitjean(void **state) {
    int64_t n;
    double *traces = values_of("whole", &n), average[48], aligned[3 * 48];
    int rounds[] = {1, 5};
    assert_int_equal(n, 3 * 48);
    for (int i = 0; i < 2; i++) {
        char key[32];
        snprintf(key, sizeof key, "barycentre_%d", rounds[i]);
        double *want = values_of(key, NULL);
        assert_int_equal(mien_barycentre(traces, 3, 48, 6, rounds[i], false, average, aligned),
                         MIEN_OK);
        for (int t = 0; t < 48; t++) CLOSE(average[t], want[t]);
        free(want);
    }
    free(traces);
}

static void a_band_of_0_leaves_the_plain_mean(void **state) {
    double traces[2][4] = {{0, 1, 2, 3}, {4, 3, 2, 1}}, average[4], aligned[8];
    assert_int_equal(mien_barycentre(traces[0], 2, 4, 0, 9, true, average, aligned), MIEN_OK);
    for (int t = 0; t < 4; t++) CLOSE(average[t], (traces[0][t] + traces[1][t]) / 2);
    assert_memory_equal(aligned, traces, sizeof traces);
}

static void standardised_traces_are_matched_whatever_bias_and_scale(void **state) {
    double traces[3][TIMES], average[TIMES], aligned[3 * TIMES];
    int late[] = {0, 4, 8};
    for (int r = 0; r < 3; r++) rate(traces[r], late[r], 1 + r, 3 * r);
    double apart[2] = {0, 0};
    for (int standardised = 0; standardised < 2; standardised++) {
        assert_int_equal(
            mien_barycentre(traces[0], 3, TIMES, 12, 10, standardised, average, aligned), MIEN_OK);
        for (int r = 0; r < 3; r++) { /* how far each is from the average but for bias and scale */
            mien_moments m = {0};
            mien_moments_add(&m, aligned + r * TIMES, average, TIMES);
            apart[standardised] += 1 - mien_moments_pearson(&m);
        }
    }
    assert_true(apart[1] < .01 && apart[0] > 5 * apart[1]);
}

static void an_alignment_of_what_is_missing_is_refused(void **state) {
    double traces[] = {0, 1, 2, NAN, 1, 1}, average[3], aligned[6];
    assert_int_equal(mien_barycentre(traces, 2, 3, 1, 1, true, average, aligned), MIEN_ERR_NUMERIC);
    assert_non_null(strstr(mien_error_last()->message, "rater 2 has no value at time 1"));
    assert_int_equal(mien_barycentre(traces, 0, 3, 1, 1, true, average, aligned),
                     MIEN_ERR_ARGUMENT);
    traces[3] = 1; /* a rater who never moves is matched somehow and stays what he is */
    assert_int_equal(mien_barycentre(traces, 2, 3, 1, 5, true, average, aligned), MIEN_OK);
    assert_true(aligned[3] == 1 && aligned[5] == 1);
    assert_int_equal(mien_barycentre(traces, 1, 3, 9, 5, true, average, aligned), MIEN_OK);
    assert_memory_equal(average, traces, sizeof average); /* one rater is the average */
}

/* ---- real raters ----------------------------------------------------------------------------- */

static void ten_raters_agree_and_lag_as_published(void **state) {
    enum { FRAMES = 2664 };
    double *truth = calloc(FRAMES * 13, sizeof(double)), *traces = truth + FRAMES;
    double *gold = truth + 11 * FRAMES, *moved = gold + FRAMES, weights[10], agreement[10];
    int lags[10], lag;
    int64_t frames = FRAMES;
    if (read_trace("traces_taskA/truth/TaskA_normalized_10hz.csv", truth, FRAMES) < 0) {
        free(truth);
        skip();
    }
    for (int r = 0; r < 10; r++) {
        char path[96];
        snprintf(path, sizeof path, "traces_taskA/annotations_10hz/TaskA_ann%d.csv", r + 1);
        assert_int_equal(read_trace(path, traces + r * FRAMES, FRAMES), FRAMES);
    }
    mien_agreement a;
    assert_int_equal(mien_rater_agreement(traces, 10, FRAMES, &a), MIEN_OK);
    NEAR(a.ccc, .757703, 5e-7);
    NEAR(a.pearson, .800391, 5e-7);
    NEAR(a.icc_mean[2], .973080, 5e-7);

    mien_moments m = {0};
    assert_int_equal(mien_gold_standard(traces, 10, FRAMES, MIEN_GOLD_MEDIAN, false, gold, weights),
                     MIEN_OK);
    mien_moments_add(&m, gold, truth, FRAMES);
    NEAR(mien_moments_ccc(&m), .620851, 5e-7);

    /* The raters' reaction: the mean of all agrees best with the truth 1.5 s earlier. */
    assert_int_equal(mien_gold_standard(traces, 10, FRAMES, MIEN_GOLD_MEAN, false, gold, weights),
                     MIEN_OK);
    assert_int_equal(mien_rater_lags(gold, 1, &frames, 1, 50, truth, &lag, agreement), MIEN_OK);
    assert_int_equal(lag, 15);
    mien_compensate_lag(gold, moved, FRAMES, lag);
    memset(&m, 0, sizeof m);
    mien_moments_add(&m, moved, truth, FRAMES - lag);
    NEAR(mien_moments_ccc(&m), .738341, 5e-7);

    /* Among themselves they differ by what each has against the truth, within 0.3 s. */
    int own[10];
    assert_int_equal(mien_rater_lags(traces, 10, &frames, 1, 50, NULL, lags, agreement), MIEN_OK);
    assert_int_equal(mien_rater_lags(traces, 10, &frames, 1, 50, truth, own, agreement), MIEN_OK);
    for (int r = 0; r < 10; r++) assert_true(abs(lags[r] - lags[6] - (own[r] - own[6])) <= 3);
    free(truth);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intraclass_correlations_are_those_of_shrout_and_fleiss),
        cmocka_unit_test(agreement_leaves_out_what_is_missing),
        cmocka_unit_test(agreement_without_an_answer_is_defined_or_refused),
        cmocka_unit_test(alpha_is_that_of_krippendorff),
        cmocka_unit_test(alpha_without_an_answer_is_defined_or_refused),
        cmocka_unit_test(kappa_is_that_of_fleiss),
        cmocka_unit_test(the_median_is_the_middle_rater),
        cmocka_unit_test(lags_are_found_whatever_bias_and_scale),
        cmocka_unit_test(lags_of_a_rater_join_recordings_and_cross_none),
        cmocka_unit_test(lags_without_an_answer_are_0_or_refused),
        cmocka_unit_test(the_barycentre_is_that_of_petitjean),
        cmocka_unit_test(a_band_of_0_leaves_the_plain_mean),
        cmocka_unit_test(standardised_traces_are_matched_whatever_bias_and_scale),
        cmocka_unit_test(an_alignment_of_what_is_missing_is_refused),
        cmocka_unit_test(ten_raters_agree_and_lag_as_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
