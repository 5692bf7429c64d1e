/* What only the CPU backend promises: stable statistics, blocked layouts kept, packed weights that
 * follow their tensor, Winograd's error. Not here: agreement over all cases (test_backends.c). */
#include "backend/cpu/cpu.h"
#include "run/run.h"
#include "tensor/rng.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void must(mien_status status) {
    if (status != MIEN_OK)
        fail_msg("%s (%s)", mien_error_last()->message, mien_error_last()->cause);
}

static mien_tensor *normal(int ndim, const int64_t *shape, double mean, double sd) {
    static mien_rng rng;
    if (!rng.seed) mien_rng_start(&rng, 5, "test");
    mien_tensor *t = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, ndim, shape);
    must(mien_rng_fill_normal(&rng, t, mean, sd));
    return t;
}

static mien_tensor *filled(int64_t n, double value) {
    mien_tensor *t = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 1, &n);
    must(mien_tensor_fill(t, value));
    return t;
}

static double *elements(mien_tensor *t) {
    int64_t n = mien_tensor_count(t);
    double *values = malloc((size_t)n * sizeof *values);
    must(mien_tensor_read(t, values, n));
    return values;
}

static double distance(mien_tensor *a, mien_tensor *b) {
    double *x = elements(a), *y = elements(b), off = 0, size = 0;
    for (int64_t i = 0; i < mien_tensor_count(a); i++) {
        off += (x[i] - y[i]) * (x[i] - y[i]);
        size += y[i] * y[i];
    }
    free(x);
    free(y);
    return sqrt(off / size);
}

/* Frees n tensors. */
static void release(mien_tensor *const *list, int n) {
    for (int i = 0; i < n; i++) mien_tensor_release(list[i]);
}

static const double same_3x3[] = {1, 1, 1, 1, 1, 1};

static mien_tensor *convolve(mien_tensor *x, mien_tensor *w) {
    mien_tensor *in[] = {x, w, NULL}, *out[1];
    must(mien_op_run(MIEN_OP_conv2d, in, 3, same_3x3, 6, out, 1));
    return out[0];
}

/* ---- batch norm ------------------------------------------------------------------------------ */

static mien_tensor *batch_norm(mien_tensor *x, mien_tensor *running_var) {
    int64_t c = x->shape[1];
    mien_tensor *in[] = {x, filled(c, 1), filled(c, 0), filled(c, 0), running_var, NULL}, *out[1];
    const double attr[] = {1, 1, 0, 0}; /* momentum 1: running = batch; eps 0 */
    must(mien_op_run(MIEN_OP_batch_norm, in, 6, attr, 4, out, 1));
    release(in + 1, 3);
    return out[0];
}

static void statistics_are_right_when_the_mean_is_1000_sd(void **unused) {
    const int64_t shape[] = {3, 20, 17, 9};
    for (int round = 0; round < 6; round++) {
        mien_dtype dtype = round < 3 ? MIEN_F32 : MIEN_BF16; /* of bf16 the steps are 4 there */
        mien_tensor *plain = normal(4, shape, 1000, round < 3 ? 1 : 10), *var = filled(20, 0);
        mien_tensor *x = mien__tensor_header(dtype, MIEN_DEVICE_CPU, 4, shape);
        must(mien__tensor_alloc(x, round % 3 * 8));
        must(mien_tensor_copy(x, plain));
        mien_tensor *y = batch_norm(x, var);
        double *given = elements(x), *estimate = elements(var);
        int64_t pixels = 17 * 9, n = 3 * pixels;
        for (int64_t c = 0; c < 20; c++) {
            double mean = 0, square = 0;
            for (int64_t i = 0; i < n; i++)
                mean += given[(i / pixels * 20 + c) * pixels + i % pixels] / (double)n;
            for (int64_t i = 0; i < n; i++)
                square += pow(given[(i / pixels * 20 + c) * pixels + i % pixels] - mean, 2);
            double expected = square / (double)(n - 1);
            assert_true(fabs(estimate[c] - expected) < 1e-5 * expected);
        }
        double summary[5];
        must(mien_tensor_summary(y, summary));
        double rounding = dtype == MIEN_F32 ? 1e-4 : 2e-3;
        assert_true(fabs(summary[0]) < rounding && fabs(summary[1] - 1) < rounding);
        free(given);
        free(estimate);
        release((mien_tensor *[]){plain, var, x, y}, 4);
    }
}

/* All samples that guess the mean lie 10,000 sd away from it. */
static void statistics_survive_outliers_where_the_mean_is_guessed(void **unused) {
    const int64_t shape[] = {16, 16, 40, 40};
    int64_t pixels = 1600;
    mien_tensor *x = normal(4, shape, 0, 1), *var = filled(16, 0);
    float *data = mien_tensor_data(x);
    for (int64_t n = 0; n < 16; n++)
        for (int64_t c = 0; c < 16; c++) data[(n * 16 + c) * pixels] = 1e4f;
    mien_tensor *y = batch_norm(x, var);
    double n = 16 * 1600, mean = 1e4 * 16 / n;
    double *estimate = elements(var);
    for (int c = 0; c < 16; c++) { /* 16 outliers and n - 16 standard normal numbers */
        double expected = (16 * pow(1e4 - mean, 2) + (n - 16) * (1 + mean * mean)) / (n - 1);
        assert_true(fabs(estimate[c] - expected) < 6e-6 * expected);
    }
    free(estimate);
    release((mien_tensor *[]){x, var, y}, 3);
}

/* ---- layouts and packed weights -------------------------------------------------------------- */

static void activations_stay_blocked_between_ops(void **unused) {
    const int64_t xs[] = {2, 3, 12, 12}, w1s[] = {24, 3, 3, 3}, w2s[] = {40, 24, 3, 3};
    mien_tensor *x = normal(4, xs, 0, 1), *w1 = normal(4, w1s, 0, 1), *w2 = normal(4, w2s, 0, 1);
    mien_tensor *y = convolve(x, w1), *z = convolve(y, w2), *var = filled(40, 1);
    mien_tensor *n = batch_norm(z, var);
    assert_int_equal(x->block, 0); /* pictures are read as they are */
    assert_true(y->block >= 8);
    assert_int_equal(z->block, y->block);
    assert_int_equal(n->block, y->block);
    release((mien_tensor *[]){x, w1, w2, y, z, var, n}, 7);
}

static mien_tensor *rounded(mien_tensor *t) {
    mien_tensor *half = mien_tensor_to(t, MIEN_BF16, MIEN_DEVICE_CPU);
    mien_tensor_release(t);
    return half;
}

static void packed_weights_follow_their_tensor_in(mien_dtype dtype, double tolerance) {
    const int64_t xs[] = {2, 32, 9, 9}, ws[] = {32, 32, 3, 3};
    mien_tensor *x = normal(4, xs, 0, 1), *w = normal(4, ws, 0, 1);
    if (dtype == MIEN_BF16) x = rounded(x);
    mien_tensor *before = convolve(x, w);
    assert_non_null(w->storage->packed);
    mien_tensor *grad = filled(32 * 32 * 9, 1);
    const mien_sgd hyper = {.lr = 0.25};
    grad->ndim = 4;
    memcpy(grad->shape, w->shape, sizeof grad->shape);
    memcpy(grad->stride, w->stride, sizeof grad->stride);
    mien_tensor *params[] = {w}, *grads[] = {grad}, *velocity[] = {NULL};
    must(mien_sgd_step(&hyper, params, grads, velocity, 1, 1));
    mien_tensor *after = convolve(x, w);
    must(mien_backend_use("ref"));
    mien_tensor *expected = convolve(x, w);
    must(mien_backend_use("cpu"));
    assert_true(distance(after, expected) < tolerance);
    assert_true(distance(before, expected) > 2 * tolerance);
    release((mien_tensor *[]){x, w, before, grad, after, expected}, 6);
}

static void packed_weights_follow_their_tensor(void **unused) {
    packed_weights_follow_their_tensor_in(MIEN_F32, 1e-5);
    packed_weights_follow_their_tensor_in(MIEN_BF16, 1e-2);
}

/* Elements that change behind the tensor's back show only where weights are laid out anew. */
static void packed_weights_are_kept_unless_plain(void **unused) {
    const int64_t xs[] = {2, 32, 9, 9}, ws[] = {32, 32, 3, 3};
    mien_tensor *x = normal(4, xs, 0, 1), *w = normal(4, ws, 0, 1), *before = convolve(x, w);
    float *behind = mien__cpu_f32(w);
    for (int i = 0; i < 32 * 32 * 9; i++) behind[i] *= 2;
    mien_tensor *after = convolve(x, w);
    assert_true(fabs(distance(after, before) - (mien__cpu_plain() ? 1 : 0)) < 1e-6);
    release((mien_tensor *[]){x, w, before, after}, 4);
}

/* Two filters' banks in one storage, as a narrow view gives them. */
static void packed_weights_know_which_part_of_a_storage_they_are(void **unused) {
    const int64_t xs[] = {1, 32, 5, 5}, ws[] = {64, 32, 3, 3};
    mien_tensor *x = normal(4, xs, 0, 1), *both = normal(4, ws, 0, 1), *part[2];
    for (int i = 0; i < 2; i++) {
        const double attr[] = {0, 32.0 * i, 32};
        must(mien_op_run(MIEN_OP_narrow, &both, 1, attr, 3, &part[i], 1));
        mien_tensor *found = convolve(x, part[i]);
        must(mien_backend_use("ref"));
        mien_tensor *expected = convolve(x, part[i]);
        must(mien_backend_use("cpu"));
        assert_true(distance(found, expected) < 1e-5);
        release((mien_tensor *[]){found, expected}, 2);
    }
    release((mien_tensor *[]){x, both, part[0], part[1]}, 4);
}

/* bf16 pictures and activations, f32 weights and statistics: nothing is re-laid between ops. */
static void bf16_activations_stay_bf16_and_blocked(void **unused) {
    const int64_t xs[] = {2, 3, 12, 12}, w1s[] = {24, 3, 3, 3}, w2s[] = {40, 24, 3, 3};
    mien_tensor *x = rounded(normal(4, xs, 0, 1));
    mien_tensor *w1 = normal(4, w1s, 0, 1), *w2 = normal(4, w2s, 0, 1);
    mien_tensor *y = convolve(x, w1), *z = convolve(y, w2), *var = filled(40, 1);
    mien_tensor *n = batch_norm(z, var);
    assert_int_equal(x->block, 0);
    assert_true(y->block >= 8);
    assert_int_equal(z->block, y->block);
    assert_int_equal(n->block, y->block);
    assert_true(y->dtype == MIEN_BF16 && z->dtype == MIEN_BF16 && n->dtype == MIEN_BF16);
    release((mien_tensor *[]){x, w1, w2, y, z, var, n}, 7);
}

/* ---- convolutions
 * ------------------------------------------------------------------------------------- */

static mien_tensor *random_of(mien_dtype dtype, const int64_t *shape) {
    mien_tensor *single = normal(4, shape, 0, 1);
    mien_tensor *t = mien_tensor_to(single, dtype, MIEN_DEVICE_CPU);
    mien_tensor_release(single);
    return t;
}

/* Output and both gradients of a convolution against direct sums. Tells by which implementation the
 * gradients came. */
static void convolution_agrees(const int64_t *xs, const int64_t *ws, mien_conv2d_attr attr,
                               mien_dtype dtype, char implementation[64]) {
    mien_tensor *found[3], *expected[3], *w = normal(4, ws, 0, 0.03), *dy = NULL;
    mien_tensor *x = random_of(dtype, xs);
    const double values[] = {attr.stride_h, attr.stride_w,   attr.pad_top,
                             attr.pad_left, attr.pad_bottom, attr.pad_right};
    const char *backends[] = {"cpu", "ref"};
    for (int b = 0; b < 2; b++) {
        mien_tensor **out = b ? expected : found, *in[] = {x, w, NULL};
        must(mien_backend_use(backends[b]));
        must(mien_op_run(MIEN_OP_conv2d, in, 3, values, 6, out, 1));
        if (!dy) dy = random_of(dtype, out[0]->shape);
        char name[64] = "";
        mien_op_call call = {.op = MIEN_OP_conv2d,
                             .in = {x, w},
                             .out = {out[0]},
                             .dout = {dy},
                             .want = {true, true},
                             .attr = &attr,
                             .implementation = b ? name : implementation};
        for (int i = 0; i < 2; i++)
            call.din[i] = out[1 + i] = mien__tensor_header(i ? MIEN_F32 : dtype, MIEN_DEVICE_CPU, 4,
                                                           i ? w->shape : x->shape);
        must(mien__backend_for(&call, true)->backward[call.op](&call));
    }
    must(mien_backend_use("cpu"));
    for (int i = 0; i < 3; i++) {
        double off = distance(found[i], expected[i]);
        print_message("# %s, %s: %.1e\n", implementation, (const char *[]){"y", "dx", "dw"}[i],
                      off);
        assert_true(off <
                    (dtype == MIEN_BF16 && i < 2 ? 1e-2 : 1e-5)); /* gradients of weights are f32 */
    }
    release((mien_tensor *[]){x, w, dy}, 3);
    release(found, 3);
    release(expected, 3);
}

static void winograd_keeps_single_precision(void **unused) {
    char implementation[64] = "";
    convolution_agrees((int64_t[]){8, 128, 19, 19}, (int64_t[]){128, 128, 3, 3},
                       (mien_conv2d_attr){1, 1, 1, 1, 1, 1}, MIEN_F32, implementation);
    assert_int_equal(strstr(implementation, "wino") != NULL,
                     mien__isa_now() != MIEN_ISA_BASELINE && !mien__cpu_plain());
}

/* Tiles over every edge, images that share a piece of tiles, one tile, more threads than pieces. */
static void own_winograd_agrees(void **unused) {
    static const struct {
        int64_t x[4], w[4];
        mien_conv2d_attr attr;
    } shapes[] = {
        {{5, 64, 9, 6}, {96, 64, 3, 3}, {1, 1, 1, 1, 1, 1}},
        {{3, 32, 38, 13}, {16, 32, 3, 3}, {1, 1, 0, 2, 1, 0}},
        {{1, 16, 4, 4}, {48, 16, 3, 3}, {1, 1, 1, 1, 1, 1}},
        {{40, 16, 8, 8}, {16, 16, 3, 3}, {1, 1, 0, 0, 0, 0}},
    };
    int usual = omp_get_max_threads();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int threads = 1; threads <= 5; threads += 2) {
            char implementation[64] = "";
            omp_set_num_threads(threads);
            convolution_agrees(shapes[i].x, shapes[i].w, shapes[i].attr, MIEN_F32, implementation);
            if (mien__isa_now() == MIEN_ISA_AVX2 && !mien__cpu_plain())
                assert_string_equal(implementation,
                                    i == 2 ? "jit:avx2 + winograd:avx2" : "winograd:avx2");
        }
    omp_set_num_threads(usual);
}

/* No sum depends on who makes it. */
static void own_winograd_gives_the_same_bits_for_any_number_of_threads(void **unused) {
    if (mien__isa_now() != MIEN_ISA_AVX2 || mien__cpu_plain()) skip();
    mien_tensor *x = normal(4, (int64_t[]){7, 32, 17, 11}, 0, 1), *first = NULL;
    mien_tensor *w = normal(4, (int64_t[]){48, 32, 3, 3}, 0, 0.1);
    int usual = omp_get_max_threads();
    for (int threads = 1; threads <= 5; threads++) {
        omp_set_num_threads(threads);
        mien_tensor *y = convolve(x, w);
        if (first) assert_true(distance(y, first) == 0);
        if (first)
            mien_tensor_release(y);
        else
            first = y;
    }
    omp_set_num_threads(usual);
    release((mien_tensor *[]){x, w, first}, 3);
}

/* Weights gradients of small maps: every number of threads divides the work in its own way, and
 * the pixels of some shapes come in several parts. */
static void products_over_pixels_agree(void **unused) {
    static const struct {
        int64_t x[4], w[4];
        mien_conv2d_attr attr;
    } shapes[] = {
        {{5, 64, 9, 10}, {96, 64, 3, 3}, {2, 2, 1, 1, 1, 1}},
        {{130, 64, 3, 3},
         {64, 64, 1, 3},
         {.stride_h = 1, .stride_w = 1, .pad_left = 1, .pad_right = 1}},
        {{45, 80, 5, 5}, {64, 80, 1, 1}, {.stride_h = 1, .stride_w = 1}},
        {{3, 64, 9, 9}, {208, 64, 1, 1}, {.stride_h = 2, .stride_w = 2}},
    };
    int usual = omp_get_max_threads();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int threads = 1; threads <= 6; threads += i == 0 ? 1 : 3) {
            omp_set_num_threads(threads);
            for (int half = 0; half < 2; half++) {
                char implementation[64] = "";
                convolution_agrees(shapes[i].x, shapes[i].w, shapes[i].attr,
                                   half ? MIEN_BF16 : MIEN_F32, implementation);
                if (mien__cpu_block() == 16 && (!half || mien__cpu_has_bf16()))
                    assert_int_equal(strstr(implementation, "pixels:avx512") != NULL,
                                     !mien__cpu_plain());
            }
        }
    omp_set_num_threads(usual);
}

/* ---- whole numbers --------------------------------------------------------------------------- */

/* Numbers in the middle between two steps, as f32 has them: a little above or below, which a
 * product with 1 / scale in f32 does not see. */
static void quantise_rounds_ties_as_the_reference_does(void **unused) {
    const double scales[] = {0.1, 0.3, 0.02, 0.7, 0.0123};
    for (int s = 0; s < 5; s++) {
        mien_tensor *x = normal(4, (int64_t[]){1, 3, 5, 17}, 0, 1), *found, *right;
        float *values = mien_tensor_data(x);
        for (int i = 0; i < 255; i++) values[i] = (float)((i + 0.5) * scales[s]);
        const double attr[] = {scales[s], 0};
        char name[64] = "";
        mien_op_call call = {.op = MIEN_OP_quantise, .in = {x}, .implementation = name};
        assert_string_equal(mien__backend_for(&call, false)->name, "cpu");
        must(mien_op_run(MIEN_OP_quantise, &x, 1, attr, 2, &found, 1));
        must(mien_backend_use("ref"));
        must(mien_op_run(MIEN_OP_quantise, &x, 1, attr, 2, &right, 1));
        must(mien_backend_use("cpu"));
        double *a = elements(found), *b = elements(right);
        for (int i = 0; i < 255; i++)
            if (a[i] != b[i])
                fail_msg("%g / %g is %g, not %g", (double)values[i], scales[s], a[i], b[i]);
        free(a);
        free(b);
        release((mien_tensor *[]){x, found, right}, 3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_are_right_when_the_mean_is_1000_sd),
        cmocka_unit_test(statistics_survive_outliers_where_the_mean_is_guessed),
        cmocka_unit_test(activations_stay_blocked_between_ops),
        cmocka_unit_test(packed_weights_know_which_part_of_a_storage_they_are),
        cmocka_unit_test(bf16_activations_stay_bf16_and_blocked),
        cmocka_unit_test(packed_weights_follow_their_tensor),
        cmocka_unit_test(packed_weights_are_kept_unless_plain),
        cmocka_unit_test(winograd_keeps_single_precision),
        cmocka_unit_test(own_winograd_agrees),
        cmocka_unit_test(own_winograd_gives_the_same_bits_for_any_number_of_threads),
        cmocka_unit_test(products_over_pixels_agree),
        cmocka_unit_test(quantise_rounds_ties_as_the_reference_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
