/* Philox against its published vectors, and the draws made from it.
 * Not here: dropout (tests/backend). */
#include "mien_test.h"

#include <omp.h>

#include "tensor/rng.h"

/* Known answers of the Random123 library for philox4x32-10: counter, key, result. */
static void philox_gives_the_published_vectors(void **state) {
    static const struct {
        uint64_t stream, counter, seed;
        uint32_t wanted[4];
    } cases[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {~0ull, ~0ull, ~0ull, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x0370734413198a2eull,
         0x85a308d3243f6a88ull,
         0x299f31d0a4093822ull,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t out[4];
        mien__philox(cases[i].seed, cases[i].stream, cases[i].counter, out);
        for (int k = 0; k < 4; k++) assert_int_equal(out[k], cases[i].wanted[k]);
    }
}

static void streams_differ_by_name_and_by_seed(void **state) {
    mien_rng a, b, c, again;
    mien_rng_start(&a, 1, "init");
    mien_rng_start(&b, 1, "shuffle");
    mien_rng_start(&c, 2, "init");
    mien_rng_start(&again, 1, "init");
    double first = mien_rng_uniform(&a);
    assert_true(first == mien_rng_uniform(&again));
    assert_true(first != mien_rng_uniform(&b));
    assert_true(first != mien_rng_uniform(&c));
}

static void a_saved_state_goes_on_with_the_same_bits(void **state) {
    mien_rng rng;
    mien_rng_start(&rng, 7, "augment");
    for (int i = 0; i < 10; i++) mien_rng_normal(&rng);
    mien_rng saved = rng;
    double next = mien_rng_normal(&rng);
    assert_true(next == mien_rng_normal(&saved));
}

static void uniform_and_normal_have_their_moments(void **state) {
    enum { N = 200000 };
    mien_rng rng;
    mien_rng_start(&rng, 3, "moments");
    double u1 = 0, u2 = 0, n1 = 0, n2 = 0, n4 = 0;
    for (int i = 0; i < N; i++) {
        double u = mien_rng_uniform(&rng), n = mien_rng_normal(&rng);
        assert_true(u >= 0 && u < 1);
        u1 += u / N;
        u2 += u * u / N;
        n1 += n / N;
        n2 += n * n / N;
        n4 += n * n * n * n / N;
    }
    assert_true(fabs(u1 - 0.5) < 0.004);
    assert_true(fabs(u2 - 1.0 / 3) < 0.004);
    assert_true(fabs(n1) < 0.01);
    assert_true(fabs(n2 - 1) < 0.02);
    assert_true(fabs(n4 - 3) < 0.15);
}

static void below_reaches_every_number_equally_often(void **state) {
    mien_rng rng;
    mien_rng_start(&rng, 5, "below");
    int64_t hits[6] = {0};
    for (int i = 0; i < 60000; i++) {
        int64_t k = mien_rng_below(&rng, 6);
        assert_true(k >= 0 && k < 6);
        hits[k]++;
    }
    for (int k = 0; k < 6; k++) assert_true(llabs(hits[k] - 10000) < 400);
    /* 2^64 holds 2 2/3 of 3 2^61: without rejection the lower 2/3 would come 3/4 of the time. */
    int64_t range = (int64_t)3 << 61, low = 0;
    for (int i = 0; i < 30000; i++) low += mien_rng_below(&rng, range) < (int64_t)1 << 62;
    assert_true(llabs(low - 20000) < 400);
    assert_int_equal(mien_rng_below(&rng, 1), 0);
    for (int i = 0; i < 100; i++) {
        int64_t big = mien_rng_below(&rng, INT64_MAX);
        assert_true(big >= 0 && big < INT64_MAX);
    }
}

static void shuffle_is_a_permutation(void **state) {
    int64_t values[50], seen[50] = {0}, moved = 0;
    for (int i = 0; i < 50; i++) values[i] = i;
    mien_rng rng;
    mien_rng_start(&rng, 1, "shuffle");
    mien_rng_shuffle(&rng, values, 50);
    for (int i = 0; i < 50; i++) {
        seen[values[i]]++;
        moved += values[i] != i;
    }
    for (int i = 0; i < 50; i++) assert_int_equal(seen[i], 1);
    assert_true(moved > 30);
}

static void a_fill_is_the_sequence_of_single_draws_for_any_threads(void **state) {
    mien_tensor *one = test_tensor(MIEN_F64, SHAPE(123, 67));
    mien_tensor *three = test_tensor(MIEN_F64, SHAPE(123, 67));
    mien_rng a, b, c;
    mien_rng_start(&a, 9, "init");
    b = c = a;
    omp_set_num_threads(1);
    assert_ok(mien_rng_fill_normal(&a, one, 1, 2));
    omp_set_num_threads(3);
    assert_ok(mien_rng_fill_normal(&b, three, 1, 2));
    omp_set_num_threads(2);
    const double *x = mien_tensor_data(one), *y = mien_tensor_data(three);
    for (int64_t i = 0; i < 123 * 67; i++) {
        assert_true(x[i] == y[i]);
        assert_true(x[i] == 1 + 2 * mien_rng_normal(&c));
    }
    assert_int_equal(a.counter, c.counter);
    mien_tensor_release(one);
    mien_tensor_release(three);
}

static void a_view_gets_the_same_elements_as_a_whole_tensor(void **state) {
    mien_tensor *whole = test_range(SHAPE(4, 6), -1, 0),
                *dense = test_tensor(MIEN_F32, SHAPE(4, 2));
    mien_tensor *part = test_op(MIEN_OP_narrow, whole, NULL, ATTR(1, 3, 2));
    mien_rng a, b;
    mien_rng_start(&a, 4, "init");
    b = a;
    assert_ok(mien_rng_fill_uniform(&a, part, -1, 1));
    assert_ok(mien_rng_fill_uniform(&b, dense, -1, 1));
    for (int64_t i = 0; i < 8; i++) assert_true(test_element(part, i) == test_element(dense, i));
    assert_true(test_element(whole, 0) == -1); /* beside the view */
    assert_true(test_element(whole, 5) == -1);
    mien_tensor *ints = test_tensor(MIEN_I32, SHAPE(2));
    assert_error(mien_rng_fill_uniform(&a, ints, 0, 1), MIEN_ERR_DTYPE, "i32");
    mien_tensor_release(ints);
    mien_tensor_release(part);
    mien_tensor_release(whole);
    mien_tensor_release(dense);
}

#define NEAR_ONE 25887480 /* the first draw of the stream that rounds to 1 in f32 */

static void a_range_is_open_at_its_end_in_every_dtype(void **state) {
    mien_rng rng;
    mien_rng_start(&rng, 0, "random");
    rng.counter = NEAR_ONE;
    assert_true(mien_rng_uniform(&rng) > 1 - 0x1p-25); /* rounds to 1 in f32 */
    const double ends[][2] = {{0, 1}, {-0.5, 0.5}, {-1, 0}, {3, 3 + 0x1p-20}, {0, 0.1}};
    for (int i = 0; i < 5; i++) {
        mien_tensor *t = test_tensor(MIEN_F32, SHAPE(1));
        rng.counter = NEAR_ONE;
        assert_ok(mien_rng_fill_uniform(&rng, t, ends[i][0], ends[i][1]));
        double value = test_element(t, 0);
        assert_true(value < ends[i][1] && value > ends[i][1] - 1e-6);
        mien_tensor_release(t);
    }
    mien_tensor *wide = test_tensor(MIEN_F64, SHAPE(1));
    rng.counter = NEAR_ONE;
    assert_ok(
        mien_rng_fill_uniform(&rng, wide, 1e9, 1e9 + 1e-6)); /* far fewer numbers than draws */
    assert_true(*(const double *)mien_tensor_data(wide) < 1e9 + 1e-6);
    mien_tensor_release(wide);
}

static void words_become_exact_floats(void **state) {
    assert_true(mien__u24(0) == 0);
    assert_true(mien__u24(0xffffffffu) < 1);
    assert_true(mien__u24(0x80000000u) == 0.5f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_vectors),
        cmocka_unit_test(streams_differ_by_name_and_by_seed),
        cmocka_unit_test(a_saved_state_goes_on_with_the_same_bits),
        cmocka_unit_test(uniform_and_normal_have_their_moments),
        cmocka_unit_test(below_reaches_every_number_equally_often),
        cmocka_unit_test(shuffle_is_a_permutation),
        cmocka_unit_test(a_fill_is_the_sequence_of_single_draws_for_any_threads),
        cmocka_unit_test(a_view_gets_the_same_elements_as_a_whole_tensor),
        cmocka_unit_test(a_range_is_open_at_its_end_in_every_dtype),
        cmocka_unit_test(words_become_exact_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
