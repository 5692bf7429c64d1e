/* HDF5 files: what is written comes back, and damage gives a clear error.
 * Not here: corpora (tests/lua/data_corpus_spec.lua), the loader (test_loader.c). */
#include "data_files.h"
#include "data/hdf5_inner.h"
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void rows_that_were_appended_come_back(void **state) {
    const char *path = scratch("rows.h5");
    mien_h5 *file = mien_h5_create(path);
    assert_non_null(file);
    int64_t growing[3] = {0, 4, 3}, rows[3] = {5, 4, 3};
    assert_int_equal(mien_h5_dataset(file, "a/b/rows", MIEN_U8, 3, growing, NULL, 4), MIEN_OK);
    mien_tensor *t = pattern(MIEN_U8, 3, rows, 1);
    assert_int_equal(mien_h5_append(file, "a/b/rows", t), MIEN_OK);
    assert_int_equal(mien_h5_append(file, "a/b/rows", t), MIEN_OK);
    assert_int_equal(access(path, F_OK), -1); /* not before finish */
    assert_int_equal(mien_h5_finish(file), MIEN_OK);
    assert_int_equal(mien_h5_append(file, "a/b/rows", t), MIEN_ERR_IO);
    mien_h5_close(file);

    file = mien_h5_open(path);
    assert_non_null(file);
    mien_dtype dtype;
    int ndim;
    int64_t shape[6];
    assert_int_equal(mien_h5_info(file, "a/b/rows", &dtype, &ndim, shape), MIEN_OK);
    assert_int_equal(dtype, MIEN_U8);
    assert_int_equal(ndim, 3);
    assert_int_equal(shape[0], 10);
    mien_tensor *back = mien_h5_read(file, "a/b/rows", 4, 2);
    const uint8_t *written = mien_tensor_data(t), *read = mien_tensor_data(back);
    assert_memory_equal(read, written + 4 * 12, 12);
    assert_memory_equal(read + 12, written, 12);
    mien_tensor_release(back);
    assert_null(mien_h5_read(file, "a/b/rows", 8, 3));
    assert_message("which has 10");
    assert_int_equal(mien_h5_append(file, "a/b/rows", t), MIEN_ERR_IO);
    assert_message("open for reading");
    mien_h5_close(file);
    mien_tensor_release(t);
}

static void every_dtype_and_scalars_come_back(void **state) {
    const mien_dtype dtypes[] = {MIEN_F32, MIEN_F64, MIEN_U8, MIEN_I32, MIEN_I64};
    const char *path = scratch("types.h5");
    mien_h5 *file = mien_h5_create(path);
    int64_t shape[2] = {3, 5};
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        mien_tensor *t = pattern(dtypes[i], i ? 2 : 0, shape, i + 9);
        assert_int_equal(mien_h5_write(file, name, t), MIEN_OK);
        mien_tensor_release(t);
    }
    mien_tensor *half = pattern(MIEN_BF16, 2, shape, 0);
    assert_int_equal(mien_h5_write(file, "half", half), MIEN_OK); /* widened to f32 */
    mien_tensor_release(half);
    assert_int_equal(mien_h5_finish(file), MIEN_OK);
    mien_h5_close(file);
    file = mien_h5_open(path);
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        mien_tensor *t = mien_h5_read(file, name, 0, -1), *want;
        assert_non_null(t);
        assert_int_equal(mien_tensor_dtype(t), dtypes[i]);
        want = pattern(dtypes[i], i ? 2 : 0, shape, i + 9);
        assert_memory_equal(mien_tensor_data(t), mien_tensor_data(want),
                            (size_t)mien_tensor_count(t) * mien_dtype_size(dtypes[i]));
        mien_tensor_release(t);
        mien_tensor_release(want);
    }
    mien_h5_close(file);
}

static void listings_keep_the_order_of_writing(void **state) {
    const char *path = scratch("order.h5");
    mien_h5 *file = mien_h5_create(path);
    int64_t shape[1] = {2};
    mien_tensor *t = pattern(MIEN_F32, 1, shape, 0);
    const char *names[] = {"w/zeta.weight", "w/alpha.weight", "w/deep/er", "last"};
    for (int i = 0; i < 4; i++) assert_int_equal(mien_h5_write(file, names[i], t), MIEN_OK);
    assert_string_equal(mien_h5_list(file),
                        "w/\nw/zeta.weight\nw/alpha.weight\nw/deep/\nw/deep/er\nlast\n");
    assert_true(mien_h5_has(file, "w/deep/er"));
    assert_false(mien_h5_has(file, "w/nothing/here"));
    assert_null(mien_h5_read(file, "w/alpha", 0, -1));
    assert_message("alpha.weight");
    mien_tensor_release(t);
    mien_h5_close(file);
    assert_int_equal(access(path, F_OK), -1); /* never finished: nothing stays */
    assert_int_equal(access(scratch("order.h5.partial"), F_OK), -1);
}

static void attributes_come_back(void **state) {
    const char *path = scratch("attributes.h5");
    char *long_text = malloc(200001); /* beyond the 64 KiB of HDF5's object headers */
    memset(long_text, 'x', 200000);
    long_text[200000] = 0;
    mien_h5 *file = mien_h5_create(path);
    int64_t shape[1] = {2};
    mien_tensor *t = pattern(MIEN_I32, 1, shape, 0);
    mien_h5_write(file, "recording", t);
    mien_tensor_release(t);
    assert_int_equal(mien_h5_set_text(file, "recording", "names", long_text), MIEN_OK);
    assert_int_equal(mien_h5_set_text(file, "", "name", "first"), MIEN_OK);
    assert_int_equal(mien_h5_set_text(file, "/", "name", "Müller"), MIEN_OK); /* replaces */
    assert_int_equal(mien_h5_set_text(file, "", "empty", ""), MIEN_OK);
    assert_int_equal(mien_h5_set_number(file, "", "fps", 29.97), MIEN_OK);
    assert_int_equal(mien_h5_set_text(file, "nowhere", "a", "b"), MIEN_ERR_FORMAT);
    assert_int_equal(mien_h5_finish(file), MIEN_OK);
    mien_h5_close(file);
    file = mien_h5_open(path);
    assert_string_equal(mien_h5_get_text(file, "recording", "names"), long_text);
    assert_string_equal(mien_h5_get_text(file, "", "name"), "Müller");
    assert_string_equal(mien_h5_get_text(file, "", "empty"), "");
    assert_null(mien_h5_get_text(file, "", "absent"));
    assert_null(mien_h5_get_text(file, "nowhere", "absent"));
    assert_null(mien_h5_get_text(file, "", "fps"));
    double fps = 0;
    assert_true(mien_h5_get_number(file, "", "fps", &fps));
    assert_true(fps == 29.97);
    assert_false(mien_h5_get_number(file, "", "name", &fps));
    assert_string_equal(mien_h5_attributes(file, ""), "empty\nfps\nname\n");
    mien_h5_close(file);
    free(long_text);
}

static void misuse_is_told(void **state) {
    mien_h5 *file = mien_h5_create(scratch("misuse.h5"));
    int64_t growing[2] = {0, 3}, rows[2] = {2, 4}, none[2] = {2, 0};
    assert_int_equal(mien_h5_dataset(file, "x", MIEN_F32, 2, growing, NULL, 0), MIEN_OK);
    assert_int_equal(mien_h5_dataset(file, "x", MIEN_F32, 2, growing, NULL, 0), MIEN_ERR_VENDOR);
    assert_true(mien_error_last()->cause[0] != 0);
    assert_int_equal(mien_h5_dataset(file, "h", MIEN_F16, 2, growing, NULL, 0), MIEN_ERR_DTYPE);
    assert_int_equal(mien_h5_dataset(file, "z", MIEN_F32, 2, none, NULL, 0), MIEN_ERR_SHAPE);
    mien_tensor *t = pattern(MIEN_F32, 2, rows, 0);
    assert_int_equal(mien_h5_append(file, "x", t), MIEN_ERR_SHAPE);
    assert_message("[2,4]");
    assert_int_equal(mien_h5_append(file, "y", t), MIEN_ERR_FORMAT);
    assert_message("no dataset 'y'");
    mien_tensor_release(t);
    mien_h5_close(file);
    assert_null(mien_h5_create(scratch("no/such/folder.h5")));
    assert_message("No such file");
    assert_null(mien_h5_open(scratch("missing.h5")));
    assert_message("No such file");
}

static void sizes_beyond_64_bits_are_refused(void **state) {
    mien_h5 *file = mien_h5_create(scratch("huge.h5"));
    int64_t square[3] = {0, (int64_t)1 << 32, (int64_t)1 << 32};
    int64_t deep[3] = {0, (int64_t)1 << 62, 2};
    assert_int_equal(mien_h5_dataset(file, "x", MIEN_U8, 3, square, NULL, 0), MIEN_ERR_SHAPE);
    assert_message("more than 2^63 bytes");
    assert_int_equal(mien_h5_dataset(file, "x", MIEN_U8, 3, deep, NULL, 0), MIEN_ERR_SHAPE);
    int64_t rows[1] = {4};
    mien_tensor *t = pattern(MIEN_U8, 1, rows, 0);
    assert_int_equal(mien_h5_write(file, "y", t), MIEN_OK);
    mien_tensor_release(t);
    assert_null(mien_h5_read(file, "y", INT64_MAX, 2));
    assert_message("4");
    assert_null(mien_h5_read(file, "y", 2, INT64_MAX));
    assert_message("which has 4");
    mien_h5_close(file);
}

static void rows_that_do_not_fit_the_buffer_are_refused(void **state) {
    mien_h5 *file = mien_h5_create(scratch("fit.h5"));
    int64_t shape[2] = {4, 3};
    mien_tensor *t = pattern(MIEN_F32, 2, shape, 0);
    assert_int_equal(mien_h5_write(file, "x", t), MIEN_OK);
    mien_tensor_release(t);
    float rows[6] = {-1, -1, -1, -1, -1, -1};
    assert_int_equal(mien__h5_read_rows(file, "x", 1, 2, MIEN_F32, rows, 20), MIEN_ERR_FORMAT);
    assert_message("24 bytes");
    assert_true(rows[0] == -1);
    assert_int_equal(mien__h5_read_rows(file, "x", 1, 2, MIEN_F32, rows, 24), MIEN_OK);
    assert_true(rows[0] == 21 && rows[5] == 56);
    mien_h5_close(file);
}

static void a_failed_write_leaves_nothing(void **state) {
    mien_h5 *file = mien_h5_create(scratch("freed.h5"));
    int64_t shape[2] = {4, 3};
    mien_tensor *t = pattern(MIEN_F32, 2, shape, 0);
    mien_tensor_free(t);
    assert_int_equal(mien_h5_write(file, "x", t), MIEN_ERR_MEMORY);
    assert_message("freed");
    assert_false(mien_h5_has(file, "x"));
    mien_tensor_release(t);
    mien_h5_close(file);
}

/* A file of another program: what mien does not write itself. */
static void put_foreign(mien_h5 *file, const char *name, hid_t type, hsize_t n,
                        const void *values) {
    hid_t space = H5Screate_simple(1, &n, NULL);
    hid_t dataset =
        H5Dcreate2(file->file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(dataset >= 0);
    assert_true(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
}

static void whole_numbers_that_no_type_holds_are_an_error(void **state) {
    mien_h5 *file = mien_h5_create(scratch("u64.h5"));
    uint64_t values[2] = {INT64_MAX, (uint64_t)INT64_MAX + 1};
    put_foreign(file, "most", H5T_NATIVE_UINT64, 1, values);
    put_foreign(file, "beyond", H5T_NATIVE_UINT64, 2, values);
    mien_tensor *t = mien_h5_read(file, "most", 0, -1);
    assert_non_null(t);
    assert_true(*(int64_t *)mien_tensor_data(t) == INT64_MAX);
    mien_tensor_release(t);
    assert_null(mien_h5_read(file, "beyond", 0, -1));
    assert_message("a value that i64 does not hold");
    int32_t narrow;
    assert_int_equal(mien__h5_read_rows(file, "most", 0, 1, MIEN_I32, &narrow, 4), MIEN_ERR_FORMAT);
    mien_h5_close(file);
}

static void a_creation_that_fails_leaves_no_partial_file(void **state) {
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit, none;
    getrlimit(RLIMIT_FSIZE, &limit);
    none = limit;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &none);
    mien_h5 *file = mien_h5_create(scratch("nothing.h5"));
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_null(file);
    assert_message("cannot be created");
    assert_int_equal(access(scratch("nothing.h5.partial"), F_OK), -1);
}

static void a_file_that_is_being_written_is_left_alone(void **state) {
    const char *path = scratch("busy.h5");
    mien_h5 *first = mien_h5_create(path);
    int64_t growing[2] = {0, 4}, rows[2] = {40000, 4};
    assert_int_equal(mien_h5_dataset(first, "x", MIEN_I32, 2, growing, NULL, 0), MIEN_OK);
    mien_tensor *t = pattern(MIEN_I32, 2, rows, 3);
    assert_int_equal(mien_h5_append(first, "x", t), MIEN_OK);
    /* The lock is of the open file: a second process sees what this second handle sees. */
    assert_null(mien_h5_create(path));
    assert_message("being written already");
    assert_int_equal(mien_h5_append(first, "x", t), MIEN_OK);
    assert_int_equal(mien_h5_finish(first), MIEN_OK);
    mien_h5_close(first);
    mien_h5 *back = mien_h5_open(path);
    mien_tensor *read = mien_h5_read(back, "x", 0, 40000);
    assert_memory_equal(mien_tensor_data(read), mien_tensor_data(t), 40000 * 4 * 4);
    mien_tensor_release(read);
    mien_tensor_release(t);
    mien_h5_close(back);
    mien_h5_close(mien_h5_create(path)); /* whoever comes later may write it again */
    assert_int_equal(access(path, F_OK), 0);
}

static void damaged_files_are_refused(void **state) {
    const char *path = scratch("cut.h5");
    write_corpus(path, 64, 16, 16, 2, -1);
    assert_int_equal(truncate(path, 20000), 0);
    assert_null(mien_h5_open(path));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_FORMAT);
    assert_message("truncated file");
    path = scratch("text.h5");
    FILE *out = fopen(path, "w");
    fputs("time;arousal;valence\n", out);
    fclose(out);
    assert_null(mien_h5_open(path));
    assert_message("no HDF5 file");
    assert_null(mien_h5_open("/"));
}

static void *open_it(void *path) {
    return mien_h5_open(path);
}

/* A thread-safe HDF5 keeps a stack of errors a thread, and prints it unless told not to in each. */
static void a_worker_thread_prints_no_error_stack(void **state) {
    const char *path = scratch("words.h5"), *said = scratch("stderr.txt");
    FILE *out = fopen(path, "w");
    fputs("no HDF5\n", out);
    fclose(out);
    assert_null(mien_h5_open(path)); /* HDF5 has been started by this thread */
    fflush(stderr);
    int before = dup(STDERR_FILENO);
    assert_non_null(freopen(said, "w", stderr));
    pthread_t thread;
    void *opened = NULL;
    assert_int_equal(pthread_create(&thread, NULL, open_it, (void *)path), 0);
    pthread_join(thread, &opened);
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    assert_null(opened);
    struct stat info;
    assert_int_equal(stat(said, &info), 0);
    assert_int_equal(info.st_size, 0);
}

/* A limit on the size of files fails writes as a full disk does. */
static void a_full_disk_is_an_error_and_leaves_the_old_file(void **state) {
    const char *path = scratch("full.h5");
    write_corpus(path, 16, 16, 16, 2, -1);
    struct stat before, after;
    stat(path, &before);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit, tight;
    getrlimit(RLIMIT_FSIZE, &limit);
    tight = limit;
    tight.rlim_cur = 300000;
    setrlimit(RLIMIT_FSIZE, &tight);
    mien_h5 *file = mien_h5_create(path);
    int64_t growing[2] = {0, 1000}, rows[2] = {100, 1000};
    mien_tensor *t = pattern(MIEN_F32, 2, rows, 0);
    mien_status status = mien_h5_dataset(file, "x", MIEN_F32, 2, growing, NULL, 0);
    for (int i = 0; i < 20 && status == MIEN_OK; i++) status = mien_h5_append(file, "x", t);
    if (status == MIEN_OK) status = mien_h5_finish(file);
    assert_int_equal(status, MIEN_ERR_IO);
    assert_message("disk full");
    mien_h5_close(file);
    setrlimit(RLIMIT_FSIZE, &limit);
    mien_tensor_release(t);
    stat(path, &after);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(access(scratch("full.h5.partial"), F_OK), -1);
    write_corpus(path, 24, 16, 16, 2, -1); /* with room again, the same name works */
    stat(path, &after);
    assert_int_not_equal(before.st_ino, after.st_ino);
}

static void real_files_of_others_open(void **state) {
    const char *folder = real_data("weights_h5");
    if (!folder) skip();
    char command[4200], path[4200];
    snprintf(command, sizeof command, "find '%s' -name '*.h5' -o -name '*.hdf5'", folder);
    FILE *list = popen(command, "r");
    int seen = 0;
    while (fgets(path, sizeof path, list)) {
        path[strcspn(path, "\n")] = 0;
        mien_h5 *file = mien_h5_open(path);
        assert_non_null(file);
        char *names = strdup(mien_h5_list(file)), *rest = names, *name;
        while ((name = strsep(&rest, "\n")) && *name) {
            mien_dtype dtype;
            int ndim;
            int64_t shape[6];
            if (name[strlen(name) - 1] == '/' ||
                mien_h5_info(file, name, &dtype, &ndim, shape) != MIEN_OK)
                continue;
            mien_tensor *t = mien_h5_read(file, name, 0, -1);
            if (!t) assert_message("required filter 'lzf' is not registered");
            seen += t != NULL;
            mien_tensor_release(t);
        }
        free(names);
        mien_h5_close(file);
    }
    pclose(list);
    assert_true(seen >= 80);
}

#if defined(__SANITIZE_ADDRESS__)
/* HDF5 1.10 does not free the chunks that it could not write to the full disk. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libhdf5";
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_were_appended_come_back),
        cmocka_unit_test(every_dtype_and_scalars_come_back),
        cmocka_unit_test(listings_keep_the_order_of_writing),
        cmocka_unit_test(attributes_come_back),
        cmocka_unit_test(misuse_is_told),
        cmocka_unit_test(sizes_beyond_64_bits_are_refused),
        cmocka_unit_test(rows_that_do_not_fit_the_buffer_are_refused),
        cmocka_unit_test(a_failed_write_leaves_nothing),
        cmocka_unit_test(whole_numbers_that_no_type_holds_are_an_error),
        cmocka_unit_test(a_creation_that_fails_leaves_no_partial_file),
        cmocka_unit_test(a_file_that_is_being_written_is_left_alone),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(a_worker_thread_prints_no_error_stack),
        cmocka_unit_test(real_files_of_others_open),
        cmocka_unit_test(a_full_disk_is_an_error_and_leaves_the_old_file),
    };
    return cmocka_run_group_tests_name("hdf5", tests, NULL, scratch_remove);
}
