/* The front of the optimisers on both backends: updates against the published formulas, checks
 * before changes, clipping. Not here: speed, other kernels (tests/backend). */
#include "mien_test.h"

static const char *const backends[] = {"ref", "cpu"};

static int use_default(void **state) {
    return mien_backend_use("cpu");
}

/* Kingma & Ba 2015, algorithm 1, in doubles. */
static double adam_by_hand(const mien_adam *h, double p, int steps) {
    double m = 0, v = 0;
    for (int t = 1; t <= steps; t++) {
        double g = 2 * p + (h->decoupled ? 0 : h->weight_decay * p); /* of p^2 */
        m = h->beta1 * m + (1 - h->beta1) * g;
        v = h->beta2 * v + (1 - h->beta2) * g * g;
        double decay = h->decoupled ? h->lr * h->weight_decay * p : 0;
        p -= h->lr * (m / (1 - pow(h->beta1, t))) / (sqrt(v / (1 - pow(h->beta2, t))) + h->eps) +
             decay;
    }
    return p;
}

static void adam_follows_the_published_algorithm(void **state) {
    for (int b = 0; b < 2; b++) {
        assert_ok(mien_backend_use(backends[b]));
        for (int decoupled = 0; decoupled < 2; decoupled++) {
            mien_adam h = {1e-2, 0.9, 0.999, 1e-8, 0.1, decoupled};
            mien_tensor *p = test_range(SHAPE(5), 1, 0.5), *g = test_range(SHAPE(5), 0, 0);
            mien_tensor *m = test_range(SHAPE(5), 0, 0), *v = test_range(SHAPE(5), 0, 0);
            for (int step = 1; step <= 20; step++) {
                float *x = mien_tensor_data(p), *dx = mien_tensor_data(g);
                for (int i = 0; i < 5; i++) dx[i] = 2 * x[i];
                assert_ok(mien_adam_step(&h, &p, &g, &m, &v, 1, step));
            }
            for (int i = 0; i < 5; i++)
                assert_true(fabs(test_element(p, i) - adam_by_hand(&h, 1 + 0.5 * i, 20)) < 2e-6);
            mien_tensor_release(p);
            mien_tensor_release(g);
            mien_tensor_release(m);
            mien_tensor_release(v);
        }
    }
}

/* From zero moments, m is 1 - beta1 and v 1 - beta2 of a gradient of ones. */
static void the_moments_take_what_beta_leaves(void **state) {
    for (int b = 0; b < 2; b++) {
        assert_ok(mien_backend_use(backends[b]));
        mien_adam h = {1e-3, 0.9, 0.9999, 1e-8};
        mien_tensor *p = test_range(SHAPE(3), 1, 0), *g = test_range(SHAPE(3), 1, 0);
        mien_tensor *m = test_range(SHAPE(3), 0, 0), *v = test_range(SHAPE(3), 0, 0);
        assert_ok(mien_adam_step(&h, &p, &g, &m, &v, 1, 1));
        assert_true(fabs(test_element(m, 0) / 0.1 - 1) < 1e-7);
        assert_true(fabs(test_element(v, 0) / 1e-4 - 1) < 1e-7);
        mien_tensor_release(p);
        mien_tensor_release(g);
        mien_tensor_release(m);
        mien_tensor_release(v);
    }
}

static void sgd_has_momentum_nesterov_and_decay(void **state) {
    for (int b = 0; b < 2; b++) {
        assert_ok(mien_backend_use(backends[b]));
        mien_tensor *g = test_range(SHAPE(2), 1, 1);
        mien_tensor *p = test_range(SHAPE(2), 10, 0), *v = test_range(SHAPE(2), 0, 0), *none = NULL;
        mien_sgd plain = {0.1, 0, 0.5, 0}, heavy = {0.1, 0.5, 0, 0}, ahead = {0.1, 0.5, 0, 1};
        assert_ok(mien_sgd_step(&plain, &p, &g, NULL, 1, 1));
        assert_elements(p, 1e-6, 10 - 0.1 * (1 + 5), 10 - 0.1 * (2 + 5));
        assert_ok(mien_tensor_fill(p, 0));
        assert_ok(mien_sgd_step(&heavy, &p, &g, &v, 1, 1));
        assert_ok(mien_sgd_step(&heavy, &p, &g, &v, 1, 2));
        assert_elements(p, 1e-6, -0.25, -0.5); /* 1 + 1.5 */
        assert_ok(mien_sgd_step(&ahead, &p, &g, &v, 1, 3));
        assert_elements(p, 1e-6, -0.25 - 0.1 * 1.875, -0.5 - 0.1 * 3.75); /* g + 0.5 * 1.75 g */
        assert_error(mien_sgd_step(&heavy, &p, &g, &none, 1, 4), MIEN_ERR_ARGUMENT, "no velocity");
        mien_tensor_release(p);
        mien_tensor_release(g);
        mien_tensor_release(v);
    }
}

/* Of a power of two to the last bit: loss scaling must not show. */
static void gradients_are_divided_on_the_way(void **state) {
    for (int b = 0; b < 2; b++) {
        assert_ok(mien_backend_use(backends[b]));
        mien_tensor *p[4], *g = test_range(SHAPE(7), -0.3, 0.17);
        mien_tensor *large = test_range(SHAPE(7), -0.3, 0.17), *m[2], *v[2];
        float *x = mien_tensor_data(large);
        for (int i = 0; i < 7; i++) x[i] *= 4096;
        for (int i = 0; i < 4; i++) p[i] = test_range(SHAPE(7), 1, 0.1);
        for (int i = 0; i < 2; i++) m[i] = test_range(SHAPE(7), 0, 0);
        for (int i = 0; i < 2; i++) v[i] = test_range(SHAPE(7), 0, 0);
        mien_adam adam = {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1};
        mien_sgd sgd = {.lr = 0.1, .weight_decay = 0.1};
        for (int scaled = 0; scaled < 2; scaled++) {
            mien_tensor **grad = scaled ? &large : &g;
            adam.divisor = sgd.divisor = scaled ? 4096 : 0;
            assert_ok(mien_adam_step(&adam, &p[scaled], grad, &m[scaled], &v[scaled], 1, 1));
            assert_ok(mien_sgd_step(&sgd, &p[2 + scaled], grad, NULL, 1, 1));
        }
        for (int i = 0; i < 7; i++) {
            assert_true(test_element(p[0], i) == test_element(p[1], i));
            assert_true(test_element(p[2], i) == test_element(p[3], i));
            assert_true(test_element(p[0], i) != test_element(p[2], i));
        }
        for (int i = 0; i < 4; i++) mien_tensor_release(p[i]);
        for (int i = 0; i < 2; i++) mien_tensor_release(m[i]);
        for (int i = 0; i < 2; i++) mien_tensor_release(v[i]);
        mien_tensor_release(g);
        mien_tensor_release(large);
    }
}

static void nothing_changes_when_any_parameter_is_wrong(void **state) {
    mien_adam h = {1e-2, 0.9, 0.999, 1e-8, 0, 0};
    mien_tensor *p[2] = {test_range(SHAPE(2), 1, 1), test_range(SHAPE(3), 1, 1)};
    mien_tensor *g[2] = {test_range(SHAPE(2), 1, 1), test_range(SHAPE(2), 1, 1)};
    mien_tensor *m[2] = {test_range(SHAPE(2), 0, 0), test_range(SHAPE(3), 0, 0)};
    mien_tensor *v[2] = {test_range(SHAPE(2), 0, 0), test_range(SHAPE(3), 0, 0)};
    mien_tensor_set_name(p[1], "fc.bias");
    assert_error(mien_adam_step(&h, p, g, m, v, 2, 1), MIEN_ERR_SHAPE,
                 "parameter 2 fc.bias is f32[3] but its gradient f32[2]");
    assert_error(mien_adam_step(&h, p, g, m, v, 1, 0), MIEN_ERR_ARGUMENT, "count from 1");
    assert_elements(p[0], 0, 1, 2);
    mien_tensor_release(g[1]);
    g[1] = NULL; /* skipped */
    uint64_t version = p[0]->storage->version, other = p[1]->storage->version;
    assert_ok(mien_adam_step(&h, p, g, m, v, 2, 1));
    assert_true(p[0]->storage->version > version); /* packed copies are stale now */
    assert_int_equal(p[1]->storage->version, other);
    assert_elements(p[1], 0, 1, 2, 3);
    mien_tensor_free(m[0]);
    assert_error(mien_adam_step(&h, p, g, m, v, 2, 2), MIEN_ERR_MEMORY, "first moment");
    for (int i = 0; i < 2; i++) {
        mien_tensor_release(p[i]);
        mien_tensor_release(g[i]);
        mien_tensor_release(m[i]);
        mien_tensor_release(v[i]);
    }
}

static void clipping_scales_all_gradients_together(void **state) {
    for (int b = 0; b < 2; b++) {
        assert_ok(mien_backend_use(backends[b]));
        mien_tensor *g[3] = {test_range(SHAPE(1), 3, 0), NULL, test_range(SHAPE(1), 4, 0)};
        double norm;
        assert_ok(mien_grad_norm(g, 3, &norm));
        assert_true(fabs(norm - 5) < 1e-12);
        assert_ok(mien_grad_clip(g, 3, 10, &norm));
        assert_elements(g[0], 0, 3);
        assert_ok(mien_grad_clip(g, 3, 1, &norm));
        assert_true(fabs(norm - 5) < 1e-12);
        assert_elements(g[0], 1e-6, 0.6);
        assert_elements(g[2], 1e-6, 0.8);
        mien_tensor_release(g[0]);
        mien_tensor_release(g[2]);
    }
}

static void a_norm_that_is_not_finite_changes_nothing(void **state) {
    mien_tensor *g[2] = {test_range(SHAPE(2), 3, 1), test_range(SHAPE(1), 4, 0)};
    assert_ok(mien_tensor_fill(g[1], NAN));
    double norm;
    assert_error(mien_grad_clip(g, 2, 1, &norm), MIEN_ERR_NUMERIC, "nan");
    assert_elements(g[0], 0, 3, 4);
    assert_error(mien_grad_clip(g, 2, 0, &norm), MIEN_ERR_ARGUMENT, "positive");
    mien_tensor_release(g[0]);
    mien_tensor_release(g[1]);
}

/* Gradients that are never finite: the scale stays a number that the next finite ones can use. */
static void the_loss_scale_has_a_floor_and_skips_are_counted(void **state) {
    mien_scaling rules = {.growth = 2, .backoff = 0.5, .interval = 3};
    double v[MIEN_VERDICT_COUNT] = {0};
    mien_tensor *verdict = test_tensor(MIEN_F64, SHAPE(MIEN_VERDICT_COUNT));
    v[MIEN_VERDICT_SCALE] = 65536;
    for (int i = 1; i <= 1500; i++) {
        v[MIEN_VERDICT_NORM] = INFINITY;
        assert_ok(mien_tensor_write(verdict, v, MIEN_VERDICT_COUNT));
        assert_ok(mien_judge(&rules, verdict, NULL));
        assert_ok(mien_tensor_read(verdict, v, MIEN_VERDICT_COUNT));
        assert_true(v[MIEN_VERDICT_OPEN] == 0 && v[MIEN_VERDICT_IN_A_ROW] == i);
    }
    assert_true(v[MIEN_VERDICT_SCALE] == 0x1p-24 && v[MIEN_VERDICT_SKIPPED] == 1500);
    for (int i = 0; i < 3; i++) {
        v[MIEN_VERDICT_NORM] = 5 * v[MIEN_VERDICT_SCALE];
        assert_ok(mien_tensor_write(verdict, v, MIEN_VERDICT_COUNT));
        assert_ok(mien_judge(&rules, verdict, NULL));
        assert_ok(mien_tensor_read(verdict, v, MIEN_VERDICT_COUNT));
        assert_true(v[MIEN_VERDICT_OPEN] == 1 && v[MIEN_VERDICT_NORM] == 5);
        assert_true(v[MIEN_VERDICT_DIVISOR] == 0x1p-24 && v[MIEN_VERDICT_IN_A_ROW] == 0);
    }
    assert_true(v[MIEN_VERDICT_SCALE] == 0x1p-23 && v[MIEN_VERDICT_SKIPPED] == 1500);
    mien_tensor_release(verdict);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(adam_follows_the_published_algorithm, use_default),
        cmocka_unit_test_teardown(the_moments_take_what_beta_leaves, use_default),
        cmocka_unit_test_teardown(sgd_has_momentum_nesterov_and_decay, use_default),
        cmocka_unit_test(gradients_are_divided_on_the_way),
        cmocka_unit_test(nothing_changes_when_any_parameter_is_wrong),
        cmocka_unit_test_teardown(clipping_scales_all_gradients_together, use_default),
        cmocka_unit_test(a_norm_that_is_not_finite_changes_nothing),
        cmocka_unit_test(the_loss_scale_has_a_floor_and_skips_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
