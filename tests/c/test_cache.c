/* The bounded table of base/cache.h against a plain list, and the hash behind it.
 * Not here: what the backends keep in one (test_cpu.c, test_cuda_plans.c). */
#include "base/cache.h"
#include "base/hash.h"
#include "mien_test.h"

enum { MOST = 16, KEYS = 40, TURNS = 20000 };

typedef struct key {
    int32_t number, other;
} key;

static int dropped[KEYS];

static void note_drop(void *value) {
    dropped[*(int *)value]++;
}

static void the_hash_is_fnv_1a(void **state) {
    assert_true(mien__hash(MIEN_HASH_START, "", 0) == 0xcbf29ce484222325u);
    assert_true(mien__hash(MIEN_HASH_START, "a", 1) == 0xaf63dc4c8601ec8cu);
    assert_true(mien__hash(MIEN_HASH_START, "foobar", 6) == 0x85944171f73967e8u);
    uint64_t first = mien__hash(MIEN_HASH_START, "foo", 3);
    assert_true(mien__hash(first, "bar", 3) == 0x85944171f73967e8u);
}

/* Adds, looks up and shrinks in a random order; a list says what has to be there. */
static void it_holds_what_a_list_holds(void **state) {
    mien__cache c = {
        .key_bytes = sizeof(key), .value_bytes = sizeof(int), .most = MOST, .drop = note_drop};
    uint64_t last[KEYS] = {0}, uses = 0; /* 0: not there */
    int gone[KEYS] = {0};
    uint32_t random = 7;
    memset(dropped, 0, sizeof dropped);
    for (int turn = 0; turn < TURNS; turn++) {
        random = random * 1664525u + 1013904223u;
        int i = (int)(random >> 8) % KEYS, keep = (int)(random >> 20) % MOST, there = 0;
        key k = {i, i * i};
        int *value = mien__cache_find(&c, &k);
        assert_true((value != NULL) == (last[i] > 0));
        if (value) assert_int_equal(*value, i);
        for (int j = 0; j < KEYS; j++) there += last[j] > 0;
        assert_int_equal(c.count, there);
        if (!value && there == MOST) {
            assert_null(mien__cache_add(&c, &k)); /* full */
            mien__cache_shrink(&c, keep);
            for (; there > keep; there--) {
                int oldest = -1;
                for (int j = 0; j < KEYS; j++)
                    if (last[j] && (oldest < 0 || last[j] < last[oldest])) oldest = j;
                last[oldest] = 0;
                gone[oldest]++;
            }
            assert_memory_equal(dropped, gone, sizeof gone);
        }
        if (!value) {
            value = mien__cache_add(&c, &k);
            assert_non_null(value);
            assert_int_equal(*value, 0);
            *value = i;
        }
        last[i] = ++uses;
    }
    mien__cache_shrink(&c, 0);
    assert_int_equal(c.count, 0);
    for (int i = 0; i < KEYS; i++) assert_null(mien__cache_find(&c, &(key){i, i * i}));
    free(c.table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_fnv_1a),
        cmocka_unit_test(it_holds_what_a_list_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
