/* What rounding makes hard, for the functions of any backend: numbers far from 0, a thousand steps.
 * Not here: the cases of every op (cases.def). */
#ifndef MIEN_TEST_HARD_H
#define MIEN_TEST_HARD_H
#include "harness.h"

/* Channels whose mean is a thousand standard deviations from 0, where E[x^2] - E[x]^2 has no right
 * digit left. The mean in f32 is off by up to 3e-5 of one. */
static inline void check_norm_far_from_zero(mien_op_fn forward, mien_op_fn backward,
                                            mien_device device) {
    static const case_row row = {"batch_norm", "7x37x9x11 37 37 37 +37 -", "training=1", ""};
    test_case c = parse_case(&row);
    double *values[MIEN_OP_MAX_IN] = {0};
    for (int i = 0; i < 5; i++) values[i] = case_values(&c, i);
    for (int64_t j = 0; j < c.in[0].count; j++) {
        int64_t channel = j / (9 * 11) % 37;
        values[0][j] = (channel % 2 ? 1000 : -1000) + sqrt(3) * values[0][j];
    }
    case_run *r = run_start(&c, MIEN_F32, device, PLAIN, values);
    case_run *right = run_start(&c, MIEN_F64, MIEN_DEVICE_CPU, PLAIN, r->in);
    run_forward(r, forward);
    run_forward(right, ref_forward_of(&c));
    prepare_backward(r, 1);
    prepare_backward(right, 1);
    run_backward(r, backward);
    run_backward(right, ref_backward_of(&c));
    double error = distance(r->out[0], right->out[0], c.in[0].count);
    if (!(error <= 1e-4)) fail_msg("far from 0 the output is off by %.2e of its norm", error);
    for (int i = 0; i < 3; i++) {
        error = distance(r->din[i], right->din[i], c.in[i].count);
        if (!(error <= 1e-4)) fail_msg("far from 0 gradient %d is off by %.2e", i, error);
    }
    run_end(r);
    run_end(right);
    for (int i = 0; i < 5; i++) free(values[i]);
}

/* Adam's parameters after a thousand steps in f32 against the reference in f64. */
static inline void check_adam_for_long(const mien_backend *b, mien_device device) {
    enum { N = 257, STEPS = 1000, KINDS = 4 }; /* parameter, gradient, moments */
    const mien_adam h = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    const int64_t n = N;
    mien_tensor *own[KINDS], *right[KINDS];
    for (int k = 0; k < KINDS; k++) {
        double *values = uniform("adam for long", k, N);
        for (int i = 0; k >= 2 && i < N; i++) values[i] = 0;
        mien_tensor *there = plain_tensor(values, MIEN_F32, 1, &n);
        own[k] = mien_tensor_to(there, MIEN_F32, device);
        right[k] = mien_tensor_to(there, MIEN_F64, MIEN_DEVICE_CPU);
        mien_tensor_release(there);
        free(values);
    }
    for (int step = 1; step <= STEPS; step++) {
        double *g = uniform("adam for long", step + KINDS, N);
        for (int i = 0; i < N; i++) g[i] = (float)((g[i] + 0.1) * pow(10, i % 7 - 4));
        must(mien_tensor_write(own[1], g, N), "write");
        must(mien_tensor_write(right[1], g, N), "write");
        must(b->updates.adam_all
                 ? b->updates.adam_all(&h, &own[0], &own[1], &own[2], &own[3], 1, step)
                 : b->updates.adam(&h, own[0], own[1], own[2], own[3], step),
             "adam");
        must(mien__backend_ref.updates.adam(&h, right[0], right[1], right[2], right[3], step),
             "ref");
        free(g);
    }
    for (int k = 0; k < KINDS; k++) {
        double *now = elements(own[k]), *then = elements(right[k]), error = distance(now, then, N);
        if (!(error <= 1e-5))
            fail_msg("after %d steps tensor %d is off by %.2e of its norm", STEPS, k, error);
        free(now);
        free(then);
        mien_tensor_release(own[k]);
        mien_tensor_release(right[k]);
    }
}
#endif
