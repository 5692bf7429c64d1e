/* The profile: arithmetic and bytes of each kind of op against counts done by hand, entries.
 * Not here: its table (tests/lua/profile_spec.lua). */
#include "mien_test.h"

/* Runs an op with 3 or fewer inputs and one visible output while the clock is on. */
static mien_tensor *run(mien_op op, mien_tensor *const *in, int n_in, int n_attr,
                        const double *attr, int n_out) {
    mien_tensor *out[3] = {0};
    assert_ok(mien_op_run(op, in, n_in, attr, n_attr, out, n_out));
    for (int i = 1; i < n_out; i++) mien_tensor_release(out[i]);
    return out[0];
}

static void start(void) {
    mien_profile_reset();
    mien_profile_enable(true);
}

static void assert_figures(mien_op op, bool backward, double flop, int64_t bytes) {
    mien_op_profile p;
    mien_profile_at(op, backward, &p);
    assert_int_equal(p.calls, 1);
    assert_true(p.seconds > 0);
    assert_true(fabs(1e9 * p.gflop - flop) < 0.5);
    assert_int_equal(p.bytes, bytes);
}

static void a_convolution_is_one_product_forward_and_one_per_gradient(void **state) {
    mien_tensor *in[3] = {test_range(SHAPE(2, 16, 6, 6), 0, 0.01),
                          test_parameter(SHAPE(32, 16, 3, 3), 0, 0.001),
                          test_parameter(SHAPE(32), 0, 1)};
    const double product = 2.0 * (2 * 32 * 4 * 4) * (16 * 3 * 3);
    const int64_t x = 4 * 2 * 16 * 36, w = 4 * 32 * 16 * 9, b = 4 * 32, y = 4 * 2 * 32 * 16;
    for (int wanted = 1; wanted <= 2; wanted++) {
        assert_ok(mien_tensor_set_requires_grad(in[0], wanted == 2));
        start();
        mien_tensor *out = run(MIEN_OP_conv2d, in, 3, ATTR(1, 1, 0, 0, 0, 0), 1);
        mien_tensor *loss = test_sum(out);
        assert_ok(mien_backward(loss, NULL));
        mien_profile_enable(false);
        assert_figures(MIEN_OP_conv2d, false, product, x + w + b + y);
        /* reads dy, x and w; writes the gradients that are wanted; the bias is not read */
        assert_figures(MIEN_OP_conv2d, true, wanted * product,
                       y + x + w + w + b + (wanted == 2 ? x : 0));
        mien_tensor_release(loss);
        mien_tensor_release(out);
    }
    for (int i = 0; i < 3; i++) mien_tensor_release(in[i]);
}

static void products_count_two_per_multiplication(void **state) {
    mien_tensor *x = test_range(SHAPE(5, 7), 0, 1), *w = test_parameter(SHAPE(3, 7), 0, 1);
    start();
    mien_tensor *y = run(MIEN_OP_linear, (mien_tensor *[]){x, w}, 2, 0, NULL, 1);
    mien_tensor *loss = test_sum(y);
    assert_ok(mien_backward(loss, NULL));
    mien_profile_enable(false);
    assert_figures(MIEN_OP_linear, false, 2 * 5 * 7 * 3, 4 * (35 + 21 + 15));
    assert_figures(MIEN_OP_linear, true, 2 * 5 * 7 * 3, 4 * (35 + 21 + 15 + 21));
    mien_tensor_release(loss);
    mien_tensor_release(y);
    mien_tensor_release(w);
    mien_tensor_release(x);
}

static void an_lstm_counts_its_gates(void **state) {
    const int64_t b = 2, t = 3, d = 5, h = 4;
    mien_tensor *in[4] = {
        test_parameter(SHAPE(b, t, d), 0, 0.01), test_parameter(SHAPE(4 * h, d), 0, 0.01),
        test_parameter(SHAPE(4 * h, h), 0, 0.01), test_parameter(SHAPE(4 * h), 0, 0.01)};
    start();
    mien_tensor *y = run(MIEN_OP_lstm, in, 4, 0, NULL, 3);
    mien_tensor *loss = test_sum(y);
    assert_ok(mien_backward(loss, NULL));
    mien_profile_enable(false);
    mien_op_profile p;
    const double input = 2.0 * b * t * 4 * h * d, state_part = 2.0 * b * t * 4 * h * h;
    mien_profile_at(MIEN_OP_lstm, false, &p);
    assert_true(fabs(1e9 * p.gflop - input - state_part) < 0.5);
    mien_profile_at(MIEN_OP_lstm, true, &p);
    assert_true(fabs(1e9 * p.gflop - 2 * input - 2 * state_part) < 0.5);
    mien_tensor_release(loss);
    mien_tensor_release(y);
    for (int i = 0; i < 4; i++) mien_tensor_release(in[i]);
}

static void views_move_nothing(void **state) {
    mien_tensor *x = test_range(SHAPE(4, 6), 0, 1);
    start();
    mien_tensor_release(test_op(MIEN_OP_reshape, x, NULL, ATTR(1, 24, 1, 1, 1, 1, 1)));
    mien_profile_enable(false);
    mien_op_profile p;
    mien_profile_at(MIEN_OP_reshape, false, &p);
    assert_int_equal(p.calls, 1);
    assert_int_equal(p.bytes, 0);
    assert_true(p.gflop == 0);
    mien_tensor_release(x);
}

static void entries_tell_backends_directions_and_work_beside_ops_apart(void **state) {
    mien_tensor *w = test_parameter(SHAPE(8), 1, 1);
    start();
    mien_tensor *a = test_op(MIEN_OP_relu, w, NULL, 0, NULL);
    assert_ok(mien_backend_use("ref"));
    mien_tensor *b = test_op(MIEN_OP_relu, w, NULL, 0, NULL);
    assert_ok(mien_backend_use("cpu"));
    mien_tensor *both = test_op(MIEN_OP_add, a, b, 0, NULL), *loss = test_sum(both);
    assert_ok(mien_backward(loss, NULL)); /* the two gradients of w meet */
    mien_profile_enable(false);
    mien_tensor *still = test_op(MIEN_OP_relu, w, NULL, 0, NULL);
    int forward_cpu = 0, forward_ref = 0, backward = 0, sums = 0, i = 0;
    for (mien_profile_entry e; mien_profile_entry_at(i, &e); i++) {
        if (strcmp(e.name, "relu") == 0 && e.backward) backward += (int)e.figures.calls;
        if (strcmp(e.name, "relu") == 0 && !e.backward)
            *(strcmp(e.backend, "ref") == 0 ? &forward_ref : &forward_cpu) += (int)e.figures.calls;
        if (strcmp(e.name, "gradient sums") == 0) {
            assert_false(e.is_op);
            assert_int_equal(e.figures.bytes, 3 * 8 * 4);
            sums += (int)e.figures.calls;
        }
    }
    assert_int_equal(forward_cpu, 1);
    assert_int_equal(forward_ref, 1);
    assert_int_equal(backward, 2);
    assert_int_equal(sums, 1);
    mien_profile_reset();
    mien_profile_entry e;
    assert_false(mien_profile_entry_at(0, &e));
    assert_false(mien_profile_entry_at(-1, &e));
    mien_tensor *all[] = {w, a, b, both, loss, still};
    for (int k = 0; k < 6; k++) mien_tensor_release(all[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_convolution_is_one_product_forward_and_one_per_gradient),
        cmocka_unit_test(products_count_two_per_multiplication),
        cmocka_unit_test(an_lstm_counts_its_gates),
        cmocka_unit_test(views_move_nothing),
        cmocka_unit_test(entries_tell_backends_directions_and_work_beside_ops_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
