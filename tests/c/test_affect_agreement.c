/* Moments, gold standards, votes and average precision against golden values and real data.
 * Not here: the post-processing kernels (test_affect_post.c). */
#include "affect_files.h"
#include "affect/affect.h"
#include <math.h>

#define CLOSE(a, b) assert_true(fabs((a) - (b)) <= 1e-12 * fmax(1.0, fabs(b)))

static void moments_give_ccc_pearson_and_rmse(void **state) {
    int64_t n;
    double *x = golden("x", &n), *y = golden("y", NULL);
    double *ccc = golden("ccc", NULL), *r = golden("pearson", NULL), *rmse = golden("rmse", NULL);
    mien_moments m = {0};
    mien_moments_add(&m, x, y, n);
    CLOSE(mien_moments_ccc(&m), ccc[0]);
    CLOSE(mien_moments_pearson(&m), r[0]);
    CLOSE(mien_moments_rmse(&m), rmse[0]);
    /* In any pieces, added or merged, it is the same set of pairs. */
    for (int64_t cut = 0; cut <= n; cut++) {
        mien_moments a = {0}, b = {0};
        mien_moments_add(&a, x, y, cut);
        mien_moments_add(&b, x + cut, y + cut, n - cut);
        mien_moments_merge(&a, &b);
        CLOSE(mien_moments_ccc(&a), ccc[0]);
        CLOSE(mien_moments_rmse(&a), rmse[0]);
        assert_true(a.n == (double)n);
    }
    free(x), free(y), free(ccc), free(r), free(rmse);
}

static void a_large_offset_costs_no_digits(void **state) {
    double x[64], y[64];
    for (int i = 0; i < 64; i++) x[i] = 1e8 + i % 7, y[i] = 1e8 + i % 5;
    mien_moments far = {0}, near = {0};
    mien_moments_add(&far, x, y, 64);
    for (int i = 0; i < 64; i++) x[i] -= 1e8, y[i] -= 1e8;
    mien_moments_add(&near, x, y, 64);
    assert_true(fabs(mien_moments_ccc(&far) - mien_moments_ccc(&near)) < 1e-6);
}

static void pairs_with_nan_are_left_out_and_counted(void **state) {
    double x[] = {1, NAN, 2, 3, 9}, y[] = {1, 5, 2, 3, NAN};
    mien_moments m = {0};
    mien_moments_add(&m, x, y, 5);
    assert_true(m.n == 3 && m.skipped == 2);
    CLOSE(mien_moments_ccc(&m), 1.0);
    mien_moments all = {0};
    mien_moments_add(&all, x + 1, y + 1, 1);
    assert_true(all.skipped == 1 && isnan(mien_moments_ccc(&all)) &&
                isnan(mien_moments_rmse(&all)));
    mien_moments_merge(&all, &m);
    assert_true(all.n == 3 && all.skipped == 3);
}

static void undefined_agreement_is_nan(void **state) {
    double flat[] = {2, 2, 2}, moving[] = {1, 2, 3};
    mien_moments m = {0};
    mien_moments_add(&m, flat, moving, 3);
    assert_true(mien_moments_ccc(&m) == 0); /* defined: nothing in common */
    assert_true(isnan(mien_moments_pearson(&m)));

    /* Nor over two recordings, though 0.1 summed 7 and 13 times is not exact: the little that
     * rounding leaves would correlate with the recordings' own means. */
    double still[13], gold[13];
    mien_moments both = {0}, second = {0};
    for (int t = 0; t < 13; t++) still[t] = 0.1, gold[t] = 0.3 + t % 3;
    mien_moments_add(&both, still, gold, 7);
    for (int t = 0; t < 13; t++) gold[t] = -0.6 + t % 4;
    mien_moments_add(&second, still, gold, 13);
    mien_moments_merge(&both, &second);
    assert_true(both.m2_x == 0 && mien_moments_ccc(&both) == 0);
    assert_true(isnan(mien_moments_pearson(&both)));
    mien_moments same = {0};
    mien_moments_add(&same, flat, flat, 3);
    assert_true(isnan(mien_moments_ccc(&same)));
    mien_moments none = {0};
    assert_true(isnan(mien_moments_ccc(&none)));
}

static void gold_standards_match_their_definitions(void **state) {
    const char *names[] = {"centred", "mean", "ewe_all", "ewe_others"};
    double *traces = golden("traces", NULL);
    for (int kind = 0; kind < 4; kind++) {
        char key[32];
        int64_t n;
        snprintf(key, sizeof key, "%s_gold", names[kind]);
        double *want = golden(key, &n), gold[64], weights[4];
        assert_int_equal(mien_gold_standard(traces, 4, n, (mien_gold)kind, false, gold, weights),
                         0);
        for (int64_t t = 0; t < n; t++) CLOSE(gold[t], want[t]);
        free(want);
        if (kind == MIEN_GOLD_MEAN) continue;
        snprintf(key, sizeof key, "%s_weights", names[kind]);
        want = golden(key, NULL);
        for (int r = 0; r < 4; r++) CLOSE(weights[r], want[r]);
        free(want);
    }
    free(traces);
}

static void clipping_silences_a_rater_who_disagrees(void **state) {
    double traces[3][4] = {{0, 1, 2, 3}, {0, 1, 2, 3}, {13, 12, 11, 10}};
    double gold[4], weights[3];
    assert_int_equal(mien_gold_standard(traces[0], 3, 4, MIEN_GOLD_CENTRED, true, gold, weights),
                     MIEN_OK);
    assert_true(weights[2] == 0 && weights[0] > 0);
    CLOSE((gold[0] + gold[1] + gold[2] + gold[3]) / 4, 1.5); /* the offset is the agreeing two's */
    assert_int_equal(mien_gold_standard(traces[0], 3, 4, MIEN_GOLD_CENTRED, false, gold, weights),
                     MIEN_OK);
    assert_true(weights[2] < 0);
}

static void gold_standard_refuses_what_has_no_answer(void **state) {
    double gold[2], weights[2], gap[] = {0, 1, NAN, 1}, flat[] = {1, 1, 2, 2};
    assert_int_equal(mien_gold_standard(gap, 0, 2, MIEN_GOLD_MEAN, false, gold, weights),
                     MIEN_ERR_ARGUMENT);
    assert_int_equal(mien_gold_standard(gap, 2, 2, MIEN_GOLD_MEAN, false, gold, weights),
                     MIEN_ERR_NUMERIC);
    assert_non_null(strstr(mien_error_last()->message, "rater 2 has no value at time 1"));
    assert_int_equal(mien_gold_standard(flat, 2, 2, MIEN_GOLD_EWE_OTHERS, false, gold, weights),
                     MIEN_ERR_NUMERIC);
    assert_int_equal(mien_gold_standard(gap, 1, 2, MIEN_GOLD_CENTRED, false, gold, weights),
                     MIEN_OK);
    assert_true(gold[1] == 1 && weights[0] == 1); /* one rater is the gold standard */
}

static void kappa_and_average_precision_match_their_definitions(void **state) {
    int64_t n;
    double *counts = golden("counts", &n), *want = golden("kappa", NULL), kappa;
    assert_int_equal(mien_fleiss_kappa(counts, n / 4, 4, &kappa), MIEN_OK);
    CLOSE(kappa, want[0]);
    counts[4]++;
    assert_int_equal(mien_fleiss_kappa(counts, n / 4, 4, &kappa), MIEN_ERR_ARGUMENT);
    assert_non_null(strstr(mien_error_last()->message, "item 2 has 8 votes and item 1 has 7"));
    free(counts), free(want);

    double *score = golden("score", &n), *truth = golden("truth", NULL);
    want = golden("average_precision", NULL);
    CLOSE(mien_average_precision(score, truth, n), want[0]);
    memset(truth, 0, sizeof(double) * (size_t)n);
    assert_true(isnan(mien_average_precision(score, truth, n)));
    free(score), free(truth), free(want);
}

static void the_winner_is_the_first_of_the_most_voted(void **state) {
    double counts[] = {1, 3, 2, /**/ 2, 0, 2, /**/ 0, 0, 0};
    int32_t winner[3], ties[3];
    assert_int_equal(mien_winner_takes_all(counts, 3, 3, winner, ties), MIEN_OK);
    assert_true(winner[0] == 1 && ties[0] == 1);
    assert_true(winner[1] == 0 && ties[1] == 2);
    assert_true(winner[2] == -1 && ties[2] == 0);
    counts[8] = -1;
    assert_int_equal(mien_winner_takes_all(counts, 3, 3, winner, ties), MIEN_ERR_ARGUMENT);
}

/* ---- real data ------------------------------------------------------------------------------- */

static void ten_annotators_of_faces_agree_as_published(void **state) {
    FILE *file = open_data("votes_ferplus/fer2013new_training.csv");
    if (!file) skip();
    char line[256];
    double *counts = calloc(28709 * 10, sizeof(double)), *full = calloc(28709 * 10, sizeof(double));
    int64_t rows = 0, ten = 0;
    assert_non_null(fgets(line, sizeof line, file));
    while (fgets(line, sizeof line, file)) {
        double *row = counts + rows++ * 10, sum = 0;
        char *at = strchr(strchr(line, ',') + 1, ','); /* the picture's name can be empty */
        for (int c = 0; c < 10; c++) sum += row[c] = strtod(at + 1, &at);
        if (sum == 10) memcpy(full + ten++ * 10, row, sizeof(double) * 10);
    }
    fclose(file);
    assert_int_equal(rows, 28709);
    assert_int_equal(ten, 28708);
    double kappa;
    assert_int_equal(mien_fleiss_kappa(full, ten, 10, &kappa), MIEN_OK);
    assert_true(fabs(kappa - 0.509312) < 5e-7);
    int32_t *winner = calloc((size_t)rows, 4), *ties = calloc((size_t)rows, 4), tied = 0;
    int64_t won[10] = {0}, want[] = {10309, 7528, 3562, 3515, 2467, 191, 652, 165, 170, 150};
    assert_int_equal(mien_winner_takes_all(counts, rows, 10, winner, ties), MIEN_OK);
    for (int64_t i = 0; i < rows; i++) won[winner[i]]++, tied += ties[i] > 1;
    assert_int_equal(tied, 1449);
    for (int c = 0; c < 10; c++) assert_int_equal(won[c], want[c]);
    free(counts), free(full), free(winner), free(ties);
}

static void ten_raters_fuse_to_the_published_agreement(void **state) {
    enum { TIMES = 2664 };
    double *truth = calloc(TIMES * 12, sizeof(double)), *traces = truth + TIMES;
    double *gold = truth + 11 * TIMES, weights[10], ewe_ccc = 0.637072;
    double pearson_weights[] = {.9066, .8864, .8210, .8997, .8801,
                                .8972, .8585, .9156, .8930, .8660};
    if (read_trace("traces_taskA/truth/TaskA_normalized_10hz.csv", truth, TIMES) < 0) {
        free(truth);
        skip();
    }
    for (int r = 0; r < 10; r++) {
        char path[96];
        snprintf(path, sizeof path, "traces_taskA/annotations_10hz/TaskA_ann%d.csv", r + 1);
        assert_int_equal(read_trace(path, traces + r * TIMES, TIMES), TIMES);
    }
    assert_int_equal(mien_gold_standard(traces, 10, TIMES, MIEN_GOLD_MEAN, false, gold, weights),
                     0);
    mien_moments m = {0};
    mien_moments_add(&m, gold, truth, TIMES);
    assert_true(fabs(mien_moments_ccc(&m) - 0.639372) < 5e-7);
    assert_true(fabs(mien_moments_pearson(&m) - 0.775601) < 5e-7);
    assert_true(fabs(mien_moments_rmse(&m) - 0.191943) < 5e-7);

    assert_int_equal(
        mien_gold_standard(traces, 10, TIMES, MIEN_GOLD_EWE_OTHERS, false, gold, weights), 0);
    for (int r = 0; r < 10; r++) assert_true(fabs(weights[r] - pearson_weights[r]) < 6e-5);
    memset(&m, 0, sizeof m);
    mien_moments_add(&m, gold, truth, TIMES);
    assert_true(fabs(mien_moments_ccc(&m) - ewe_ccc) < 5e-7);

    /* Mean pairwise CCC .757703 is the mean of the centred weights. */
    double mean = 0;
    assert_int_equal(mien_gold_standard(traces, 10, TIMES, MIEN_GOLD_CENTRED, false, gold, weights),
                     0);
    for (int r = 0; r < 10; r++) mean += weights[r] / 10;
    assert_true(fabs(mean - 0.757703) < 5e-7);
    free(truth);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_give_ccc_pearson_and_rmse),
        cmocka_unit_test(a_large_offset_costs_no_digits),
        cmocka_unit_test(pairs_with_nan_are_left_out_and_counted),
        cmocka_unit_test(undefined_agreement_is_nan),
        cmocka_unit_test(gold_standards_match_their_definitions),
        cmocka_unit_test(clipping_silences_a_rater_who_disagrees),
        cmocka_unit_test(gold_standard_refuses_what_has_no_answer),
        cmocka_unit_test(kappa_and_average_precision_match_their_definitions),
        cmocka_unit_test(the_winner_is_the_first_of_the_most_voted),
        cmocka_unit_test(ten_annotators_of_faces_agree_as_published),
        cmocka_unit_test(ten_raters_fuse_to_the_published_agreement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
