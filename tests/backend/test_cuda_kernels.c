/* The GPU's own kernels and their launchers, run on the CPU by emulation, against the reference.
 * Not here: what only a GPU shows: memory order between threads, nvcc's code, speed. */
#include "backend/cuda/kernels/kernels.h"
#include "optim/judge.h"
#include "base/allocate.h"
#include "hard.h"

static mien_backend table;

/* ---- every case of the ops that have own kernels --------------------------------------------- */

/* Activations with parameters of their own dtype, and with those in f32 that models keep. */
typedef struct kind {
    mien_dtype dtype, parameters;
    double tolerance;
} kind;
static const kind kinds[] = {{MIEN_F32, MIEN_F32, 1e-5},
                             {MIEN_BF16, MIEN_BF16, 1e-2},
                             {MIEN_F16, MIEN_F16, 2e-3},
                             {MIEN_BF16, MIEN_F32, 1e-2},
                             {MIEN_F16, MIEN_F32, 2e-3}};
static const kind *const plain_f32 = &kinds[0];

static bool has_parameters(const test_case *c) {
    for (int i = 0; i < c->n_in; i++)
        if (is_parameter(c, i)) return true;
    return false;
}

/* Maps of the layout that the backend keeps them in, next to plain and transposed ones. */
enum { NHWC = STRIDED + 1, OWN_LAYOUTS };

static void to_nhwc(mien_tensor **t) {
    if (!*t || (*t)->ndim != 4) return;
    mien_tensor *moved = mien__cuda_as_nhwc(*t, (*t)->dtype);
    mien_tensor_release(*t);
    *t = moved;
}

static void agree(const case_run *r, mien_dtype dtype, double tolerance, const char *what, int i,
                  const double *found, const double *expected, int64_t n) {
    double error = distance(found, expected, n);
    if (!(error <= tolerance))
        fail_msg("%s, %s, layout %d: %s %d is off by %.2e of its norm", mien_dtype_name(dtype),
                 r->c->key, (int)r->layout, what, i, error);
}

/* Forward and backward; only: the one input whose gradient is wanted, -1: all. */
static case_run *run_own(const test_case *c, const kind *k, int how, int only) {
    case_run *r = run_start_mixed(c, k->dtype, k->parameters, MIEN_DEVICE_CPU,
                                  how == NHWC ? PLAIN : (layout)how, NULL);
    r->layout = (layout)how;
    for (int i = 0; how == NHWC && i < c->n_in; i++) to_nhwc(&r->call.in[i]);
    assert_true(mien__cuda_supports_kernels(&r->call, false));
    run_forward(r, table.forward[c->op]);
    if (!has_backward(c)) return r;
    r->layout = how == NHWC ? PLAIN : (layout)how;
    prepare_backward(r, ~0u);
    for (int i = 0; how == NHWC && i < MIEN_OP_MAX_OUT; i++) to_nhwc(&r->call.dout[i]);
    for (int i = 0; only >= 0 && i < MIEN_OP_MAX_IN; i++) r->call.want[i] = i == only;
    run_backward(r, table.backward[c->op]);
    r->layout = (layout)how;
    return r;
}

/* Of a case whose forward pass ran on both sides, from the same gradients of the outputs. */
static void check_gradients(const test_case *c, case_run *r, case_run *right, mien_dtype dtype,
                            double tolerance) {
    prepare_backward(right, ~0u);
    for (int i = 0; i < visible_outputs(c); i++) {
        double *values = elements(r->call.dout[i]);
        must(mien_tensor_write(right->call.dout[i], values, mien_tensor_count(r->call.dout[i])),
             "write");
        free(values);
    }
    run_backward(right, ref_backward_of(c));
    for (int i = 0; i < c->n_in; i++) {
        if (r->din[i])
            agree(r, dtype, tolerance, "gradient", i, r->din[i], right->din[i], c->in[i].count);
        if (!r->call.in[i] || !r->call.in[i]->storage) continue;
        double *now = elements(r->call.in[i]), *then = elements(right->call.in[i]);
        agree(r, dtype, tolerance, "input after the op", i, now, then, c->in[i].count);
        free(now);
        free(then);
    }
}

static void check_case(const test_case *c, const kind *k, int how) {
    const mien_dtype dtype = k->dtype;
    const double tolerance = k->tolerance;
    case_run *r = run_own(c, k, how, -1);
    case_run *right = run_start(c, MIEN_F64, MIEN_DEVICE_CPU, PLAIN, r->in);
    run_forward(right, ref_forward_of(c));
    for (int i = 0; i < visible_outputs(c); i++)
        agree(r, dtype, tolerance_of(r->call.out[i], tolerance), "output", i, r->out[i],
              right->out[i], mien_tensor_count(right->call.out[i]));
    if (has_backward(c)) check_gradients(c, r, right, dtype, tolerance);
    run_end(right);
    run_end(r);
}

/* The sanitizers look at every switch between two emulated threads: large cases would take minutes
 * each. The release build runs them. */
static bool is_too_large(const test_case *c) {
#ifdef __SANITIZE_ADDRESS__
    for (int i = 0; i < c->n_in; i++)
        if (c->in[i].count > 2500) return true;
#endif
    return false;
}

/* cuDNN serves the GRU of its own form. */
static bool is_served(const test_case *c) {
    return table.forward[c->op] && (c->op != MIEN_OP_gru || c->attr[0] == 0) && !is_too_large(c);
}

static void every_kernel_agrees_with_the_reference(void **state) {
    int served = 0;
    for (int i = 0; i < CASE_COUNT; i++) {
        test_case c = case_at(i);
        if (!is_served(&c)) continue;
        served++;
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            for (int how = 0; how < OWN_LAYOUTS; how++)
                if (kinds[k].dtype == kinds[k].parameters || has_parameters(&c))
                    check_case(&c, &kinds[k], how);
    }
    printf("emulated kernels serve %d of %d cases\n", served, CASE_COUNT);
    assert_true(served > 80);
}

static void a_gradient_alone_is_the_same(void **state) {
    for (int i = 0; i < CASE_COUNT; i++) {
        test_case c = case_at(i);
        if (!is_served(&c) || !has_backward(&c)) continue;
        case_run *all = run_own(&c, plain_f32, PLAIN, -1);
        for (int k = 0; k < c.n_in; k++) {
            if (!has_gradient(&c, k)) continue;
            case_run *one = run_own(&c, plain_f32, PLAIN, k);
            agree(one, MIEN_F32, 0, "lone gradient", k, one->din[k], all->din[k], c.in[k].count);
            run_end(one);
        }
        run_end(all);
    }
}

/* A barrier that is missing shows when threads run in another order between barriers. */
static void the_order_of_threads_does_not_matter(void **state) {
    for (int i = 0; i < CASE_COUNT; i++) {
        test_case c = case_at(i);
        if (!is_served(&c)) continue;
        case_run *first = run_own(&c, plain_f32, PLAIN, -1);
        for (int order = 1; order < 3; order++) {
            mien_emulation_order(order);
            case_run *again = run_own(&c, plain_f32, PLAIN, -1);
            for (int k = 0; k < visible_outputs(&c); k++)
                agree(again, MIEN_F32, 0, "output in another order", k, again->out[k],
                      first->out[k], mien_tensor_count(first->call.out[k]));
            for (int k = 0; k < c.n_in; k++)
                if (first->din[k])
                    agree(again, MIEN_F32, 0, "gradient in another order", k, again->din[k],
                          first->din[k], c.in[k].count);
            run_end(again);
        }
        mien_emulation_order(0);
        run_end(first);
    }
}

/* ---- a target that is no class ----------------------------------------------------------------
 */

/* While a step is recorded nobody looks at what was found: the loss tells, and the rows around get
 * the gradients that they get without it; there classes are counted from 1, which changes nothing.
 */
static void a_target_that_is_no_class_reads_nowhere_and_shows_in_the_loss(void **state) {
    static const double logits[] = {1, 2, 0, 1, -1, 3, 0.5, 0.25, -2}, weights[] = {1, 2, 0.5};
    static const double none[MIEN_OP_MAX_ATTR];
    static const mien_softmax_cross_entropy_attr from_one = {.first = 1};
    static const int64_t bad[] = {-1, 3, (int64_t)1 << 40, INT64_MIN};
    int64_t shape[] = {3, 3}, rows[] = {3}, fewer[] = {2, 3}, others[] = {2}, classes[] = {3};
    for (int k = 0; k < 4; k++) {
        mien_op_call call = {.op = MIEN_OP_softmax_cross_entropy, .attr = none, .recording = true};
        mien_op_call right = call;
        right.attr = &from_one;
        int64_t target[] = {0, bad[k], 2};
        double kept[6];
        memcpy(kept, logits, 3 * sizeof *kept);
        memcpy(kept + 3, logits + 6, 3 * sizeof *kept);
        call.in[0] = plain_tensor(logits, MIEN_F32, 2, shape);
        call.in[1] = mien_tensor_new(MIEN_I64, MIEN_DEVICE_CPU, 1, rows);
        memcpy(mien_tensor_data(call.in[1]), target, sizeof target);
        call.in[2] = plain_tensor(weights, MIEN_F32, 1, classes);
        right.in[0] = plain_tensor(kept, MIEN_F32, 2, fewer);
        right.in[1] = plain_tensor((double[]){1, 3}, MIEN_I64, 1, others);
        right.in[2] = plain_tensor(weights, MIEN_F32, 1, classes);
        must(mien__infer_softmax_loss(&call), "infer");
        must(mien__infer_softmax_loss(&right), "infer");
        assert_int_equal(table.forward[call.op](&call), MIEN_ERR_ARGUMENT);
        assert_non_null(strstr(mien_error_last()->message, "target of row 2 is"));
        double *loss = elements(call.out[0]);
        assert_true(loss[0] != loss[0]);
        mien_op_call *both[] = {&call, &right};
        for (int i = 0; i < 2; i++) {
            both[i]->dout[0] = plain_tensor((double[]){1}, MIEN_F32, 0, NULL);
            both[i]->want[0] = true;
            both[i]->din[0] = mien__tensor_header(MIEN_F32, MIEN_DEVICE_CPU, 2, i ? fewer : shape);
            must(table.backward[call.op](both[i]), "backward");
        }
        double *found = elements(call.din[0]), *expected = elements(right.din[0]);
        for (int i = 0; i < 9; i++)
            assert_true(found[i] == (i / 3 == 1 ? 0 : expected[i < 3 ? i : i - 3]));
        free(loss), free(found), free(expected);
        for (int i = 0; i < 2; i++) {
            for (int j = 0; j < 3; j++) mien_tensor_release(both[i]->in[j]);
            mien_tensor_release(both[i]->out[0]);
            mien_tensor_release(both[i]->dout[0]);
            mien_tensor_release(both[i]->din[0]);
        }
    }
}

/* ---- updates in place ------------------------------------------------------------------------ */

enum { GROUP = 4 };

static mien_status update(const mien_backend *b, int which, mien_tensor **t, double *number) {
    mien_adam a = {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1};
    mien_sgd s = {.lr = 0.1, .weight_decay = 0.1};
    switch (which) {
    case 0:
        return b->accumulate(t[0], t[1]);
    case 1:
        return b->updates.scale(t[0], -0.75);
    case 2:
        return b->updates.sum_squares(t[0], number);
    case 3:
        MIEN_TRY(b->updates.adam(&a, t[0], t[1], t[2], t[3], 1));
        a.decoupled = 1;
        a.divisor = 3;
        return b->updates.adam(&a, t[0], t[1], t[2], t[3], 2);
    default:
        MIEN_TRY(b->updates.sgd(&s, t[0], t[1], NULL));
        s.momentum = 0.9;
        MIEN_TRY(b->updates.sgd(&s, t[0], t[1], t[2]));
        s.nesterov = 1;
        s.divisor = 3;
        return b->updates.sgd(&s, t[0], t[1], t[2]);
    }
}

static void make_group(int which, int how, int other, mien_tensor **group) {
    static const int64_t shape[] = {3, 17, 5, 5};
    char key[32];
    snprintf(key, sizeof key, "update %d", which);
    for (int i = 0; i < GROUP; i++) {
        int here = i ? other : how;
        case_run place = {.device = MIEN_DEVICE_CPU, .layout = here == NHWC ? PLAIN : (layout)here};
        double *values = uniform(key, i, 3 * 17 * 5 * 5);
        for (int j = 0; i >= 2 && j < 3 * 17 * 5 * 5; j++) values[j] = fabs(values[j]);
        group[i] = laid_out(&place, values, MIEN_F32, 4, shape, true);
        if (here == NHWC) to_nhwc(&group[i]);
        free(values);
    }
}

static void updates_in_place_agree_with_the_reference(void **state) {
    for (int which = 0; which < 5; which++)
        for (int how = 0; how < OWN_LAYOUTS; how++)
            for (int other = 0; other < OWN_LAYOUTS; other++) {
                mien_tensor *group[GROUP], *right[GROUP];
                double number = 0, expected = 0;
                make_group(which, how, other, group);
                make_group(which, PLAIN, PLAIN, right);
                must(update(&table, which, group, &number), "own update");
                must(update(&mien__backend_ref, which, right, &expected), "ref update");
                bool close = distance(&number, &expected, 1) <= 1e-6;
                for (int i = 0; i < GROUP; i++) {
                    double *now = elements(group[i]), *then = elements(right[i]);
                    close = close && distance(now, then, mien_tensor_count(right[i])) <= 1e-5;
                    free(now);
                    free(then);
                    mien_tensor_release(group[i]);
                    mien_tensor_release(right[i]);
                }
                if (!close) fail_msg("update %d differs, layouts %d and %d", which, how, other);
            }
}

static mien_tensor *vector_of(int64_t n, double value, const char *key, int stream) {
    mien_tensor *t = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 1, &n);
    double *values = uniform(key, stream, n);
    for (int64_t i = 0; i < n; i++) values[i] *= value;
    must(mien_tensor_write(t, values, n), "write");
    free(values);
    return t;
}

/* More parameters than a launch takes, of sizes around its chunks, one without a gradient; 30 steps
 * against the reference, so that a wrong state or step number shows. */
static void adam_updates_all_parameters_in_one_go(void **state) {
    enum { N = 500, STEPS = 30 };
    static const int64_t sizes[] = {1, 4095, 4096, 4097, 37, 9000};
    static mien_tensor *sets[2][4][N];
    mien_adam h = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    for (int side = 0; side < 2; side++)
        for (int kind = 0; kind < 4; kind++)
            for (int i = 0; i < N; i++)
                sets[side][kind][i] =
                    kind == 1 && i == 7
                        ? NULL
                        : vector_of(i < 6 ? sizes[i] : 3, kind < 2 ? 1 : 0, "adam", kind * N + i);
    for (int step = 1; step <= STEPS; step++) {
        must(table.updates.adam_all(&h, sets[0][0], sets[0][1], sets[0][2], sets[0][3], N, step),
             "own");
        for (int i = 0; i < N; i++)
            if (sets[1][1][i])
                must(mien__backend_ref.updates.adam(&h, sets[1][0][i], sets[1][1][i], sets[1][2][i],
                                                    sets[1][3][i], step),
                     "ref");
    }
    double sum = 0, expected = 0;
    must(table.updates.sum_squares_all(sets[0][1], N, &sum), "norm");
    for (int i = 0; i < N; i++) {
        double one = 0;
        if (sets[1][1][i]) must(mien__backend_ref.updates.sum_squares(sets[1][1][i], &one), "norm");
        expected += one;
        for (int kind = 0; kind < 4; kind++) {
            if (!sets[0][kind][i]) continue;
            double *now = elements(sets[0][kind][i]), *then = elements(sets[1][kind][i]);
            assert_true(distance(now, then, mien_tensor_count(sets[0][kind][i])) <= 2e-6);
            free(now);
            free(then);
            mien_tensor_release(sets[0][kind][i]);
            mien_tensor_release(sets[1][kind][i]);
        }
    }
    assert_true(distance(&sum, &expected, 1) <= 1e-12);
}

static void numbers_far_from_zero_keep_their_digits(void **state) {
    check_norm_far_from_zero(table.forward[MIEN_OP_batch_norm], table.backward[MIEN_OP_batch_norm],
                             MIEN_DEVICE_CPU);
}

/* 1e-25 squared is 0 in f32. */
static void a_quotient_of_small_numbers_has_a_gradient(void **state) {
    static const case_row row = {"div", "5 5", "", ""};
    test_case c = parse_case(&row);
    double small[] = {1e-25, -2e-25, 3e-25, 4e-25, -5e-25},
           *values[MIEN_OP_MAX_IN] = {small, small};
    case_run *r = run_start(&c, MIEN_F32, MIEN_DEVICE_CPU, PLAIN, values);
    run_forward(r, table.forward[c.op]);
    case_run *right = run_start(&c, MIEN_F64, MIEN_DEVICE_CPU, PLAIN, r->in);
    run_forward(right, ref_forward_of(&c));
    prepare_backward(r, 1);
    run_backward(r, table.backward[c.op]);
    check_gradients(&c, r, right, MIEN_F32, 1e-5);
    run_end(right);
    run_end(r);
}

static void adam_keeps_to_the_reference_for_long(void **state) {
    check_adam_for_long(&table, MIEN_DEVICE_CPU);
}

/* ---- decisions that the host need not know of ------------------------------------------------ */

/* In place of backend/capture.c's: what a recorded launch would read. */
static const mien__feed *feeding;
const mien__feed *mien__capture_feed(mien__feed_kind kind, const void *hyper, double seed,
                                     double stream, const mien__feed *first, bool *failed) {
    *failed = false;
    return feeding;
}

enum { SIZE = 5000, PARTS = 4 }; /* parameter, gradient, two moments */

static void fresh(mien_tensor **t) {
    for (int i = 0; i < PARTS; i++) t[i] = vector_of(SIZE, i < 2 ? 1 : 0, "decisions", i);
}

/* The bits that an update leaves in a parameter; lets go of the tensors. */
static float *take_bits(mien_tensor **t) {
    float *bits = malloc(SIZE * sizeof *bits);
    memcpy(bits, mien_tensor_data(t[0]), SIZE * sizeof *bits);
    for (int i = 0; i < PARTS; i++) mien_tensor_release(t[i]);
    return bits;
}

static float *update_bits(bool sgd, double lr, double divisor, int64_t step, mien_tensor *verdict) {
    mien_tensor *t[PARTS];
    mien_adam a = {.lr = lr,
                   .beta1 = 0.9,
                   .beta2 = 0.99,
                   .eps = 1e-8,
                   .weight_decay = 0.1,
                   .decoupled = 1,
                   .divisor = divisor,
                   .verdict = verdict};
    mien_sgd s = {.lr = lr, .momentum = 0.9, .divisor = divisor, .verdict = verdict};
    fresh(t);
    if (sgd)
        must(table.updates.sgd_all(&s, &t[0], &t[1], &t[2], 1), "sgd");
    else
        must(table.updates.adam_all(&a, &t[0], &t[1], &t[2], &t[3], 1, step), "adam");
    return take_bits(t);
}

static void fed_numbers_replace_those_of_the_launch(void **state) {
    for (int sgd = 0; sgd < 2; sgd++) {
        mien_adam a = {.lr = 1e-2,
                       .beta1 = 0.9,
                       .beta2 = 0.99,
                       .weight_decay = 0.1,
                       .decoupled = 1,
                       .divisor = 4};
        mien_sgd s = {.lr = 1e-2, .divisor = 4};
        mien__feed feed = {{0}};
        if (sgd)
            mien__sgd_numbers(&s, feed.sgd);
        else
            mien__adam_numbers(&a, 7, feed.adam);
        float *right = update_bits(sgd, 1e-2, 4, 7, NULL);
        float *wrong = update_bits(sgd, 0.5, 1, 1, NULL);
        feeding = &feed;
        float *fed = update_bits(sgd, 0.5, 1, 1, NULL);
        feeding = NULL;
        assert_memory_equal(fed, right, SIZE * sizeof *fed);
        assert_memory_not_equal(fed, wrong, SIZE * sizeof *fed);
        free(right);
        free(wrong);
        free(fed);
    }
    int64_t n = 10;
    mien_tensor *x = vector_of(n, 1, "dropout", 0);
    mien__feed feed = {.counter = 40};
    float kept[2][10];
    for (int fed = 0; fed < 2; fed++) {
        mien_dropout_attr attr = {.p = 0.5, .seed = 1, .counter = fed ? 3 : 40};
        mien_op_call call = {.op = MIEN_OP_dropout, .attr = (double *)&attr, .in = {x}};
        call.out[0] = mien__tensor_header(MIEN_F32, MIEN_DEVICE_CPU, 1, &n);
        feeding = fed ? &feed : NULL;
        must(table.forward[MIEN_OP_dropout](&call), "dropout");
        memcpy(kept[fed], mien_tensor_data(call.out[0]), sizeof kept[fed]);
        mien_tensor_release(call.out[0]);
    }
    feeding = NULL;
    assert_memory_equal(kept[0], kept[1], sizeof kept[0]);
    mien_tensor_release(x);
}

static mien_tensor *verdict_of(double open, double divisor) {
    int64_t n = MIEN_VERDICT_COUNT;
    double v[MIEN_VERDICT_COUNT] = {open, divisor};
    mien_tensor *t = mien_tensor_new(MIEN_F64, MIEN_DEVICE_CPU, 1, &n);
    must(mien_tensor_write(t, v, n), "write");
    return t;
}

static void a_verdict_leaves_the_update_out_or_sets_its_divisor(void **state) {
    mien_tensor *t[PARTS], *shut = verdict_of(0, 1), *third = verdict_of(1, 3);
    for (int sgd = 0; sgd < 2; sgd++) {
        fresh(t);
        float *untouched = take_bits(t), *right = update_bits(sgd, 0.1, 3, 1, NULL);
        float *closed = update_bits(sgd, 0.1, 1, 1, shut);
        float *open = update_bits(sgd, 0.1, 7, 1, third);
        assert_memory_equal(closed, untouched, SIZE * sizeof *closed);
        assert_memory_equal(open, right, SIZE * sizeof *open);
        free(untouched);
        free(right);
        free(closed);
        free(open);
    }
    mien_tensor_release(shut);
    mien_tensor_release(third);
}

/* Norms and losses of steps one after the other: the kernel's verdicts are those of the host. */
static void the_device_judges_as_the_host_does(void **state) {
    static const double steps[][2] = {{6, 1},        {40, 1},  {INFINITY, 1}, {8, NAN},
                                      {1e300, 1e30}, {NAN, 1}, {2, 0.5},      {1, 1}};
    mien_scaling rules = {.growth = 2, .backoff = 0.5, .interval = 2, .max_norm = 4};
    double there[MIEN_VERDICT_COUNT], here[MIEN_VERDICT_COUNT] = {0};
    here[MIEN_VERDICT_SCALE] = 8;
    mien_tensor *verdict = verdict_of(0, 1), *loss = vector_of(1, 1, "judge", 0);
    must(mien_tensor_write(verdict, here, MIEN_VERDICT_COUNT), "write");
    for (int i = 0; i < 8; i++) {
        ((double *)mien_tensor_data(verdict))[MIEN_VERDICT_NORM] = here[MIEN_VERDICT_NORM] =
            steps[i][0];
        *(float *)mien_tensor_data(loss) = (float)steps[i][1];
        must(table.updates.judge(&rules, verdict, loss), "judge");
        mien__judge(here, rules, (float)steps[i][1]);
        must(mien_tensor_read(verdict, there, MIEN_VERDICT_COUNT), "read");
        assert_memory_equal(there, here, sizeof there);
    }
    assert_true(here[MIEN_VERDICT_SKIPPED] == 2 && here[MIEN_VERDICT_SCALE] == 8);
    must(table.updates.judge(&rules, verdict, NULL), "judge");
    mien_tensor_release(verdict);
    mien_tensor_release(loss);
}

/* The last of more parameters than a launch takes is refused, or lacks memory: none has changed. */
static void an_update_is_of_all_parameters_or_of_none(void **state) {
    enum { N = 500 };
    static mien_tensor *sets[3][N];
    mien_sgd h = {.lr = 1, .momentum = 0.5};
    int64_t shape[] = {2, 3};
    double ones[] = {1, 1, 1, 1, 1, 1};
    for (int lacking = 0; lacking < 2; lacking++) {
        for (int kind = 0; kind < 3; kind++)
            for (int i = 0; i < N; i++) {
                bool last = i == N - 1;
                mien_dtype dtype = last && !lacking ? MIEN_F64 : MIEN_F32;
                sets[kind][i] = last && lacking && kind == 1
                                    ? strided_tensor(ones, dtype, MIEN_DEVICE_CPU, 2, shape)
                                    : plain_tensor(ones, dtype, 2, shape);
            }
        if (lacking) mien__fail_allocation(1);
        mien_status status = table.updates.sgd_all(&h, sets[0], sets[1], sets[2], N);
        assert_int_equal(mien__fail_allocation(0), 0);
        assert_int_equal(status, lacking ? MIEN_ERR_MEMORY : MIEN_ERR_UNSUPPORTED);
        for (int kind = 0; kind < 3; kind++)
            for (int i = 0; i < N; i++) {
                double *now = elements(sets[kind][i]);
                for (int j = 0; j < 6; j++) assert_true(now[j] == 1);
                free(now);
                mien_tensor_release(sets[kind][i]);
            }
    }
}

static void clipping_needs_no_host(void **state) {
    int64_t one = 1;
    mien_tensor *norm = mien_tensor_new(MIEN_F64, MIEN_DEVICE_CPU, 1, &one);
    static const double limits[] = {0.5, 1e9};
    for (int k = 0; k < 3; k++) {
        mien_tensor *g[] = {vector_of(SIZE, 1, "clip", 0), NULL, vector_of(77, 1, "clip", 1)};
        mien_tensor *was = mien_tensor_to(g[0], MIEN_F32, MIEN_DEVICE_CPU);
        double sum = 0, found, limit = limits[k == 1];
        if (k == 2) ((float *)mien_tensor_data(g[2]))[5] = NAN;
        must(table.updates.sum_squares_all(g, 3, &sum), "norm");
        must(table.updates.clip(g, 3, limit, norm), "clip");
        must(mien_tensor_read(norm, &found, 1), "read");
        assert_true(k == 2 ? isnan(found) : found == sqrt(sum));
        float factor = k == 0 ? (float)(limit / found) : 1;
        const float *now = mien_tensor_data(g[0]), *then = mien_tensor_data(was);
        for (int i = 0; i < SIZE; i++) assert_true(now[i] == factor * then[i]);
        mien_tensor_release(g[0]);
        mien_tensor_release(g[2]);
        mien_tensor_release(was);
    }
    mien_tensor_release(norm);
}

static void the_distance_of_two_results_sees_every_element(void **state) {
    static const int64_t counts[] = {1, 255, 257, 20000};
    for (int k = 0; k < 4; k++) {
        int64_t n = counts[k];
        mien_tensor *right = vector_of(n, 1, "distance", k),
                    *found = mien_tensor_to(right, MIEN_F32, MIEN_DEVICE_CPU);
        float *a = mien_tensor_data(found), *b = mien_tensor_data(right);
        double apart = NAN, whole = 0;
        must(mien__cuda_distance(a, b, MIEN_F32, n, &apart), "same");
        assert_true(apart == 0);
        for (int64_t i = 0; i < n; i++) whole += (double)b[i] * b[i];
        a[n - 1] += 0.5f;
        double by = (double)a[n - 1] - b[n - 1], expected = sqrt(by * by / whole);
        must(mien__cuda_distance(a, b, MIEN_F32, n, &apart), "another");
        assert_true(distance(&apart, &expected, 1) <= 1e-12);
        a[n / 2] = NAN;
        must(mien__cuda_distance(a, b, MIEN_F32, n, &apart), "NaN");
        assert_false(apart <= 1);
        mien_tensor_release(right);
        mien_tensor_release(found);
    }
}

/* No part sets what another does, and none keeps what it found. */
static void parts_may_come_in_any_order(void **state) {
    static void (*const parts[])(mien_backend *) = {
        mien__cuda_part_memory,  mien__cuda_part_recurrent, mien__cuda_part_pointwise,
        mien__cuda_part_reduce,  mien__cuda_part_broadcast, mien__cuda_part_softmax,
        mien__cuda_part_norm,    mien__cuda_part_pool,      mien__cuda_part_lrn,
        mien__cuda_part_loss,    mien__cuda_part_ccc,       mien__cuda_part_shape,
        mien__cuda_part_augment, mien__cuda_part_optim,     mien__cuda_part_int8};
    enum { N = sizeof parts / sizeof *parts };
    mien_backend there = {0}, back = {0};
    for (int i = 0; i < N; i++) {
        parts[i](&there);
        parts[N - 1 - i](&back);
    }
    assert_memory_equal(&there, &back, sizeof there);
    assert_memory_equal(there.forward, table.forward, sizeof there.forward);
    assert_memory_equal(there.backward, table.backward, sizeof there.backward);
}

int main(void) {
    mien__cuda_part_memory(&table);
    mien__cuda_part_kernels(&table);
    mien__cuda_part_recurrent(&table);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_may_come_in_any_order),
        cmocka_unit_test(every_kernel_agrees_with_the_reference),
        cmocka_unit_test(a_gradient_alone_is_the_same),
        cmocka_unit_test(the_order_of_threads_does_not_matter),
        cmocka_unit_test(updates_in_place_agree_with_the_reference),
        cmocka_unit_test(adam_updates_all_parameters_in_one_go),
        cmocka_unit_test(numbers_far_from_zero_keep_their_digits),
        cmocka_unit_test(a_quotient_of_small_numbers_has_a_gradient),
        cmocka_unit_test(adam_keeps_to_the_reference_for_long),
        cmocka_unit_test(fed_numbers_replace_those_of_the_launch),
        cmocka_unit_test(a_verdict_leaves_the_update_out_or_sets_its_divisor),
        cmocka_unit_test(the_device_judges_as_the_host_does),
        cmocka_unit_test(an_update_is_of_all_parameters_or_of_none),
        cmocka_unit_test(clipping_needs_no_host),
        cmocka_unit_test(the_distance_of_two_results_sees_every_element),
        cmocka_unit_test(a_target_that_is_no_class_reads_nowhere_and_shows_in_the_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
