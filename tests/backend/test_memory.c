/* Every allocation of an op, a walk and a training step fails in its turn: what is said, what has
 * changed, what is left behind, and the same afterwards. Not here: full devices (test_device.c). */
#include "harness.h"

#include "autograd/autograd.h"
#include "base/allocate.h"

static const char *const names[] = {"cpu", "ref"};

static int64_t live_storages(void) {
    mien_memory_stats stats;
    mien_memory(MIEN_DEVICE_CPU, &stats);
    return stats.live_storages;
}

/* After a call during which allocation n was to fail; true: it failed the call. */
static bool failed(mien_status status, bool fired, const char *what, int n) {
    if (status == MIEN_OK) return false;
    if (!fired || status != MIEN_ERR_MEMORY || !strstr(mien_error_last()->message, "memory"))
        fail_msg("%s, allocation %d: %s: %s", what, n, mien_status_name(status),
                 mien_error_last()->message);
    return true;
}

/* ---- ops ------------------------------------------------------------------------------------- */

typedef struct pass {
    case_run *r; /* inputs */
    mien_tensor *out[MIEN_OP_MAX_OUT];
} pass;

static pass prepare(const test_case *c) {
    pass p = {.r = run_start(c, MIEN_F32, MIEN_DEVICE_CPU, PLAIN, NULL)};
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++) {
        mien_tensor_release(p.r->call.out[i]);
        p.r->call.out[i] = NULL;
    }
    for (int i = 0; i < c->n_in && has_backward(c); i++)
        if (has_gradient(c, i)) must(mien_tensor_set_requires_grad(p.r->call.in[i], true), c->key);
    return p;
}

static mien_status forward(pass *p) {
    const test_case *c = p->r->c;
    return mien_op_run(c->op, p->r->call.in, c->n_in, c->attr, mien_op_info_at(c->op)->n_attr,
                       p->out, visible_outputs(c));
}

/* From all outputs that flow back, seeded by the case. */
static mien_status backward(pass *p) {
    const test_case *c = p->r->c;
    double *values = uniform(c->key, 7, mien_tensor_count(p->out[0]));
    int64_t armed = mien__fail_allocation(0);
    mien_tensor *seed = plain_tensor(values, p->out[0]->dtype, p->out[0]->ndim, p->out[0]->shape);
    mien__fail_allocation(armed);
    mien_status status = mien_backward(p->out[0], seed);
    mien_tensor_release(seed);
    free(values);
    return status;
}

static void end(pass *p) {
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++) mien_tensor_release(p->out[i]);
    run_end(p->r);
}

static void inputs_unchanged(const pass *p, const char *what, int n) {
    for (int i = 0; i < p->r->c->n_in; i++) {
        if (!p->r->call.in[i]) continue;
        double *now = elements(p->r->call.in[i]);
        if (memcmp(now, p->r->in[i], (size_t)p->r->c->in[i].count * sizeof *now) != 0)
            fail_msg("%s, allocation %d: the call failed, but input %d has changed", what, n, i);
        free(now);
    }
}

/* Outputs, inputs afterwards, and gradients, one after the other. */
static double *all_of(const pass *p, int64_t *count) {
    const test_case *c = p->r->c;
    double *all = NULL;
    *count = 0;
    for (int i = 0; i < 3 * MIEN_OP_MAX_IN; i++) {
        mien_tensor *t = NULL;
        int k = i % MIEN_OP_MAX_IN;
        if (i < MIEN_OP_MAX_IN)
            t = k < MIEN_OP_MAX_OUT ? mien_tensor_retain(p->out[k]) : NULL;
        else if (k < c->n_in && p->r->call.in[k])
            t = i < 2 * MIEN_OP_MAX_IN ? mien_tensor_retain(p->r->call.in[k])
                                       : mien_tensor_grad(p->r->call.in[k]);
        if (!t) continue;
        double *values = elements(t);
        int64_t n = mien_tensor_count(t);
        all = realloc(all, (size_t)(*count + n + 1) * sizeof *all);
        memcpy(all + *count, values, (size_t)n * sizeof *all);
        *count += n;
        free(values);
        mien_tensor_release(t);
    }
    return all;
}

/* Each allocation of forward, then each of backward; gives what came of the run without a failure.
 */
static double *fail_each(const test_case *c, const char *what, int64_t *count, int *failures) {
    int64_t storages = live_storages();
    for (int walking = 0;; walking++) {
        bool fired = true;
        for (int n = 1; fired; n++) {
            pass p = prepare(c);
            if (walking) must(forward(&p), c->key);
            mien__fail_allocation(n);
            mien_status status = walking ? backward(&p) : forward(&p);
            fired = mien__fail_allocation(0) == 0;
            bool refused = failed(status, fired, what, n);
            *failures += refused;
            if (refused && !walking) inputs_unchanged(&p, what, n);
            for (int i = 0; refused && walking && i < c->n_in; i++)
                if (p.r->call.in[i] && p.r->call.in[i]->grad)
                    fail_msg("%s, allocation %d: the walk failed, but input %d has a gradient",
                             what, n, i);
            double *all = NULL;
            if (!fired && (walking || !has_backward(c))) all = all_of(&p, count);
            end(&p);
            if (live_storages() != storages)
                fail_msg("%s, allocation %d of %s: %lld tensors are left behind", what, n,
                         walking ? "backward" : "forward", (long long)(live_storages() - storages));
            if (all) return all;
        }
    }
}

static void any_allocation_of_an_op_may_fail(void **state) {
    for (int k = 0; k < 2; k++) {
        int failures = 0;
        must(mien_backend_use(names[k]), names[k]);
        for (int i = 0; i < CASE_COUNT; i++) {
            char what[sizeof(((test_case *)0)->key) + 16];
            int64_t first_count = 0, second_count = 0;
            test_case c = case_at(i);
            snprintf(what, sizeof what, "%s on %s", c.key, names[k]);
            double *first = fail_each(&c, what, &first_count, &failures); /* plans are made */
            double *second = fail_each(&c, what, &second_count, &failures);
            pass p = prepare(&c);
            must(forward(&p), what);
            if (has_backward(&c)) must(backward(&p), what);
            int64_t count = 0;
            double *right = all_of(&p, &count);
            end(&p);
            assert_int_equal(first_count, count);
            assert_int_equal(second_count, count);
            if (memcmp(first, right, (size_t)count * sizeof *right) != 0 ||
                memcmp(second, right, (size_t)count * sizeof *right) != 0)
                fail_msg("%s: other bits after an allocation had failed", what);
            free(first), free(second), free(right);
        }
        printf("%s: %d calls failed for want of memory\n", names[k], failures);
        assert_true(failures > 20 * CASE_COUNT);
    }
    must(mien_backend_use("cpu"), "cpu");
}

/* ---- a training step ------------------------------------------------------------------------- */

enum { PARAMETERS = 9, RUNNING = 2, KEPT = 3 * PARAMETERS + RUNNING };

/* A small network of all that training consists of: convolution, batch norm with ReLU, pooling,
 * LSTM, linear layer, Adam. */
typedef struct net {
    mien_tensor *kept[KEPT]; /* parameters, first and second moments, running statistics */
    double *at_first[KEPT];
    mien_tensor *x, *y;
} net;

static mien_tensor *drawn(const char *key, int stream, int ndim, const int64_t *shape,
                          double most) {
    int64_t n = 1;
    for (int i = 0; i < ndim; i++) n *= shape[i];
    double *values = uniform(key, stream, n);
    for (int64_t i = 0; i < n; i++) values[i] *= most;
    mien_tensor *t = plain_tensor(values, MIEN_F32, ndim, shape);
    free(values);
    return t;
}

static net make_net(void) {
    static const int64_t shapes[PARAMETERS][4] = {{8, 3, 3, 3}, {8},  {8},     {8}, {64, 128},
                                                  {64, 16},     {64}, {2, 16}, {2}};
    static const int ndim[PARAMETERS] = {4, 1, 1, 1, 2, 2, 1, 2, 1};
    net net = {.x = drawn("x", 0, 4, (int64_t[]){6, 3, 8, 8}, 1),
               .y = drawn("y", 0, 3, (int64_t[]){2, 3, 2}, 1)};
    for (int i = 0; i < PARAMETERS; i++) {
        net.kept[i] = drawn("p", i, ndim[i], shapes[i], 0.3);
        net.kept[PARAMETERS + i] = drawn("m", i, ndim[i], shapes[i], 0.01);
        net.kept[2 * PARAMETERS + i] = drawn("v", i, ndim[i], shapes[i], 0.01);
        must(mien_tensor_fill(net.kept[2 * PARAMETERS + i], 0.01), "fill");
        must(mien_tensor_set_requires_grad(net.kept[i], true), "leaf");
    }
    for (int i = 0; i < RUNNING; i++) {
        net.kept[3 * PARAMETERS + i] = drawn("r", i, 1, (int64_t[]){8}, 0.1);
        must(mien_tensor_fill(net.kept[3 * PARAMETERS + i], i), "fill");
    }
    for (int i = 0; i < KEPT; i++) net.at_first[i] = elements(net.kept[i]);
    return net;
}

static void back_to_the_start(net *net) {
    for (int i = 0; i < KEPT; i++)
        must(mien_tensor_write(net->kept[i], net->at_first[i], mien_tensor_count(net->kept[i])),
             "write");
    for (int i = 0; i < PARAMETERS; i++) must(mien_tensor_set_grad(net->kept[i], NULL), "grad");
}

static void end_net(net *net) {
    for (int i = 0; i < KEPT; i++) {
        mien_tensor_release(net->kept[i]);
        free(net->at_first[i]);
    }
    mien_tensor_release(net->x);
    mien_tensor_release(net->y);
}

/* Runs an op with one output of interest, in its first place; lets go of its first input. */
static mien_status then(mien_tensor **t, mien_op op, int n_in, mien_tensor *const *more, int n_attr,
                        const double *attr) {
    mien_tensor *in[MIEN_OP_MAX_IN] = {*t}, *out[MIEN_OP_MAX_OUT] = {0};
    for (int i = 1; i < n_in; i++) in[i] = more[i - 1];
    mien_status status =
        mien_op_run(op, in, n_in, attr, n_attr, out, mien_op_info_at(op)->n_visible);
    for (int i = 1; i < MIEN_OP_MAX_OUT; i++) mien_tensor_release(out[i]);
    mien_tensor_release(*t);
    *t = out[0];
    return status;
}

#define NUMBERS(...)                                                                               \
    (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (double[]) {                          \
        __VA_ARGS__                                                                                \
    }

static mien_status loss_of(net *net, mien_tensor **t) {
    mien_tensor **p = net->kept, *running = p[3 * PARAMETERS], *var = p[3 * PARAMETERS + 1];
    *t = mien_tensor_retain(net->x);
    MIEN_TRY(then(t, MIEN_OP_conv2d, 3, p, NUMBERS(1, 1, 1, 1, 1, 1)));
    MIEN_TRY(then(t, MIEN_OP_batch_norm, 5, (mien_tensor *[]){p[2], p[3], running, var},
                  NUMBERS(1, 0.1, 1e-5, 1)));
    MIEN_TRY(then(t, MIEN_OP_max_pool2d, 1, NULL, NUMBERS(2, 2, 2, 2, 0, 0, 0, 0)));
    MIEN_TRY(then(t, MIEN_OP_reshape, 1, NULL, NUMBERS(3, 2, 3, 128, 1, 1, 1)));
    MIEN_TRY(then(t, MIEN_OP_lstm, 4, p + 4, 0, NULL));
    MIEN_TRY(then(t, MIEN_OP_linear, 3, p + 7, 0, NULL));
    return then(t, MIEN_OP_mse_loss, 2, &net->y, 0, NULL);
}

static mien_status walk(net *net) {
    mien_tensor *loss = NULL;
    mien_status status = loss_of(net, &loss);
    if (status == MIEN_OK) status = mien_backward(loss, NULL);
    mien_tensor_release(loss);
    return status;
}

static mien_status update(net *net) {
    mien_adam h = {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8};
    mien_tensor **p = net->kept, *grads[PARAMETERS];
    for (int i = 0; i < PARAMETERS; i++) grads[i] = p[i]->grad;
    return mien_adam_step(&h, p, grads, p + PARAMETERS, p + 2 * PARAMETERS, PARAMETERS, 3);
}

static bool is_at(net *net, int from, int to, double *const *values) {
    bool same = true;
    for (int i = from; i < to; i++) {
        double *now = elements(net->kept[i]);
        same =
            same && !memcmp(now, values[i], (size_t)mien_tensor_count(net->kept[i]) * sizeof *now);
        free(now);
    }
    return same;
}

/* Two walks, whose gradients add up, then an update. */
static mien_status train(net *net) {
    MIEN_TRY(walk(net));
    MIEN_TRY(walk(net));
    return update(net);
}

static void any_allocation_of_a_training_step_may_fail(void **state) {
    for (int k = 0; k < 2; k++) {
        must(mien_backend_use(names[k]), names[k]);
        net net = make_net();
        double *right[KEPT];
        int failures = 0;
        must(train(&net), "a step");
        for (int i = 0; i < KEPT; i++) right[i] = elements(net.kept[i]);
        assert_false(is_at(&net, 0, PARAMETERS, net.at_first));
        back_to_the_start(&net);
        int64_t storages = live_storages();
        bool fired = true;
        for (int n = 1; fired; n++) {
            mien__fail_allocation(n);
            mien_status status = train(&net);
            fired = mien__fail_allocation(0) == 0;
            if (failed(status, fired, names[k], n)) {
                failures++;
                if (!is_at(&net, 0, 3 * PARAMETERS, net.at_first))
                    fail_msg("%s, allocation %d: a step that failed has changed parameters",
                             names[k], n);
            } else if (!is_at(&net, 0, KEPT, right)) {
                fail_msg("%s, allocation %d: the step that got by has other bits", names[k], n);
            }
            back_to_the_start(&net);
            if (live_storages() != storages)
                fail_msg("%s, allocation %d: %lld tensors are left behind", names[k], n,
                         (long long)(live_storages() - storages));
        }
        printf("%s: a step failed at %d places\n", names[k], failures);
        assert_true(failures > 100);
        must(train(&net), "the step afterwards");
        assert_true(is_at(&net, 0, KEPT, right));
        for (int i = 0; i < KEPT; i++) free(right[i]);
        end_net(&net);
    }
    must(mien_backend_use("cpu"), "cpu");
}

/* A second walk that fails has added to no gradient. */
static void a_walk_that_fails_adds_to_no_gradient(void **state) {
    for (int k = 0; k < 2; k++) {
        must(mien_backend_use(names[k]), names[k]);
        net net = make_net();
        bool fired = true;
        for (int n = 1; fired; n++) {
            double *before[PARAMETERS];
            back_to_the_start(&net);
            must(walk(&net), "the first walk");
            for (int i = 0; i < PARAMETERS; i++) { /* in other layouts than they come in */
                mien_tensor *g = net.kept[i]->grad, *other = NULL;
                before[i] = elements(g);
                if (g->ndim == 2)
                    other = strided_tensor(before[i], MIEN_F32, MIEN_DEVICE_CPU, 2, g->shape);
                if (other) must(mien_tensor_set_grad(net.kept[i], other), "grad");
                mien_tensor_release(other);
            }
            mien_tensor *loss = NULL;
            must(loss_of(&net, &loss), "loss");
            mien__fail_allocation(n);
            mien_status status = mien_backward(loss, NULL);
            fired = mien__fail_allocation(0) == 0;
            bool refused = failed(status, fired, names[k], n);
            mien_tensor_release(loss);
            for (int i = 0; i < PARAMETERS; i++) {
                double *now = elements(net.kept[i]->grad);
                bool same =
                    !memcmp(now, before[i], (size_t)mien_tensor_count(net.kept[i]) * sizeof *now);
                if (refused && !same)
                    fail_msg("%s, allocation %d: gradient %d of a walk that failed has changed",
                             names[k], n, i);
                free(now);
                free(before[i]);
            }
        }
        end_net(&net);
    }
    must(mien_backend_use("cpu"), "cpu");
}

/* ---- updates --------------------------------------------------------------------------------- */

enum { GROUP = 3 };

/* Adam (kind 0) or SGD on tensors of each dtype, with gradients that lie in other layouts. */
static mien_status update_group(int kind, mien_tensor **p, mien_tensor **g, mien_tensor **m,
                                mien_tensor **v) {
    mien_adam adam = {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8};
    mien_sgd sgd = {.lr = 0.1, .momentum = 0.9};
    return kind == 0 ? mien_adam_step(&adam, p, g, m, v, GROUP, 1)
                     : mien_sgd_step(&sgd, p, g, m, GROUP, 1);
}

static void an_update_is_of_all_parameters_or_of_none(void **state) {
    for (int k = 0; k < 4; k++) {
        bool fired = true;
        must(mien_backend_use(names[k % 2]), names[k % 2]);
        for (int n = 1; fired; n++) {
            mien_tensor *all[4][GROUP];
            int64_t shape[] = {2, 9, 5, 7};
            double *before[4][GROUP];
            for (int j = 0; j < GROUP; j++)
                for (int i = 0; i < 4; i++) {
                    double *values = uniform("update", 4 * j + i, 2 * 9 * 5 * 7);
                    mien_dtype dtype = j == 1 ? MIEN_F64 : MIEN_F32;
                    if (j == 2 && i == 1)
                        all[i][j] = blocked_tensor(values, dtype, shape, 8);
                    else if (i == 1 || j == 1)
                        all[i][j] = strided_tensor(values, dtype, MIEN_DEVICE_CPU, 4, shape);
                    else
                        all[i][j] = plain_tensor(values, dtype, 4, shape);
                    before[i][j] = elements(all[i][j]);
                    free(values);
                }
            mien__fail_allocation(n);
            mien_status status = update_group(k / 2, all[0], all[1], all[2], all[3]);
            fired = mien__fail_allocation(0) == 0;
            bool refused = failed(status, fired, "an update", n);
            for (int j = 0; j < GROUP; j++)
                for (int i = 0; i < 4; i++) {
                    double *now = elements(all[i][j]);
                    bool same = !memcmp(now, before[i][j], 2 * 9 * 5 * 7 * sizeof *now);
                    if (refused && !same)
                        fail_msg("%s, allocation %d: parameter %d of an update that failed changed",
                                 names[k % 2], n, j);
                    if (!refused && i == 0) assert_false(same);
                    free(now);
                    free(before[i][j]);
                    mien_tensor_release(all[i][j]);
                }
        }
    }
    must(mien_backend_use("cpu"), "cpu");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_of_an_op_may_fail),
        cmocka_unit_test(any_allocation_of_a_training_step_may_fail),
        cmocka_unit_test(a_walk_that_fails_adds_to_no_gradient),
        cmocka_unit_test(an_update_is_of_all_parameters_or_of_none),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    mien_threads_set(1); /* thousands of tiny calls */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
