/* A kernel runs compiled for the instruction set in use; `mien test` runs this under each.
 * Not here: what MIEN_CPU_ISA may say (tests/lua/isa_spec.lua). */
#include "base/isa.h"
#include "mien_test.h"

/* In one rounding where the set has fused products, AVX2 and up, else in two. */
MIEN_CLONES(float, product_and_sum, (float a, float b, float c), (a, b, c)) {
    return a * b + c;
}

static void the_set_in_use_runs(void **state) {
    const char *isa = mien_cpu_isa();
    assert_non_null(isa);
    const char *wanted = getenv("MIEN_CPU_ISA");
    if (wanted) assert_string_equal(isa, wanted);
    assert_non_null(strstr(mien_cpu_isa_sets(), isa));
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
    bool fused = strcmp(isa, "baseline") != 0;
    float a = 1 + 0x1p-12f; /* a a = 1 + 2^-11 + 2^-24, and f32 drops the last term */
    assert_true(product_and_sum(a, a, -1 - 0x1p-11f) == (fused ? 0x1p-24f : 0));
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_set_in_use_runs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
