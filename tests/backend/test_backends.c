/* Fast backends against the reference one: every case, layout and gradient, with outputs poisoned.
 * Not here: whether the reference is right (test_gradients.c, test_golden.c). */
#include "hard.h"

#include "backend/discovery.h"

/* A device and dtype to judge, and the relative norm that rounding explains. */
typedef struct target {
    const char *name, *backend;
    mien_device device;
    mien_dtype dtype, parameters;
    double tolerance;
    int layouts; /* how many of `layout` its tensors come in */
    bool tf32;   /* may products be rounded to it? */
} target;

static const target targets[] = {
    {"cpu f32", "cpu", MIEN_DEVICE_CPU, MIEN_F32, MIEN_F32, 1e-5, LAYOUTS},
    {"cpu bf16 mixed", "cpu", MIEN_DEVICE_CPU, MIEN_BF16, MIEN_F32, 1e-2, LAYOUTS},
    {"cpu bf16", "cpu", MIEN_DEVICE_CPU, MIEN_BF16, MIEN_BF16, 1e-2, LAYOUTS},
    {"ref f32", "ref", MIEN_DEVICE_CPU, MIEN_F32, MIEN_F32, 1e-6, LAYOUTS},
    {"ref bf16", "ref", MIEN_DEVICE_CPU, MIEN_BF16, MIEN_BF16, 1e-2, LAYOUTS},
    {"ref f16", "ref", MIEN_DEVICE_CPU, MIEN_F16, MIEN_F16, 1e-3, STRIDED + 1},
};
enum { TARGETS = sizeof targets / sizeof *targets };
/* Activations with parameters of their own dtype, and with those in f32 that models keep. */
static const target gpu_targets[] = {
    {"cuda f32", "cuda", MIEN_DEVICE_CUDA, MIEN_F32, MIEN_F32, 1e-5, STRIDED + 1},
    {"cuda tf32", "cuda", MIEN_DEVICE_CUDA, MIEN_F32, MIEN_F32, 1e-3, STRIDED + 1, .tf32 = true},
    {"cuda bf16", "cuda", MIEN_DEVICE_CUDA, MIEN_BF16, MIEN_BF16, 1e-2, STRIDED + 1},
    {"cuda f16", "cuda", MIEN_DEVICE_CUDA, MIEN_F16, MIEN_F16, 2e-3, STRIDED + 1},
    {"cuda bf16 mixed", "cuda", MIEN_DEVICE_CUDA, MIEN_BF16, MIEN_F32, 1e-2, STRIDED + 1},
    {"cuda f16 mixed", "cuda", MIEN_DEVICE_CUDA, MIEN_F16, MIEN_F32, 2e-3, STRIDED + 1},
};
enum { GPU_TARGETS = sizeof gpu_targets / sizeof *gpu_targets };

/* One test on a GPU. */
typedef struct gpu_case {
    const target *t;
    test_case c;
    char name[sizeof(((test_case *)0)->key) + 32];
} gpu_case;

static const char *const layout_names[LAYOUTS] = {"plain", "strided", "blocked by 8",
                                                  "blocked by 16"};

/* ---- who serves ------------------------------------------------------------------------------ */

/* Has the processor products of 8-bit numbers that do not saturate? */
static bool has_vnni(void) {
    const char *line = mien_backend_describe("cpu");
    return line && (strstr(line, "VNNI") || strstr(line, "AMX"));
}

/* The cases that the CPU's fast backend leaves to the reference, forward and backward: these and no
 * others. */
static bool left_to_ref(const target *t, const test_case *c) {
    const case_input *x = &c->in[0];
    switch (c->op) {
    case MIEN_OP_augment:
        return true;
    case MIEN_OP_batch_norm: /* few values a channel, statistics in 16 bits */
        return x->count / x->shape[1] < 8 || t->parameters != MIEN_F32;
    case MIEN_OP_quantise:
        return x->ndim != 4 || t->dtype != MIEN_F32;
    case MIEN_OP_conv2d_int8:
        return !has_vnni();
    default:
        return false;
    }
}

/* The function that serves, NULL for views; fails when it is not the target's own where it should
 * be. */
static mien_op_fn serving(const target *t, case_run *r, bool backward) {
    if (mien__op_is_view(r->c->op)) return NULL;
    const mien_backend *b = mien__backend_for(&r->call, backward);
    if (!b) fail_msg("%s", mien_error_last()->message);
    bool left = strcmp(t->backend, "cpu") == 0 && left_to_ref(t, r->c);
    if (strcmp(b->name, left ? "ref" : t->backend) != 0)
        fail_msg("%s, %s, %s: %s is served by %s", t->name, r->c->key, layout_names[r->layout],
                 backward ? "backward" : "forward", b->name);
    return backward ? b->backward[r->c->op] : b->forward[r->c->op];
}

/* Skips the test where this machine lacks the backend or device; else it is in use from here on. */
static void use(const target *t) {
    mien_status status = MIEN_OK;
    mien_tensor *t0 = mien_tensor_new(t->dtype, t->device, 0, NULL);
    if (!t0) status = mien_error_last()->code;
    mien_tensor_release(t0);
    if (status == MIEN_OK && t->device == MIEN_DEVICE_CPU) status = mien_backend_use(t->backend);
    if (status == MIEN_OK) return;
    printf("%s: skipped: %s\n", t->name, mien_error_last()->message);
    skip();
}

/* ---- ops ------------------------------------------------------------------------------------- */

static void agree(const target *t, const case_run *r, const char *what, int i, const double *found,
                  const double *expected, int64_t n) {
    double error = distance(found, expected, n);
    if (!(error <= t->tolerance))
        fail_msg("%s %s, %s, %s: %s %d is off by %.2e of its norm", t->name,
                 mien_dtype_name(t->dtype), r->c->key, layout_names[r->layout], what, i, error);
}

/* Blocked tensors hold zeros beyond their channels: others sum over whole blocks. */
static void padding_is_zero(const case_run *r, const mien_tensor *t) {
    if (!t || !t->storage || !t->block || t->device != MIEN_DEVICE_CPU) return;
    if (t->dtype != MIEN_F32 && t->dtype != MIEN_BF16) return;
    int64_t plane = t->shape[2] * t->shape[3], block = t->block;
    int64_t blocks = (t->shape[1] + block - 1) / block, used = t->shape[1] - (blocks - 1) * block;
    int64_t count = t->shape[0] * blocks * plane * block;
    double *data = malloc((size_t)count * sizeof *data);
    mien__host_doubles(data, t->storage->data, t->dtype, count);
    for (int64_t n = 0; n < t->shape[0]; n++)
        for (int64_t p = 0; p < plane; p++)
            for (int64_t c = used; c < block; c++)
                if (data[(((n + 1) * blocks - 1) * plane + p) * block + c] != 0)
                    fail_msg("%s, %s: channel padding is not zero", r->c->key,
                             layout_names[r->layout]);
    free(data);
}

/* Running statistics are written in place; every other input stays as it was. */
static void inputs_agree(const target *t, const case_run *found, const case_run *expected) {
    for (int i = 0; i < found->c->n_in; i++) {
        if (!found->call.in[i]) continue;
        int64_t n = found->c->in[i].count;
        double *now = elements(found->call.in[i]), *right = elements(expected->call.in[i]);
        agree(t, found, "input after the op", i, now, right, n);
        free(now);
        free(right);
    }
}

static void outputs_agree(const target *t, const case_run *found, const case_run *expected) {
    for (int i = 0; i < visible_outputs(found->c); i++) {
        target own = *t;
        if (t->device == MIEN_DEVICE_CUDA) /* oneDNN rescales whole numbers in f32 */
            own.tolerance = tolerance_of(found->call.out[i], t->tolerance);
        padding_is_zero(found, found->call.out[i]);
        agree(&own, found, "output", i, found->out[i], expected->out[i],
              mien_tensor_count(expected->call.out[i]));
    }
}

/* The reference in f64 on the inputs of `run`: the judge of every dtype and layout. */
static case_run *judge(const case_run *run) {
    case_run *r = run_start(run->c, MIEN_F64, MIEN_DEVICE_CPU, PLAIN, run->in);
    run_forward(r, ref_forward_of(run->c));
    return r;
}

/* Both runs are ready for backward; the judge gets the gradients of outputs as rounded for r. */
static void prepare_both(case_run *r, case_run *right, unsigned mask) {
    prepare_backward(r, mask);
    prepare_backward(right, mask);
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++) {
        if (!r->call.dout[i]) continue;
        double *values = elements(r->call.dout[i]);
        must(mien_tensor_write(right->call.dout[i], values, mien_tensor_count(r->call.dout[i])),
             "write");
        free(values);
    }
}

static void check_training(const target *t, const test_case *c, layout how) {
    case_run *r = run_start_mixed(c, t->dtype, t->parameters, t->device, how, NULL),
             *right = judge(r);
    run_forward(r, serving(t, r, false));
    outputs_agree(t, r, right);
    inputs_agree(t, r, right);
    if (has_backward(c)) {
        prepare_both(r, right, ~0u);
        run_backward(right, ref_backward_of(c));
        run_backward(r, serving(t, r, true));
    }
    for (int i = 0; i < c->n_in; i++) {
        if (!r->din[i]) continue;
        padding_is_zero(r, r->call.din[i]);
        agree(t, r, "gradient", i, r->din[i], right->din[i], c->in[i].count);
    }
    run_end(r);
    run_end(right);
}

/* Without recording a backend may leave out what only backward needs. */
static void check_inference(const target *t, const test_case *c, layout how) {
    case_run *r = run_start_mixed(c, t->dtype, t->parameters, t->device, how, NULL),
             *right = judge(r);
    r->call.recording = false;
    mien_op_fn fn = serving(t, r, false);
    for (int i = 0; i < visible_outputs(c) && fn; i++) poison(r->call.out[i]);
    must((fn ? fn : mien__view_forward)(&r->call), c->key);
    for (int i = 0; i < visible_outputs(c); i++) r->out[i] = elements(r->call.out[i]);
    outputs_agree(t, r, right);
    run_end(r);
    run_end(right);
}

/* A gradient of one output or one input alone takes other paths. */
static void check_single_gradients(const target *t, const test_case *c) {
    for (int i = 0; i < c->n_in && has_backward(c); i++) {
        if (!has_gradient(c, i)) continue;
        unsigned mask = 1u << (i % visible_outputs(c));
        case_run *r = run_start_mixed(c, t->dtype, t->parameters, t->device, PLAIN, NULL),
                 *right = judge(r);
        run_forward(r, serving(t, r, false));
        prepare_both(r, right, mask);
        memset(r->call.want, 0, sizeof r->call.want);
        r->call.want[i] = true;
        run_backward(r, serving(t, r, true));
        run_backward(right, ref_backward_of(c));
        agree(t, r, "lone gradient", i, r->din[i], right->din[i], c->in[i].count);
        run_end(r);
        run_end(right);
    }
}

static void check_case(const target *t, const test_case *c) {
    for (int how = 0; how < t->layouts; how++) {
        check_training(t, c, (layout)how);
        check_inference(t, c, (layout)how);
    }
    check_single_gradients(t, c);
}

static void every_case_agrees_with_the_reference(void **state) {
    const target *t = *state;
    use(t);
    for (int i = 0; i < CASE_COUNT; i++) {
        test_case c = case_at(i);
        check_case(t, &c);
    }
}

static void the_gpu_agrees_with_the_reference(void **state) {
    skip(); /* where there is a GPU, gpu_tests takes its place */
}

/* A test for each dtype and case: time on a GPU is short, and one run must tell all that fails. */
static void the_gpu_agrees(void **state) {
    const gpu_case *g = *state;
    mien_tf32_set(g->t->tf32);
    check_case(g->t, &g->c);
}

/* ---- updates in place ------------------------------------------------------------------------ */

enum { GROUP = 4 };

typedef mien_status (*update)(const mien_backend *b, mien_tensor **t, double *number);

static mien_status accumulate(const mien_backend *b, mien_tensor **t, double *number) {
    return b->accumulate(t[0], t[1]);
}

static mien_status scale(const mien_backend *b, mien_tensor **t, double *number) {
    return b->updates.scale(t[0], -0.75);
}

static mien_status sum_squares(const mien_backend *b, mien_tensor **t, double *number) {
    return b->updates.sum_squares(t[0], number);
}

static mien_status copy(const mien_backend *b, mien_tensor **t, double *number) {
    return b->memory.copy(t[0], t[1]);
}

static mien_status fill(const mien_backend *b, mien_tensor **t, double *number) {
    return b->memory.fill(t[0], 2.5);
}

static mien_status adam(const mien_backend *b, mien_tensor **t, double *number) {
    mien_adam h = {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1};
    MIEN_TRY(b->updates.adam(&h, t[0], t[1], t[2], t[3], 1));
    h.decoupled = 1;
    h.divisor = 3;
    return b->updates.adam(&h, t[0], t[1], t[2], t[3], 2);
}

static mien_status sgd(const mien_backend *b, mien_tensor **t, double *number) {
    mien_sgd h = {.lr = 0.1, .weight_decay = 0.1};
    MIEN_TRY(b->updates.sgd(&h, t[0], t[1], NULL));
    h.momentum = 0.9;
    MIEN_TRY(b->updates.sgd(&h, t[0], t[1], t[2]));
    h.nesterov = 1;
    h.divisor = 3;
    return b->updates.sgd(&h, t[0], t[1], t[2]);
}

static const struct {
    const char *name;
    update run;
} updates[] = {
    {"accumulate", accumulate},
    {"scale", scale},
    {"sum_squares", sum_squares},
    {"copy", copy},
    {"fill", fill},
    {"adam", adam},
    {"sgd", sgd},
};

/* Tensors of a group: the first in layout `how`, the others in `other`; m and v of Adam positive.
 */
static void make_group(const target *t, mien_device device, const char *key, layout how,
                       layout other, mien_tensor **group) {
    static const int64_t shape[] = {3, 17, 5, 5};
    for (int i = 0; i < GROUP; i++) {
        case_run place = {.device = device, .layout = i ? other : how};
        double *values = uniform(key, i, 3 * 17 * 5 * 5);
        for (int j = 0; i >= 2 && j < 3 * 17 * 5 * 5; j++) values[j] = fabs(values[j]);
        group[i] = laid_out(&place, values, t->dtype, 4, shape, true);
        free(values);
    }
}

static void check_update(const target *t, int k, layout how, layout other) {
    mien_tensor *group[GROUP], *right[GROUP];
    double number = 0, expected = 0;
    const mien_backend *b = mien__backend_of(t->device);
    if (!b) fail_msg("%s", mien_error_last()->message);
    assert_string_equal(b->name, t->backend);
    assert_ptr_equal(mien__device_for(t->device), &b->memory);
    assert_ptr_equal(mien__updates_for(t->device), &b->updates);
    make_group(t, t->device, updates[k].name, how, other, group);
    make_group(t, MIEN_DEVICE_CPU, updates[k].name, PLAIN, PLAIN, right);
    must(updates[k].run(b, group, &number), updates[k].name);
    must(updates[k].run(&mien__backend_ref, right, &expected), updates[k].name);
    bool close = distance(&number, &expected, 1) <= t->tolerance;
    for (int i = 0; i < GROUP; i++) {
        double *now = elements(group[i]), *then = elements(right[i]);
        close = close && distance(now, then, mien_tensor_count(right[i])) <= t->tolerance;
        free(now);
        free(then);
        mien_tensor_release(group[i]);
        mien_tensor_release(right[i]);
    }
    if (!close)
        fail_msg("%s: %s differs from ref with tensors %s and %s", t->name, updates[k].name,
                 layout_names[how], layout_names[other]);
}

static void check_updates(const target *t) {
    for (size_t k = 0; k < sizeof updates / sizeof *updates; k++) {
        /* Parameters of a GPU are in f32, whatever the activations are. */
        bool is_step = updates[k].run == adam || updates[k].run == sgd;
        if (is_step && t->device == MIEN_DEVICE_CUDA && t->dtype != MIEN_F32) continue;
        for (int how = 0; how < t->layouts; how++)
            for (int other = 0; other < t->layouts; other++)
                check_update(t, (int)k, (layout)how, (layout)other);
    }
}

static void updates_in_place_agree_with_the_reference(void **state) {
    use(*state);
    check_updates(*state);
}

static void updates_on_the_gpu_agree_with_the_reference(void **state) {
    use(&gpu_targets[0]);
    for (int i = 0; i < GPU_TARGETS; i++)
        if (!gpu_targets[i].tf32 && gpu_targets[i].parameters == gpu_targets[i].dtype)
            check_updates(&gpu_targets[i]);
}

/* ---- what rounding makes hard ---------------------------------------------------------------- */

static void check_hard(const target *t) {
    use(t);
    const mien_backend *b = mien__backend_of(t->device);
    assert_string_equal(b->name, t->backend);
    check_norm_far_from_zero(b->forward[MIEN_OP_batch_norm], b->backward[MIEN_OP_batch_norm],
                             t->device);
    check_adam_for_long(b, t->device);
}

static void hard_cases_agree_with_the_reference(void **state) {
    check_hard(&targets[0]);
}

static void hard_cases_on_the_gpu_agree_with_the_reference(void **state) {
    check_hard(&gpu_targets[0]);
}

/* The tests of all cases on a GPU, behind the `used` ones that are there; their number. */
static size_t gpu_tests(struct CMUnitTest *tests, size_t used) {
    static gpu_case list[GPU_TARGETS * CASE_COUNT];
    size_t n = 0;
    for (int k = 0; k < GPU_TARGETS; k++)
        for (int i = 0; i < CASE_COUNT; i++) {
            test_case c = case_at(i);
            list[n] = (gpu_case){.t = &gpu_targets[k], .c = c};
            snprintf(list[n].name, sizeof list[n].name, "%s %s", gpu_targets[k].name, c.key);
            tests[used + n] =
                (struct CMUnitTest){list[n].name, the_gpu_agrees, NULL, NULL, &list[n]};
            n++;
        }
    return used + n;
}

/* Two tests for each target on the CPU: all cases, and the updates. */
static size_t cpu_tests(struct CMUnitTest *tests) {
    static char names[TARGETS][32];
    size_t n = 0;
    for (int i = 0; i < TARGETS; i++) {
        void *state = (void *)&targets[i];
        snprintf(names[i], sizeof names[i], "updates of %s", targets[i].name);
        tests[n++] = (struct CMUnitTest){targets[i].name, every_case_agrees_with_the_reference,
                                         NULL, NULL, state};
        tests[n++] = (struct CMUnitTest){names[i], updates_in_place_agree_with_the_reference, NULL,
                                         NULL, state};
    }
    return n;
}

/* test_backends [PATTERN]: only tests whose name fits, such as "cuda *". */
int main(int argc, char **argv) {
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(hard_cases_agree_with_the_reference),
        cmocka_unit_test(updates_on_the_gpu_agree_with_the_reference),
        cmocka_unit_test(hard_cases_on_the_gpu_agree_with_the_reference),
    };
    enum { OTHERS = sizeof others / sizeof *others };
    static struct CMUnitTest tests[2 * TARGETS + OTHERS + 1 + GPU_TARGETS * CASE_COUNT];
    size_t n = cpu_tests(tests);
    memcpy(tests + n, others, sizeof others);
    n += OTHERS;
    if (mien_device_count(MIEN_DEVICE_CUDA) > 0)
        n = gpu_tests(tests, n);
    else
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(the_gpu_agrees_with_the_reference);
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return _cmocka_run_group_tests("backends", tests, n, NULL, NULL);
}
