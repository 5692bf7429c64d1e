/* Median filter, shift and their searches against naive loops, golden values and real traces.
 * Not here: the chain that decides what to keep (tests/lua/post_spec.lua). */
#include "affect_files.h"
#include "affect/affect.h"
#include <math.h>
#include <omp.h>

static uint64_t seed = 88172645463325252ull;
/* xorshift64 (Marsaglia 2003), in [0, 1) */
static double uniform(void) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (double)(seed >> 11) * 0x1p-53;
}

static int by_value(const void *a, const void *b) {
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

static void naive_median(const double *in, double *out, int64_t n, int window) {
    double *sorted = malloc(sizeof(double) * (size_t)window);
    for (int64_t t = 0; t < n; t++) {
        for (int i = 0; i < window; i++) {
            int64_t from = t + i - window / 2;
            sorted[i] = in[from < 0 ? 0 : from >= n ? n - 1 : from];
        }
        qsort(sorted, (size_t)window, sizeof(double), by_value);
        out[t] = sorted[window / 2];
    }
    free(sorted);
}

static void median_equals_the_naive_one_for_all_sizes(void **state) {
    int64_t lengths[] = {1, 2, 3, 17, 64, 65, 200, 4200};
    int windows[] = {1, 3, 5, 17, 63, 65, 129, 501};
    double in[4200], fast[4200], slow[4200];
    for (int kind = 0; kind < 3; kind++)
        for (int l = 0; l < 8; l++) {
            double level = 0;
            for (int64_t i = 0; i < lengths[l]; i++) {
                level += uniform() - 0.5;
                in[i] = kind == 0 ? uniform() : kind == 1 ? level : floor(uniform() * 4); /* ties */
            }
            for (int w = 0; w < 8; w++) {
                if (lengths[l] == 4200 && windows[w] > 65) continue; /* the naive one is slow */
                assert_int_equal(mien_median_filter(in, fast, lengths[l], windows[w]), MIEN_OK);
                naive_median(in, slow, lengths[l], windows[w]);
                assert_memory_equal(fast, slow, sizeof(double) * (size_t)lengths[l]);
            }
        }
}

static void median_and_searches_match_golden_values(void **state) {
    int64_t n, windows, delays;
    double *x = golden("x", &n), *y = golden("y", NULL), *lengths_d = golden("lengths", NULL);
    double *median = golden("median_7", NULL), *by_window = golden("search_median", &windows);
    double *by_delay = golden("search_shift", &delays), out[64], scores[64];
    int64_t lengths[3] = {(int64_t)lengths_d[0], (int64_t)lengths_d[1], (int64_t)lengths_d[2]};
    assert_int_equal(mien_median_filter(x, out, 40, 7), MIEN_OK);
    for (int i = 0; i < 40; i++) assert_true(fabs(out[i] - median[i]) < 1e-15);
    int most = 2 * (int)windows - 1;
    assert_int_equal(mien_search_median(x, y, lengths, 3, most, scores), MIEN_OK);
    for (int64_t i = 0; i < windows; i++) assert_true(fabs(scores[i] - by_window[i]) < 1e-12);
    assert_int_equal(mien_search_shift(x, y, lengths, 3, (int)delays - 1, scores), MIEN_OK);
    for (int64_t i = 0; i < delays; i++) assert_true(fabs(scores[i] - by_delay[i]) < 1e-12);
    free(x), free(y), free(lengths_d), free(median), free(by_window), free(by_delay);
}

static void a_search_scores_exactly_what_applying_gives(void **state) {
    enum { FRAMES = 900, RECORDINGS = 4 };
    int64_t lengths[RECORDINGS] = {300, 0, 450, 150};
    double x[FRAMES], y[FRAMES], out[FRAMES], windows[51], delays[101];
    for (int i = 0; i < FRAMES; i++) x[i] = uniform() - 0.5, y[i] = sin(i / 30.0);
    assert_int_equal(mien_search_median(x, y, lengths, RECORDINGS, 101, windows), MIEN_OK);
    assert_int_equal(mien_search_shift(x, y, lengths, RECORDINGS, 100, delays), MIEN_OK);
    for (int c = 0; c < 101; c += 7) {
        mien_moments by_median = {0}, by_shift = {0};
        int64_t first = 0;
        for (int r = 0; r < RECORDINGS; first += lengths[r++]) {
            mien_median_filter(x + first, out, lengths[r], 2 * (c / 2) + 1);
            mien_moments_add(&by_median, out, y + first, lengths[r]);
            if (lengths[r]) mien_shift(x + first, out, lengths[r], c);
            mien_moments_add(&by_shift, out, y + first, lengths[r]);
        }
        assert_true(windows[c / 2] == mien_moments_ccc(&by_median));
        assert_true(delays[c] == mien_moments_ccc(&by_shift));
    }
}

static void the_joint_search_agrees_with_the_single_ones(void **state) {
    enum { FRAMES = 700, WINDOW = 61, DELAY = 40 };
    int64_t lengths[] = {300, 0, 25, 375};
    double x[FRAMES], filtered[FRAMES], y[FRAMES], delays[DELAY + 1];
    static mien_moments moments[(WINDOW + 1) / 2][DELAY + 1];
    for (int i = 0; i < FRAMES; i++) x[i] = 3 + uniform(), y[i] = 1 + sin(i / 30.0);
    assert_int_equal(mien_search_joint(x, y, lengths, 4, WINDOW, DELAY, moments[0]), MIEN_OK);
    for (int w = 1; w <= WINDOW; w += 12) {
        int64_t first = 0;
        for (int r = 0; r < 4; first += lengths[r++])
            mien_median_filter(x + first, filtered + first, lengths[r], w);
        assert_int_equal(mien_search_shift(filtered, y, lengths, 4, DELAY, delays), MIEN_OK);
        for (int d = 0; d <= DELAY; d++)
            assert_true(fabs(mien_moments_ccc(&moments[w / 2][d]) - delays[d]) < 1e-12);
    }
    y[9] = NAN;
    assert_int_equal(mien_search_joint(x, y, lengths, 4, WINDOW, DELAY, moments[0]),
                     MIEN_ERR_NUMERIC);
}

static void the_joint_search_matches_golden_values(void **state) {
    enum { WINDOWS = 11, DELAYS = 13 };
    int64_t n, pairs;
    double *x = golden("joint_x", &n), *y = golden("y", NULL), *lengths_d = golden("lengths", NULL);
    double *scores = golden("joint", &pairs);
    int64_t lengths[3] = {(int64_t)lengths_d[0], (int64_t)lengths_d[1], (int64_t)lengths_d[2]};
    mien_moments moments[WINDOWS * DELAYS];
    assert_int_equal(pairs, WINDOWS * DELAYS);
    assert_int_equal(mien_search_joint(x, y, lengths, 3, 2 * WINDOWS - 1, DELAYS - 1, moments),
                     MIEN_OK);
    for (int i = 0; i < pairs; i++)
        assert_true(fabs(mien_moments_ccc(&moments[i]) - scores[i]) < 1e-12);
    free(x), free(y), free(lengths_d), free(scores);
}

/* Recordings whose medians do not all fit into the room there is, so that windows are searched in
 * several goes; pieces of threads that end inside a window; 1 to 5 windows left over. */
static void many_frames_are_searched_in_parts(void **state) {
    enum { FRAMES = 270000, WINDOWS = 17, DELAYS = 3 };
    int64_t lengths[] = {FRAMES - 1000, 1, 999};
    double *x = malloc(FRAMES * sizeof *x), *y = malloc(FRAMES * sizeof *y);
    double *filtered = malloc(FRAMES * sizeof *x), scores[WINDOWS];
    mien_moments joint[WINDOWS][DELAYS], one_thread[WINDOWS][DELAYS];
    for (int i = 0; i < FRAMES; i++) x[i] = floor(8 * uniform()), y[i] = sin(i / 30.0);
    assert_int_equal(mien_search_median(x, y, lengths, 3, 2 * WINDOWS - 1, scores), MIEN_OK);
    assert_int_equal(mien_search_joint(x, y, lengths, 3, 2 * WINDOWS - 1, DELAYS - 1, joint[0]),
                     MIEN_OK);
    for (int w = 0; w < WINDOWS; w++) {
        double delays[DELAYS];
        mien_moments m = {0};
        int64_t first = 0;
        for (int r = 0; r < 3; first += lengths[r++]) {
            mien_median_filter(x + first, filtered + first, lengths[r], 2 * w + 1);
            mien_moments_add(&m, filtered + first, y + first, lengths[r]);
        }
        assert_true(scores[w] == mien_moments_ccc(&m));
        assert_int_equal(mien_search_shift(filtered, y, lengths, 3, DELAYS - 1, delays), MIEN_OK);
        for (int d = 0; d < DELAYS; d++)
            assert_true(fabs(mien_moments_ccc(&joint[w][d]) - delays[d]) < 1e-12);
    }
    int threads = omp_get_max_threads();
    omp_set_num_threads(threads == 1 ? 3 : 1);
    assert_int_equal(
        mien_search_joint(x, y, lengths, 3, 2 * WINDOWS - 1, DELAYS - 1, one_thread[0]), MIEN_OK);
    omp_set_num_threads(threads);
    assert_memory_equal(joint, one_thread, sizeof joint);
    free(x), free(y), free(filtered);
}

static void a_search_stops_on_request(void **state) {
    enum { FRAMES = 50 };
    int64_t lengths[] = {FRAMES};
    double x[FRAMES], y[FRAMES], scores[16];
    mien_moments moments[16 * 16];
    for (int i = 0; i < FRAMES; i++) x[i] = uniform(), y[i] = sin(i / 30.0);
    mien_interrupt_request();
    assert_int_equal(mien_search_joint(x, y, lengths, 1, 31, 15, moments), MIEN_ERR_INTERRUPTED);
    assert_int_equal(mien_search_median(x, y, lengths, 1, 31, scores), MIEN_ERR_INTERRUPTED);
    assert_int_equal(mien_search_shift(x, y, lengths, 1, 15, scores), MIEN_ERR_INTERRUPTED);
    mien_interrupt_clear();
    assert_int_equal(mien_search_joint(x, y, lengths, 1, 31, 15, moments), MIEN_OK);
}

static void a_shift_holds_the_first_value(void **state) {
    double in[] = {1, 2, 3}, out[3];
    assert_int_equal(mien_shift(in, out, 3, 1), MIEN_OK);
    assert_true(out[0] == 1 && out[1] == 1 && out[2] == 2);
    assert_int_equal(mien_shift(in, out, 3, 9), MIEN_OK);
    assert_true(out[0] == 1 && out[2] == 1);
    assert_int_equal(mien_shift(in, out, 3, 0), MIEN_OK);
    assert_memory_equal(in, out, sizeof in);
    assert_int_equal(mien_shift(in, out, 3, -1), MIEN_ERR_ARGUMENT);
}

static void bad_input_is_refused_with_its_place(void **state) {
    double in[] = {1, NAN, 3}, out[3], scores[8];
    int64_t one = 3, negative = -3;
    assert_int_equal(mien_median_filter(in, out, 3, 4), MIEN_ERR_ARGUMENT);
    assert_int_equal(mien_median_filter(in, out, 3, 3), MIEN_ERR_NUMERIC);
    assert_non_null(strstr(mien_error_last()->message, "value 2"));
    assert_int_equal(mien_search_median(in, in, &one, 1, 5, scores), MIEN_ERR_NUMERIC);
    assert_int_equal(mien_search_median(in, in, &one, 0, 5, scores), MIEN_ERR_ARGUMENT);
    assert_int_equal(mien_search_shift(in, in, &negative, 1, 5, scores), MIEN_ERR_ARGUMENT);
    assert_int_equal(mien_search_shift(in, in, &one, 1, -5, scores), MIEN_ERR_ARGUMENT);
}

static void the_lag_of_real_raters_is_found(void **state) {
    /* Ten raters traced a known signal; the best delay of the signal towards their mean is their
     * reaction lag of 1.5 s. (The published best CCC moves the mean and drops the ends.) */
    double truth[2664], fused[2664], scores[51];
    int64_t n = read_trace("traces_taskA/truth/TaskA_normalized_10hz.csv", truth, 2664);
    if (n < 0) skip();
    assert_int_equal(
        read_trace("traces_taskA/fusion_baselines/simple_average_10hz.csv", fused, 2664), n);
    assert_int_equal(mien_search_shift(truth, fused, &n, 1, 50, scores), MIEN_OK);
    int best = 0;
    for (int d = 1; d <= 50; d++)
        if (scores[d] > scores[best]) best = d;
    assert_int_equal(best, 15);
    assert_true(fabs(scores[0] - 0.639372) < 5e-7);
    assert_true(scores[15] > 0.73);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(median_equals_the_naive_one_for_all_sizes),
        cmocka_unit_test(median_and_searches_match_golden_values),
        cmocka_unit_test(a_search_scores_exactly_what_applying_gives),
        cmocka_unit_test(the_joint_search_agrees_with_the_single_ones),
        cmocka_unit_test(the_joint_search_matches_golden_values),
        cmocka_unit_test(many_frames_are_searched_in_parts),
        cmocka_unit_test(a_search_stops_on_request),
        cmocka_unit_test(a_shift_holds_the_first_value),
        cmocka_unit_test(bad_input_is_refused_with_its_place),
        cmocka_unit_test(the_lag_of_real_raters_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
