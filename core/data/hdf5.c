/* HDF5 files and datasets: open, create under a temporary name, grow, read and write rows.
 * Not here: attributes and listings (hdf5_names.c), what a file means (lua/mien/data). */
#include "hdf5_inner.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t h5_mutex = PTHREAD_MUTEX_INITIALIZER;
static bool h5_silenced;

void mien__h5_lock(void) {
    pthread_mutex_lock(&h5_mutex);
    if (!h5_silenced) { /* HDF5 prints its error stack by itself otherwise */
        H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
        h5_silenced = true;
    }
}

void mien__h5_unlock(void) { pthread_mutex_unlock(&h5_mutex); }

static herr_t take_first(unsigned n, const H5E_error2_t *error, void *data) {
    if (n == 0 && error->desc) snprintf((char *)data, 400, "%s", error->desc);
    return 0;
}

void mien__h5_cause(void) {
    char deepest[400] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, deepest);
    if (deepest[0]) mien__fail_cause("HDF5: %s", deepest);
    H5Eclear2(H5E_DEFAULT);
}

mien_status mien__h5_usable(mien_h5 *file, bool writing) {
    if (!file) MIEN_FAIL(MIEN_ERR_ARGUMENT, "HDF5: no file was given");
    if (file->file < 0) MIEN_FAIL(MIEN_ERR_IO, "%s: the file was closed already", file->path);
    if (writing && !file->partial)
        MIEN_FAIL(MIEN_ERR_IO, "%s: open for reading, cannot be written", file->path);
    return MIEN_OK;
}

/* ---- files ------------------------------------------------------------------------------------ */

static mien_h5 *new_handle(const char *path, bool writing) {
    mien_h5 *file = calloc(1, sizeof *file);
    if (file) {
        file->file = -1;
        file->path = strdup(path);
        if (writing) {
            size_t size = strlen(path) + sizeof ".partial";
            file->partial = malloc(size);
            if (file->partial) snprintf(file->partial, size, "%s.partial", path);
        }
    }
    if (!file || !file->path || (writing && !file->partial)) {
        mien_h5_close(file);
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "%s: out of memory", path);
    }
    return file;
}

static hid_t access_plist(void) {
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG);
    H5Pset_file_locking(fapl, true, true); /* file systems without locks are readable too */
    return fapl;
}

mien_h5 *mien_h5_open(const char *path) {
    if (!path) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "HDF5: no path was given");
    if (access(path, R_OK) != 0)
        MIEN_FAIL_NULL(MIEN_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    mien_h5 *file = new_handle(path, false);
    if (!file) return NULL;
    mien__h5_lock();
    hid_t fapl = access_plist();
    file->file = H5Fopen(path, H5F_ACC_RDONLY, fapl);
    H5Pclose(fapl);
    if (file->file < 0) {
        mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__,
                   "%s: no HDF5 file, or a damaged or truncated one", path);
        mien__h5_cause();
    }
    mien__h5_unlock();
    if (file->file < 0) {
        mien_h5_close(file);
        return NULL;
    }
    return file;
}

/* Creation order is tracked, so that listings give names in the order they were written. */
static hid_t ordered_plist(hid_t class) {
    hid_t plist = H5Pcreate(class);
    H5Pset_link_creation_order(plist, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    return plist;
}

mien_h5 *mien_h5_create(const char *path) {
    if (!path || !*path) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "HDF5: no path was given");
    mien_h5 *file = new_handle(path, true);
    if (!file) return NULL;
    /* A clear reason for a missing folder or missing rights, which HDF5 words badly. */
    int fd = open(file->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "%s: cannot be created: %s", file->partial,
                   strerror(errno));
        free(file->partial);
        file->partial = NULL; /* nothing to delete */
        mien_h5_close(file);
        return NULL;
    }
    close(fd);
    mien__h5_lock();
    hid_t fapl = access_plist(), fcpl = ordered_plist(H5P_FILE_CREATE);
    file->file = H5Fcreate(file->partial, H5F_ACC_TRUNC, fcpl, fapl);
    H5Pclose(fapl);
    H5Pclose(fcpl);
    if (file->file < 0) {
        mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "%s: cannot be created", file->partial);
        mien__h5_cause();
    }
    mien__h5_unlock();
    if (file->file < 0) {
        mien_h5_close(file);
        return NULL;
    }
    return file;
}

/* Flushes and closes. HDF5 keeps a file that it cannot flush (a full disk), and would try again at
 * the end of the process; there is nothing to do about that but to say so. */
static mien_status close_file(mien_h5 *file) {
    mien__h5_lock();
    bool flushed = H5Fflush(file->file, H5F_SCOPE_GLOBAL) >= 0;
    if (!flushed) {
        mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "%s: cannot be written; is the disk full?",
                   file->path);
        mien__h5_cause();
    }
    bool closed = H5Fclose(file->file) >= 0;
    if (flushed && !closed) {
        mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "%s: cannot be closed; is the disk full?",
                   file->path);
        mien__h5_cause();
    }
    H5Eclear2(H5E_DEFAULT);
    file->file = -1;
    mien__h5_unlock();
    return flushed && closed ? MIEN_OK : MIEN_ERR_IO;
}

static mien_status sync_path(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        int reason = errno;
        if (fd >= 0) close(fd);
        MIEN_FAIL(MIEN_ERR_IO, "%s: cannot be written to disk: %s", path, strerror(reason));
    }
    close(fd);
    return MIEN_OK;
}

mien_status mien_h5_finish(mien_h5 *file) {
    MIEN_TRY(mien__h5_usable(file, true));
    MIEN_TRY(close_file(file));
    MIEN_TRY(sync_path(file->partial, O_RDWR));
    if (rename(file->partial, file->path) != 0)
        MIEN_FAIL(MIEN_ERR_IO, "%s: cannot be renamed to %s: %s", file->partial, file->path,
                  strerror(errno));
    file->finished = true;
    char *folder = strdup(file->path);
    if (!folder) return MIEN_OK; /* the rename stands; only its own sync is left out */
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder ? 1 : 0] = 0;
    /* Some file systems refuse to sync a folder; the data itself is on the disk. */
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
    return MIEN_OK;
}

void mien_h5_close(mien_h5 *file) {
    if (!file) return;
    if (file->file >= 0) {
        mien__h5_lock();
        H5Fclose(file->file);
        H5Eclear2(H5E_DEFAULT);
        mien__h5_unlock();
    }
    if (file->partial && !file->finished) unlink(file->partial);
    free(file->path);
    free(file->partial);
    free(file->text);
    free(file);
}

const char *mien_h5_path(const mien_h5 *file) { return file ? file->path : ""; }

/* ---- element types ---------------------------------------------------------------------------- */

static hid_t memory_type(mien_dtype dtype) {
    switch (dtype) {
    case MIEN_F32: return H5T_NATIVE_FLOAT;
    case MIEN_F64: return H5T_NATIVE_DOUBLE;
    case MIEN_U8: return H5T_NATIVE_UINT8;
    case MIEN_I32: return H5T_NATIVE_INT32;
    case MIEN_I64: return H5T_NATIVE_INT64;
    default: return -1;
    }
}

static hid_t file_type(mien_dtype dtype) {
    switch (dtype) {
    case MIEN_F32: return H5T_IEEE_F32LE;
    case MIEN_F64: return H5T_IEEE_F64LE;
    case MIEN_U8: return H5T_STD_U8LE;
    case MIEN_I32: return H5T_STD_I32LE;
    case MIEN_I64: return H5T_STD_I64LE;
    default: return -1;
    }
}

/* The narrowest of our types that holds every value of a stored one; -1: text, records ... */
static int dtype_of(hid_t type) {
    size_t size = H5Tget_size(type);
    switch (H5Tget_class(type)) {
    case H5T_FLOAT: return size <= 4 ? MIEN_F32 : MIEN_F64;
    case H5T_ENUM: return MIEN_I32; /* h5py keeps booleans so */
    case H5T_INTEGER: {
        bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
        if (size == 1 && !is_signed) return MIEN_U8;
        return size < 4 || (size == 4 && is_signed) ? MIEN_I32 : MIEN_I64;
    }
    default: return -1;
    }
}

/* ---- datasets --------------------------------------------------------------------------------- */

static mien_status check_name(mien_h5 *file, const char *name) {
    if (!name || !*name) MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: a dataset needs a name", file->path);
    return MIEN_OK;
}

static bool exists(mien_h5 *file, const char *name) {
    /* H5Lexists wants every group on the way to exist. */
    char *path = strdup(name);
    if (!path) return false;
    bool found = true;
    for (char *slash = path; found && slash;) {
        slash = strchr(slash + 1, '/');
        if (slash) *slash = 0;
        if (*path) found = H5Lexists(file->file, path, H5P_DEFAULT) > 0;
        if (slash) *slash = '/';
    }
    found = found && H5Oexists_by_name(file->file, name, H5P_DEFAULT) > 0;
    free(path);
    H5Eclear2(H5E_DEFAULT);
    return found;
}

static mien_status no_dataset(mien_h5 *file, const char *name) {
    /* The names beside it help more than the name alone. */
    char group[256];
    snprintf(group, sizeof group, "%s", name);
    char *slash = strrchr(group, '/');
    if (slash) *slash = 0;
    if (!slash || !*group || !exists(file, group)) snprintf(group, sizeof group, "/");
    hid_t object = H5Gopen2(file->file, group, H5P_DEFAULT);
    char *names = object >= 0 ? mien__h5_names(object, 8) : NULL;
    if (object >= 0) H5Gclose(object);
    H5Eclear2(H5E_DEFAULT);
    for (char *c = names; c && *c; c++)
        if (*c == '\n') *c = c[1] ? ',' : 0;
    mien_status status =
        mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__, "%s: no dataset '%s'; group '%s' has: %s",
                   file->path, name, group, names && *names ? names : "nothing");
    free(names);
    return status;
}

static mien_status open_dataset(mien_h5 *file, const char *name, hid_t *dataset) {
    MIEN_TRY(check_name(file, name));
    if (!exists(file, name)) return no_dataset(file, name);
    *dataset = H5Dopen2(file->file, name, H5P_DEFAULT);
    if (*dataset < 0) H5_FAIL(MIEN_ERR_FORMAT, "%s: '%s' is no dataset", file->path, name);
    return MIEN_OK;
}

static mien_status shape_of(mien_h5 *file, const char *name, hid_t dataset, mien_dtype *dtype,
                            int *ndim, int64_t *shape) {
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    int kind = type >= 0 ? dtype_of(type) : -1;
    int dims = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    hsize_t sizes[H5S_MAX_RANK];
    if (dims >= 0) H5Sget_simple_extent_dims(space, sizes, NULL);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    if (kind < 0 || dims < 0)
        H5_FAIL(MIEN_ERR_FORMAT, "%s: dataset '%s' does not hold numbers", file->path, name);
    if (dims > MIEN_MAX_DIMS)
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: dataset '%s' has %d dimensions, at most %d are read",
                  file->path, name, dims, MIEN_MAX_DIMS);
    *dtype = (mien_dtype)kind;
    *ndim = dims;
    for (int i = 0; i < dims; i++) shape[i] = (int64_t)sizes[i];
    return MIEN_OK;
}

/* Makes the groups on the way to `name`, each with its order tracked. */
static mien_status make_groups(mien_h5 *file, const char *name) {
    char *path = strdup(name);
    if (!path) MIEN_FAIL(MIEN_ERR_MEMORY, "%s: out of memory", file->path);
    mien_status status = MIEN_OK;
    for (char *slash = strchr(path + 1, '/'); slash && status == MIEN_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (H5Lexists(file->file, path, H5P_DEFAULT) <= 0) {
            hid_t gcpl = ordered_plist(H5P_GROUP_CREATE);
            hid_t group = H5Gcreate2(file->file, path, H5P_DEFAULT, gcpl, H5P_DEFAULT);
            H5Pclose(gcpl);
            if (group < 0) {
                status = mien__fail(MIEN_ERR_VENDOR, __FILE__, __LINE__,
                                    "%s: cannot make group '%s'", file->path, path);
                mien__h5_cause();
            } else {
                H5Gclose(group);
            }
        }
        *slash = '/';
    }
    free(path);
    return status;
}

static mien_status make_dataset(mien_h5 *file, const char *name, mien_dtype dtype, int ndim,
                                const int64_t *shape, const int64_t *chunk, int gzip) {
    MIEN_TRY(mien__h5_usable(file, true));
    MIEN_TRY(check_name(file, name));
    if (file_type(dtype) < 0)
        MIEN_FAIL(MIEN_ERR_DTYPE, "%s: dataset '%s': %s is not stored, convert it to f32",
                  file->path, name, mien_dtype_name(dtype));
    if (ndim < 0 || ndim > MIEN_MAX_DIMS || gzip < 0 || gzip > 9)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: dataset '%s': %d dimensions (0 to %d), gzip %d (0 to 9)",
                  file->path, name, ndim, MIEN_MAX_DIMS, gzip);
    bool grows = ndim > 0 && shape[0] == 0;
    hsize_t size[MIEN_MAX_DIMS], most[MIEN_MAX_DIMS], chunks[MIEN_MAX_DIMS];
    int64_t row = 1;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0 || (i > 0 && shape[i] == 0) || (chunk && chunk[i] < 1))
            MIEN_FAIL(MIEN_ERR_SHAPE, "%s: dataset '%s': size %lld, chunk %lld on dimension %d",
                      file->path, name, (long long)shape[i], chunk ? (long long)chunk[i] : 0LL,
                      i + 1);
        size[i] = most[i] = (hsize_t)shape[i];
        if (i > 0) row *= shape[i];
    }
    int64_t rows = (int64_t)(1 << 20) / (row * (int64_t)mien_dtype_size(dtype));
    if (!grows && ndim && rows > shape[0]) rows = shape[0];
    for (int i = 0; i < ndim; i++) {
        chunks[i] = chunk ? (hsize_t)chunk[i] : i ? size[i] : (hsize_t)(rows > 0 ? rows : 1);
        if (!grows && chunks[i] > size[i]) chunks[i] = size[i];
    }
    if (grows) most[0] = H5S_UNLIMITED;
    MIEN_TRY(make_groups(file, name));
    hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
    if (ndim && (grows || chunk || gzip)) H5Pset_chunk(dcpl, ndim, chunks);
    if (ndim && gzip) H5Pset_deflate(dcpl, (unsigned)gzip);
    hid_t space = ndim ? H5Screate_simple(ndim, size, most) : H5Screate(H5S_SCALAR);
    hid_t dataset = H5Dcreate2(file->file, name, file_type(dtype), space, H5P_DEFAULT, dcpl,
                               H5P_DEFAULT);
    H5Sclose(space);
    H5Pclose(dcpl);
    if (dataset < 0) H5_FAIL(MIEN_ERR_VENDOR, "%s: cannot make dataset '%s'", file->path, name);
    H5Dclose(dataset);
    return MIEN_OK;
}

mien_status mien_h5_dataset(mien_h5 *file, const char *name, mien_dtype dtype, int ndim,
                            const int64_t *shape, const int64_t *chunk, int gzip) {
    mien__h5_lock();
    mien_status status = make_dataset(file, name, dtype, ndim, shape, chunk, gzip);
    mien__h5_unlock();
    return status;
}

/* A retained contiguous host tensor of a type that HDF5 converts from. */
static mien_tensor *storable(mien_tensor *t) {
    if (!t) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "HDF5: no tensor was given");
    mien_dtype dtype = mien_tensor_dtype(t);
    if (memory_type(dtype) < 0) dtype = MIEN_F32;
    if (dtype != mien_tensor_dtype(t) || mien_tensor_device(t) != MIEN_DEVICE_CPU)
        return mien_tensor_to(t, dtype, MIEN_DEVICE_CPU);
    return mien__tensor_contiguous(t);
}

/* Reads or writes rows of a dataset of `ndim` dimensions; buffer is contiguous. */
static mien_status transfer(mien_h5 *file, const char *name, hid_t dataset, int ndim,
                            const int64_t *shape, int64_t first, int64_t count, mien_dtype dtype,
                            void *buffer, bool writing) {
    if (ndim && count == 0) return MIEN_OK;
    hid_t space = H5S_ALL, memory = H5S_ALL;
    if (ndim) {
        hsize_t from[MIEN_MAX_DIMS] = {(hsize_t)first}, sizes[MIEN_MAX_DIMS] = {(hsize_t)count};
        for (int i = 1; i < ndim; i++) sizes[i] = (hsize_t)shape[i];
        memory = H5Screate_simple(ndim, sizes, NULL);
        space = H5Dget_space(dataset);
        H5Sselect_hyperslab(space, H5S_SELECT_SET, from, NULL, sizes, NULL);
    }
    herr_t result = writing
                        ? H5Dwrite(dataset, memory_type(dtype), memory, space, H5P_DEFAULT, buffer)
                        : H5Dread(dataset, memory_type(dtype), memory, space, H5P_DEFAULT, buffer);
    if (ndim) {
        H5Sclose(space);
        H5Sclose(memory);
    }
    if (result < 0) {
        if (writing)
            H5_FAIL(MIEN_ERR_IO, "%s: cannot write dataset '%s'; is the disk full?", file->path,
                    name);
        H5_FAIL(MIEN_ERR_IO, "%s: cannot read rows %lld to %lld of dataset '%s'; is it damaged?",
                file->path, (long long)first, (long long)(first + count - 1), name);
    }
    return MIEN_OK;
}

/* first < 0: append. */
static mien_status put_rows(mien_h5 *file, const char *name, int64_t first, mien_tensor *t) {
    MIEN_TRY(mien__h5_usable(file, true));
    hid_t dataset = -1;
    MIEN_TRY(open_dataset(file, name, &dataset));
    mien_dtype dtype;
    int ndim = 0;
    int64_t shape[MIEN_MAX_DIMS];
    mien_status status = shape_of(file, name, dataset, &dtype, &ndim, shape);
    bool fits = status == MIEN_OK && ndim == mien_tensor_ndim(t) && ndim > 0;
    for (int i = 1; fits && i < ndim; i++) fits = shape[i] == mien_tensor_size(t, i);
    int64_t count = fits ? mien_tensor_size(t, 0) : 0;
    bool append = first < 0;
    if (append) first = shape[0];
    if (status == MIEN_OK && (!fits || (!append && first + count > shape[0]))) {
        char got[96];
        status = mien__fail(MIEN_ERR_SHAPE, __FILE__, __LINE__,
                            "%s: rows of shape %s do not fit dataset '%s' (%d dimensions, %lld "
                            "rows) at row %lld",
                            file->path, mien__shape_text(t, got, sizeof got), name, ndim,
                            ndim ? (long long)shape[0] : 0LL, (long long)first);
    }
    if (status == MIEN_OK && append && count > 0) {
        hsize_t size[MIEN_MAX_DIMS] = {(hsize_t)(first + count)};
        for (int i = 1; i < ndim; i++) size[i] = (hsize_t)shape[i];
        if (H5Dset_extent(dataset, size) < 0) {
            status = mien__fail(MIEN_ERR_VENDOR, __FILE__, __LINE__,
                                "%s: dataset '%s' cannot grow", file->path, name);
            mien__h5_cause();
        }
    }
    if (status == MIEN_OK) {
        status = transfer(file, name, dataset, ndim, shape, first, count, mien_tensor_dtype(t),
                          mien_tensor_data(t), true);
        if (status != MIEN_OK && append) { /* on failure nothing has happened */
            hsize_t size[MIEN_MAX_DIMS];
            for (int i = 0; i < ndim; i++) size[i] = (hsize_t)shape[i];
            H5Dset_extent(dataset, size);
            H5Eclear2(H5E_DEFAULT);
        }
    }
    H5Dclose(dataset);
    return status;
}

static mien_status locked_put(mien_h5 *file, const char *name, int64_t first, mien_tensor *t) {
    mien_tensor *ready = storable(t);
    if (!ready) return mien_error_last()->code;
    mien__h5_lock();
    mien_status status = put_rows(file, name, first, ready);
    mien__h5_unlock();
    mien_tensor_release(ready);
    return status;
}

mien_status mien_h5_append(mien_h5 *file, const char *name, mien_tensor *t) {
    return locked_put(file, name, -1, t);
}

mien_status mien_h5_write_rows(mien_h5 *file, const char *name, int64_t first, mien_tensor *t) {
    if (first < 0)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "dataset '%s': row %lld is before the first", name,
                  (long long)first);
    return locked_put(file, name, first, t);
}

static mien_status put_all(mien_h5 *file, const char *name, mien_tensor *t) {
    int ndim = mien_tensor_ndim(t);
    int64_t shape[MIEN_MAX_DIMS];
    for (int i = 0; i < ndim; i++) shape[i] = mien_tensor_size(t, i);
    MIEN_TRY(make_dataset(file, name, mien_tensor_dtype(t), ndim, shape, NULL, 0));
    hid_t dataset = -1;
    MIEN_TRY(open_dataset(file, name, &dataset));
    mien_status status =
        mien_tensor_count(t) == 0
            ? MIEN_OK
            : transfer(file, name, dataset, ndim, shape, 0, ndim ? shape[0] : 1,
                       mien_tensor_dtype(t), mien_tensor_data(t), true);
    H5Dclose(dataset);
    return status;
}

mien_status mien_h5_write(mien_h5 *file, const char *name, mien_tensor *t) {
    mien_tensor *ready = storable(t);
    if (!ready) return mien_error_last()->code;
    mien__h5_lock();
    mien_status status = put_all(file, name, ready);
    mien__h5_unlock();
    mien_tensor_release(ready);
    return status;
}

static mien_status info(mien_h5 *file, const char *name, mien_dtype *dtype, int *ndim,
                        int64_t *shape) {
    MIEN_TRY(mien__h5_usable(file, false));
    hid_t dataset = -1;
    MIEN_TRY(open_dataset(file, name, &dataset));
    mien_status status = shape_of(file, name, dataset, dtype, ndim, shape);
    H5Dclose(dataset);
    return status;
}

mien_status mien_h5_info(mien_h5 *file, const char *name, mien_dtype *dtype, int *ndim,
                         int64_t *shape) {
    mien__h5_lock();
    mien_status status = info(file, name, dtype, ndim, shape);
    mien__h5_unlock();
    return status;
}

bool mien_h5_has(mien_h5 *file, const char *name) {
    mien__h5_lock();
    bool found = file && file->file >= 0 && name && *name && exists(file, name);
    mien__h5_unlock();
    return found;
}

static mien_status read_rows(mien_h5 *file, const char *name, int64_t first, int64_t count,
                             mien_dtype wanted, void *dst) {
    MIEN_TRY(mien__h5_usable(file, false));
    hid_t dataset = -1;
    MIEN_TRY(open_dataset(file, name, &dataset));
    mien_dtype dtype;
    int ndim = 0;
    int64_t shape[MIEN_MAX_DIMS];
    mien_status status = shape_of(file, name, dataset, &dtype, &ndim, shape);
    int64_t rows = ndim ? shape[0] : 1;
    if (status == MIEN_OK && (first < 0 || count < 0 || first + count > rows))
        status = mien__fail(MIEN_ERR_ARGUMENT, __FILE__, __LINE__,
                            "%s: rows %lld to %lld of dataset '%s', which has %lld", file->path,
                            (long long)first, (long long)(first + count - 1), name,
                            (long long)rows);
    if (status == MIEN_OK)
        status = transfer(file, name, dataset, ndim, shape, first, count, wanted, dst, false);
    H5Dclose(dataset);
    return status;
}

mien_status mien__h5_read_rows(mien_h5 *file, const char *name, int64_t first, int64_t count,
                               mien_dtype dtype, void *dst) {
    mien__h5_lock();
    mien_status status = read_rows(file, name, first, count, dtype, dst);
    mien__h5_unlock();
    return status;
}

mien_tensor *mien_h5_read(mien_h5 *file, const char *name, int64_t first, int64_t count) {
    mien_dtype dtype;
    int ndim = 0;
    int64_t shape[MIEN_MAX_DIMS];
    if (mien_h5_info(file, name, &dtype, &ndim, shape) != MIEN_OK) return NULL;
    int64_t rows = ndim ? shape[0] : 1;
    if (count < 0) count = first <= rows ? rows - first : 0;
    if (first < 0 || first + count > rows)
        MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "%s: rows %lld to %lld of dataset '%s', which has %lld",
                       file->path, (long long)first, (long long)(first + count - 1), name,
                       (long long)rows);
    if (ndim) shape[0] = count;
    mien_tensor *t = mien_tensor_new(dtype, MIEN_DEVICE_CPU, ndim, shape);
    if (!t || mien_tensor_count(t) == 0) return t;
    void *data = mien_tensor_data(t);
    if (!data || mien__h5_read_rows(file, name, first, count, dtype, data) != MIEN_OK) {
        mien_tensor_release(t);
        return NULL;
    }
    return t;
}

static mien_status chunk_rows(mien_h5 *file, const char *name, int64_t *rows) {
    MIEN_TRY(mien__h5_usable(file, false));
    hid_t dataset = -1;
    MIEN_TRY(open_dataset(file, name, &dataset));
    hid_t dcpl = H5Dget_create_plist(dataset);
    hsize_t chunk[H5S_MAX_RANK] = {0};
    *rows = 0;
    if (H5Pget_layout(dcpl) == H5D_CHUNKED && H5Pget_chunk(dcpl, H5S_MAX_RANK, chunk) > 0)
        *rows = (int64_t)chunk[0];
    H5Pclose(dcpl);
    H5Dclose(dataset);
    return MIEN_OK;
}

mien_status mien__h5_chunk_rows(mien_h5 *file, const char *name, int64_t *rows) {
    mien__h5_lock();
    mien_status status = chunk_rows(file, name, rows);
    mien__h5_unlock();
    return status;
}
