/* Another backend chosen between the passes: backward runs where forward did, and what the CPU's
 * backends keep for it means the same to both. Not here: single backends (test_backends.c). */
#include "harness.h"

#include "autograd/autograd.h"
#include "base/profile.h"

static const char *const names[] = {"cpu", "ref"};

/* ---- through the tape ------------------------------------------------------------------------ */

typedef struct gradients {
    double *of[MIEN_OP_MAX_IN];
    char forward[16], backward[16]; /* who served */
} gradients;

static void who_served(int op, bool backward, char *name) {
    mien_profile_entry e;
    strcpy(name, "nobody");
    for (int i = 0; mien_profile_entry_at(i, &e); i++)
        if (e.is_op && e.backward == backward && !strcmp(e.name, mien_op_info_at(op)->name))
            snprintf(name, 16, "%s", e.backend);
}

/* The case with `first` in use in forward and `second` in backward. */
static gradients both_passes(const test_case *c, const char *first, const char *second) {
    gradients g = {{0}};
    case_run *r = run_start(c, MIEN_F32, MIEN_DEVICE_CPU, PLAIN, NULL);
    mien_tensor *out[MIEN_OP_MAX_OUT] = {0};
    mien_profile_reset();
    must(mien_backend_use(first), first);
    for (int i = 0; i < c->n_in; i++)
        if (has_gradient(c, i)) must(mien_tensor_set_requires_grad(r->call.in[i], true), c->key);
    must(mien_op_run(c->op, r->call.in, c->n_in, c->attr, mien_op_info_at(c->op)->n_attr, out,
                     visible_outputs(c)),
         c->key);
    who_served(c->op, false, g.forward);
    double *values = uniform(c->key, 7, mien_tensor_count(out[0]));
    mien_tensor *seed = plain_tensor(values, out[0]->dtype, out[0]->ndim, out[0]->shape);
    must(mien_backend_use(second), second);
    must(mien_backward(out[0], seed), c->key);
    who_served(c->op, true, g.backward);
    for (int i = 0; i < c->n_in; i++) {
        mien_tensor *grad = r->call.in[i] ? mien_tensor_grad(r->call.in[i]) : NULL;
        if (grad) g.of[i] = elements(grad);
        mien_tensor_release(grad);
    }
    for (int i = 0; i < visible_outputs(c); i++) mien_tensor_release(out[i]);
    mien_tensor_release(seed);
    free(values);
    run_end(r);
    must(mien_backend_use("cpu"), "cpu");
    return g;
}

static void same_bits(const test_case *c, const char *first, gradients *a, gradients *b) {
    if (strcmp(a->forward, b->forward) || strcmp(a->backward, b->backward))
        fail_msg("%s after forward on %s: served by %s and %s, with a change between by %s and %s",
                 c->key, first, a->forward, a->backward, b->forward, b->backward);
    for (int i = 0; i < c->n_in; i++) {
        assert_true(!a->of[i] == !b->of[i]);
        if (a->of[i] && memcmp(a->of[i], b->of[i], (size_t)c->in[i].count * sizeof(double)) != 0)
            fail_msg("%s after forward on %s: gradient %d depends on who is in use in backward",
                     c->key, first, i);
        free(a->of[i]);
        free(b->of[i]);
    }
}

static void backward_goes_where_forward_went(void **state) {
    int served[2] = {0};
    mien_profile_enable(true);
    for (int i = 0; i < CASE_COUNT; i++) {
        test_case c = case_at(i);
        if (!has_backward(&c)) continue;
        for (int k = 0; k < 2; k++) {
            gradients right = both_passes(&c, names[k], names[k]);
            gradients found = both_passes(&c, names[k], names[!k]);
            served[k] += strcmp(found.backward, names[k]) == 0;
            same_bits(&c, names[k], &right, &found);
        }
    }
    mien_profile_enable(false);
    assert_true(served[0] > CASE_COUNT / 3 && served[1] > CASE_COUNT / 2);
}

/* ---- what is kept between the passes --------------------------------------------------------- */

static case_run *forward_of(const test_case *c, layout how, const mien_backend *b) {
    case_run *r = run_start(c, MIEN_F32, MIEN_DEVICE_CPU, how, NULL);
    bool serves = b->forward[c->op] && (!b->supports || b->supports(&r->call, false));
    if (serves) {
        run_forward(r, b->forward[c->op]);
        return r;
    }
    run_end(r);
    return NULL;
}

static void near(const case_run *r, const char *what, int i, const double *found,
                 const double *right, int64_t n) {
    double off = distance(found, right, n);
    if (!(off <= 1e-5)) fail_msg("%s: %s %d is off by %.2e of its norm", r->c->key, what, i, off);
}

/* What `kept` has kept is what the reference keeps, and the other backend goes on from there. */
static void others_go_on(const test_case *c, layout how, const mien_backend *kept,
                         const mien_backend *other) {
    case_run *r = forward_of(c, how, kept);
    if (!r) return;
    case_run *right = run_start(c, MIEN_F64, MIEN_DEVICE_CPU, PLAIN, r->in);
    run_forward(right, ref_forward_of(c));
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++)
        if (right->out[i])
            near(r, "output", i, r->out[i], right->out[i], mien_tensor_count(right->call.out[i]));
    prepare_backward(r, ~0u);
    prepare_backward(right, ~0u);
    bool serves = other->backward[c->op] && (!other->supports || other->supports(&r->call, true));
    if (serves) {
        run_backward(right, ref_backward_of(c));
        run_backward(r, other->backward[c->op]);
        for (int i = 0; i < c->n_in; i++)
            if (r->din[i]) near(r, "gradient", i, r->din[i], right->din[i], c->in[i].count);
    }
    run_end(r);
    run_end(right);
}

static void the_cpus_backends_keep_the_same(void **state) {
    for (int i = 0; i < CASE_COUNT; i++) {
        test_case c = case_at(i);
        if (!has_backward(&c) || mien__op_is_view(c.op)) continue;
        for (int how = 0; how < LAYOUTS; how++) {
            others_go_on(&c, (layout)how, &mien__backend_cpu, &mien__backend_ref);
            others_go_on(&c, (layout)how, &mien__backend_ref, &mien__backend_cpu);
        }
    }
}

/* ---- max_pool2d's index ---------------------------------------------------------------------- */

/* Windows of 3x2 over 2x3 with padding: NaN beside numbers, two of them, and nothing but -inf. */
static void the_index_of_a_maximum_is_its_place_in_the_plane(void **state) {
    static const double planes[][6] = {
        {0, 1, 2, 3, 4, 5},
        {1, NAN, 2, NAN, 0, 1},
        {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY}};
    static const double winners[][4] = {{3, 4, 5, 5}, {3, 1, 1, 2}, {0, 0, 1, 2}};
    const mien_max_pool2d_attr attr = {3, 2, 3, 1, 1, 1, 0, 1};
    const mien_backend *all[] = {&mien__backend_ref, &mien__backend_cpu};
    for (int k = 0; k < 2; k++)
        for (size_t p = 0; p < sizeof planes / sizeof *planes; p++) {
            int64_t shape[] = {1, 1, 2, 3};
            mien_op_call call = {.op = MIEN_OP_max_pool2d, .attr = &attr, .recording = true};
            call.in[0] = plain_tensor(planes[p], MIEN_F32, 4, shape);
            must(mien__infer_max_pool2d(&call), "infer");
            must(all[k]->forward[MIEN_OP_max_pool2d](&call), all[k]->name);
            double *index = elements(call.out[1]);
            for (int i = 0; i < 4; i++)
                if (index[i] != winners[p][i])
                    fail_msg("%s, plane %zu, window %d: index %g, wanted %g", all[k]->name, p, i,
                             index[i], winners[p][i]);
            free(index);
            mien_tensor_release(call.in[0]);
            mien_tensor_release(call.out[0]);
            mien_tensor_release(call.out[1]);
        }
}

/* Whoever calls backward by hand with an index of something else gets an error or a zero gradient,
 * and nothing outside of the gradient is written. */
static void an_index_outside_of_the_plane_writes_nowhere(void **state) {
    const mien_max_pool2d_attr attr = {2, 2, 2, 2, 0, 0, 0, 0};
    const mien_backend *all[] = {&mien__backend_ref, &mien__backend_cpu};
    static const double outside[] = {-1, 4, 1e6, -2147483648.0};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 4; i++) {
            int64_t x[] = {1, 1, 2, 2}, y[] = {1, 1, 1, 1};
            mien_op_call call = {.op = MIEN_OP_max_pool2d, .attr = &attr};
            call.in[0] = mien__tensor_header(MIEN_F32, MIEN_DEVICE_CPU, 4, x);
            call.din[0] = mien__tensor_header(MIEN_F32, MIEN_DEVICE_CPU, 4, x);
            call.out[0] = mien__tensor_header(MIEN_F32, MIEN_DEVICE_CPU, 4, y);
            call.out[1] = plain_tensor(&outside[i], MIEN_I32, 4, y);
            call.dout[0] = plain_tensor((double[]){1}, MIEN_F32, 4, y);
            call.want[0] = true;
            mien_status status = all[k]->backward[MIEN_OP_max_pool2d](&call);
            if (all[k] == &mien__backend_ref) {
                assert_int_equal(status, MIEN_ERR_ARGUMENT);
                assert_non_null(strstr(mien_error_last()->message, "outside of its plane of 2x2"));
            } else {
                must(status, "cpu");
                double *d = elements(call.din[0]);
                for (int j = 0; j < 4; j++) assert_true(d[j] == 0);
                free(d);
            }
            mien_tensor_release(call.in[0]);
            mien_tensor_release(call.din[0]);
            mien_tensor_release(call.out[0]);
            mien_tensor_release(call.out[1]);
            mien_tensor_release(call.dout[0]);
        }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backward_goes_where_forward_went),
        cmocka_unit_test(the_cpus_backends_keep_the_same),
        cmocka_unit_test(the_index_of_a_maximum_is_its_place_in_the_plane),
        cmocka_unit_test(an_index_outside_of_the_plane_writes_nowhere),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
