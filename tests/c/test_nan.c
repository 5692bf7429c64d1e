/* What C hands to Lua holds no NaN but the one without payload, whatever it was given.
 * Not here: tensors and the list of such functions (tests/lua/nan_spec.lua). */
#include "affect/affect.h"
#include "data_files.h"
#include "optim/optim.h"

/* Bits that LuaJIT would take for a text at an address of the sender's choice. */
static double crafted(void) {
    uint64_t bits = 0xfffd800000000000u | 0x4141414141u;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void assert_plain(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    assert_true(bits == 0x7ff8000000000000u);
}

static void an_attribute_of_a_file_is_plain(void **state) {
    const char *path = scratch("nan.h5");
    mien_h5 *file = mien_h5_create(path);
    assert_int_equal(mien_h5_set_number(file, "", "fps", crafted()), MIEN_OK);
    assert_int_equal(mien_h5_finish(file), MIEN_OK);
    mien_h5_close(file);
    file = mien_h5_open(path);
    double value = 0;
    assert_true(number_of(file, "", "fps", &value));
    assert_plain(value);
    mien_h5_close(file);
}

static void what_is_read_from_a_file_is_plain_in_memory(void **state) {
    const char *path = scratch("nan_rows.h5");
    int64_t shape[1] = {3};
    double in[3] = {crafted(), 1, crafted()};
    const mien_dtype dtypes[] = {MIEN_F64, MIEN_F32};
    for (int i = 0; i < 2; i++) {
        mien_tensor *t = mien_tensor_new(dtypes[i], MIEN_DEVICE_CPU, 1, shape);
        assert_int_equal(mien_tensor_write(t, in, 3), MIEN_OK);
        mien_h5 *file = mien_h5_create(path);
        assert_int_equal(mien_h5_write(file, "labels", t), MIEN_OK);
        assert_int_equal(mien_h5_finish(file), MIEN_OK);
        mien_h5_close(file);
        mien_tensor_release(t);
        file = mien_h5_open(path);
        t = mien_h5_read(file, "labels", 0, -1);
        assert_non_null(t);
        for (int k = 0; k < 3; k += 2) { /* by a pointer that cleans nothing */
            if (dtypes[i] == MIEN_F64)
                assert_plain(((double *)mien__tensor_data(t))[k]);
            else
                assert_true(((uint32_t *)mien__tensor_data(t))[k] == 0x7fc00000u);
        }
        mien_tensor_release(t);
        mien_h5_close(file);
    }
}

static void one_element_and_all_are_plain(void **state) {
    int64_t shape[1] = {3}, index[1] = {1};
    double in[3] = {1, crafted(), 2}, out[3], value;
    const mien_dtype dtypes[] = {MIEN_F64, MIEN_F32, MIEN_BF16};
    for (int i = 0; i < 3; i++) {
        mien_tensor *t = mien_tensor_new(dtypes[i], MIEN_DEVICE_CPU, 1, shape);
        assert_int_equal(mien_tensor_write(t, in, 3), MIEN_OK);
        assert_int_equal(mien_tensor_get(t, index, &value), MIEN_OK);
        assert_plain(value);
        assert_int_equal(mien_tensor_read(t, out, 3), MIEN_OK);
        assert_plain(out[1]);
        assert_true(out[0] == 1 && out[2] == 2);
        mien_tensor_release(t);
    }
}

static void agreement_and_shifts_are_plain(void **state) {
    double in[3] = {crafted(), 1, crafted()}, out[3];
    assert_int_equal(mien_shift(in, out, 3, 1), MIEN_OK);
    assert_plain(out[0]);
    assert_plain(out[1]);
    assert_true(out[2] == 1);
    mien_moments m = {.n = 3, .m2_x = 1, .m2_y = 1, .m_xy = crafted(), .squared_error = crafted()};
    assert_plain(mien_moments_ccc(&m));
    assert_plain(mien_moments_pearson(&m));
    assert_plain(mien_moments_rmse(&m));
    assert_plain(mien_average_precision(in, in, 3));
}

static void the_norm_of_gradients_is_plain(void **state) {
    int64_t shape[1] = {40};
    mien_tensor *t = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 1, shape);
    uint32_t *bits = mien_tensor_data(t);
    for (int i = 0; i < 40; i++) bits[i] = 0xffec1234u;
    double norm;
    assert_int_equal(mien_grad_norm(&t, 1, &norm), MIEN_OK);
    assert_plain(norm);
    mien_tensor_release(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_attribute_of_a_file_is_plain),
        cmocka_unit_test(what_is_read_from_a_file_is_plain_in_memory),
        cmocka_unit_test(one_element_and_all_are_plain),
        cmocka_unit_test(agreement_and_shifts_are_plain),
        cmocka_unit_test(the_norm_of_gradients_is_plain),
    };
    return cmocka_run_group_tests(tests, NULL, scratch_remove);
}
