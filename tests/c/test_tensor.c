/* Tensors: shapes, views, layouts, conversions between dtypes, summaries, freed handles.
 * Not here: ops with arithmetic (tests/backend), the pool (test_storage.c). */
#include "mien_test.h"

#include "tensor/half.h"

static const mien_dtype all_dtypes[] = {MIEN_F32, MIEN_BF16, MIEN_F16, MIEN_F64,
                                        MIEN_U8,  MIEN_I32,  MIEN_I64, MIEN_I8};
enum { DTYPES = 7 };

/* ---- making -------------------------------------------------------------------------------- */

static void a_new_tensor_is_contiguous_and_knows_its_sizes(void **state) {
    mien_tensor *t = test_tensor(MIEN_F32, SHAPE(2, 3, 4));
    assert_int_equal(mien_tensor_ndim(t), 3);
    assert_int_equal(mien_tensor_count(t), 24);
    assert_int_equal(mien_tensor_size(t, 1), 3);
    assert_int_equal(mien_tensor_stride(t, 0), 12);
    assert_int_equal(mien_tensor_stride(t, 2), 1);
    assert_int_equal(mien_tensor_dtype(t), MIEN_F32);
    assert_int_equal(mien_tensor_block(t), 0);
    char text[64], tiny[4];
    assert_string_equal(mien__shape_text(t, text, sizeof text), "[2,3,4]");
    assert_string_equal(mien__shape_text(t, tiny, sizeof tiny), "[2,");
    mien_tensor_set_name(t, "weight");
    assert_string_equal(mien_tensor_name(t), "weight");
    mien_tensor_release(t);
}

static void scalars_and_empty_tensors_exist(void **state) {
    mien_tensor *scalar = test_tensor(MIEN_F64, 0, NULL),
                *empty = test_tensor(MIEN_F32, SHAPE(0, 5));
    double value = 0, out[5];
    assert_ok(mien_tensor_set(scalar, NULL, 2.5));
    assert_ok(mien_tensor_get(scalar, NULL, &value));
    assert_true(value == 2.5);
    assert_int_equal(mien_tensor_count(empty), 0);
    assert_non_null(mien_tensor_data(empty));
    assert_ok(mien_tensor_fill(empty, 1));
    assert_ok(mien_tensor_read(empty, &value, 0));
    assert_ok(mien_tensor_summary(empty, out));
    assert_true(isnan(out[0]) && out[4] == 0);
    mien_tensor_release(scalar);
    mien_tensor_release(empty);
}

static void impossible_shapes_are_refused(void **state) {
    int64_t seven[7] = {1, 1, 1, 1, 1, 1, 1}, negative[2] = {3, -1};
    assert_null(mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 7, seven));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_SHAPE);
    assert_null(mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 2, negative));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_SHAPE);
    assert_null(mien_tensor_new((mien_dtype)42, MIEN_DEVICE_CPU, 1, seven));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_DTYPE);
    assert_null(mien_tensor_new(MIEN_F32, (mien_device)9, 1, seven));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_DEVICE);
}

static void a_freed_tensor_says_so_and_others_keep_the_elements(void **state) {
    mien_tensor *t = test_range(SHAPE(2, 2), 1, 1), *view = mien_tensor_detach(t);
    double values[4];
    mien_tensor_set_name(t, "h0");
    mien_tensor_free(t);
    mien_tensor_free(t);
    assert_true(mien_tensor_is_freed(t));
    assert_error(mien_tensor_read(t, values, 4), MIEN_ERR_MEMORY, "h0 [2,2] was freed");
    assert_null(mien_tensor_data(t));
    assert_null(mien_tensor_detach(t));
    assert_error(mien_tensor_copy(view, t), MIEN_ERR_MEMORY, "freed");
    assert_elements(view, 0, 1, 2, 3, 4);
    mien_tensor_release(view);
    mien_tensor_release(t);
}

static void nothing_is_left_live_when_handles_are_gone(void **state) {
    int64_t live = test_live_bytes();
    mien_tensor *t = test_range(SHAPE(1000), 0, 1), *a = mien_tensor_detach(t);
    mien_tensor *b = mien_tensor_to(t, MIEN_F64, MIEN_DEVICE_CPU);
    assert_true(test_live_bytes() > live);
    mien_tensor_release(t);
    mien_tensor_release(a);
    mien_tensor_release(b);
    mien_tensor_release(NULL);
    assert_int_equal(test_live_bytes(), live);
}

/* ---- elements ------------------------------------------------------------------------------ */

static void elements_are_set_and_read_by_index(void **state) {
    mien_tensor *t = test_range(SHAPE(2, 3), 0, 1);
    double value;
    assert_ok(mien_tensor_get(t, (int64_t[]){1, 2}, &value));
    assert_true(value == 5);
    assert_ok(mien_tensor_set(t, (int64_t[]){0, 1}, -4));
    assert_elements(t, 0, 0, -4, 2, 3, 4, 5);
    assert_error(mien_tensor_get(t, (int64_t[]){0, 3}, &value), MIEN_ERR_ARGUMENT,
                 "index 4 on dimension 2 is outside a tensor of [2,3]");
    assert_error(mien_tensor_write(t, &value, 1), MIEN_ERR_SHAPE, "1 values for a tensor of 6");
    mien_tensor_release(t);
}

static void every_dtype_holds_small_whole_numbers(void **state) {
    double values[70], back[70];
    for (int i = 0; i < 70; i++) values[i] = i;
    for (int d = 0; d < DTYPES; d++) {
        for (int s = 0; s < DTYPES; s++) {
            mien_tensor *from = test_tensor(all_dtypes[s], SHAPE(7, 10));
            assert_ok(mien_tensor_write(from, values, 70));
            mien_tensor *to = mien_tensor_to(from, all_dtypes[d], MIEN_DEVICE_CPU);
            assert_non_null(to);
            assert_ok(mien_tensor_read(to, back, 70));
            for (int i = 0; i < 70; i++)
                if (back[i] != i)
                    fail_msg("%s to %s: %d became %g", mien_dtype_name(all_dtypes[s]),
                             mien_dtype_name(all_dtypes[d]), i, back[i]);
            mien_tensor_release(from);
            mien_tensor_release(to);
        }
    }
}

static double through(mien_dtype dtype, double value) {
    mien_tensor *t = test_tensor(dtype, SHAPE(1));
    assert_ok(mien_tensor_fill(t, value));
    double back = test_element(t, 0);
    mien_tensor_release(t);
    return back;
}

static void integers_truncate_and_saturate(void **state) {
    assert_true(through(MIEN_U8, 2.9) == 2);
    assert_true(through(MIEN_U8, 300) == 255);
    assert_true(through(MIEN_U8, -3) == 0);
    assert_true(through(MIEN_U8, NAN) == 0);
    assert_true(through(MIEN_I8, -2.9) == -2);
    assert_true(through(MIEN_I8, 300) == 127);
    assert_true(through(MIEN_I8, -300) == -128);
    assert_true(through(MIEN_I8, NAN) == 0);
    assert_true(through(MIEN_I32, -2.9) == -2);
    assert_true(through(MIEN_I32, 1e20) == INT32_MAX);
    assert_true(through(MIEN_I32, -INFINITY) == INT32_MIN);
    assert_true(through(MIEN_I64, NAN) == 0);
    assert_true(through(MIEN_I64, -1e30) == -0x1p63);
}

static void halves_round_to_nearest_even(void **state) {
    /* bf16 has 8 significant bits: 1 + 1/256 is a tie and goes to the even 1, 1 + 3/256 up. */
    assert_true(through(MIEN_BF16, 1 + 1.0 / 256) == 1);
    assert_true(through(MIEN_BF16, 1 + 3.0 / 256) == 1 + 4.0 / 256);
    assert_true(through(MIEN_BF16, 1 + 1.0 / 256 + 1e-6) == 1 + 2.0 / 256);
    assert_true(isinf(through(MIEN_BF16, 3.4e38)));
    assert_true(isnan(through(MIEN_BF16, NAN)));
    assert_true(through(MIEN_F16, 1 + 0x1p-11) == 1);
    assert_true(through(MIEN_F16, 1 + 3 * 0x1p-11) == 1 + 4 * 0x1p-11);
    assert_true(through(MIEN_F16, 65519) == 65504);
    assert_true(isinf(through(MIEN_F16, 65520)));
    assert_true(through(MIEN_F16, 0x1p-24) == 0x1p-24); /* the smallest subnormal */
    assert_true(through(MIEN_F16, 0x1p-25) == 0);
    assert_true(through(MIEN_F16, -3 * 0x1p-26) == -0x1p-24);
    assert_true(isnan(through(MIEN_F16, NAN)));
}

static void every_half_survives_a_round_trip(void **state) {
    for (uint32_t h = 0; h < 65536; h++) {
        float b = mien__bf16_to_f32((mien__bf16)h), f = mien__f16_to_f32((mien__f16)h);
        if (!isnan(b)) assert_int_equal(mien__f32_to_bf16(b), h);
        if (!isnan(f)) assert_int_equal(mien__f32_to_f16(f), h);
        if (isnan(f)) assert_true(isnan(mien__f16_to_f32(mien__f32_to_f16(f))));
        if (isnan(b)) assert_true(isnan(mien__bf16_to_f32(mien__f32_to_bf16(b))));
    }
    assert_true(mien__f16_to_f32(0x3c00) == 1 && mien__f16_to_f32(0xfbff) == -65504);
}

/* ---- views and strides --------------------------------------------------------------------- */

static void a_permuted_copy_moves_elements_for_all_sizes(void **state) {
    static const double orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                       {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    int64_t shape[3] = {37, 65, 70};
    mien_tensor *t = test_range(3, shape, 0, 1);
    const float *x = mien_tensor_data(t);
    for (int o = 0; o < 6; o++) {
        const double *p = orders[o];
        mien_tensor *view = test_op(MIEN_OP_permute, t, NULL, ATTR(p[0], p[1], p[2], 3, 4, 5));
        assert_ptr_equal(view->storage, t->storage);
        mien_tensor *dense = mien__tensor_contiguous(view);
        assert_true(mien__tensor_is_contiguous(dense));
        const float *y = mien_tensor_data(dense);
        int64_t at = 0, index[3];
        for (index[0] = 0; index[0] < view->shape[0]; index[0]++)
            for (index[1] = 0; index[1] < view->shape[1]; index[1]++)
                for (index[2] = 0; index[2] < view->shape[2]; index[2]++, at++) {
                    int64_t from = index[0] * t->stride[(int)p[0]] +
                                   index[1] * t->stride[(int)p[1]] +
                                   index[2] * t->stride[(int)p[2]];
                    if (y[at] != x[from]) fail_msg("order %d, element %lld", o, (long long)at);
                }
        mien_tensor_release(dense);
        mien_tensor_release(view);
    }
    mien_tensor_release(t);
}

static void copies_go_into_views_and_leave_the_rest(void **state) {
    mien_tensor *t = test_range(SHAPE(3, 4), 0, 0);
    mien_tensor *column = test_op(MIEN_OP_narrow, t, NULL, ATTR(1, 2, 1));
    mien_tensor *values = test_range(SHAPE(3, 1), 1, 1);
    assert_ok(mien_tensor_copy(column, values));
    assert_elements(t, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0);
    assert_ok(mien_tensor_fill(column, 9));
    assert_elements(t, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9, 0);
    assert_error(mien_tensor_copy(t, values), MIEN_ERR_SHAPE,
                 "[3,1] does not fit into one of [3,4]");
    mien_tensor_release(column);
    mien_tensor_release(values);
    mien_tensor_release(t);
}

static void overlapping_views_copy_as_if_through_a_third(void **state) {
    mien_tensor *t = test_range(SHAPE(6, 2), 0, 0.5); /* the first column is 0 to 5 */
    mien_tensor *column = test_op(MIEN_OP_narrow, t, NULL, ATTR(1, 0, 1));
    mien_tensor *low = test_op(MIEN_OP_narrow, column, NULL, ATTR(0, 0, 5));
    mien_tensor *high = test_op(MIEN_OP_narrow, column, NULL, ATTR(0, 1, 5));
    assert_ok(mien_tensor_copy(high, low));
    assert_elements(column, 0, 0, 0, 1, 2, 3, 4);
    assert_ok(mien_tensor_copy(low, high));
    assert_elements(column, 0, 0, 1, 2, 3, 4, 4);
    mien_tensor_release(low);
    mien_tensor_release(high);
    mien_tensor_release(column);
    mien_tensor_release(t);
}

static void reshape_is_a_view_when_it_can_be(void **state) {
    mien_tensor *t = test_range(SHAPE(2, 3), 0, 1);
    mien_tensor *flat = test_op(MIEN_OP_reshape, t, NULL, ATTR(1, -1, 1, 1, 1, 1, 1));
    assert_int_equal(flat->shape[0], 6);
    assert_ptr_equal(flat->storage, t->storage);
    mien_tensor *turned = test_op(MIEN_OP_permute, t, NULL, ATTR(1, 0, 2, 3, 4, 5));
    mien_tensor *copy = test_op(MIEN_OP_reshape, turned, NULL, ATTR(2, 2, 3, 1, 1, 1, 1));
    assert_ptr_not_equal(copy->storage, t->storage);
    assert_elements(copy, 0, 0, 3, 1, 4, 2, 5);
    mien_tensor_release(flat);
    mien_tensor_release(turned);
    mien_tensor_release(copy);
    mien_tensor_release(t);
}

static void shapes_that_do_not_fit_are_refused_with_both_shapes(void **state) {
    mien_tensor *t = test_range(SHAPE(2, 3), 0, 1), *u = test_range(SHAPE(3, 2), 0, 1), *out;
    mien_tensor *both[2] = {t, u};
    assert_error(mien_op_run(MIEN_OP_reshape, &t, 1, (double[]){2, 4, 2, 1, 1, 1, 1}, 7, &out, 1),
                 MIEN_ERR_SHAPE, "input is [2,3], 6 elements, and does not fit into [4,2]");
    assert_error(mien_op_run(MIEN_OP_reshape, &t, 1, (double[]){2, -1, 4, 1, 1, 1, 1}, 7, &out, 1),
                 MIEN_ERR_SHAPE, "[-1,4]");
    assert_error(mien_op_run(MIEN_OP_reshape, &t, 1, (double[]){2, -1, -1, 1, 1, 1, 1}, 7, &out, 1),
                 MIEN_ERR_SHAPE, "one size may be -1");
    assert_error(mien_op_run(MIEN_OP_permute, &t, 1, (double[]){0, 0, 2, 3, 4, 5}, 6, &out, 1),
                 MIEN_ERR_ARGUMENT, "named once");
    assert_error(mien_op_run(MIEN_OP_narrow, &t, 1, (double[]){1, 2, 2}, 3, &out, 1),
                 MIEN_ERR_ARGUMENT, "2 entries from 3 on of dimension 2 of [2,3]");
    assert_error(mien_op_run(MIEN_OP_narrow, &t, 1, (double[]){2, 0, 1}, 3, &out, 1),
                 MIEN_ERR_ARGUMENT, "no dimension 3");
    /* Numbers that no int holds, and halves of entries */
    assert_error(
        mien_op_run(MIEN_OP_permute, &t, 1, (double[]){0, 0x7fffffff, 2, 3, 4, 5}, 6, &out, 1),
        MIEN_ERR_ARGUMENT, "cannot be dimension 2.14748e+09 of [2,3]");
    assert_error(mien_op_run(MIEN_OP_narrow, &t, 1, (double[]){1, 0.5, 1}, 3, &out, 1),
                 MIEN_ERR_ARGUMENT, "start is 0.5 but must be a whole number");
    assert_error(
        mien_op_run(MIEN_OP_reshape, &t, 1, (double[]){2, 1e300, 3, 1, 1, 1, 1}, 7, &out, 1),
        MIEN_ERR_ARGUMENT, "d0 is 1e+300 but must be a whole number");
    assert_error(mien_op_run(MIEN_OP_concat, both, 2, (double[]){0.5}, 1, &out, 1),
                 MIEN_ERR_ARGUMENT, "no dimension 1.5");
    assert_error(mien_op_run(MIEN_OP_concat, both, 2, (double[]){0}, 1, &out, 1), MIEN_ERR_SHAPE,
                 "input 2 is [3,2], input 1 is [2,3]");
    mien_tensor_release(t);
    mien_tensor_release(u);
}

/* ---- blocked layout ------------------------------------------------------------------------ */

static mien_tensor *blocked(mien_dtype dtype, int block, int ndim, const int64_t *shape) {
    mien_tensor *t = mien__tensor_header(dtype, MIEN_DEVICE_CPU, ndim, shape);
    assert_ok(mien__tensor_alloc(t, block));
    return t;
}

/* Padding channels are zero after every conversion: kernels rely on it. */
static void check_blocked(mien_tensor *t, const float *plain) {
    int64_t C = t->shape[1], area = t->shape[2] * t->shape[3], b = t->block;
    int64_t padded = (C + b - 1) / b * b;
    const float *x = t->storage->data;
    for (int64_t n = 0; n < t->shape[0]; n++)
        for (int64_t c = 0; c < padded; c++)
            for (int64_t i = 0; i < area; i++) {
                float got = x[((n * padded + c / b * b) * area) + i * b + c % b];
                float wanted = c < C ? plain[(n * C + c) * area + i] : 0;
                if (got != wanted)
                    fail_msg("block %lld, C %lld: [%lld,%lld,%lld] is %g, wanted %g", (long long)b,
                             (long long)C, (long long)n, (long long)c, (long long)i, got, wanted);
            }
}

static void blocked_and_plain_convert_both_ways(void **state) {
    static const int64_t channels[] = {1, 3, 8, 16, 20, 32, 65};
    for (int k = 0; k < 7; k++) {
        int64_t shape[4] = {3, channels[k], 5, 7};
        mien_tensor *plain = test_range(4, shape, 1, 1), *back = test_tensor(MIEN_F32, 4, shape);
        float *x = mien_tensor_data(plain);
        for (int b = 8; b <= 16; b += 8) {
            mien_tensor *t = blocked(MIEN_F32, b, 4, shape);
            memset(t->storage->data, 0x7f, t->storage->bytes);
            assert_ok(mien__host_copy(t, plain));
            check_blocked(t, x);
            assert_ok(mien_tensor_fill(back, 0));
            assert_ok(mien_tensor_copy(back, t));
            assert_memory_equal(mien_tensor_data(back), x, 3 * channels[k] * 35 * 4);
            mien_tensor *other = blocked(MIEN_F32, 24 - b, 4, shape);
            assert_ok(mien__host_copy(other, t));
            check_blocked(other, x);
            mien_tensor *half = blocked(MIEN_F16, b, 4, shape);
            assert_ok(mien__host_copy(half, t));
            assert_true(test_element(half, 37) == test_element(plain, 37));
            mien_tensor_release(half);
            mien_tensor_release(other);
            mien_tensor_release(t);
        }
        mien_tensor_release(plain);
        mien_tensor_release(back);
    }
}

static void a_permuted_view_goes_into_blocks(void **state) {
    mien_tensor *nhwc = test_range(SHAPE(2, 4, 3, 10), 1, 1), *plain;
    mien_tensor *view = test_op(MIEN_OP_permute, nhwc, NULL, ATTR(0, 3, 1, 2, 4, 5));
    mien_tensor *t = blocked(MIEN_F32, 8, view->ndim, view->shape);
    plain = mien__tensor_contiguous(view);
    assert_ok(mien__host_copy(t, view));
    check_blocked(t, mien_tensor_data(plain));
    mien_tensor_release(t);
    mien_tensor_release(plain);
    mien_tensor_release(view);
    mien_tensor_release(nhwc);
}

static void looking_at_elements_makes_a_tensor_plain(void **state) {
    int64_t shape[4] = {2, 20, 3, 3};
    mien_tensor *plain = test_range(4, shape, 0, 1), *t = blocked(MIEN_F32, 16, 4, shape);
    assert_ok(mien_tensor_copy(t, plain));
    mien_tensor *alias = mien__tensor_alias(t);
    const float *x = mien_tensor_data(t);
    assert_int_equal(t->block, 0);
    assert_int_equal(alias->block, 16); /* what others hold keeps its layout */
    assert_memory_equal(x, mien_tensor_data(plain), 2 * 20 * 9 * 4);
    assert_true(test_element(alias, 100) == 100);
    assert_ok(mien_tensor_fill(alias, 3));
    assert_true(test_element(alias, 359) == 3);
    assert_true(((float *)alias->storage->data)[2 * 32 * 9 - 1] == 0);
    mien_tensor *pixel = blocked(MIEN_F32, 8, SHAPE(5, 16, 1, 1));
    assert_ok(mien_tensor_fill(pixel, 2));
    mien_storage *storage = pixel->storage;
    assert_ok(mien__tensor_make_plain(pixel));
    assert_ptr_equal(pixel->storage, storage); /* nothing to move */
    mien_tensor_release(pixel);
    mien_tensor_release(alias);
    mien_tensor_release(plain);
    mien_tensor_release(t);
}

static void writes_are_counted_by_the_storage(void **state) {
    mien_tensor *t = test_range(SHAPE(4), 0, 1), *alias = mien_tensor_detach(t);
    uint64_t before = alias->storage->version;
    mien_tensor_data(t);
    assert_int_equal(alias->storage->version, before);
    assert_ok(mien_tensor_fill(t, 1));
    assert_true(alias->storage->version > before);
    before = alias->storage->version;
    assert_ok(mien_tensor_set(t, (int64_t[]){0}, 5));
    assert_true(alias->storage->version > before);
    mien_tensor_release(alias);
    mien_tensor_release(t);
}

/* ---- summaries ----------------------------------------------------------------------------- */

static void a_summary_counts_what_is_not_finite(void **state) {
    mien_tensor *t = test_range(SHAPE(6), 1, 1);
    float *x = mien_tensor_data(t);
    double out[5];
    bool finite = false;
    assert_ok(mien_tensor_is_finite(t, &finite));
    assert_true(finite);
    x[4] = NAN;
    x[5] = -INFINITY;
    assert_ok(mien_tensor_summary(t, out));
    assert_true(out[0] == 2.5 && fabs(out[1] - sqrt(1.25)) < 1e-15);
    assert_true(out[2] == 1 && out[3] == 4 && out[4] == 2);
    assert_ok(mien_tensor_is_finite(t, &finite));
    assert_false(finite);
    mien_tensor_release(t);
}

static void the_summary_of_a_large_tensor_is_exact_enough(void **state) {
    enum { N = 1000003 };
    mien_tensor *t = test_range(SHAPE(N), 1e6, 0);
    float *x = mien_tensor_data(t);
    for (int i = 0; i < N; i++) x[i] += (float)(i % 2);
    double out[5];
    assert_ok(mien_tensor_summary(t, out));
    assert_true(fabs(out[0] - (1e6 + 0.5)) < 1e-5);
    assert_true(fabs(out[1] - 0.5) < 1e-6);
    mien_tensor_release(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_tensor_is_contiguous_and_knows_its_sizes),
        cmocka_unit_test(scalars_and_empty_tensors_exist),
        cmocka_unit_test(impossible_shapes_are_refused),
        cmocka_unit_test(a_freed_tensor_says_so_and_others_keep_the_elements),
        cmocka_unit_test(nothing_is_left_live_when_handles_are_gone),
        cmocka_unit_test(elements_are_set_and_read_by_index),
        cmocka_unit_test(every_dtype_holds_small_whole_numbers),
        cmocka_unit_test(integers_truncate_and_saturate),
        cmocka_unit_test(halves_round_to_nearest_even),
        cmocka_unit_test(every_half_survives_a_round_trip),
        cmocka_unit_test(a_permuted_copy_moves_elements_for_all_sizes),
        cmocka_unit_test(copies_go_into_views_and_leave_the_rest),
        cmocka_unit_test(overlapping_views_copy_as_if_through_a_third),
        cmocka_unit_test(reshape_is_a_view_when_it_can_be),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused_with_both_shapes),
        cmocka_unit_test(blocked_and_plain_convert_both_ways),
        cmocka_unit_test(a_permuted_view_goes_into_blocks),
        cmocka_unit_test(looking_at_elements_makes_a_tensor_plain),
        cmocka_unit_test(writes_are_counted_by_the_storage),
        cmocka_unit_test(a_summary_counts_what_is_not_finite),
        cmocka_unit_test(the_summary_of_a_large_tensor_is_exact_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
