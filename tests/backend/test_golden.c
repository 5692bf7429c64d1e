/* The reference backend against values made with PyTorch (tests/golden/ops.py), in f64.
 * Not here: gradients against differences (test_gradients.c). */
#include "harness.h"

/* One tensor of one case: count, 2-norm, product with the probe, first and last element. */
typedef struct golden {
    const char *key, *item;
    int64_t count;
    double norm, probe, first, last;
} golden;

static const golden goldens[] = {
#define GOLDEN(key, item, count, norm, probe, first, last)                                         \
    {key, item, count, norm, probe, first, last},
#include "../golden/ops.def"
#undef GOLDEN
};
enum { GOLDEN_COUNT = sizeof goldens / sizeof *goldens };
static bool used[GOLDEN_COUNT];

static const golden *find(const char *key, const char *item) {
    for (int i = 0; i < GOLDEN_COUNT; i++)
        if (!strcmp(goldens[i].key, key) && !strcmp(goldens[i].item, item)) {
            used[i] = true;
            return &goldens[i];
        }
    return NULL;
}

static void close_to(const char *key, const char *item, const char *what, double found,
                     double expected, double size) {
    if (isnan(found) && isnan(expected)) return;
    if (!(fabs(found - expected) <= 1e-9 * (size > 1e-3 ? size : 1e-3)))
        fail_msg("%s: %s of %s is %.12g but PyTorch has %.12g", key, what, item, found, expected);
}

/* Norm and probe leave NaN out. */
static void compare(const char *key, const char *item, const double *values, int64_t n) {
    const golden *g = find(key, item);
    if (!g) fail_msg("%s: no golden %s; run tests/golden/ops.py", key, item);
    assert_int_equal(g->count, n);
    double *probe = uniform(key, STREAM_PROBE, n), sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(values[i])) sum += probe[i] * values[i];
    free(probe);
    close_to(key, item, "norm", norm(values, n), g->norm, g->norm);
    close_to(key, item, "probe", sum, g->probe, g->norm);
    close_to(key, item, "first element", values[0], g->first, g->norm);
    close_to(key, item, "last element", values[n - 1], g->last, g->norm);
}

/* ---- ops ------------------------------------------------------------------------------------- */

static const char *item_name(char *buffer, size_t size, const char *prefix, const char *list,
                             int i) {
    size_t length;
    const char *word = list_word(list, i, &length);
    snprintf(buffer, size, "%s%.*s", prefix, (int)length, word);
    if (strchr(list, '*')) snprintf(buffer, size, "%sinput%d", prefix, i);
    return buffer;
}

static void check_case(const test_case *c) {
    const mien_op_info *info = mien_op_info_at(c->op);
    char item[64];
    case_run *r = run_start(c, MIEN_F64, MIEN_DEVICE_CPU, PLAIN, NULL);
    run_forward(r, ref_forward_of(c));
    for (int i = 0; i < info->n_out; i++) {
        item_name(item, sizeof item, "", info->outputs, i);
        if (strcmp(item, "reserve"))
            compare(c->key, item, r->out[i], mien_tensor_count(r->call.out[i]));
    }
    for (int i = 3; c->op == MIEN_OP_batch_norm && i <= 4; i++) {
        double *now = elements(r->call.in[i]);
        compare(c->key, item_name(item, sizeof item, "new ", info->inputs, i), now, c->in[i].count);
        free(now);
    }
    if (has_backward(c)) {
        prepare_backward(r, ~0u);
        run_backward(r, ref_backward_of(c));
    }
    for (int i = 0; i < c->n_in; i++)
        if (r->din[i])
            compare(c->key, item_name(item, sizeof item, "d ", info->inputs, i), r->din[i],
                    c->in[i].count);
    run_end(r);
}

static void every_case_agrees_with_pytorch(void **state) {
    for (int i = 0; i < CASE_COUNT; i++) {
        test_case c = case_at(i);
        check_case(&c);
    }
}

/* ---- optimisers ------------------------------------------------------------------------------ */

enum { PARAMETERS = 37, STEPS = 3 };

static double hyper(const char *list, const char *name) {
    double value = 0;
    if (!find_number(list, name, strlen(name), &value)) fail_msg("%s: no %s", list, name);
    return value;
}

static mien_tensor *numbers(const char *key, int stream) {
    const int64_t shape[] = {PARAMETERS};
    double zeros[PARAMETERS] = {0};
    double *values = stream < 0 ? NULL : uniform(key, stream, PARAMETERS);
    mien_tensor *t = plain_tensor(values ? values : zeros, MIEN_F64, 1, shape);
    free(values);
    return t;
}

static void step_adam(const char *list, mien_tensor **t, mien_tensor *grad, int step) {
    mien_adam h = {hyper(list, "lr"),  hyper(list, "beta1"),        hyper(list, "beta2"),
                   hyper(list, "eps"), hyper(list, "weight_decay"), (int)hyper(list, "decoupled")};
    must(mien__backend_ref.updates.adam(&h, t[0], grad, t[1], t[2], step), "adam");
}

static void step_sgd(const char *list, mien_tensor **t, mien_tensor *grad, int step) {
    mien_sgd h = {hyper(list, "lr"), hyper(list, "momentum"), hyper(list, "weight_decay"),
                  (int)hyper(list, "nesterov")};
    must(mien__backend_ref.updates.sgd(&h, t[0], grad, h.momentum > 0 ? t[1] : NULL), "sgd");
}

static void check_optimiser(const char *name, const char *list) {
    char key[256];
    snprintf(key, sizeof key, "%s||%s", name, list);
    bool adam = !strcmp(name, "adam");
    mien_tensor *t[3] = {numbers(key, 0), numbers(key, -1), numbers(key, -1)};
    for (int step = 1; step <= STEPS; step++) {
        mien_tensor *grad = numbers(key, step);
        (adam ? step_adam : step_sgd)(list, t, grad, step);
        mien_tensor_release(grad);
    }
    const char *items[3] = {"param", adam ? "m" : "velocity", "v"};
    for (int i = 0; i < (adam ? 3 : 2); i++) {
        double *values = elements(t[i]);
        compare(key, items[i], values, PARAMETERS);
        free(values);
    }
    for (int i = 0; i < 3; i++) mien_tensor_release(t[i]);
}

static void optimisers_agree_with_pytorch(void **state) {
#define CASE(op, inputs, attributes, what)
#define OPTIM(optimiser, hyper, what) check_optimiser(#optimiser, hyper);
#include "cases.def"
#undef CASE
#undef OPTIM
}

/* Runs last: golden values of a case that is gone would never be missed. */
static void no_golden_value_is_left_over(void **state) {
    for (int i = 0; i < GOLDEN_COUNT; i++)
        if (!used[i]) fail_msg("no case for golden %s of %s", goldens[i].item, goldens[i].key);
    print_message("%d golden values agree to 1e-9\n", GOLDEN_COUNT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_agrees_with_pytorch),
        cmocka_unit_test(optimisers_agree_with_pytorch),
        cmocka_unit_test(no_golden_value_is_left_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
