/* HDF5 files: what is written comes back, and damage gives a clear error.
 * Not here: corpora (tests/lua/data_corpus_spec.lua), the loader (test_loader.c). */
#define _GNU_SOURCE /* memmem */
#include "data_files.h"
#include "data/hdf5_inner.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
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
    assert_string_equal(text_of(file, "recording", "names"), long_text);
    assert_string_equal(text_of(file, "", "name"), "Müller");
    assert_string_equal(text_of(file, "", "empty"), "");
    assert_null(text_of(file, "", "absent"));
    assert_null(text_of(file, "nowhere", "absent"));
    assert_null(text_of(file, "", "fps"));
    double fps = 0;
    assert_true(number_of(file, "", "fps", &fps));
    assert_true(fps == 29.97);
    assert_false(number_of(file, "", "name", &fps));
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

static void the_first_line_says_why_a_file_is_not_opened(void **state) {
    const char *path = scratch("held.h5");
    write_corpus(path, 16, 16, 16, 2, -1);
    hid_t held = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT); /* HDF5 is started */
    assert_true(held >= 0 && H5Fclose(held) >= 0);
    int fd = open(path, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0); /* as whoever writes it holds it */
    assert_null(mien_h5_open(path));
    assert_non_null(strstr(mien_error_last()->message, "open for writing in another program"));
    close(fd);
    mien_h5 *file = mien_h5_open(path);
    assert_non_null(file);
    mien_h5_close(file);
    path = scratch("empty.h5");
    close(open(path, O_CREAT | O_RDWR, 0600));
    assert_null(mien_h5_open(path));
    assert_non_null(strstr(mien_error_last()->message, "an empty file"));
    assert_null(mien_h5_open("/dev/zero"));
    assert_non_null(strstr(mien_error_last()->message, "a device or a pipe"));
    path = scratch("fifo.h5");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(mien_h5_open(path));
    assert_non_null(strstr(mien_error_last()->message, "a device or a pipe"));
    assert_null(mien_h5_open("/"));
    assert_non_null(strstr(mien_error_last()->message, "a folder"));
}

/* As other programs and older versions write: metadata without checksums. */
static hid_t create_foreign(const char *path) {
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

static void put_variable_text(hid_t file, const char *key, const char *text) {
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, H5T_VARIABLE);
    hid_t attribute = H5Acreate2(file, key, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attribute, type, &text) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static void put_numbers(hid_t file, const char *name, hid_t type, hid_t dcpl) {
    const int32_t values[64] = {7};
    hsize_t n = 64;
    hid_t space = H5Screate_simple(1, &n, NULL);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    assert_true(dataset >= 0);
    if (dcpl == H5P_DEFAULT) H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    H5Dclose(dataset);
    H5Sclose(space);
}

static void files_made_of_other_files_are_refused(void **state) {
    const char *path = scratch("outside.h5");
    hsize_t n = 64, chunk = 16;
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE), file = create_foreign(path);
    H5Pset_external(dcpl, "/etc/passwd", 0, 256);
    put_numbers(file, "frames", H5T_NATIVE_INT32, dcpl);
    H5Fclose(file);
    H5Pclose(dcpl);
    assert_null(mien_h5_open(path));
    assert_message("'/frames' lies in another file (external storage)");

    file = create_foreign(path);
    hid_t group = H5Gcreate2(file, "deep", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("other.h5", "/labels", group, "labels", H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(group);
    H5Fclose(file);
    assert_null(mien_h5_open(path));
    assert_message("'/deep/labels' is a link to another file");

    file = create_foreign(path);
    dcpl = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(1, &n, NULL);
    H5Pset_virtual(dcpl, space, "other.h5", "labels", space);
    H5Sclose(space);
    put_numbers(file, "labels", H5T_NATIVE_INT32, dcpl);
    H5Fclose(file);
    H5Pclose(dcpl);
    assert_null(mien_h5_open(path));
    assert_message("'/labels' is put together out of other files (virtual)");

    file = create_foreign(path);
    dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(dcpl, 1, &chunk);
    H5Pset_nbit(dcpl);
    put_numbers(file, "labels", H5T_NATIVE_INT32, dcpl);
    H5Fclose(file);
    H5Pclose(dcpl);
    assert_null(mien_h5_open(path));
    assert_message("filter nbit");

    file = create_foreign(path); /* links within the file are followed, also in a circle */
    put_numbers(file, "labels", H5T_NATIVE_INT32, H5P_DEFAULT);
    group = H5Gcreate2(file, "deep", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/labels", group, "same", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/nothing", group, "dangling", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "/", group, "up", H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(group);
    H5Fclose(file);
    mien_h5 *opened = mien_h5_open(path);
    assert_non_null(opened);
    mien_tensor *t = mien_h5_read(opened, "deep/same", 0, -1);
    assert_non_null(t);
    assert_int_equal(*(int32_t *)mien_tensor_data(t), 7);
    mien_tensor_release(t);
    mien_h5_close(opened);
}

/* A flipped bit in a file without checksums may end the library that reads it, but not this
 * process. */
static void damage_in_files_of_others_ends_no_process(void **state) {
    const char *path = scratch("foreign.h5");
    hid_t file = create_foreign(path);
    char key[16], text[40];
    for (int i = 0; i < 12; i++) {
        snprintf(key, sizeof key, "key%d", i);
        snprintf(text, sizeof text, "text number %d in the heap", i);
        put_variable_text(file, key, text);
        put_numbers(file, key, H5T_NATIVE_INT32, H5P_DEFAULT);
    }
    H5Fclose(file);
    FILE *in = fopen(path, "rb");
    static unsigned char good[1 << 16], bad[1 << 16];
    const size_t n = fread(good, 1, sizeof good, in);
    fclose(in);
    assert_true(n > 4000 && n < sizeof good);
    int refused = 0;
    uint64_t draw = 17;
    for (int i = 0; i < 150; i++) {
        draw = draw * 6364136223846793005u + 1442695040888963407u;
        const size_t at = (draw >> 20) % n;
        memcpy(bad, good, n);
        bad[at] ^= (unsigned char)(1u << (draw >> 60 & 7));
        FILE *out = fopen(path, "wb");
        fwrite(bad, 1, n, out);
        fclose(out);
        mien_h5 *h = mien_h5_open(path);
        if (!h) {
            assert_int_equal(mien_error_last()->code, MIEN_ERR_FORMAT);
            refused++;
            continue;
        }
        for (int k = 0; k < 12; k++) {
            const char *words;
            snprintf(key, sizeof key, "key%d", k);
            mien_h5_get_text(h, "", key, &words);
            mien_tensor_release(mien_h5_read(h, key, 0, -1));
        }
        assert_null(mien_h5_read(h, "not there", 0, -1));
        assert_non_null(mien_h5_list(h));
        assert_non_null(mien_h5_attributes(h, ""));
        mien_h5_close(h);
    }
    assert_true(refused > 0);
}

static void damage_in_what_was_written_is_told(void **state) {
    const char *path = scratch("sums.h5");
    mien_h5 *file = mien_h5_create(path);
    char *names = malloc(200001);
    for (int i = 0; i < 200000; i++) names[i] = (char)('a' + i % 23);
    names[200000] = 0;
    int64_t shape[2] = {300, 1000};
    mien_tensor *t = pattern(MIEN_F32, 2, shape, 0);
    assert_int_equal(mien_h5_write(file, "labels", t), MIEN_OK);
    assert_int_equal(mien_h5_set_text(file, "labels", "names", names), MIEN_OK);
    assert_int_equal(mien_h5_finish(file), MIEN_OK);
    mien_h5_close(file);
    FILE *in = fopen(path, "r+b");
    unsigned char *bytes = malloc(2000000);
    const size_t n = fread(bytes, 1, 2000000, in);
    const unsigned char *data = memmem(bytes, n, mien_tensor_data(t), 4000);
    const unsigned char *text = memmem(bytes, n, names, 4000);
    assert_non_null(data);
    assert_non_null(text);
    fseek(in, data - bytes + 1001, SEEK_SET);
    fputc(data[1001] ^ 4, in);
    fseek(in, text - bytes + 1001, SEEK_SET);
    fputc(text[1001] ^ 4, in);
    fclose(in);
    file = mien_h5_open(path);
    assert_non_null(file);
    assert_null(mien_h5_read(file, "labels", 0, -1));
    assert_message("is it damaged");
    assert_non_null(strstr(mien_error_last()->cause, "checksum"));
    const char *words;
    assert_int_equal(mien_h5_get_text(file, "labels", "names", &words), MIEN_ERR_FORMAT);
    assert_message("its sha256 is another");
    mien_h5_close(file);
    free(bytes);
    free(names);
    mien_tensor_release(t);
}

/* Our sum is HDF5's: else rows would come from HDF5, as well and much later. */
static void plain_chunks_are_read_past_the_filters(void **state) {
    const char *path = scratch("plain.h5");
    const int64_t rows[] = {1, 2, 3, 15, 16, 17, 2047, 2049, 70001};
    static uint8_t back[70001 * 3];
    for (int i = 0; i < 9; i++)
        for (int kind = 0; kind < 3; kind++) {
            int64_t shape[2] = {rows[i], 3}, growing[2] = {0, 3}, chunk[2] = {rows[i], 3};
            mien_h5 *file = mien_h5_create(path);
            mien_tensor *t = pattern(MIEN_U8, 2, shape, i);
            if (kind < 2) assert_int_equal(mien_tensor_fill(t, kind ? 255 : 0), MIEN_OK);
            assert_int_equal(mien_h5_dataset(file, "x", MIEN_U8, 2, growing, chunk, 0), MIEN_OK);
            assert_int_equal(mien_h5_append(file, "x", t), MIEN_OK);
            assert_int_equal(mien_h5_append(file, "x", t), MIEN_OK);
            assert_int_equal(mien_h5_finish(file), MIEN_OK);
            mien_h5_close(file);
            file = mien_h5_open(path);
            hid_t dataset = H5Dopen2(file->file, "x", H5P_DEFAULT);
            int64_t first = rows[i] / 2;
            assert_true(
                mien__h5_read_plain(dataset, H5T_NATIVE_UINT8, 2, shape, first, rows[i], back));
            const uint8_t *wanted = mien_tensor_data(t);
            assert_memory_equal(back, wanted + 3 * first, (size_t)(3 * (rows[i] - first)));
            assert_memory_equal(back + 3 * (rows[i] - first), wanted, (size_t)(3 * first));
            assert_false(mien__h5_read_plain(dataset, H5T_NATIVE_INT8, 2, shape, 0, rows[i], back));
            H5Dclose(dataset);
            mien_h5_close(file);
            mien_tensor_release(t);
        }
}

static void the_same_contents_are_the_same_bytes(void **state) {
    static unsigned char bytes[2][1 << 20];
    size_t n[2];
    for (int i = 0; i < 2; i++) {
        if (i) sleep(1); /* HDF5 would keep the second */
        const char *path = scratch("same.h5");
        write_corpus(path, 16, 16, 16, 2, -1);
        FILE *in = fopen(path, "rb");
        n[i] = fread(bytes[i], 1, sizeof bytes[i], in);
        fclose(in);
    }
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(bytes[0], bytes[1], n[0]);
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
        cmocka_unit_test(the_first_line_says_why_a_file_is_not_opened),
        cmocka_unit_test(files_made_of_other_files_are_refused),
        cmocka_unit_test(damage_in_files_of_others_ends_no_process),
        cmocka_unit_test(damage_in_what_was_written_is_told),
        cmocka_unit_test(plain_chunks_are_read_past_the_filters),
        cmocka_unit_test(the_same_contents_are_the_same_bytes),
        cmocka_unit_test(a_worker_thread_prints_no_error_stack),
        cmocka_unit_test(real_files_of_others_open),
        cmocka_unit_test(a_full_disk_is_an_error_and_leaves_the_old_file),
    };
    return cmocka_run_group_tests_name("hdf5", tests, NULL, scratch_remove);
}
