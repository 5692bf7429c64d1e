/* The LSTM's time loop on clusters and the layer around it, run on the CPU by emulation, against
 * the reference. Not here: cuBLASLt's products, for which plain loops stand in; what only a GPU
 * shows: memory order between blocks, nvcc's code, speed. */
#include "backend/cuda/kernels/lstm.h"
#include "harness.h"

enum { D = 3 };

typedef struct sizes {
    int b, t, h;
} sizes;

static mien_tensor *random_tensor(const char *key, int stream, mien_dtype dtype, double scale,
                                  int ndim, const int64_t *shape) {
    int64_t n = 1;
    for (int d = 0; d < ndim; d++) n *= shape[d];
    double *values = uniform(key, stream, n);
    for (int64_t i = 0; i < n; i++) values[i] *= scale;
    mien_tensor *t = plain_tensor(values, dtype, ndim, shape);
    free(values);
    return t;
}

/* The reference's own call on a random layer, forward and backward. Inputs in `dtype`. */
static mien_op_call reference(sizes s, mien_dtype dtype, bool states) {
    char key[64];
    snprintf(key, sizeof key, "lstm %d %d %d", s.b, s.t, s.h);
    int64_t x[] = {s.b, s.t, D}, wi[] = {4 * s.h, D}, wh[] = {4 * s.h, s.h}, state[] = {s.b, s.h};
    static const double none[1];
    mien_op_call call = {.op = MIEN_OP_lstm, .attr = none, .recording = true};
    double scale = 1 / sqrt(s.h);
    call.in[0] = random_tensor(key, 0, dtype, 1, 3, x);
    call.in[1] = random_tensor(key, 1, dtype, 1, 2, wi);
    call.in[2] = random_tensor(key, 2, dtype, 2 * scale, 2, wh);
    call.in[3] = random_tensor(key, 3, dtype, 1, 1, wi);
    if (states) call.in[4] = random_tensor(key, 4, dtype, 1, 2, state);
    if (states) call.in[5] = random_tensor(key, 5, dtype, 1, 2, state);
    for (int i = 0; i < 6; i++) { /* as rounded, in f64 */
        if (!call.in[i]) continue;
        mien_tensor *wide = mien_tensor_to(call.in[i], MIEN_F64, MIEN_DEVICE_CPU);
        mien_tensor_release(call.in[i]);
        call.in[i] = wide;
    }
    must(mien__infer_lstm(&call), "infer");
    must(mien__backend_ref.forward[MIEN_OP_lstm](&call), "ref forward");
    call.dout[0] = random_tensor(key, 6, dtype, 1, 3, call.out[0]->shape);
    if (states) call.dout[1] = random_tensor(key, 7, MIEN_F32, 1, 2, state);
    if (states) call.dout[2] = random_tensor(key, 8, MIEN_F32, 1, 2, state);
    for (int i = 0; i < 6; i++) {
        if (!call.in[i]) continue;
        call.want[i] = true;
        call.din[i] =
            mien__tensor_header(MIEN_F64, MIEN_DEVICE_CPU, call.in[i]->ndim, call.in[i]->shape);
    }
    must(mien__backend_ref.backward[MIEN_OP_lstm](&call), "ref backward");
    return call;
}

static void release(mien_op_call *call) {
    for (int i = 0; i < MIEN_OP_MAX_IN; i++) {
        mien_tensor_release(call->in[i]);
        mien_tensor_release(call->din[i]);
    }
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++) {
        mien_tensor_release(call->out[i]);
        mien_tensor_release(call->dout[i]);
    }
}

/* x W_ih^T + bias in f32, [B,T,4H]. */
static mien_tensor *gates_of(sizes s, const mien_op_call *call) {
    int64_t shape[] = {s.b, s.t, 4 * s.h};
    mien_tensor *t = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 3, shape);
    const double *x = mien_tensor_data(call->in[0]), *w = mien_tensor_data(call->in[1]);
    const double *bias = mien_tensor_data(call->in[3]);
    float *to = mien_tensor_data(t);
    for (int i = 0; i < s.b * s.t; i++)
        for (int row = 0; row < 4 * s.h; row++) {
            double sum = bias[row];
            for (int d = 0; d < D; d++) sum += x[i * D + d] * w[row * D + d];
            to[i * 4 * s.h + row] = (float)sum;
        }
    return t;
}

static mien_tensor *fresh(mien_dtype dtype, int64_t a, int64_t b, int64_t c) {
    int64_t shape[] = {a, b, c};
    mien_tensor *t = mien_tensor_new(dtype, MIEN_DEVICE_CPU, 3, shape);
    must(mien_tensor_fill(t, NAN), "fill");
    return t;
}

static void near(sizes s, const char *what, mien_tensor *found, mien_tensor *right, double most) {
    double *a = elements(found), *b = elements(right);
    double error = distance(a, b, mien_tensor_count(right));
    free(a);
    free(b);
    if (!(error <= most))
        fail_msg("B %d, T %d, H %d: %s is off by %.2e", s.b, s.t, s.h, what, error);
}

/* db and dW_hh from da, as the GEMMs after the loop make them. */
static void gradients_near(sizes s, const mien_op_call *call, mien_tensor *da, double most) {
    double *d = elements(da), *y = elements(call->out[0]);
    double *h0 = call->in[4] ? elements(call->in[4]) : NULL;
    int rows = 4 * s.h;
    mien_tensor *db = mien_tensor_to(call->din[3], MIEN_F64, MIEN_DEVICE_CPU);
    mien_tensor *dw = mien_tensor_to(call->din[2], MIEN_F64, MIEN_DEVICE_CPU);
    must(mien_tensor_fill(db, 0), "fill");
    must(mien_tensor_fill(dw, 0), "fill");
    double *to_b = mien_tensor_data(db), *to_w = mien_tensor_data(dw);
    for (int b = 0; b < s.b; b++)
        for (int t = 0; t < s.t; t++) {
            const double *from = d + (b * s.t + t) * rows;
            const double *h = t ? y + (b * s.t + t - 1) * s.h : h0 ? h0 + b * s.h : NULL;
            for (int row = 0; row < rows; row++) {
                to_b[row] += from[row];
                for (int k = 0; h && k < s.h; k++) to_w[row * s.h + k] += from[row] * h[k];
            }
        }
    near(s, "db", db, call->din[3], most);
    near(s, "dW_hh", dw, call->din[2], most);
    mien_tensor_release(db);
    mien_tensor_release(dw);
    free(d);
    free(y);
    free(h0);
}

static void check(sizes s, mien_dtype dtype, bool states, double most) {
    mien_op_call call = reference(s, dtype, states);
    mien_tensor *gates = gates_of(s, &call);
    mien_tensor *weight = mien_tensor_to(call.in[2], dtype, MIEN_DEVICE_CPU);
    mien_tensor *h0 = states ? mien_tensor_to(call.in[4], MIEN_F32, MIEN_DEVICE_CPU) : NULL;
    mien_tensor *c0 = states ? mien_tensor_to(call.in[5], MIEN_F32, MIEN_DEVICE_CPU) : NULL;
    mien_tensor *y = fresh(dtype, s.b, s.t, s.h), *reserve = fresh(MIEN_F32, s.t, s.b, 5 * s.h);
    mien_tensor *h = fresh(MIEN_F32, 1, s.b, s.h), *c = fresh(MIEN_F32, 1, s.b, s.h);
    mien_tensor *da = fresh(dtype, s.b, s.t, 4 * s.h);
    mien_tensor *dh0 = fresh(MIEN_F32, 1, s.b, s.h), *dc0 = fresh(MIEN_F32, 1, s.b, s.h);
    mien__lstm_loop l = {
        .dtype = dtype,
        .batch = s.b,
        .steps = s.t,
        .hidden = s.h,
        .weight = mien_tensor_data(weight),
        .gates = mien_tensor_data(gates),
        .h0 = states ? mien_tensor_data(h0) : NULL,
        .c0 = states ? mien_tensor_data(c0) : NULL,
        .y = mien_tensor_data(y),
        .h = mien_tensor_data(h),
        .c = mien_tensor_data(c),
        .reserve = mien_tensor_data(reserve),
        .dy = mien_tensor_data(call.dout[0]),
        .dh = states ? mien_tensor_data(call.dout[1]) : NULL,
        .dc = states ? mien_tensor_data(call.dout[2]) : NULL,
        .da = mien_tensor_data(da),
        .dh0 = mien_tensor_data(dh0),
        .dc0 = mien_tensor_data(dc0),
    };
    must(mien__lstm_loop_forward(&l), "forward");
    near(s, "output", y, call.out[0], most);
    near(s, "h", h, call.out[1], most);
    near(s, "c", c, call.out[2], most);
    near(s, "reserve", reserve, call.out[3], most);
    must(mien__lstm_loop_backward(&l), "backward");
    gradients_near(s, &call, da, most);
    if (states) near(s, "dh0", dh0, call.din[4], most);
    if (states) near(s, "dc0", dc0, call.din[5], most);
    mien_tensor *made[] = {gates, weight, h0, c0, y, reserve, h, c, da, dh0, dc0};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) mien_tensor_release(made[i]);
    release(&call);
}

static void the_loop_agrees_with_the_reference(void **state) {
    check((sizes){1, 1, 64}, MIEN_F32, false, 1e-5);
    check((sizes){2, 7, 64}, MIEN_F32, true, 1e-5);
    check((sizes){3, 4, 128}, MIEN_F32, true, 1e-5);
    check((sizes){5, 3, 64}, MIEN_F32, true, 1e-5);
    check((sizes){8, 4, 64}, MIEN_F32, false, 1e-5);
    check((sizes){2, 6, 256}, MIEN_F32, true, 1e-5);
}

static void sixteen_bits_agree_within_their_rounding(void **state) {
    check((sizes){2, 6, 64}, MIEN_BF16, true, 1e-2);
    check((sizes){1, 5, 128}, MIEN_F16, true, 2e-3);
    check((sizes){7, 3, 128}, MIEN_BF16, false, 1e-2);
    check((sizes){2, 4, 512}, MIEN_BF16, true, 1e-2);
    check((sizes){8, 3, 256}, MIEN_F16, true, 2e-3);
}

static void the_order_of_threads_does_not_matter(void **state) {
    for (int order = 1; order < 3; order++) {
        mien_emulation_order(order);
        check((sizes){3, 5, 64}, MIEN_F32, true, 1e-5);
        check((sizes){2, 3, 128}, MIEN_BF16, true, 1e-2);
    }
    mien_emulation_order(0);
}

/* ---- the layer: the loop and the products around it, as the op's entry of the table ---------- */

static mien_op_call layer_call(const mien_op_call *right, mien_dtype dtype) {
    mien_op_call call = {.op = MIEN_OP_lstm, .attr = right->attr, .recording = true};
    for (int i = 0; i < 6; i++)
        if (right->in[i]) /* weights and bias stay f32, as masters do */
            call.in[i] =
                mien_tensor_to(right->in[i], i >= 1 && i <= 3 ? MIEN_F32 : dtype, MIEN_DEVICE_CPU);
    must(mien__infer_lstm(&call), "infer");
    for (int i = 0; i < 3; i++)
        if (right->dout[i])
            call.dout[i] = mien_tensor_to(right->dout[i], call.out[i]->dtype, MIEN_DEVICE_CPU);
    return call;
}

static void check_layer(sizes s, mien_dtype dtype, bool states, double most) {
    mien_backend table = mien__backend_ref;
    mien__cuda_part_recurrent(&table);
    mien_op_call right = reference(s, dtype, states), call = layer_call(&right, dtype);
    must(table.forward[MIEN_OP_lstm](&call), "forward");
    static const char *const outputs[] = {"output", "h", "c", "reserve"};
    for (int i = 0; i < 4; i++) near(s, outputs[i], call.out[i], right.out[i], most);
    static const char *const inputs[] = {"dx", "dW_ih", "dW_hh", "db", "dh0", "dc0"};
    for (int only = -1; only < 6; only++) { /* all gradients, then each alone */
        for (int i = 0; i < 6; i++) {
            mien_tensor_release(call.din[i]);
            call.din[i] = NULL;
            call.want[i] = right.in[i] && (only < 0 || only == i);
            if (call.want[i])
                call.din[i] = mien__tensor_header(call.in[i]->dtype, MIEN_DEVICE_CPU,
                                                  call.in[i]->ndim, call.in[i]->shape);
        }
        must(table.backward[MIEN_OP_lstm](&call), "backward");
        for (int i = 0; i < 6; i++)
            if (call.want[i]) near(s, inputs[i], call.din[i], right.din[i], most);
    }
    release(&call);
    release(&right);
}

static void the_layer_agrees_with_the_reference(void **state) {
    check_layer((sizes){1, 1, 64}, MIEN_F32, false, 1e-5);
    check_layer((sizes){2, 5, 64}, MIEN_F32, true, 1e-5);
    check_layer((sizes){3, 4, 128}, MIEN_BF16, true, 2e-2);
    check_layer((sizes){2, 3, 64}, MIEN_F16, false, 3e-3);
    check_layer((sizes){9, 2, 5}, MIEN_F32, true, 1e-5); /* left to cuDNN */
}

static void other_sizes_are_left_to_others(void **state) {
    assert_true(mien__lstm_loop_fits(MIEN_BF16, 2, 512));
    assert_false(mien__lstm_loop_fits(MIEN_F32, 2, 512)); /* more than the shared memory */
    assert_false(mien__lstm_loop_fits(MIEN_F32, 2, 96));
    assert_false(mien__lstm_loop_fits(MIEN_F32, 9, 64));
    assert_false(mien__lstm_loop_fits(MIEN_F64, 1, 64));
    mien__lstm_loop l = {.dtype = MIEN_F32, .batch = 9, .steps = 1, .hidden = 64};
    assert_int_equal(mien__lstm_loop_forward(&l), MIEN_ERR_UNSUPPORTED);
}

/* ---- a loop that does not agree is left aside ------------------------------------------------ */

extern mien_op_fn mien_emulation_rnn_forward; /* emulation/context.c */
static int others_calls;
static bool other_differs;
static mien_status other_fails; /* with this, when not MIEN_OK */

static mien_status another_forward(mien_op_call *call) {
    others_calls++;
    if (other_fails != MIEN_OK) MIEN_FAIL(other_fails, "cuDNN cannot now");
    MIEN_TRY(mien__backend_ref.forward[MIEN_OP_lstm](call));
    return other_differs ? mien_tensor_fill(call->out[0], 0.5) : MIEN_OK;
}

/* Calls of the other's forward pass while a layer runs twice. */
static int calls_of_the_other(sizes s, bool differs) {
    mien_backend table = mien__backend_ref;
    mien__cuda_part_recurrent(&table);
    mien_emulation_rnn_forward = another_forward;
    others_calls = 0;
    other_differs = differs;
    for (int turn = 0; turn < 2; turn++) {
        mien_op_call right = reference(s, MIEN_F32, false), call = layer_call(&right, MIEN_F32);
        must(table.forward[MIEN_OP_lstm](&call), "forward");
        if (differs) assert_true(*(float *)mien_tensor_data(call.out[0]) == 0.5f);
        release(&call);
        release(&right);
    }
    return others_calls;
}

static void the_first_use_is_checked_against_cudnn(void **state) {
    assert_int_equal(calls_of_the_other((sizes){4, 2, 64}, false), 1); /* the check alone */
    char text[640];
    while (mien_notice_take(text, sizeof text)) {
    }
    assert_int_equal(calls_of_the_other((sizes){6, 2, 64}, true), 3); /* the check, then all */
    assert_true(mien_notice_take(text, sizeof text));
    assert_non_null(strstr(text, "own LSTM kernel (f32, 6 sequences, H = 64) is left aside"));
    assert_int_equal(calls_of_the_other((sizes){6, 2, 64}, false), 2);
    assert_false(mien_notice_take(text, sizeof text)); /* that was said once */
}

/* Want of memory says nothing about the loop: it is an error, and the next call checks. */
static void a_check_that_could_not_run_is_no_verdict(void **state) {
    static const mien_status failures[] = {MIEN_ERR_MEMORY, MIEN_ERR_VENDOR, MIEN_ERR_UNSUPPORTED};
    sizes s = {7, 2, 64};
    char text[640];
    mien_backend table = mien__backend_ref;
    mien__cuda_part_recurrent(&table);
    mien_emulation_rnn_forward = another_forward;
    mien_op_call right = reference(s, MIEN_F32, false), call = layer_call(&right, MIEN_F32);
    other_differs = false;
    for (int i = 0; i < 3; i++) {
        other_fails = failures[i];
        assert_int_equal(table.forward[MIEN_OP_lstm](&call), failures[i]);
        assert_non_null(strstr(mien_error_last()->message, "cannot now"));
    }
    other_fails = MIEN_OK;
    must(table.forward[MIEN_OP_lstm](&call), "forward");
    others_calls = 0;
    must(table.forward[MIEN_OP_lstm](&call), "forward");
    assert_int_equal(others_calls, 0); /* the own loop serves */
    assert_false(mien_notice_take(text, sizeof text));
    release(&call);
    release(&right);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loop_agrees_with_the_reference),
        cmocka_unit_test(sixteen_bits_agree_within_their_rounding),
        cmocka_unit_test(the_order_of_threads_does_not_matter),
        cmocka_unit_test(the_layer_agrees_with_the_reference),
        cmocka_unit_test(other_sizes_are_left_to_others),
        cmocka_unit_test(the_first_use_is_checked_against_cudnn),
        cmocka_unit_test(a_check_that_could_not_run_is_no_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
