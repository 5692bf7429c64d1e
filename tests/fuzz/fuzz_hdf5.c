/* All that mien does in C with an HDF5 corpus, weight file or checkpoint of bytes that somebody
 * made up.
 * `--seeds FOLDER` fills a folder with files to begin with.
 * Not here: what Lua makes of them (tests/fuzz/flips.lua). */
#include "data/hdf5_inner.h"
#include "data/loader.h"
#include "fuzz_file.h"
#include <string.h>

/* ---- seeds ----------------------------------------------------------------------------------- */

static void check(bool good) {
    if (!good) abort();
}

static void put(hid_t place, const char *name, hid_t type, int ndim, const hsize_t *shape,
                bool packed) {
    static const double zeros[4096];
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(ndim, shape, shape);
    hsize_t chunk[4] = {4, shape[1], shape[2], shape[3]};
    if (packed) {
        H5Pset_chunk(dcpl, ndim, chunk);
        H5Pset_shuffle(dcpl);
        H5Pset_deflate(dcpl, 6);
    }
    hid_t set = H5Dcreate2(place, name, type, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    check(set >= 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, zeros) >= 0);
    H5Dclose(set);
    H5Sclose(space);
    H5Pclose(dcpl);
}

static void say(hid_t place, const char *key, const char *text, bool variable) {
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, variable ? H5T_VARIABLE : strlen(text));
    hid_t attribute = H5Acreate2(place, key, type, space, H5P_DEFAULT, H5P_DEFAULT);
    check(H5Awrite(attribute, type, variable ? (const void *)&text : text) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

/* A corpus of 12 frames with weights beside it: what other programs and older versions write. */
static void write_foreign(const char *path, bool newest, bool packed, bool variable) {
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    if (newest) H5Pset_libver_bounds(fapl, H5F_LIBVER_V110, H5F_LIBVER_V110);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, fapl);
    check(file >= 0);
    hsize_t frames[4] = {12, 4, 4, 3}, labels[4] = {12, 2}, column[4] = {12};
    put(file, "frames", H5T_NATIVE_UINT8, 4, frames, packed);
    put(file, "labels", H5T_NATIVE_FLOAT, 2, labels, packed);
    put(file, "recording", H5T_NATIVE_INT64, 1, column, packed);
    put(file, "time", H5T_IEEE_F64BE, 1, column, packed);
    say(file, "mien_format", "corpus", variable);
    say(file, "label_kind", "continuous", variable);
    say(file, "label_names", "arousal\nvalence", variable);
    hid_t weights = H5Gcreate2(file, "weights", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put(weights, "0.weight", H5T_NATIVE_DOUBLE, 2, labels, packed);
    say(weights, "order", "0.weight", variable);
    H5Lcreate_soft("/labels", weights, "same", H5P_DEFAULT, H5P_DEFAULT);
    for (int i = 0; i < 10 && packed; i++) { /* a dense group */
        char name[8];
        snprintf(name, sizeof name, "n%d", i);
        put(weights, name, H5T_NATIVE_INT16, 1, column, false);
        say(weights, name, name, variable);
    }
    H5Gclose(weights);
    H5Fclose(file);
    H5Pclose(fapl);
}

static void write_ours(const char *path) {
    mien_h5 *file = mien_h5_create(path);
    int64_t frames[4] = {0, 4, 4, 3}, labels[2] = {12, 2};
    mien_tensor *t = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 2, labels);
    check(t && mien_tensor_fill(t, 0.5) == MIEN_OK);
    check(mien_h5_write(file, "labels", t) == MIEN_OK);
    check(mien_h5_write(file, "weights/0.weight", t) == MIEN_OK);
    mien_tensor_release(t);
    check(mien_h5_dataset(file, "frames", MIEN_U8, 4, frames, NULL, 0) == MIEN_OK);
    frames[0] = 12;
    t = mien_tensor_new(MIEN_U8, MIEN_DEVICE_CPU, 4, frames);
    check(t && mien_tensor_fill(t, 7) == MIEN_OK);
    check(mien_h5_append(file, "frames", t) == MIEN_OK);
    mien_tensor_release(t);
    check(mien_h5_set_text(file, "", "label_kind", "continuous") == MIEN_OK);
    check(mien_h5_set_number(file, "", "fps", 5) == MIEN_OK);
    check(mien_h5_finish(file) == MIEN_OK);
    mien_h5_close(file);
}

static void write_seeds(const char *folder) {
    char path[4096];
    mien_h5_close(mien_h5_open("/dev/null")); /* starts HDF5 */
    for (int kind = 0; kind < 8; kind++) {
        snprintf(path, sizeof path, "%s/foreign%d.h5", folder, kind);
        write_foreign(path, kind & 1, kind & 2, kind & 4);
    }
    snprintf(path, sizeof path, "%s/ours.h5", folder);
    write_ours(path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        write_seeds((*argv)[2]);
        exit(0);
    }
    return 0;
}

/* What HDF5 forgets when it meets damage. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libhdf5";
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_objects(mien_h5 *file) {
    const char *list = mien_h5_list(file);
    char *names = strdup(list ? list : ""), *rest = names, *name;
    while ((name = strsep(&rest, "\n")) && *name) {
        mien_dtype dtype;
        int ndim = 0;
        int64_t shape[MIEN_MAX_DIMS];
        if (name[strlen(name) - 1] == '/') continue;
        if (mien_h5_info(file, name, &dtype, &ndim, shape) != MIEN_OK) continue;
        double bytes = (double)mien_dtype_size(dtype);
        for (int i = 0; i < ndim; i++) bytes *= (double)shape[i];
        if (bytes < 16e6) mien_tensor_release(mien_h5_read(file, name, 0, -1));
    }
    free(names);
    mien_tensor_release(mien_h5_read(file, "weights/not there", 0, -1));
}

static void read_attributes(mien_h5 *file) {
    static const char *const objects[] = {"", "weights", "labels"};
    for (int i = 0; i < 3; i++) {
        const char *list = mien_h5_attributes(file, objects[i]), *text;
        char *keys = strdup(list ? list : ""), *rest = keys, *key;
        double number;
        bool found;
        while ((key = strsep(&rest, "\n")) && *key) {
            mien_h5_get_text(file, objects[i], key, &text);
            mien_h5_get_number(file, objects[i], key, &number, &found);
        }
        free(keys);
    }
}

static void load(const char *path) {
    mien_loader_config config = {.sequence = 4,
                                 .batch = 1,
                                 .height = 2,
                                 .width = 2,
                                 .workers = 1,
                                 .saturation_low = 1,
                                 .saturation_high = 1,
                                 .sd = {1, 1, 1},
                                 .keep_last = 1,
                                 .device = MIEN_DEVICE_CPU};
    int64_t starts[2] = {0, 6}, at[1];
    mien_loader *loader = mien_loader_new(path, starts, 2, &config);
    mien_tensor *frames, *labels;
    while (loader && mien_loader_next(loader, &frames, &labels, NULL, at) == 1) {
        mien_tensor_release(frames);
        mien_tensor_release(labels);
    }
    mien_loader_close(loader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_file(data, size);
    mien_h5 *file = mien_h5_open(path);
    if (file) {
        read_objects(file);
        read_attributes(file);
        mien_h5_close(file);
        load(path);
    }
    unlink(path); /* the next is another file, to be looked at anew */
    return 0;
}
