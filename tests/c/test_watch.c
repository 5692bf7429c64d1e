/* What becomes of a program that was asked to stop, look by look; and what calls say of themselves.
 * Not here: signals to a real one (tests/e2e/signals.sh). */
#include "mien_test.h"

#include "host/watch.h"
#include "base/call.h"

/* Looks until the answer is another one; returns the seconds that went by. */
static double looks_until(mien__watch *watch, mien__look look, mien__answer wanted) {
    for (int n = 1; n < 10000; n++)
        if (mien__watch_look(watch, look) == wanted) return n * MIEN__LOOK;
    fail_msg("that answer never came");
    return 0;
}

static void about(double seconds, double wanted) {
    if (seconds < wanted - 1e-6 || seconds > wanted + 2 * MIEN__LOOK)
        fail_msg("%.1f s, where %.1f s are allowed", seconds, wanted);
}

static void says(const mien__watch *watch, const char *words) {
    if (!strstr(watch->why, words)) fail_msg("\"%s\" does not say \"%s\"", watch->why, words);
}

static void code_that_never_comes_to_a_hook_is_ended(void **state) {
    mien__watch watch = {0};
    assert_int_equal(mien__watch_look(&watch, (mien__look){0}), MIEN__POKE);
    about(MIEN__LOOK + looks_until(&watch, (mien__look){0}, MIEN__END), MIEN__ELSEWHERE);
    says(&watch, "a compiled loop");
}

static void code_that_swallows_the_error_is_ended_later(void **state) {
    mien__watch watch = {0};
    about(looks_until(&watch, (mien__look){.raised = true}, MIEN__END), MIEN__CAUGHT);
    says(&watch, "was raised");
    assert_null(strstr(watch.why, "compiled"));
}

static void a_call_under_way_gets_its_time_and_is_named(void **state) {
    mien__watch watch = {0};
    mien__look look = {.doing = "joint search", .begun = 7};
    about(looks_until(&watch, look, MIEN__TELL), MIEN__ELSEWHERE);
    says(&watch, "stops after what is under way: joint search");
    assert_int_equal(mien__watch_look(&watch, look), MIEN__WAIT); /* told once */
    about(MIEN__ELSEWHERE + looks_until(&watch, look, MIEN__END), MIEN__INSIDE);
    says(&watch, "joint search");
    says(&watch, "No file was being written");
}

static void writing_a_file_gets_more_time_and_its_state_is_told(void **state) {
    mien__watch watch = {0};
    mien__look look = {.doing = "putting a file on disk", .writes = true, .begun = 1};
    about(looks_until(&watch, look, MIEN__END), MIEN__WRITING);
    says(&watch, "putting a file on disk");
    says(&watch, "not whole");
}

static void a_loop_over_short_calls_is_a_loop(void **state) {
    mien__watch watch = {0};
    double seconds = 0;
    mien__answer answer = MIEN__POKE;
    for (unsigned long call = 1; answer != MIEN__END && seconds < 100; call += 1000) {
        answer = mien__watch_look(&watch, (mien__look){.doing = "filling a tensor", .begun = call});
        seconds += MIEN__LOOK;
    }
    about(seconds, MIEN__ELSEWHERE);
    says(&watch, "a compiled loop");
}

static void the_time_of_a_call_is_not_that_of_what_follows(void **state) {
    mien__watch watch = {0};
    mien__look look = {.doing = "sha256 of a file", .begun = 1};
    for (int i = 0; i < 20; i++) mien__watch_look(&watch, look);
    about(looks_until(&watch, (mien__look){.begun = 1}, MIEN__END), MIEN__ELSEWHERE - MIEN__LOOK);
}

/* ---- what calls say -------------------------------------------------------------------------- */

static const char *doing(void) {
    return atomic_load(&mien__calls_here()->doing);
}

static const char *inner(void) {
    MIEN_CALL("inner");
    return doing();
}

static const char *outer(bool *writes) {
    MIEN_CALL_THAT_WRITES("outer");
    *writes = atomic_load(&mien__calls_here()->writes);
    return inner();
}

static void the_outermost_call_counts_until_it_returns(void **state) {
    unsigned long before = atomic_load(&mien__calls_here()->begun);
    bool writes = false;
    assert_null(doing());
    assert_string_equal(outer(&writes), "outer");
    assert_true(writes);
    assert_null(doing());
    assert_string_equal(inner(), "inner");
    assert_false(atomic_load(&mien__calls_here()->writes));
    assert_int_equal(atomic_load(&mien__calls_here()->begun), before + 2);
}

static void an_op_says_its_name_and_an_error_ends_it(void **state) {
    mien_tensor *a = test_range(SHAPE(2), 1, 1), *out = NULL;
    unsigned long before = atomic_load(&mien__calls_here()->begun);
    assert_ok(mien_op_run(MIEN_OP_relu, &a, 1, NULL, 0, &out, 1));
    assert_true(atomic_load(&mien__calls_here()->begun) > before);
    assert_null(doing());
    assert_int_equal(mien_tensor_copy(out, NULL), MIEN_ERR_ARGUMENT);
    assert_null(doing());
    mien_tensor_release(out);
    mien_tensor_release(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_that_never_comes_to_a_hook_is_ended),
        cmocka_unit_test(code_that_swallows_the_error_is_ended_later),
        cmocka_unit_test(a_call_under_way_gets_its_time_and_is_named),
        cmocka_unit_test(writing_a_file_gets_more_time_and_its_state_is_told),
        cmocka_unit_test(a_loop_over_short_calls_is_a_loop),
        cmocka_unit_test(the_time_of_a_call_is_not_that_of_what_follows),
        cmocka_unit_test(the_outermost_call_counts_until_it_returns),
        cmocka_unit_test(an_op_says_its_name_and_an_error_ends_it),
    };
    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
