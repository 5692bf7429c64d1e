/* The CPU backend's LSTM and GRU against the reference at sizes that its loops over rows, blocks
 * and threads cut unevenly. Not here: small cases of every backend (test_backends.c). */
#include "harness.h"

/* D 5 to 40; H of one block, of whole blocks, and of blocks that 2, 3, 4 threads do not share
 * evenly; batches of 1 to 5 rows, where a product takes 4; odd numbers of steps. */
static const case_row rows[] = {
    {"lstm", "1x7x40 400x40 400x100 400 1x100 1x100", "", "batch 1, 7 blocks, a part of the last"},
    {"lstm", "2x5x16 1024x16 1024x256 1024 - -", "", "16 blocks"},
    {"lstm", "3x9x5 288x5 288x72 288 3x72 -", "", "batch 3, 5 blocks"},
    {"lstm", "4x3x9 192x9 192x48 192 - 4x48", "", "batch 4, 3 blocks"},
    {"lstm", "5x11x7 164x7 164x41 164 5x41 5x41", "", "batch 5"},
    {"lstm", "9x2x8 128x8 128x32 128 - -", "", "batch 9, 2 blocks"},
    {"gru", "1x7x40 300x40 300x100 300 300 1x100", "", "batch 1, 7 blocks"},
    {"gru", "1x7x40 300x40 300x100 300 300 1x100", "reset_after=0", "the same, reset before"},
    {"gru", "2x5x16 768x16 768x256 768 768 -", "", "16 blocks"},
    {"gru", "2x5x16 768x16 768x256 768 768 -", "reset_after=0", "the same, reset before"},
    {"gru", "5x11x7 123x7 123x41 123 123 5x41", "", "batch 5"},
    {"gru", "5x11x7 123x7 123x41 123 123 5x41", "reset_after=0", "the same, reset before"},
};
enum { ROWS = sizeof rows / sizeof *rows };

static void agree(const case_run *r, const char *what, int i, const double *found,
                  const double *expected, int64_t n, double tolerance) {
    double off = distance(found, expected, n);
    if (!(off <= tolerance))
        fail_msg("%s in %s with %d threads: %s %d is off by %.2e of its norm", r->c->key,
                 mien_dtype_name(r->dtype), mien_threads(), what, i, off);
}

/* The case with recurrent weights as networks have them: with larger ones the states are chaotic,
 * and rounding grows from step to step. */
static case_run *start(const test_case *c, mien_dtype dtype, mien_dtype parameters) {
    double *values[MIEN_OP_MAX_IN] = {0};
    for (int i = 0; i < c->n_in; i++)
        if (c->in[i].kind != '-') values[i] = case_values(c, i);
    for (int64_t i = 0; i < c->in[2].count; i++) values[2][i] /= sqrt((double)c->in[2].shape[1]);
    case_run *r = run_start_mixed(c, dtype, parameters, MIEN_DEVICE_CPU, PLAIN, values);
    for (int i = 0; i < c->n_in; i++) free(values[i]);
    return r;
}

/* Forward and backward of one case, with the reference in f64 as the judge. */
static void check(const case_row *row, mien_dtype dtype, mien_dtype parameters, double tolerance) {
    test_case c = parse_case(row);
    case_run *r = start(&c, dtype, parameters);
    case_run *right = run_start(&c, MIEN_F64, MIEN_DEVICE_CPU, PLAIN, r->in);
    assert_string_equal(mien__backend_for(&r->call, false)->name, "cpu");
    run_forward(r, mien__backend_cpu.forward[c.op]);
    run_forward(right, ref_forward_of(&c));
    for (int i = 0; i < visible_outputs(&c); i++)
        agree(r, "output", i, r->out[i], right->out[i], mien_tensor_count(r->call.out[i]),
              tolerance);
    prepare_backward(r, ~0u);
    prepare_backward(right, ~0u);
    for (int i = 0; i < visible_outputs(&c); i++) {
        double *given = elements(r->call.dout[i]);
        must(mien_tensor_write(right->call.dout[i], given, mien_tensor_count(r->call.dout[i])),
             "write");
        free(given);
    }
    assert_string_equal(mien__backend_for(&r->call, true)->name, "cpu");
    run_backward(r, mien__backend_cpu.backward[c.op]);
    run_backward(right, ref_backward_of(&c));
    for (int i = 0; i < c.n_in; i++)
        if (r->din[i]) agree(r, "gradient", i, r->din[i], right->din[i], c.in[i].count, tolerance);
    run_end(r);
    run_end(right);
}

/* More threads than cores meet by sleeping: the step still ends, and with the same numbers. */
static void any_number_of_threads_agrees_with_the_reference(void **unused) {
    const int threads[] = {1, 2, 3, 4, 7};
    for (int i = 0; i < 5; i++) {
        mien_threads_set(threads[i]);
        for (int row = 0; row < ROWS; row++) check(&rows[row], MIEN_F32, MIEN_F32, 1e-5);
    }
    mien_threads_set(0);
}

/* The products over all frames take bf16; states, gates and sums stay f32. */
static void bf16_agrees_with_the_reference(void **unused) {
    for (int row = 0; row < ROWS; row++) {
        check(&rows[row], MIEN_BF16, MIEN_BF16, 1e-2);
        check(&rows[row], MIEN_BF16, MIEN_F32, 1e-2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bf16_agrees_with_the_reference),
        cmocka_unit_test(any_number_of_threads_agrees_with_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
