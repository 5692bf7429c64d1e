/* A child process with a pipe: what it says on standard error comes back, and neither its early
 * end nor its silence harms us. Not here: gnuplot itself (tests/lua/plot_spec.lua). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"

static mien_child *shell(const char *script) {
    const char *argv[] = {"sh", "-c", script, NULL};
    mien_child *child = mien_child_start(argv, NULL);
    assert_non_null(child);
    return child;
}

static void exit_status_and_what_it_said_come_back(void **state) {
    mien_child_end end;
    mien_child *child = shell("read a; echo \"got $a\" >&2; printf 'o\\0t'; exit 3");
    assert_int_equal(mien_child_write(child, "hello\n", 6), MIEN_OK);
    assert_int_equal(mien_child_close(child, 60, &end), MIEN_OK);
    assert_int_equal(end.status, 3);
    assert_string_equal(end.errors, "got hello\n");
    assert_int_equal(end.output_bytes, 3);
    assert_memory_equal(end.output, "o\0t", 4);
    child = shell("cat > /dev/null");
    assert_int_equal(mien_child_close(child, 60, &end), MIEN_OK);
    assert_int_equal(end.status, 0);
    assert_string_equal(end.errors, "");
    assert_int_equal(end.output_bytes, 0);
}

static void variables_are_kept_from_it(void **state) {
    mien_child_end end;
    const char *argv[] = {"sh", "-c", "echo $OURS_1$OURS_TWO$OTHER", NULL};
    setenv("OURS_1", "a", 1);
    setenv("OURS_TWO", "b", 1);
    setenv("OTHER", "c", 1);
    for (int all = 0; all < 2; all++) {
        mien_child *child = mien_child_start(argv, all ? NULL : "OURS_");
        assert_non_null(child);
        assert_int_equal(mien_child_close(child, 60, &end), MIEN_OK);
        assert_string_equal(end.output, all ? "abc\n" : "c\n");
    }
}

static void a_program_that_is_not_there_is_named(void **state) {
    const char *argv[] = {"mien-no-such-program", NULL};
    assert_null(mien_child_start(argv, NULL));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_UNSUPPORTED);
    assert_non_null(strstr(mien_error_last()->message, "mien-no-such-program"));
    assert_null(mien_child_start(NULL, NULL));
}

static void a_child_that_ends_early_is_an_error_and_no_signal(void **state) {
    mien_child *child = shell("exec <&-; echo gone >&2; exit 1");
    static char block[1 << 16];
    memset(block, 'x', sizeof block);
    mien_status status = MIEN_OK;
    for (int i = 0; i < 64 && status == MIEN_OK; i++)
        status = mien_child_write(child, block, sizeof block);
    assert_int_equal(status, MIEN_ERR_IO);
    mien_child_end end;
    assert_int_equal(mien_child_close(child, 60, &end), MIEN_OK);
    assert_int_equal(end.status, 1);
    assert_string_equal(end.errors, "gone\n");
}

static void a_child_that_talks_while_we_write_does_not_block(void **state) {
    /* 1 MiB of errors and of output before the first read: more than any pipe holds */
    mien_child *child = shell("head -c 1048576 /dev/zero | tr '\\0' e >&2; "
                              "head -c 1048576 /dev/zero; cat > /dev/null");
    static char block[1 << 20];
    memset(block, 'x', sizeof block);
    assert_int_equal(mien_child_write(child, block, sizeof block), MIEN_OK);
    mien_child_end end;
    assert_int_equal(mien_child_close(child, 60, &end), MIEN_OK);
    assert_int_equal(strlen(end.errors), 1 << 20);
    assert_int_equal(end.output_bytes, 1 << 20);
}

static void a_child_that_hangs_is_stopped(void **state) {
    mien_child *child = shell("exec sleep 60");
    mien_child_end end;
    assert_int_equal(mien_child_close(child, 0.2, &end), MIEN_ERR_IO);
    assert_int_equal(end.status, 128 + 9); /* not the 0 of its own end */
}

static void a_pipe_is_no_terminal_and_has_a_width(void **state) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_false(mien_terminal(ends[1]));
    assert_false(mien_terminal(-1));
    assert_true(mien_terminal_columns() > 0);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_status_and_what_it_said_come_back),
        cmocka_unit_test(variables_are_kept_from_it),
        cmocka_unit_test(a_program_that_is_not_there_is_named),
        cmocka_unit_test(a_child_that_ends_early_is_an_error_and_no_signal),
        cmocka_unit_test(a_child_that_talks_while_we_write_does_not_block),
        cmocka_unit_test(a_child_that_hangs_is_stopped),
        cmocka_unit_test(a_pipe_is_no_terminal_and_has_a_width),
    };
    return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
