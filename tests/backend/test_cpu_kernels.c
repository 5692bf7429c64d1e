/* What the CPU's kernels of broadcasts, reductions, softmax and losses promise beyond agreement:
 * the same bits for any number of threads, ref's bits of losses, NaN and infinities as in ref, a
 * word about what runs in ref. Not here: agreement over all cases (test_backends.c). */
#include "autograd/autograd.h"
#include "backend/cpu/cpu.h"
#include "base/threads.h"
#include "run/run.h"
#include "tensor/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void must(mien_status status) {
    if (status != MIEN_OK) fail_msg("%s", mien_error_last()->message);
}

/* Numbers of the normal distribution; a dimension of 0 ends the shape. */
static mien_tensor *normal(const int64_t *shape, const char *stream) {
    mien_rng rng;
    int ndim = 0;
    while (ndim < 4 && shape[ndim]) ndim++;
    mien_rng_start(&rng, 5, stream);
    mien_tensor *t = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, ndim, shape);
    must(mien_rng_fill_normal(&rng, t, 0, 1));
    return t;
}

static void release(mien_tensor *const *list, int n) {
    for (int i = 0; i < n; i++) mien_tensor_release(list[i]);
}

/* An op of one or two inputs. */
typedef struct work {
    mien_op op;
    int64_t shape[2][5];
    double attr[2];
    bool classes; /* the second input: classes below 7 */
    bool hard;    /* to sum */
} work;

enum { RESULTS = 3 }; /* output, gradients of both inputs */

/* Runs forward and backward of given inputs on a backend, which must serve both. */
static void run(const char *backend, const work *w, mien_tensor *const *given,
                mien_tensor **results) {
    const mien_op_info *info = mien_op_info_at(w->op);
    mien_tensor *in[MIEN_OP_MAX_IN] = {0}, *loss;
    int n = w->shape[1][0] ? 2 : 1;
    must(mien_backend_use(backend));
    for (int i = 0; i < n; i++) {
        in[i] = mien_tensor_detach(given[i]);
        if (i == 0 || !w->classes) must(mien_tensor_set_requires_grad(in[i], true));
    }
    assert_string_equal(
        mien_op_server(w->op, in, info->n_in > 3 ? n : info->n_in, w->attr, info->n_attr), backend);
    must(
        mien_op_run(w->op, in, info->n_in > 3 ? n : info->n_in, w->attr, info->n_attr, results, 1));
    /* a gradient that is not the same everywhere: the sum of squares of the output */
    const double two[] = {2, 1}, all[] = {-1, 0};
    mien_tensor *square;
    must(mien_op_run(MIEN_OP_power, results, 1, two, 2, &square, 1));
    must(mien_op_run(MIEN_OP_sum, &square, 1, all, 2, &loss, 1));
    must(mien_backward(loss, NULL));
    for (int i = 0; i < 2; i++) results[1 + i] = in[i] ? mien_tensor_retain(in[i]->grad) : NULL;
    release((mien_tensor *[]){square, loss, in[0], in[1]}, 4);
    must(mien_backend_use("cpu"));
}

/* Numbers whose sums depend on the order even in double, and nearly cancel, so that it shows: every
 * second one is large, and comes again with the other sign half of the tensor later. */
static void make_hard(mien_tensor *t) {
    float *at = mien_tensor_data(t);
    int64_t half = mien_tensor_count(t) / 2;
    for (int64_t i = 0; i < half; i += 2) {
        at[i] *= 1e12f;
        at[half + i] = -at[i];
    }
}

static void inputs_of(const work *w, mien_tensor **in) {
    in[0] = normal(w->shape[0], "first");
    in[1] = w->shape[1][0] ? normal(w->shape[1], "second") : NULL;
    if (w->hard) make_hard(in[0]);
    if (!w->classes) return;
    int64_t n = mien_tensor_count(in[1]);
    mien_tensor *classes = mien_tensor_new(MIEN_I64, MIEN_DEVICE_CPU, in[1]->ndim, in[1]->shape);
    int64_t *to = mien_tensor_data(classes);
    for (int64_t i = 0; i < n; i++) to[i] = i * i % 7;
    mien_tensor_release(in[1]);
    in[1] = classes;
}

static void same_bits(mien_tensor *a, mien_tensor *b, const work *w, const char *what) {
    if (!a && !b) return;
    size_t bytes = (size_t)mien_tensor_count(a) * sizeof(float);
    if (memcmp(mien_tensor_data(a), mien_tensor_data(b), bytes) != 0)
        fail_msg("%s: other bits %s", mien_op_info_at(w->op)->name, what);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void the_number_of_threads_does_not_change_the_bits(void **state) {
    static const work works[] = {
        {MIEN_OP_mul, {{40, 3, 200}, {3, 1}}, {0}},
        {MIEN_OP_mul, {{200000}, {1}}, {0}},
        {MIEN_OP_div, {{2000, 64}, {64}}, {0}},
        {MIEN_OP_sub, {{300, 1}, {1, 300}}, {0}},
        {MIEN_OP_add, {{3000, 70}, {70}}, {0}, .hard = true},
        {MIEN_OP_sum, {{3000, 70}}, {0, 0}, .hard = true},
        {MIEN_OP_mean, {{300000}}, {-1, 0}, .hard = true},
        {MIEN_OP_mean, {{7, 3000, 3}}, {1, 1}},
        {MIEN_OP_max, {{3000, 70}}, {0, 0}},
        {MIEN_OP_max, {{500, 70}}, {1, 0}},
        {MIEN_OP_softmax, {{500, 70}}, {0}},
        {MIEN_OP_log_softmax, {{500, 70}}, {0}},
        {MIEN_OP_concat, {{70, 300}, {70, 200}}, {1}},
        {MIEN_OP_ccc_loss, {{60, 150, 2}, {60, 150, 2}}, {1}},
        {MIEN_OP_mse_loss, {{300, 700}, {300, 700}}, {0}},
        {MIEN_OP_sigmoid_cross_entropy, {{3000, 7}, {3000, 7}}, {0}},
        {MIEN_OP_softmax_cross_entropy, {{9000, 7}, {9000}}, {0}, .classes = true},
    };
    for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
        mien_tensor *in[2], *one[RESULTS], *many[RESULTS];
        inputs_of(&works[i], in);
        mien_threads_set(1);
        run("cpu", &works[i], in, one);
        for (int threads = 2; threads <= 5; threads++) {
            mien_threads_set(threads);
            run("cpu", &works[i], in, many);
            for (int k = 0; k < RESULTS; k++) same_bits(one[k], many[k], &works[i], "by threads");
            release(many, RESULTS);
        }
        release(one, RESULTS);
        release(in, 2);
    }
    mien_threads_set(0);
}

/* ---- bits of ref ----------------------------------------------------------------------------- */

/* What a training run was must not depend on who computed its loss. */
static void losses_have_the_bits_of_the_reference(void **state) {
    static const work works[] = {
        {MIEN_OP_ccc_loss, {{2, 150, 2}, {2, 150, 2}}, {0}},
        {MIEN_OP_ccc_loss, {{60, 150, 2}, {60, 150, 2}}, {1}},
        {MIEN_OP_mse_loss, {{40, 100}, {40, 100}}, {0}},
        {MIEN_OP_sigmoid_cross_entropy, {{300, 12}, {300, 12}}, {0}},
        {MIEN_OP_softmax_cross_entropy, {{4000, 7}, {4000}}, {0}, .classes = true},
    };
    for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
        mien_tensor *in[2], *found[RESULTS], *expected[RESULTS];
        inputs_of(&works[i], in);
        run("cpu", &works[i], in, found);
        run("ref", &works[i], in, expected);
        for (int k = 0; k < RESULTS; k++) same_bits(found[k], expected[k], &works[i], "than ref");
        release(found, RESULTS);
        release(expected, RESULTS);
        release(in, 2);
    }
}

/* ---- NaN and infinities ---------------------------------------------------------------------- */

/* The same numbers up to rounding, NaN and infinities in the same places. */
static void alike(mien_tensor *found, mien_tensor *expected, const work *w, int hurt) {
    const float *a = mien_tensor_data(found), *b = mien_tensor_data(expected);
    for (int64_t i = 0; i < mien_tensor_count(found); i++) {
        bool same = isnan(a[i]) ? isnan(b[i]) : a[i] == b[i];
        if (!same && !(fabsf(a[i] - b[i]) < 1e-5f * (1 + fabsf(b[i]))))
            fail_msg("%s, input %d: element %d is %g, in ref %g", mien_op_info_at(w->op)->name,
                     hurt, (int)i, a[i], b[i]);
    }
}

/* 3 rows of 40: what the lanes take and what is left over. */
static mien_tensor *hurt_input(int hurt) {
    mien_tensor *x = normal((int64_t[]){3, 40, 0}, "hurt");
    float *at = mien_tensor_data(x);
    switch (hurt) {
    case 0: /* NaN twice in a row, among the lanes and behind them */
        at[40 + 5] = at[40 + 37] = NAN;
        break;
    case 1: /* masked */
        for (int i = 0; i < 40; i += 3) at[i] = at[80 + i] = -INFINITY;
        break;
    case 2: /* all masked */
        for (int i = 0; i < 40; i++) at[40 + i] = -INFINITY;
        break;
    case 3:
        at[80 + 39] = INFINITY;
        break;
    default: /* equal ones */
        at[40 + 17] = at[40 + 18] = at[40 + 39] = 50;
    }
    return x;
}

static void extremes_are_those_of_the_reference(void **state) {
    static const work works[] = {
        {MIEN_OP_max, {{3, 40}}, {1, 0}},      {MIEN_OP_max, {{3, 40}}, {0, 0}},
        {MIEN_OP_max, {{3, 40}}, {-1, 0}},     {MIEN_OP_softmax, {{3, 40}}, {0}},
        {MIEN_OP_log_softmax, {{3, 40}}, {0}},
    };
    for (size_t i = 0; i < sizeof works / sizeof *works; i++)
        for (int hurt = 0; hurt < 5; hurt++) {
            mien_tensor *x = hurt_input(hurt), *found[RESULTS], *expected[RESULTS];
            run("cpu", &works[i], &x, found);
            run("ref", &works[i], &x, expected);
            for (int k = 0; k < 2; k++) alike(found[k], expected[k], &works[i], hurt);
            release(found, RESULTS);
            release(expected, RESULTS);
            mien_tensor_release(x);
        }
}

/* What is masked by minus infinity gets no weight at all, not a small one. */
static void softmax_of_minus_infinity_is_zero(void **state) {
    mien_tensor *x = hurt_input(1), *y;
    must(mien_op_run(MIEN_OP_softmax, &x, 1, NULL, 0, &y, 1));
    const float *at = mien_tensor_data(y);
    for (int i = 0; i < 40; i++) assert_true(i % 3 == 0 ? at[i] == 0 : at[i] > 0);
    release((mien_tensor *[]){x, y}, 2);
}

/* ---- batch norm of [N,C] ----------------------------------------------------------------------
 */

static void rows_far_from_zero_keep_their_statistics(void **state) {
    enum { ROWS = 500, CHANNELS = 37 };
    mien_tensor *x = normal((int64_t[]){ROWS, CHANNELS, 0}, "rows"), *in[6] = {x}, *y;
    float *at = mien_tensor_data(x);
    for (int i = 0; i < ROWS * CHANNELS; i++) at[i] += 1000;
    for (int i = 1; i < 5; i++) {
        in[i] = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 1, (int64_t[]){CHANNELS});
        must(mien_tensor_fill(in[i], i == 1));
    }
    const double attr[] = {1, 1, 0, 0}; /* momentum 1: running = batch; eps 0 */
    assert_string_equal(mien_op_server(MIEN_OP_batch_norm, in, 6, attr, 4), "cpu");
    must(mien_op_run(MIEN_OP_batch_norm, in, 6, attr, 4, &y, 1));
    const float *mean = mien_tensor_data(in[3]), *variance = mien_tensor_data(in[4]);
    for (int c = 0; c < CHANNELS; c++) {
        double m = 0, v = 0;
        for (int n = 0; n < ROWS; n++) m += (double)at[n * CHANNELS + c] / ROWS;
        for (int n = 0; n < ROWS; n++) v += pow(at[n * CHANNELS + c] - m, 2) / (ROWS - 1);
        assert_true(fabs(mean[c] - m) < 1e-4 && fabs(variance[c] - v) < 1e-5);
    }
    release(in, 5);
    mien_tensor_release(y);
}

/* ---- what runs in ref ------------------------------------------------------------------------ */

static mien_tensor *quantised(int64_t rows) {
    mien_tensor *x = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 2, (int64_t[]){rows, 1024}), *y;
    must(mien_tensor_fill(x, 1));
    const double attr[] = {0.1, 0}; /* of anything but maps: ref's */
    assert_string_equal(mien_op_server(MIEN_OP_quantise, &x, 1, attr, 2), "ref");
    must(mien_op_run(MIEN_OP_quantise, &x, 1, attr, 2, &y, 1));
    mien_tensor_release(x);
    return y;
}

static void large_calls_in_ref_are_said_once(void **state) {
    char text[640];
    while (mien_notice_take(text, sizeof text)) {
    }
    must(mien_backend_use("ref")); /* as was asked for */
    mien_tensor_release(quantised(1000));
    must(mien_backend_use("cpu"));
    mien_tensor_release(quantised(900)); /* fewer than a million numbers */
    assert_false(mien_notice_take(text, sizeof text));
    mien_tensor_release(quantised(1000));
    assert_true(mien_notice_take(text, sizeof text));
    assert_non_null(strstr(text, "quantise"));
    mien_tensor_release(quantised(2000));
    assert_false(mien_notice_take(text, sizeof text));
}

/* Both pieces of tanh, what e^x holds, the last numbers that fill no vector, infinities and NaN. */
static void sigmoid_and_tanh_keep_seven_digits(void **state) {
    const int64_t n[] = {4101};
    const float special[] = {INFINITY, -INFINITY, 0.625f, -0.625f, 0, -0.0f, NAN};
    mien_tensor *x = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 1, n);
    float *at = mien_tensor_data(x);
    for (int i = 0; i < 4101; i++) {
        double step = (i - 2048) / 2048.0;
        at[i] = i > 4093 ? special[i - 4094] : (float)(i % 2 ? 100 * step : 2 * step * step * step);
    }
    for (int which = 0; which < 2; which++) {
        mien_op op = which ? MIEN_OP_tanh : MIEN_OP_sigmoid;
        mien_tensor *y;
        assert_string_equal(mien_op_server(op, &x, 1, NULL, 0), "cpu");
        must(mien_op_run(op, &x, 1, NULL, 0, &y, 1));
        const float *found = mien_tensor_data(y);
        for (int i = 0; i < 4101; i++) {
            float held = at[i] < -87.3365f ? -87.3365f : at[i]; /* e^-x stays a normal number */
            double right = which ? tanh(at[i]) : 1 / (1 + exp(-(double)held));
            if (isnan(at[i]) ? !isnan(found[i]) : !(fabs(found[i] - right) <= 3e-7 * fabs(right)))
                fail_msg("%s of %.9g is %.9g, not %.9g", mien_op_info_at(op)->name, at[i], found[i],
                         right);
        }
        mien_tensor_release(y);
    }
    mien_tensor_release(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_number_of_threads_does_not_change_the_bits),
        cmocka_unit_test(losses_have_the_bits_of_the_reference),
        cmocka_unit_test(extremes_are_those_of_the_reference),
        cmocka_unit_test(softmax_of_minus_infinity_is_zero),
        cmocka_unit_test(rows_far_from_zero_keep_their_statistics),
        cmocka_unit_test(large_calls_in_ref_are_said_once),
        cmocka_unit_test(sigmoid_and_tanh_keep_seven_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
