/* Every gradient of the reference backend against central differences, in f64.
 * Not here: other backends (test_backends.c), other frameworks (test_golden.c). */
#include "harness.h"

enum { ALL_UP_TO = 48, SAMPLES = 12, DIRECTIONS = 2 };

/* No derivative: NaN, ties between maxima, the corner of max, abs or CCC at zero, batch norm with
 * ReLU of so many elements that some lie within a step of the corner, and steps of a rounding. */
static bool at_a_kink(const test_case *c) {
    if (c->op == MIEN_OP_batch_norm && c->in[0].count > 4096) return true;
    if (c->op == MIEN_OP_cast && c->attr[0] != MIEN_F64) return true;
    for (int i = 0; i < c->n_in; i++)
        if (strchr("ton", c->in[i].kind)) return true;
    return false;
}

/* sum of dout * out at these inputs, over the visible outputs in `mask`. */
static double objective(const test_case *c, double *const *values, unsigned mask) {
    case_run *r = run_start(c, MIEN_F64, MIEN_DEVICE_CPU, PLAIN, values);
    run_forward(r, ref_forward_of(c));
    double sum = 0;
    for (int i = 0; i < visible_outputs(c); i++) {
        int64_t n = mien_tensor_count(r->call.out[i]);
        double *dout = uniform(c->key, STREAM_DOUT + i, n);
        for (int64_t j = 0; mask & 1u << i && j < n; j++) sum += dout[j] * r->out[i][j];
        free(dout);
    }
    run_end(r);
    return sum;
}

/* The difference quotient of `objective` when input i moves along `direction`. */
static double quotient(const test_case *c, double **values, int i, const double *direction,
                       unsigned mask) {
    const double h = 1e-5;
    int64_t n = c->in[i].count;
    double *start = values[i], *moved = malloc((size_t)n * sizeof *moved), ends[2];
    for (int side = 0; side < 2; side++) {
        for (int64_t j = 0; j < n; j++) moved[j] = start[j] + (side ? -h : h) * direction[j];
        values[i] = moved;
        ends[side] = objective(c, values, mask);
    }
    values[i] = start;
    free(moved);
    return (ends[0] - ends[1]) / (2 * h);
}

/* All elements of a small input; of a large one some, and sums along random directions. */
static void check_input(const test_case *c, double **values, int i, const double *gradient,
                        unsigned mask) {
    int64_t n = c->in[i].count;
    int trials = n <= ALL_UP_TO ? (int)n : SAMPLES + DIRECTIONS;
    double *direction = malloc((size_t)n * sizeof *direction);
    double *found = malloc((size_t)trials * sizeof *found);
    double *expected = malloc((size_t)trials * sizeof *expected);
    lcg g = lcg_start(c->key, STREAM_CHECK);
    for (int t = 0; t < trials; t++) {
        int64_t one = n <= ALL_UP_TO ? t : (int64_t)(lcg_next(&g) * (double)n);
        bool single = n <= ALL_UP_TO || t < SAMPLES;
        found[t] = 0;
        for (int64_t j = 0; j < n; j++) {
            direction[j] = single ? j == one : (2 * lcg_next(&g) - 1) / sqrt((double)n);
            found[t] += direction[j] * gradient[j];
        }
        expected[t] = quotient(c, values, i, direction, mask);
    }
    double error = distance(found, expected, trials);
    bool both_vanish = norm(found, trials) < 1e-9 && norm(expected, trials) < 1e-8;
    if (!both_vanish && !(error < 1e-6))
        fail_msg("%s: gradient of input %d differs from differences by %.2e (outputs %#x)", c->key,
                 i, error, mask);
    free(direction);
    free(found);
    free(expected);
}

static void check_case(const test_case *c, unsigned mask) {
    case_run *r = run_start(c, MIEN_F64, MIEN_DEVICE_CPU, PLAIN, NULL);
    double *values[MIEN_OP_MAX_IN] = {0};
    memcpy(values, r->in, sizeof values);
    run_forward(r, ref_forward_of(c));
    prepare_backward(r, mask);
    run_backward(r, ref_backward_of(c));
    for (int i = 0; i < c->n_in; i++)
        if (has_gradient(c, i)) check_input(c, values, i, r->din[i], mask);
    run_end(r);
}

static void every_gradient_is_the_limit_of_differences(void **state) {
    int checked = 0;
    for (int i = 0; i < CASE_COUNT; i++) {
        test_case c = case_at(i);
        if (!has_backward(&c) || at_a_kink(&c)) continue;
        unsigned all = (1u << visible_outputs(&c)) - 1;
        check_case(&c, all);
        /* A gradient may reach some outputs only. */
        for (unsigned one = 1; all > 1 && one <= all; one <<= 1) check_case(&c, one);
        checked++;
    }
    print_message("%d of %d cases checked against differences\n", checked, CASE_COUNT);
}

static void every_op_has_a_case(void **state) {
    bool seen[MIEN_OP_COUNT] = {false};
    for (int i = 0; i < CASE_COUNT; i++) seen[case_at(i).op] = true;
    for (int op = 0; op < MIEN_OP_COUNT; op++)
        if (!seen[op]) fail_msg("cases.def has no case of %s", mien_op_info_at(op)->name);
}

static void ref_serves_every_op(void **state) {
    for (int op = 0; op < MIEN_OP_COUNT; op++) {
        if (mien__op_is_view(op)) continue;
        if (!mien__backend_ref.forward[op]) fail_msg("ref lacks %s", mien_op_info_at(op)->name);
        if (!mien__backend_ref.backward[op] && !is_for_inference(op))
            fail_msg("ref lacks the backward of %s", mien_op_info_at(op)->name);
    }
}

/* Where two maxima tie, or both traces are constant, the rule of ops.def decides. */
static void gradients_at_kinks_follow_the_rules(void **state) {
    for (int i = 0; i < CASE_COUNT; i++) {
        test_case c = case_at(i);
        bool flat = c.n_in > 0 && c.in[0].kind == 'o';
        if (!flat || (c.op == MIEN_OP_ccc_loss && c.in[1].kind != 'o')) continue;
        case_run *r = run_start(&c, MIEN_F64, MIEN_DEVICE_CPU, PLAIN, NULL);
        run_forward(r, ref_forward_of(&c));
        prepare_backward(r, 1);
        run_backward(r, ref_backward_of(&c));
        for (int64_t j = 0; j < c.in[0].count; j++) assert_true(r->din[0][j] == 0);
        if (c.op == MIEN_OP_ccc_loss) assert_true(r->out[0][0] == 1);
        run_end(r);
    }
}

static void inputs_without_gradient_are_refused(void **state) {
    for (int i = 0; i < CASE_COUNT; i++) {
        test_case c = case_at(i);
        if (c.op != MIEN_OP_batch_norm) continue;
        case_run *r = run_start(&c, MIEN_F64, MIEN_DEVICE_CPU, PLAIN, NULL);
        run_forward(r, ref_forward_of(&c));
        prepare_backward(r, 1);
        r->call.want[3] = true;
        assert_int_equal(ref_backward_of(&c)(&r->call), MIEN_ERR_UNSUPPORTED);
        assert_non_null(strstr(mien_error_last()->message, "batch_norm"));
        r->call.want[3] = false;
        run_end(r);
        return;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_has_a_case),
        cmocka_unit_test(ref_serves_every_op),
        cmocka_unit_test(every_gradient_is_the_limit_of_differences),
        cmocka_unit_test(gradients_at_kinks_follow_the_rules),
        cmocka_unit_test(inputs_without_gradient_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
