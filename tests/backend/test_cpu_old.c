/* bf16 on a processor without instructions for it: products run in f32, none in the naive loops.
 * Not here: processors that have them (test_backends.c). */
#include "backend/backend.h"
#include "harness.h"

static bool is_product(const test_case *c) {
    return c->op == MIEN_OP_conv2d || c->op == MIEN_OP_conv2d_fused || c->op == MIEN_OP_linear;
}

static void products_run_in_f32(void **state) {
    for (int i = 0; i < CASE_COUNT; i++) {
        test_case c = case_at(i);
        if (!is_product(&c)) continue;
        char name[64] = "";
        case_run *r = run_start_mixed(&c, MIEN_BF16, MIEN_F32, MIEN_DEVICE_CPU, PLAIN, NULL);
        case_run *right = run_start(&c, MIEN_F64, MIEN_DEVICE_CPU, PLAIN, r->in);
        const mien_backend *b = mien__backend_for(&r->call, false);
        assert_string_equal(b->name, "cpu");
        r->call.implementation = name;
        run_forward(r, b->forward[c.op]);
        run_forward(right, ref_forward_of(&c));
        assert_non_null(strstr(name, "in f32"));
        assert_null(strstr(name, "ref"));
        assert_true(distance(r->out[0], right->out[0], mien_tensor_count(r->call.out[0])) < 1e-2);
        run_end(r);
        run_end(right);
    }
}

int main(void) {
    setenv("DNNL_MAX_CPU_ISA", "AVX512_CORE_VNNI", 1); /* read when oneDNN is first used */
    const struct CMUnitTest tests[] = {cmocka_unit_test(products_run_in_f32)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
