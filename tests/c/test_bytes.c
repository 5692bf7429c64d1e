/* Files of other programs as bytes: tensors at places of a mapped file, sums, unpacking, zip files.
 * Not here: what the bytes mean (tests/lua/foreign_weights_spec.lua), hostile files (tests/fuzz).
 */
#include "data/bytes.h"
#include "mien_test.h"
#include "store/store.h"
#include <libdeflate.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static void put(const void *bytes, size_t n) {
    snprintf(path, sizeof path, "/tmp/mien-test-bytes-%d", (int)getpid());
    assert_int_equal(mien_file_write(path, bytes, (int64_t)n), MIEN_OK);
}

static void a_tensor_lies_in_the_file_and_outlives_it(void **state) {
    float numbers[7] = {0, 1, 2, 3, 4, 5, 6}, again[7];
    put(numbers, sizeof numbers);
    mien_bytes *b = mien_bytes_open(path);
    assert_non_null(b);
    assert_int_equal(mien_bytes_size(b), 28);
    int64_t shape[2] = {2, 3}, stride[2] = {1, 2}; /* the first index runs fastest */
    mien_tensor *rows = mien_bytes_tensor(b, 4, false, MIEN_F32, 2, shape, NULL);
    mien_tensor *columns = mien_bytes_tensor(b, 4, false, MIEN_F32, 2, shape, stride);
    mien_bytes_close(b);
    const float *at = mien_tensor_data(rows);
    for (int i = 0; i < 6; i++) assert_true(at[i] == (float)(i + 1));
    const float *turned = mien_tensor_data(columns);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 3; k++) assert_true(turned[i * 3 + k] == (float)(1 + i + 2 * k));
    assert_int_equal(mien_tensor_fill(rows, 9), MIEN_OK); /* no file changes */
    b = mien_bytes_open(path);
    assert_int_equal(mien_bytes_read(b, 0, 28, again), MIEN_OK);
    assert_memory_equal(again, numbers, 28);
    mien_bytes_close(b);
    mien_tensor_release(rows);
    mien_tensor_release(columns);
    unlink(path);
}

static void an_odd_place_and_the_other_order_of_bytes_are_copied(void **state) {
    unsigned char raw[9] = {7, 0, 0, 0x80, 0x3f, 0x3f, 0x80, 0, 0};
    put(raw, sizeof raw);
    mien_bytes *b = mien_bytes_open(path);
    int64_t one[1] = {1};
    mien_tensor *little = mien_bytes_tensor(b, 1, false, MIEN_F32, 1, one, NULL);
    mien_tensor *big = mien_bytes_tensor(b, 5, true, MIEN_F32, 1, one, NULL);
    assert_true(*(float *)mien_tensor_data(little) == 1.0f);
    assert_true(*(float *)mien_tensor_data(big) == 1.0f);
    mien_tensor_release(little);
    mien_tensor_release(big);
    mien_bytes_close(b);
    unlink(path);
}

static void what_lies_outside_is_refused_before_memory_is_taken(void **state) {
    put("12345678", 8);
    mien_bytes *b = mien_bytes_open(path);
    int64_t large[2] = {1 << 30, 1 << 30}, three[1] = {3}, zero[1] = {0}, back[1] = {-1};
    mien_memory_stats before, after;
    mien_memory(MIEN_DEVICE_CPU, &before);
    assert_null(mien_bytes_tensor(b, 0, false, MIEN_F32, 2, large, NULL));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_FORMAT);
    assert_null(mien_bytes_tensor(b, 0, false, MIEN_F32, 1, three, NULL));
    assert_null(mien_bytes_tensor(b, 4, false, MIEN_F32, 1, three, back));
    assert_null(mien_bytes_tensor(b, -4, false, MIEN_F32, 1, zero, NULL));
    large[1] = INT64_MAX;
    assert_null(mien_bytes_tensor(b, 0, false, MIEN_F32, 2, large, NULL));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_FORMAT);
    int64_t still[1] = {0}, many[1] = {1 << 20}; /* all elements in one place */
    assert_null(mien_bytes_tensor(b, 0, false, MIEN_U8, 1, many, still));
    assert_null(mien_bytes_unpack(b, 0, 9, MIEN_ZLIB, -1));
    mien_memory(MIEN_DEVICE_CPU, &after);
    assert_int_equal(after.live_bytes, before.live_bytes);
    mien_bytes_close(b);
    assert_null(mien_bytes_open("/tmp"));
    assert_null(mien_bytes_open("/dev/null"));
    assert_null(mien_bytes_open("/tmp/there-is-no-such-file"));
    unlink(path);
}

/* The check values that catalogues of CRCs give for "123456789". */
static void sums_are_the_catalogues(void **state) {
    put("123456789123456789", 18);
    mien_bytes *b = mien_bytes_open(path);
    uint32_t sum;
    assert_int_equal(mien_bytes_crc32c(b, 9, 9, &sum), MIEN_OK);
    assert_int_equal(sum, 0xe3069283);
    assert_int_equal(mien_crc32("123456789", 9), 0xcbf43926);
    mien_bytes_close(b);
    unlink(path);
}

static void bombs_and_other_sizes_are_refused(void **state) {
    size_t n = 300u << 20;
    char *zeros = calloc(1, n), *packed = malloc(1 << 20);
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(9);
    size_t small = libdeflate_zlib_compress(c, zeros, 1000, packed, 1 << 20);
    put(packed, small);
    mien_bytes *b = mien_bytes_open(path),
               *out = mien_bytes_unpack(b, 0, (int64_t)small, MIEN_ZLIB, -1);
    assert_int_equal(mien_bytes_size(out), 1000);
    mien_bytes_close(out);
    assert_null(mien_bytes_unpack(b, 0, (int64_t)small, MIEN_ZLIB, 999));
    assert_null(mien_bytes_unpack(b, 0, (int64_t)small, MIEN_ZLIB, 1001));
    assert_null(mien_bytes_unpack(b, 0, (int64_t)small, MIEN_DEFLATE, 1000));
    mien_bytes_close(b);
    size_t large = libdeflate_zlib_compress(c, zeros, n, packed, 1 << 20);
    assert_true(large > 0);
    put(packed, large);
    b = mien_bytes_open(path);
    assert_null(mien_bytes_unpack(b, 0, (int64_t)large, MIEN_ZLIB, -1));
    assert_null(mien_bytes_unpack(b, 0, (int64_t)large, MIEN_ZLIB, (int64_t)n));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_FORMAT);
    mien_bytes_close(b);
    libdeflate_free_compressor(c);
    free(zeros);
    free(packed);
    unlink(path);
}

/* One stored file "a" with the text "hi", and a comment behind the list. */
static const unsigned char zip[] =
    "PK\3\4\12\0\0\0\0\0\0\0\0\0\xac\x2a\x93\xd8\2\0\0\0\2\0\0\0\1\0\0\0ahi"
    "PK\1\2\12\0\12\0\0\0\0\0\0\0\0\0\xac\x2a\x93\xd8\2\0\0\0\2\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\0\0\0\0a"
    "PK\5\6\0\0\0\0\1\0\1\0\57\0\0\0\41\0\0\0\3\0abc";

static void a_zip_file_says_what_is_in_it(void **state) {
    put(zip, sizeof zip - 1);
    mien_zip *z = mien_zip_open(path);
    assert_non_null(z);
    assert_int_equal(mien_zip_count(z), 1);
    assert_string_equal(mien_zip_name(z, 0), "a");
    assert_int_equal(mien_zip_size(z, 0), 2);
    mien_bytes *a = mien_zip_read(z, 0);
    char text[2];
    assert_int_equal(mien_bytes_read(a, 0, 2, text), MIEN_OK);
    assert_memory_equal(text, "hi", 2);
    mien_bytes_close(a);
    assert_null(mien_zip_read(z, 1));
    mien_zip_close(z);
    unsigned char other[sizeof zip];
    memcpy(other, zip, sizeof zip);
    other[31] = 'H'; /* its CRC-32 is another */
    put(other, sizeof zip - 1);
    z = mien_zip_open(path);
    assert_null(mien_zip_read(z, 0));
    assert_non_null(strstr(mien_error_last()->message, "CRC-32"));
    mien_zip_close(z);
    for (size_t n = 0; n < sizeof zip - 1; n++) { /* cut off anywhere */
        put(zip, n);
        assert_null(mien_zip_open(path));
    }
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tensor_lies_in_the_file_and_outlives_it),
        cmocka_unit_test(an_odd_place_and_the_other_order_of_bytes_are_copied),
        cmocka_unit_test(what_lies_outside_is_refused_before_memory_is_taken),
        cmocka_unit_test(sums_are_the_catalogues),
        cmocka_unit_test(bombs_and_other_sizes_are_refused),
        cmocka_unit_test(a_zip_file_says_what_is_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
