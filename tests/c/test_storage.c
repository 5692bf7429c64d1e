/* The pool: reuse, accounting, bounds on waste, threads, refusal of the impossible.
 * Not here: shapes (test_tensor.c). */
#include "mien_test.h"

#include <pthread.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static mien_memory_stats stats(void) {
    mien_memory_stats s;
    mien_memory(MIEN_DEVICE_CPU, &s);
    return s;
}

static int start_afresh(void **state) {
    mien_memory_trim(MIEN_DEVICE_CPU);
    mien_memory_reset_peak(MIEN_DEVICE_CPU);
    return 0;
}

static void bytes_are_live_then_pooled_then_live_again(void **state) {
    mien_memory_stats before = stats();
    mien_storage *s = mien__storage_new(MIEN_DEVICE_CPU, 3 * MIB);
    assert_int_equal(stats().live_bytes, before.live_bytes + (int64_t)(3 * MIB));
    assert_int_equal(stats().live_storages, before.live_storages + 1);
    assert_int_equal(stats().pooled_bytes, 0);
    mien__storage_release(s);
    assert_int_equal(stats().live_bytes, before.live_bytes);
    assert_int_equal(stats().pooled_bytes, 3 * MIB);
    assert_int_equal(stats().peak_bytes, before.live_bytes + (int64_t)(3 * MIB));
    mien_memory_reset_peak(MIEN_DEVICE_CPU);
    assert_int_equal(stats().peak_bytes, before.live_bytes);
    mien_memory_trim(MIEN_DEVICE_CPU);
    assert_int_equal(stats().pooled_bytes, 0);
}

static void the_same_request_meets_the_same_bytes(void **state) {
    static const size_t sizes[] = {1, 64, 100, 4096, 70000, MIB, MIB + 1, 5 * MIB, 40 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        mien_storage *s = mien__storage_new(MIEN_DEVICE_CPU, sizes[i]);
        void *data = s->data;
        assert_int_equal((uintptr_t)data % 64, 0);
        memset(data, 1, sizes[i]);
        mien__storage_release(s);
        s = mien__storage_new(MIEN_DEVICE_CPU, sizes[i]);
        assert_ptr_equal(s->data, data);
        mien__storage_release(s);
    }
}

static void a_step_that_repeats_maps_nothing_new(void **state) {
    mien_storage *held[40];
    void *first[40];
    int64_t pooled = 0;
    for (int step = 0; step < 3; step++) {
        for (size_t i = 0; i < 40; i++) {
            held[i] = mien__storage_new(MIEN_DEVICE_CPU, (i * i * 37 + 1) * 1024);
            if (step == 1) first[i] = held[i]->data;
            if (step == 2) assert_ptr_equal(held[i]->data, first[i]);
        }
        for (size_t i = 40; i-- > 0;) mien__storage_release(held[i]);
        if (step == 0) pooled = stats().pooled_bytes;
        assert_int_equal(stats().pooled_bytes, pooled);
    }
}

static void a_block_is_never_more_than_an_eighth_too_large(void **state) {
    for (size_t bytes = 513; bytes < 64 * MIB; bytes = bytes * 17 / 16 + 1) {
        mien_storage *s = mien__storage_new(MIEN_DEVICE_CPU, bytes);
        assert_true(s->capacity >= bytes);
        assert_true(s->capacity <= bytes + bytes / 8 + 65536 * (bytes > MIB));
        mien__storage_release(s);
    }
}

static void large_blocks_are_cut_and_joined_again(void **state) {
    mien_storage *piece[4];
    for (int i = 0; i < 4; i++) piece[i] = mien__storage_new(MIEN_DEVICE_CPU, 5 * MIB);
    char *first = piece[0]->data;
    for (int i = 0; i < 4; i++) assert_ptr_equal(piece[i]->data, first + i * 5 * MIB);
    static const int order[] = {1, 3, 2}; /* joins nothing, nothing, both neighbours */
    for (int i = 0; i < 3; i++) mien__storage_release(piece[order[i]]);
    assert_int_equal(stats().pooled_bytes, 15 * MIB);
    mien_storage *whole = mien__storage_new(MIEN_DEVICE_CPU, 15 * MIB);
    assert_ptr_equal(whole->data, first + 5 * MIB);
    assert_int_equal(stats().pooled_bytes, 0);
    mien__storage_release(piece[0]);
    mien__storage_release(whole);
    mien_storage *longer = mien__storage_new(MIEN_DEVICE_CPU, 24 * MIB); /* 4 of them are new */
    assert_ptr_equal(longer->data, first);
    assert_int_equal(stats().pooled_bytes, 0);
    mien__storage_release(longer);
    assert_int_equal(stats().pooled_bytes, 24 * MIB);
}

static void changing_sizes_meet_the_same_pages(void **state) {
    size_t sizes[] = {300 * MIB, 200 * MIB, 140 * MIB, 90 * MIB, 250 * MIB, 170 * MIB, 110 * MIB};
    for (int i = 0; i < 7; i++) /* untouched pages cost nothing */
        mien__storage_release(mien__storage_new(MIEN_DEVICE_CPU, sizes[i]));
    assert_int_equal(stats().pooled_bytes, 300 * MIB);
}

static void what_cannot_be_had_is_an_error_that_says_how_much(void **state) {
    mien__storage_release(mien__storage_new(MIEN_DEVICE_CPU, 4 * MIB));
    assert_null(mien__storage_new(MIEN_DEVICE_CPU, (size_t)1 << 50));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_MEMORY);
    assert_non_null(strstr(mien_error_last()->message, "1073741824.0 MiB"));
    assert_int_equal(stats().pooled_bytes, 0); /* given back in the hope that it helps */
    int64_t huge[2] = {INT64_MAX / 2, 16};
    assert_null(mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 2, huge));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_MEMORY);
}

#ifndef MIEN_DEBUG /* which writes to every byte of a new block */
static void more_than_the_machine_has_is_an_error_not_a_kill(void **state) {
    size_t half = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) / 2;
    mien_storage *first = mien__storage_new(MIEN_DEVICE_CPU, half - MIB);
    assert_null(mien__storage_new(MIEN_DEVICE_CPU, half + MIB));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_MEMORY);
    mien__storage_release(first);
    first = mien__storage_new(MIEN_DEVICE_CPU, 5 * MIB); /* all is as before */
    assert_non_null(first);
    mien__storage_release(first);
}
#endif

static int releases;
static void count_release(void *packed) {
    assert_ptr_equal(packed, &releases);
    releases++;
}

static void packed_copies_go_with_the_storage_or_when_told(void **state) {
    mien_storage *s = mien__storage_new(MIEN_DEVICE_CPU, 64);
    s->packed = &releases;
    s->packed_release = count_release;
    mien__storage_retain(s);
    mien__storage_release(s);
    assert_int_equal(releases, 0);
    mien__storage_drop_packed(s);
    mien__storage_drop_packed(s);
    assert_int_equal(releases, 1);
    s->packed = &releases;
    mien__storage_release(s);
    assert_int_equal(releases, 2);
}

static void *churn(void *arg) {
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < 3000; i++) {
        seed = seed * 1664525u + 1013904223u;
        size_t bytes = (seed >> 8) % (i % 10 ? 20000 : 3000000) + 1;
        mien_storage *s = mien__storage_new(MIEN_DEVICE_CPU, bytes);
        memset(s->data, (int)seed, bytes < 5000 ? bytes : 5000);
        unsigned char wanted = (unsigned char)seed;
        for (size_t k = 0; k < bytes && k < 5000; k += 97)
            if (((unsigned char *)s->data)[k] != wanted) return "shared";
        mien__storage_release(s);
    }
    return NULL;
}

static void threads_never_share_a_block(void **state) {
    int64_t live = stats().live_bytes;
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_int_equal(stats().live_bytes, live);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(changing_sizes_meet_the_same_pages, start_afresh),
        cmocka_unit_test_setup(bytes_are_live_then_pooled_then_live_again, start_afresh),
        cmocka_unit_test_setup(the_same_request_meets_the_same_bytes, start_afresh),
        cmocka_unit_test_setup(a_step_that_repeats_maps_nothing_new, start_afresh),
        cmocka_unit_test_setup(a_block_is_never_more_than_an_eighth_too_large, start_afresh),
        cmocka_unit_test_setup(large_blocks_are_cut_and_joined_again, start_afresh),
        cmocka_unit_test_setup(what_cannot_be_had_is_an_error_that_says_how_much, start_afresh),
#ifndef MIEN_DEBUG
        cmocka_unit_test_setup(more_than_the_machine_has_is_an_error_not_a_kill, start_afresh),
#endif
        cmocka_unit_test_setup(packed_copies_go_with_the_storage_or_when_told, start_afresh),
        cmocka_unit_test_setup(threads_never_share_a_block, start_afresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
