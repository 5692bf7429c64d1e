/* What the C tests share: small tensors from literals, ops by name, comparisons with messages.
 * Not here: any test. */
#ifndef MIEN_TEST_H
#define MIEN_TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "backend/backend.h"
#include "base/profile.h"
#include "base/threads.h"
#include "run/run.h"

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        if ((call) != MIEN_OK) fail_msg("%s: %s", #call, mien_error_last()->message);              \
    } while (0)
#define assert_error(call, wanted, part)                                                           \
    do {                                                                                           \
        assert_int_equal((call), (wanted));                                                        \
        if (!strstr(mien_error_last()->message, (part)))                                           \
            fail_msg("\"%s\" does not say \"%s\"", mien_error_last()->message, (part));            \
    } while (0)
#define SHAPE(...)                                                                                 \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) {                       \
        __VA_ARGS__                                                                                \
    }

static inline mien_tensor *test_tensor(mien_dtype dtype, int ndim, const int64_t *shape) {
    mien_tensor *t = mien_tensor_new(dtype, MIEN_DEVICE_CPU, ndim, shape);
    assert_non_null(t);
    return t;
}

/* f32 with elements first, first + step, ... */
static inline mien_tensor *test_range(int ndim, const int64_t *shape, double first, double step) {
    mien_tensor *t = test_tensor(MIEN_F32, ndim, shape);
    float *data = mien_tensor_data(t);
    for (int64_t i = 0; i < mien_tensor_count(t); i++) data[i] = (float)(first + step * (double)i);
    return t;
}

static inline mien_tensor *test_parameter(int ndim, const int64_t *shape, double first,
                                          double step) {
    mien_tensor *t = test_range(ndim, shape, first, step);
    assert_ok(mien_tensor_set_requires_grad(t, true));
    return t;
}

static inline double test_element(mien_tensor *t, int64_t i) {
    int64_t n = mien_tensor_count(t);
    double *values = malloc((size_t)n * sizeof *values);
    assert_ok(mien_tensor_read(t, values, n));
    double value = values[i];
    free(values);
    return value;
}

static inline void test_equal(mien_tensor *t, int64_t n, const double *wanted, double tolerance) {
    assert_int_equal(mien_tensor_count(t), n);
    double *values = malloc((size_t)n * sizeof *values);
    assert_ok(mien_tensor_read(t, values, n));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(values[i] - wanted[i]) <= tolerance))
            fail_msg("element %lld is %.9g, wanted %.9g", (long long)i, values[i], wanted[i]);
    free(values);
}
#define assert_elements(t, tolerance, ...)                                                         \
    test_equal(t, (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)),                     \
               (double[]){__VA_ARGS__}, tolerance)

/* Runs an op with one visible output; attributes after the op's number of them. */
static inline mien_tensor *test_op(mien_op op, mien_tensor *a, mien_tensor *b, int n_attr,
                                   const double *attr) {
    mien_tensor *in[2] = {a, b}, *out = NULL;
    assert_ok(mien_op_run(op, in, b ? 2 : 1, attr, n_attr, &out, 1));
    return out;
}
#define ATTR(...)                                                                                  \
    (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (double[]) {                          \
        __VA_ARGS__                                                                                \
    }

static inline mien_tensor *test_sum(mien_tensor *t) {
    return test_op(MIEN_OP_sum, t, NULL, ATTR(-1, 0));
}

static inline int64_t test_live_bytes(void) {
    mien_memory_stats stats;
    mien_memory(MIEN_DEVICE_CPU, &stats);
    return stats.live_bytes;
}
#endif
