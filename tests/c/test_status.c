/* Error records, struct sizes, interrupts and the table of ops.
 * Not here: what single functions complain about. */
#include "mien_test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/abi.h"
#include "base/assert.h"

static mien_status refuse(void) {
    MIEN_FAIL(MIEN_ERR_SHAPE, "input is %s", "[2,3]");
}

static mien_status pass_on(void) {
    MIEN_TRY(refuse());
    return MIEN_OK;
}

static void a_failure_leaves_code_message_and_place(void **state) {
    assert_int_equal(pass_on(), MIEN_ERR_SHAPE);
    const mien_error *e = mien_error_last();
    assert_int_equal(e->code, MIEN_ERR_SHAPE);
    assert_string_equal(e->message, "input is [2,3]");
    assert_non_null(strstr(e->file, "test_status.c"));
    assert_true(e->line > 0);
    assert_string_equal(e->cause, "");
}

static void the_cause_below_is_kept_until_the_next_failure(void **state) {
    refuse();
    mien__fail_cause("H5Fopen: %d", 7);
    assert_string_equal(mien_error_last()->cause, "H5Fopen: 7");
    refuse();
    assert_string_equal(mien_error_last()->cause, "");
}

static void a_message_may_quote_the_last_one(void **state) {
    refuse();
    mien__fail(MIEN_ERR_IO, "f.c", 1, "while reading: %s", mien_error_last()->message);
    assert_string_equal(mien_error_last()->message, "while reading: input is [2,3]");
}

static void a_long_message_is_cut_not_overrun(void **state) {
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    mien__fail(MIEN_ERR_IO, "f.c", 1, "%s", text);
    assert_int_equal(strlen(mien_error_last()->message), sizeof mien_error_last()->message - 1);
}

static void a_notice_is_said_once_and_taken_once(void **state) {
    char text[64] = "";
    while (mien_notice_take(text, sizeof text)) {
    }
    mien__notice("the slow path of %s", "conv2d");
    mien_notice("another");
    mien_notice("the slow path of conv2d");
    assert_true(mien_notice_take(text, sizeof text));
    assert_string_equal(text, "the slow path of conv2d");
    assert_true(mien_notice_take(text, 5));
    assert_string_equal(text, "anot");
    assert_false(mien_notice_take(text, sizeof text));
    mien_notice("another");
    assert_false(mien_notice_take(text, sizeof text));
    int taken = 0;
    for (int i = 0; i < 100; i++) mien__notice("number %d", i);
    while (mien_notice_take(text, sizeof text)) taken++;
    assert_int_equal(taken, 30);
    assert_string_equal(text, "there are more notices than can be kept");
}

#ifdef MIEN_DEBUG
static void *ask(void *answer) {
    *(bool *)answer = mien__on_lua_thread();
    return NULL;
}

static void a_promise_that_is_not_kept_ends_a_debug_build(void **state) {
    int status = 0;
    bool elsewhere = true;
    pthread_t thread;
    MIEN_ASSERT_LUA_THREAD();
    pthread_create(&thread, NULL, ask, &elsewhere);
    pthread_join(thread, NULL);
    assert_false(elsewhere);
    pid_t child = fork();
    if (child == 0) {
        MIEN_ASSERT(1 + 1 == 2);
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        MIEN_ASSERT(1 + 1 == 3);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
#endif

static void *fail_in_thread(void *arg) {
    mien__fail(MIEN_ERR_NUMERIC, "t.c", 1, "elsewhere");
    return NULL;
}

static void each_thread_has_its_own_record(void **state) {
    refuse();
    pthread_t thread;
    pthread_create(&thread, NULL, fail_in_thread, NULL);
    pthread_join(thread, NULL);
    assert_string_equal(mien_error_last()->message, "input is [2,3]");
}

static void every_code_has_a_name(void **state) {
    assert_string_equal(mien_status_name(MIEN_OK), "ok");
    for (int code = MIEN_OK; code <= MIEN_ERR_INTERNAL; code++)
        assert_string_not_equal(mien_status_name((mien_status)code), "unknown");
    assert_string_equal(mien_status_name((mien_status)99), "unknown");
}

static void struct_sizes_are_told_by_name(void **state) {
    assert_int_equal(mien_struct_size("mien_error"), sizeof(mien_error));
    assert_int_equal(mien_struct_size("mien_op_info"), sizeof(mien_op_info));
    assert_int_equal(mien_struct_size("no_such_struct"), 0);
    assert_int_equal(mien_struct_size(NULL), 0);
    assert_int_equal(mien_abi_version(), MIEN_ABI_VERSION);
}

static void an_interrupt_stops_the_next_op_and_nothing_else_changes(void **state) {
    mien_tensor *a = test_range(SHAPE(2), 1, 1), *out = NULL;
    mien_interrupt_request();
    assert_true(mien_interrupt_requested());
    assert_error(mien_op_run(MIEN_OP_relu, &a, 1, NULL, 0, &out, 1), MIEN_ERR_INTERRUPTED, "relu");
    assert_null(out);
    mien_interrupt_clear();
    assert_ok(mien_op_run(MIEN_OP_relu, &a, 1, NULL, 0, &out, 1));
    mien_tensor_release(out);
    mien_tensor_release(a);
}

/* ---- the table of ops ---------------------------------------------------------------------- */

static const mien_op_info *info(mien_op op) {
    return mien_op_info_at(op);
}

static void attributes_name_defaults_and_what_is_required(void **state) {
    assert_string_equal(info(MIEN_OP_batch_norm)->attributes,
                        "training! momentum=0.1 eps=1e-5 relu=0 ");
    assert_string_equal(info(MIEN_OP_sum)->attributes, "dim=-1 keep=0 ");
    assert_string_equal(info(MIEN_OP_relu)->attributes, "");
    assert_int_equal(info(MIEN_OP_batch_norm)->n_attr, 4);
    assert_int_equal(info(MIEN_OP_relu)->n_attr, 0);
}

static void inputs_and_outputs_are_counted(void **state) {
    const mien_op_info *bn = info(MIEN_OP_batch_norm), *concat = info(MIEN_OP_concat);
    assert_string_equal(bn->name, "batch_norm");
    assert_int_equal(bn->n_in, 6);
    assert_int_equal(bn->n_in_min, 5);
    assert_int_equal(bn->n_out, 3);
    assert_int_equal(bn->n_visible, 1);
    assert_int_equal(concat->n_in, 8);
    assert_int_equal(concat->n_in_min, 1);
    assert_null(mien_op_info_at(-1));
    assert_null(mien_op_info_at(mien_op_count()));
}

static void saves_are_looked_up_by_position(void **state) {
    assert_true(mien__op_saves(MIEN_OP_batch_norm, false, 0));
    assert_true(mien__op_saves(MIEN_OP_batch_norm, false, 2));
    assert_false(mien__op_saves(MIEN_OP_batch_norm, false, 3)); /* running_mean */
    assert_true(mien__op_saves(MIEN_OP_batch_norm, true, 2));   /* rstd */
    assert_false(mien__op_saves(MIEN_OP_relu, false, 0));
    assert_true(mien__op_saves(MIEN_OP_relu, true, 0));
}

static void every_saved_name_is_an_input_or_output(void **state) {
    for (int op = 0; op < mien_op_count(); op++) {
        const mien_op_info *o = mien_op_info_at(op);
        int wanted = 0, found = 0;
        for (const char *c = o->saves; *c; c++) wanted += c == o->saves || c[-1] == ' ';
        for (int i = 0; i < MIEN_OP_MAX_IN; i++) found += mien__op_saves((mien_op)op, false, i);
        for (int i = 0; i < MIEN_OP_MAX_OUT; i++) found += mien__op_saves((mien_op)op, true, i);
        if (wanted != found) fail_msg("%s saves \"%s\"", o->name, o->saves);
    }
}

static void wrong_calls_are_refused_by_name(void **state) {
    mien_tensor *a = test_range(SHAPE(2), 1, 1), *out = NULL;
    mien_tensor *two[2] = {a, a}, *hole[2] = {a, NULL};
    assert_error(mien_op_run(-1, &a, 1, NULL, 0, &out, 1), MIEN_ERR_ARGUMENT, "no op");
    assert_error(mien_op_run(MIEN_OP_relu, two, 2, NULL, 0, &out, 1), MIEN_ERR_ARGUMENT, "relu");
    assert_error(mien_op_run(MIEN_OP_add, hole, 2, NULL, 0, &out, 1), MIEN_ERR_ARGUMENT, "'b'");
    assert_error(mien_op_run(MIEN_OP_affine, &a, 1, NULL, 0, &out, 1), MIEN_ERR_ARGUMENT, "scale");
    assert_error(mien_op_run(MIEN_OP_affine, &a, 1, (double[]){NAN, 0, 1}, 3, &out, 1),
                 MIEN_ERR_NUMERIC, "not a number");
    assert_error(mien_op_run(MIEN_OP_relu, &a, 1, NULL, 0, &out, 0), MIEN_ERR_ARGUMENT, "outputs");
    mien_tensor_free(a);
    assert_error(mien_op_run(MIEN_OP_relu, &a, 1, NULL, 0, &out, 1), MIEN_ERR_MEMORY, "freed");
    assert_error(mien_op_run(MIEN_OP_add, two, 2, NULL, 0, &out, 1), MIEN_ERR_MEMORY, "'a' [2]");
    assert_null(out);
    mien_tensor_release(a);
}

static void profile_counts_calls_and_times_them_when_asked(void **state) {
    mien_tensor *a = test_range(SHAPE(64, 64), 0, 0.1), *b = test_range(SHAPE(64, 64), 1, 0.1);
    mien_profile_reset();
    mien_tensor_release(test_op(MIEN_OP_matmul, a, b, 0, NULL));
    mien_op_profile p;
    mien_profile_at(MIEN_OP_matmul, false, &p);
    assert_int_equal(p.calls, 1);
    assert_true(p.seconds == 0);
    assert_true(p.implementation[0] != '\0');
    mien_profile_enable(true);
    mien_tensor_release(test_op(MIEN_OP_matmul, a, b, 0, NULL));
    mien_profile_enable(false);
    mien_profile_at(MIEN_OP_matmul, false, &p);
    assert_int_equal(p.calls, 2);
    assert_true(p.seconds > 0);
    assert_true(fabs(p.gflop - 2e-9 * 64 * 64 * 64) < 1e-12);
    assert_int_equal(p.bytes, 3 * 64 * 64 * 4);
    mien_profile_at(-1, false, &p);
    assert_int_equal(p.calls, 0);
    mien_tensor_release(a);
    mien_tensor_release(b);
}

static void backends_are_chosen_by_name(void **state) {
    assert_ok(mien_backend_use("ref"));
    assert_string_equal(mien_backend_current(), "ref");
    assert_error(mien_backend_use("gpu"), MIEN_ERR_ARGUMENT, "'cpu' and 'ref'");
    assert_string_equal(mien_backend_current(), "ref");
    assert_ok(mien_backend_use("cpu"));
    assert_non_null(mien_backend_describe("ref"));
    assert_null(mien_backend_describe("gpu"));
    int threads = mien_threads();
    mien_threads_set(1);
    assert_int_equal(mien_threads(), 1);
    mien_threads_set(0);
    assert_int_equal(mien_threads(), threads);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_leaves_code_message_and_place),
        cmocka_unit_test(the_cause_below_is_kept_until_the_next_failure),
        cmocka_unit_test(a_message_may_quote_the_last_one),
        cmocka_unit_test(a_long_message_is_cut_not_overrun),
        cmocka_unit_test(each_thread_has_its_own_record),
        cmocka_unit_test(a_notice_is_said_once_and_taken_once),
#ifdef MIEN_DEBUG
        cmocka_unit_test(a_promise_that_is_not_kept_ends_a_debug_build),
#endif
        cmocka_unit_test(every_code_has_a_name),
        cmocka_unit_test(struct_sizes_are_told_by_name),
        cmocka_unit_test(an_interrupt_stops_the_next_op_and_nothing_else_changes),
        cmocka_unit_test(attributes_name_defaults_and_what_is_required),
        cmocka_unit_test(inputs_and_outputs_are_counted),
        cmocka_unit_test(saves_are_looked_up_by_position),
        cmocka_unit_test(every_saved_name_is_an_input_or_output),
        cmocka_unit_test(wrong_calls_are_refused_by_name),
        cmocka_unit_test(profile_counts_calls_and_times_them_when_asked),
        cmocka_unit_test(backends_are_chosen_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
