/* Small helpers for tests of data files: places, tensors with a pattern, a corpus by hand.
 * Not here: assertions about any of them. */
#ifndef DATA_FILES_H
#define DATA_FILES_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "data/hdf5.h"

/* A path in a folder of this process; the folder is made once and removed by scratch_remove. */
static char scratch_folder[64];
static const char *scratch(const char *name) {
    static char path[4][256];
    static int turn;
    if (!scratch_folder[0]) {
        snprintf(scratch_folder, sizeof scratch_folder, "/tmp/mien_data_XXXXXX");
        if (!mkdtemp(scratch_folder)) abort();
    }
    char *result = path[turn++ % 4];
    snprintf(result, sizeof path[0], "%s/%s", scratch_folder, name);
    return result;
}

static inline int scratch_remove(void **state) {
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch_folder);
    return scratch_folder[0] ? system(command) : 0;
}

/* Real data for tests, or NULL: below MIEN_TEST_DATA, else beside the project, in whose folder
 * tests run. */
static inline const char *real_data(const char *name) {
    static char path[4096];
    const char *root = getenv("MIEN_TEST_DATA");
    snprintf(path, sizeof path, "%s/%s", root ? root : "../shared/data", name);
    return access(path, R_OK) == 0 ? path : NULL;
}

/* Element i is (i * 7 + seed) modulo 251. */
static inline mien_tensor *pattern(mien_dtype dtype, int ndim, const int64_t *shape, int seed) {
    mien_tensor *t = mien_tensor_new(dtype, MIEN_DEVICE_CPU, ndim, shape);
    int64_t n = mien_tensor_count(t);
    double *values = malloc(sizeof(double) * (size_t)n);
    for (int64_t i = 0; i < n; i++) values[i] = (double)((i * 7 + seed) % 251);
    mien_tensor_write(t, values, n);
    free(values);
    return t;
}

/* An attribute, or NULL. */
static inline const char *text_of(mien_h5 *file, const char *object, const char *key) {
    const char *text;
    assert_int_equal(mien_h5_get_text(file, object, key, &text), MIEN_OK);
    return text;
}

static inline bool number_of(mien_h5 *file, const char *object, const char *key, double *value) {
    bool found;
    assert_int_equal(mien_h5_get_number(file, object, key, value, &found), MIEN_OK);
    return found;
}

/* A corpus of n frames with K continuous labels (or classes, K = 0) in [-1, 1]. */
static inline void write_corpus(const char *path, int64_t n, int64_t height, int64_t width,
                                int64_t outputs, int64_t bad_frame) {
    mien_h5 *file = mien_h5_create(path);
    int64_t frames[4] = {0, height, width, 3}, chunk[4] = {8, height, width, 3};
    assert_int_equal(mien_h5_dataset(file, "frames", MIEN_U8, 4, frames, chunk, 0), MIEN_OK);
    frames[0] = n;
    mien_tensor *t = pattern(MIEN_U8, 4, frames, 3);
    assert_int_equal(mien_h5_append(file, "frames", t), MIEN_OK);
    mien_tensor_release(t);
    int64_t labels[2] = {n, outputs};
    t = mien_tensor_new(outputs ? MIEN_F32 : MIEN_I32, MIEN_DEVICE_CPU, outputs ? 2 : 1, labels);
    int64_t count = mien_tensor_count(t);
    double *values = malloc(sizeof(double) * (size_t)count);
    for (int64_t i = 0; i < count; i++)
        values[i] = outputs ? (double)(i % 100) / 100 : (double)(i % 3);
    if (bad_frame >= 0) values[bad_frame * (outputs ? outputs : 1)] = outputs ? 0.0 / 0.0 : 3;
    mien_tensor_write(t, values, count);
    free(values);
    assert_int_equal(mien_h5_write(file, "labels", t), MIEN_OK);
    mien_tensor_release(t);
    mien_h5_set_text(file, "", "label_kind", outputs ? "continuous" : "class");
    mien_h5_set_text(file, "", "label_names", outputs ? "arousal\nvalence" : "a\nb\nc");
    assert_int_equal(mien_h5_finish(file), MIEN_OK);
    mien_h5_close(file);
}

static inline void assert_message(const char *part) {
    const mien_error *error = mien_error_last();
    if (!strstr(error->message, part) && !strstr(error->cause, part))
        fail_msg("\"%s\" is not in \"%s\" (cause \"%s\")", part, error->message, error->cause);
}
#endif
