/* What every op says to inputs that do not fit, and the shapes it gives to those that do.
 * Not here: elements (test_golden.c). */
#include "harness.h"

/* ---- inputs that do not fit ------------------------------------------------------------------ */

typedef struct refusal {
    case_row row;
    mien_status code;
    const char *message; /* how it begins */
} refusal;

static const refusal refusals[] = {
    {{"conv2d", "3x9x7 4x3x3x3 -", ""},
     MIEN_ERR_SHAPE,
     "conv2d: input is [3,9,7] (3 dimensions) but must be [N,C,H,W]"},
    {{"conv2d", "2x3x9x7 4x5x3x3 -", ""},
     MIEN_ERR_SHAPE,
     "conv2d: input is [2,3,9,7] but weight [4,5,3,3] expects 5 channels on dimension 2"},
    {{"conv2d", "2x3x9x7 4x3x3x3 5", ""},
     MIEN_ERR_SHAPE,
     "conv2d: bias is [5] but must be [4]: [K] with K from weight's dimension 1"},
    {{"conv2d", "2x3x2x7 4x3x3x3 -", ""},
     MIEN_ERR_SHAPE,
     "conv2d: the window's height 3 is larger than the input's 2 plus padding 0 + 0"},
    {{"conv2d", "2x3x9x7 4x3x3x3 -", "stride_w=0"},
     MIEN_ERR_ARGUMENT,
     "conv2d: stride_w is 0 but must be a whole number from 1"},
    {{"conv2d", "2x3x9x7 4x3x3x3 -", "pad_left=0.5"},
     MIEN_ERR_ARGUMENT,
     "conv2d: pad_left is 0.5 but must be a whole number"},
    {{"conv2d", "c5:2x3x9x7 4x3x3x3 -", ""},
     MIEN_ERR_DTYPE,
     "conv2d: input is i64 but must be f32, bf16, f16 or f64"},
    {{"conv2d", "2x3x9x7 c5:4x3x3x3 -", ""},
     MIEN_ERR_DTYPE,
     "conv2d: weight is i64 but input is f32"},
    {{"conv2d_fused", "2x3x9x7 4x3x3x3 4 2x4x9x7", ""},
     MIEN_ERR_SHAPE,
     "conv2d_fused: residual is [2,4,9,7] but must be [2,4,7,5]: the shape of the output"},
    {{"batch_norm", "4x3x5x5 3 3 4 3 -", "training=1"},
     MIEN_ERR_SHAPE,
     "batch_norm: running_mean is [4] but must be [3]"},
    {{"batch_norm", "1x3x1x1 3 3 3 3 -", "training=1"},
     MIEN_ERR_SHAPE,
     "batch_norm: input [1,3,1,1] has one value per channel but training needs at least 2"},
    {{"batch_norm", "4x3x5x5 3 3 3 3 -", "training=1 momentum=2"},
     MIEN_ERR_ARGUMENT,
     "batch_norm: momentum is 2"},
    {{"max_pool2d", "2x3x9x7", "kernel_h=3 kernel_w=3 pad_top=3"},
     MIEN_ERR_ARGUMENT,
     "max_pool2d: pad_top is 3 but must be a whole number from 0 to 2"},
    {{"avg_pool2d", "2x3x2x7", "kernel_h=5 kernel_w=3"},
     MIEN_ERR_SHAPE,
     "avg_pool2d: the window's height 5 is larger"},
    {{"global_avg_pool", "2x3", ""}, MIEN_ERR_SHAPE, "global_avg_pool: input is [2,3]"},
    {{"lrn", "2x3x4x4", "size=0"}, MIEN_ERR_ARGUMENT, "lrn: size is 0"},
    {{"linear", "8x32x1024 4x2048 -", ""},
     MIEN_ERR_SHAPE,
     "linear: input is [8,32,1024] but weight expects 2048 features on dimension 3"},
    {{"matmul", "3x4 5x4", ""}, MIEN_ERR_SHAPE, "matmul: a is [3,4] and b is [5,4]"},
    {{"lstm", "2x4x3 20x3 15x5 20 - -", ""},
     MIEN_ERR_SHAPE,
     "lstm: weight_hh is [15,5] but must be [20,5]: [4H,H]"},
    {{"lstm", "2x4x3 20x3 20x5 20 2x4 -", ""},
     MIEN_ERR_SHAPE,
     "lstm: h0 is [2,4] but must be [2,5]: [B,H]"},
    {{"gru", "2x4x3 15x3 15x5 15 14 -", ""}, MIEN_ERR_SHAPE, "gru: bias_hh is [14]"},
    {{"gru", "2x4x3 15x3 15x5 15 15 -", "reset_after=2"}, MIEN_ERR_ARGUMENT, "gru: reset_after"},
    {{"add", "2x3x4 2x3", ""},
     MIEN_ERR_SHAPE,
     "add: a is [2,3,4] and b is [2,3]; sizes 4 and 3 on dimension 1 from the right"},
    {{"cast", "3", "dtype=4"},
     MIEN_ERR_ARGUMENT,
     "cast: dtype is 4 but must be a whole number from 0 to 3"},
    {{"cast", "c5:3", "dtype=0"},
     MIEN_ERR_DTYPE,
     "cast: input is i64 but must be f32, bf16, f16 or f64"},
    {{"dropout", "3", "p=1 seed=1"}, MIEN_ERR_ARGUMENT, "dropout: p is 1 but must lie in [0,1)"},
    {{"dropout", "3", "seed=-1"}, MIEN_ERR_ARGUMENT, "dropout: seed is -1"},
    {{"sum", "2x3", "dim=2"},
     MIEN_ERR_ARGUMENT,
     "sum: dim is 2 but must be a whole number from -1"},
    {{"max", "2x0", "dim=1"}, MIEN_ERR_SHAPE, "max: input [2,0] has no elements"},
    {{"softmax", "s", ""}, MIEN_ERR_SHAPE, "softmax: input is a scalar"},
    {{"ccc_loss", "2x5x2 2x6x2", ""},
     MIEN_ERR_SHAPE,
     "ccc_loss: target is [2,6,2] but must be [2,5,2]: the shape of prediction"},
    {{"ccc_loss", "5x2 5x2", "per_sequence=1"},
     MIEN_ERR_SHAPE,
     "ccc_loss: prediction is [5,2] but per_sequence = 1 needs [B,T,K]"},
    {{"mse_loss", "0x2 0x2", ""}, MIEN_ERR_SHAPE, "mse_loss: prediction [0,2] is empty"},
    {{"sigmoid_cross_entropy", "3x8 3x8 7", ""},
     MIEN_ERR_SHAPE,
     "sigmoid_cross_entropy: class_weight is [7] but must be [8]"},
    {{"softmax_cross_entropy", "4x5 4 -", ""},
     MIEN_ERR_DTYPE,
     "softmax_cross_entropy: target is f32 but must be i64 or i32"},
    {{"softmax_cross_entropy", "4x5 c5:4x5 -", ""},
     MIEN_ERR_SHAPE,
     "softmax_cross_entropy: target is [4,5] but must be [4]"},
    {{"softmax_cross_entropy", "40x2 c9:40 -", ""},
     MIEN_ERR_ARGUMENT,
     "softmax_cross_entropy: target of row "},
};

/* Runs a case through the public door; out gets its visible outputs on success. */
static mien_status run_public(const case_row *row, mien_tensor **out, int *n_out) {
    test_case c = parse_case(row);
    case_run place = {.dtype = MIEN_F32};
    mien_tensor *in[MIEN_OP_MAX_IN] = {NULL};
    const mien_op_info *info = mien_op_info_at(c.op);
    for (int i = 0; i < c.n_in; i++) {
        if (c.in[i].kind == '-') continue;
        double *values = case_values(&c, i);
        in[i] = laid_out(&place, values, input_dtype(&c, i, MIEN_F32), c.in[i].ndim, c.in[i].shape,
                         false);
        free(values);
    }
    *n_out = info->n_visible;
    mien_status status = mien_op_run(c.op, in, c.n_in, c.attr, info->n_attr, out, info->n_visible);
    for (int i = 0; i < c.n_in; i++) mien_tensor_release(in[i]);
    return status;
}

static int64_t live_bytes(void) {
    mien_memory_stats stats;
    mien_memory(MIEN_DEVICE_CPU, &stats);
    return stats.live_bytes;
}

static void misfits_are_named(void **state) {
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const refusal *r = &refusals[i];
        mien_tensor *out[MIEN_OP_MAX_OUT];
        int n_out;
        int64_t live = live_bytes();
        mien_status status = run_public(&r->row, out, &n_out);
        const char *message = mien_error_last()->message;
        if (status != r->code || strncmp(message, r->message, strlen(r->message)))
            fail_msg("%s \"%s\" \"%s\": wanted %s, \"%s...\", got %s, \"%s\"", r->row.op,
                     r->row.inputs, r->row.attributes, mien_status_name(r->code), r->message,
                     mien_status_name(status), message);
        assert_int_equal(live_bytes(), live);
    }
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static const struct {
    case_row row;
    const char *shapes; /* of the visible outputs */
} fits[] = {
    {{"conv2d", "2x3x9x7 4x3x3x3 -", "stride_h=2 pad_top=1 pad_right=2"}, "[2,4,4,7]"},
    {{"max_pool2d", "2x3x9x7", "kernel_h=2 kernel_w=2 stride_h=2 stride_w=2"}, "[2,3,4,3]"},
    {{"global_avg_pool", "2x3x9x7", ""}, "[2,3]"},
    {{"batch_norm", "2x3x4 3 3 3 3 -", "training=0"}, "[2,3,4]"},
    {{"linear", "2x3x5 4x5 -", ""}, "[2,3,4]"},
    {{"linear", "5 4x5 -", ""}, "[4]"},
    {{"matmul", "2x3x4 2x4x5", ""}, "[2,3,5]"},
    {{"lstm", "2x4x3 20x3 20x5 20 - -", ""}, "[2,4,5] [2,5] [2,5]"},
    {{"gru", "2x4x3 15x3 15x5 15 15 -", ""}, "[2,4,5] [2,5]"},
    {{"add", "2x1x4 3x1", ""}, "[2,3,4]"},
    {{"sum", "2x3x4", ""}, "[]"},
    {{"sum", "2x3x4", "keep=1"}, "[1,1,1]"},
    {{"mean", "2x3x4", "dim=1"}, "[2,4]"},
    {{"max", "2x3x4", "dim=2 keep=1"}, "[2,3,1]"},
    {{"ccc_loss", "2x5x3 2x5x3", "per_sequence=1"}, "[]"},
    {{"softmax_cross_entropy", "2x3x7 k7:2x3 -", ""}, "[]"},
};

static void outputs_have_the_shapes_of_the_documentation(void **state) {
    for (size_t i = 0; i < sizeof fits / sizeof *fits; i++) {
        mien_tensor *out[MIEN_OP_MAX_OUT];
        int n_out;
        char found[256] = "", shape[96];
        must(run_public(&fits[i].row, out, &n_out), fits[i].row.op);
        for (int k = 0; k < n_out; k++) {
            size_t used = strlen(found);
            snprintf(found + used, sizeof found - used, "%s%s", k ? " " : "",
                     mien__shape_text(out[k], shape, sizeof shape));
            mien_tensor_release(out[k]);
        }
        assert_string_equal(found, fits[i].shapes);
    }
}

/* ---- dtypes ---------------------------------------------------------------------------------- */

/* Statistics, labels and losses stay in f32 beside half-precision inputs. */
static void half_precision_keeps_what_adds_up_in_f32(void **state) {
    const case_row row = {"ccc_loss", "2x5x3 2x5x3", ""};
    test_case c = parse_case(&row);
    case_run *r = run_start(&c, MIEN_BF16, MIEN_DEVICE_CPU, PLAIN, NULL);
    assert_int_equal(r->call.out[0]->dtype, MIEN_F32);
    run_end(r);
    const int64_t map[] = {2, 3, 4}, channels[] = {3};
    double values[24] = {0};
    mien_tensor *in[6] = {plain_tensor(values, MIEN_F16, 3, map)}, *out[1];
    for (int i = 1; i <= 4; i++) in[i] = plain_tensor(values, MIEN_F32, 1, channels);
    const double attr[] = {1, 0.1, 1e-5, 0};
    must(mien_op_run(MIEN_OP_batch_norm, in, 6, attr, 4, out, 1), "batch_norm");
    assert_int_equal(out[0]->dtype, MIEN_F16);
    mien_tensor_release(out[0]);
    for (int i = 0; i < 6; i++) mien_tensor_release(in[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(misfits_are_named),
        cmocka_unit_test(outputs_have_the_shapes_of_the_documentation),
        cmocka_unit_test(half_precision_keeps_what_adds_up_in_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
