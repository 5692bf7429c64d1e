/* What cuDNN offers for the convolutions of the models on an H200, described and not there: every
 * case is planned and compared with tests/golden/cudnn_support.txt.
 * Not here: results, which need the device (test_backends.c); pooling, normalisation and losses,
 * which are own kernels and no graphs of cuDNN (kernels/pool.cu ...). MIEN_GOLDEN_WRITE=1 writes
 * the file. */
#define _GNU_SOURCE /* dladdr */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "backend/cuda/plan.h"
#include "backend/discovery.h"
#include "cases.h"
#include "plugin.h"

#define GOLDEN "tests/golden/cudnn_support.txt"
#define DEVICE "tests/backend/h200.json"

enum { CASES_MOST = 1024 };
static mien__cudnn_conv_case cases[CASES_MOST];
static const char *models[CASES_MOST];
static int count;

/* ---- the models' convolutions ---------------------------------------------------------------- */

typedef struct map {
    int64_t n, c, h;
} map;

static void add(const char *model, const mien__cudnn_conv_case *c) {
    for (int i = 0; i < count; i++)
        if (!memcmp(&cases[i], c, sizeof *c)) return;
    assert_true(count < CASES_MOST);
    models[count] = model;
    cases[count++] = *c;
}

/* All passes of one convolution on a square map, in every dtype; channels padded as conv.c does. */
static map conv(const char *model, map x, int64_t k, int64_t r, int64_t stride, int64_t pad,
                bool residual) {
    int64_t out = (x.h + 2 * pad - r) / stride + 1;
    for (int dtype = MIEN_F32; dtype <= MIEN_F16; dtype++)
        for (int use = MIEN_CUDNN_CONV_FORWARD; use <= MIEN_CUDNN_CONV_WEIGHT_GRADIENT; use++) {
            bool first = x.c == 3;
            if (first && use == MIEN_CUDNN_CONV_DATA_GRADIENT)
                continue; /* pictures have no gradient */
            mien__cudnn_conv_case c;
            memset(&c, 0, sizeof c);
            c.use = use, c.dtype = dtype, c.deterministic = 1;
            c.n = x.n, c.c = first && dtype != MIEN_F32 ? 8 : x.c, c.h = c.w = x.h;
            c.k = k, c.r = c.s = r, c.oh = c.ow = out;
            c.stride_h = c.stride_w = stride;
            c.top = c.left = c.bottom = c.right = pad;
            c.relu = c.compile = use == MIEN_CUDNN_CONV_FUSED;
            c.residual = use == MIEN_CUDNN_CONV_FUSED && residual;
            add(model, &c);
        }
    return (map){x.n, k, out};
}

static void resnet(const char *model, int64_t n, int64_t size, int64_t width) {
    static const int blocks[] = {3, 4, 6, 3};
    map x = conv(model, (map){n, 3, size}, width, 7, 2, 3, false);
    x.h = (x.h + 2 - 3) / 2 + 1;
    for (int stage = 0; stage < 4; stage++)
        for (int block = 0; block < blocks[stage]; block++) {
            int64_t planes = width << stage, stride = stage > 0 && block == 0 ? 2 : 1;
            map y = conv(model, x, planes, 1, 1, 0, false);
            y = conv(model, y, planes, 3, stride, 1, false);
            if (block == 0) conv(model, x, planes * 4, 1, stride, 0, false);
            x = conv(model, y, planes * 4, 1, 1, 0, true);
        }
}

static void vgg(const char *model, int64_t n, int64_t size) {
    static const int plan[] = {1, 1, 0, 2, 2, 0, 4, 4, 4, 0, 8, 8, 8, 0, 8, 8, 8};
    map x = {n, 3, size};
    for (size_t i = 0; i < sizeof plan / sizeof *plan; i++)
        if (plan[i])
            x = conv(model, x, plan[i] * 64, 3, 1, 1, false);
        else
            x.h /= 2;
}

static int list_cases(void **state) {
    (void)state;
    resnet("resnet50@150", 300, 150, 64);
    vgg("vgg16@96", 320, 96);
    resnet("demo@48", 120, 48, 16);
    return 0;
}

/* ---- what cuDNN says ------------------------------------------------------------------------- */

typedef mien_status (*probe_fn)(const char *, const mien__cudnn_conv_case *,
                                mien__cudnn_conv_support *);

static char device[4096];
static probe_fn probe;

static bool read_device(void) {
    FILE *file = fopen(DEVICE, "r");
    if (!file) return false;
    device[fread(device, 1, sizeof device - 1, file)] = '\0';
    fclose(file);
    device[strcspn(device, "\n")] = '\0';
    return true;
}

/* "plan": finalised; "compiled": its code was made, and would be loaded by a driver; "none". */
static const char *answer(const mien__cudnn_conv_case *c) {
    mien__cudnn_conv_support support;
    if (probe(device, c, &support) != MIEN_OK) fail_msg("%s", mien_error_last()->message);
    if (support.finalised != support.reloads) fail_msg("a plan that cannot be read again");
    return support.finalised ? "plan" : support.at_run_time ? "compiled" : "none";
}

static void describe(int i, char *line, size_t size) {
    static const char *const uses[] = {"forward", "fused", "data-gradient", "weight-gradient"};
    const mien__cudnn_conv_case *c = &cases[i];
    snprintf(line, size,
             "%s %s %s n=%lld c=%lld size=%lld k=%lld window=%lld stride=%lld pad=%lld "
             "residual=%lld",
             models[i], uses[c->use], mien_dtype_name((mien_dtype)c->dtype), (long long)c->n,
             (long long)c->c, (long long)c->h, (long long)c->k, (long long)c->r,
             (long long)c->stride_h, (long long)c->top, (long long)c->residual);
}

/* The library, or a line that says why the test is skipped. */
static void need_cudnn(mien_cuda_info *info) {
    void *plugin = plugin_open();
    if (!plugin) {
        printf("skipped: built without CUDA\n");
        skip();
    }
    mien_cuda_info_get(info);
    if (info->cudnn == 0) {
        printf("skipped: %s\n", info->missing);
        skip();
    }
    probe = (probe_fn)dlsym(plugin, "mien__cudnn_conv_probe");
    assert_non_null(probe);
    if (!read_device()) fail_msg("%s is missing; run from the root of the sources", DEVICE);
}

/* Planning a fused case compiles it, which takes a second: without MIEN_TEST_ALL a few are tried.
 */
static bool is_tried(int i, int *fused) {
    if (cases[i].use != MIEN_CUDNN_CONV_FUSED) return true;
    return (*fused)++ % 16 == 0 || getenv("MIEN_TEST_ALL") || getenv("MIEN_GOLDEN_WRITE");
}

static void convolutions_of_all_models_are_planned_for_an_h200(void **state) {
    (void)state;
    bool has_driver = plugin_driver_stub();
    mien_cuda_info info;
    need_cudnn(&info);
    bool writes = getenv("MIEN_GOLDEN_WRITE") != NULL;
    FILE *golden = fopen(GOLDEN, writes ? "w" : "r");
    if (!golden) fail_msg("%s does not open", GOLDEN);
    int version = 0, fused = 0, tried = 0;
    if (writes)
        fprintf(golden, "cudnn %d\n", info.cudnn);
    else if (fscanf(golden, "cudnn %d\n", &version) != 1 || version != info.cudnn) {
        printf("skipped: the table is of cuDNN %d, this is %d\n", version, info.cudnn);
        fclose(golden);
        skip();
    }
    for (int i = 0; i < count; i++) {
        char name[256], line[512], expected[512] = "";
        describe(i, name, sizeof name);
        if (!writes && !fgets(expected, sizeof expected, golden)) fail_msg("%s ends early", GOLDEN);
        if (!is_tried(i, &fused)) continue;
        if (cases[i].use == MIEN_CUDNN_CONV_FUSED && !has_driver) continue;
        snprintf(line, sizeof line, "%s: %s\n", name, answer(&cases[i]));
        tried++;
        if (writes)
            fputs(line, golden);
        else if (strcmp(line, expected) != 0)
            fail_msg("expected %sfound    %s", expected, line);
    }
    fclose(golden);
    printf("%d of %d cases planned with cuDNN %d%s\n", tried, count, info.cudnn,
           has_driver ? "" : "; fused ones skipped: no libcuda.so.1, nor a stub of it");
}

/* A plain convolution that has no engine would leave the op without an implementation. That the
 * table is what cuDNN says is the test before; this one needs no cuDNN. */
static void the_table_has_a_plan_for_every_plain_convolution(void **state) {
    (void)state;
    FILE *golden = fopen(GOLDEN, "r");
    if (!golden) fail_msg("%s does not open", GOLDEN);
    char line[512];
    int plans = 0;
    assert_non_null(fgets(line, sizeof line, golden));
    while (fgets(line, sizeof line, golden)) {
        if (strstr(line, " fused ")) continue;
        plans++;
        if (!strstr(line, ": plan\n")) fail_msg("no plan: %s", line);
    }
    fclose(golden);
    assert_true(plans > 300);
}

/* As conv.c describes it to cuDNN. */
static mien__cudnn_conv_case odd_case(const test_case *t, mien_dtype dtype, int use) {
    const mien_conv2d_attr *a = (const mien_conv2d_attr *)t->attr;
    const int64_t *x = t->in[0].shape, *w = t->in[1].shape;
    int64_t grain = dtype == MIEN_F32 ? 1 : 8;
    mien__cudnn_conv_case c;
    memset(&c, 0, sizeof c);
    c.use = use, c.dtype = dtype, c.deterministic = 1;
    c.n = x[0], c.c = (x[1] + grain - 1) / grain * grain, c.h = x[2], c.w = x[3];
    c.k = w[0], c.r = w[2], c.s = w[3];
    c.stride_h = (int64_t)a->stride_h, c.stride_w = (int64_t)a->stride_w;
    c.top = (int64_t)a->pad_top, c.left = (int64_t)a->pad_left;
    c.bottom = (int64_t)a->pad_bottom, c.right = (int64_t)a->pad_right;
    c.oh = (c.h + c.top + c.bottom - c.r) / c.stride_h + 1;
    c.ow = (c.w + c.left + c.right - c.s) / c.stride_w + 1;
    return c;
}

/* The odd sizes that a GPU's tests run: what has no engine would be an error there. */
static void odd_convolutions_have_plans(void **state) {
    (void)state;
    mien_cuda_info info;
    int planned = 0, refused = 0;
    need_cudnn(&info);
    for (int i = 0; i < CASE_COUNT; i++) {
        test_case t = case_at(i);
        if (t.op != MIEN_OP_conv2d) continue;
        for (mien_dtype dtype = MIEN_F32; dtype <= MIEN_F16; dtype++)
            for (int use = MIEN_CUDNN_CONV_FORWARD; use <= MIEN_CUDNN_CONV_WEIGHT_GRADIENT; use++) {
                if (use == MIEN_CUDNN_CONV_FUSED) continue;
                mien__cudnn_conv_case c = odd_case(&t, dtype, use);
                bool has_plan = !strcmp(answer(&c), "plan");
                if (!has_plan)
                    printf("no plan: %s use %d of %s\n", mien_dtype_name(dtype), use, t.key);
                planned += has_plan;
                refused += !has_plan;
            }
    }
    printf("%d odd convolutions planned\n", planned);
    assert_int_equal(refused, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_convolutions_have_plans),
        cmocka_unit_test(convolutions_of_all_models_are_planned_for_an_h200),
        cmocka_unit_test(the_table_has_a_plan_for_every_plain_convolution),
    };
    return cmocka_run_group_tests(tests, list_cases, NULL);
}
