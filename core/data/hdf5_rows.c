/* HDF5 datasets: make, grow, read and write rows.
 * Not here: files (hdf5.c), attributes and listings (hdf5_names.c). */
#include "hdf5_inner.h"
#include <stdlib.h>
#include <string.h>

/* ---- element types --------------------------------------------------------------------------- */

static hid_t memory_type(mien_dtype dtype) {
    switch (dtype) {
    case MIEN_F32:
        return H5T_NATIVE_FLOAT;
    case MIEN_F64:
        return H5T_NATIVE_DOUBLE;
    case MIEN_U8:
        return H5T_NATIVE_UINT8;
    case MIEN_I8:
        return H5T_NATIVE_INT8;
    case MIEN_I32:
        return H5T_NATIVE_INT32;
    case MIEN_I64:
        return H5T_NATIVE_INT64;
    default:
        return -1;
    }
}

static hid_t file_type(mien_dtype dtype) {
    switch (dtype) {
    case MIEN_F32:
        return H5T_IEEE_F32LE;
    case MIEN_F64:
        return H5T_IEEE_F64LE;
    case MIEN_U8:
        return H5T_STD_U8LE;
    case MIEN_I8:
        return H5T_STD_I8LE;
    case MIEN_I32:
        return H5T_STD_I32LE;
    case MIEN_I64:
        return H5T_STD_I64LE;
    default:
        return -1;
    }
}

/* The narrowest of our types that holds every value of a stored one (of all small whole numbers
 * with a sign i32, which more ops take than i8); -1: text, records ... */
static int dtype_of(hid_t type) {
    size_t size = H5Tget_size(type);
    switch (H5Tget_class(type)) {
    case H5T_FLOAT:
        return size <= 4 ? MIEN_F32 : MIEN_F64;
    case H5T_ENUM:
        return MIEN_I32; /* h5py keeps booleans so */
    case H5T_INTEGER: {
        bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
        if (size == 1 && !is_signed) return MIEN_U8;
        return size < 4 || (size == 4 && is_signed) ? MIEN_I32 : MIEN_I64;
    }
    default:
        return -1;
    }
}

/* ---- datasets -------------------------------------------------------------------------------- */

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
    *dataset = mien__h5_note(H5Dopen2(file->file, name, H5P_DEFAULT));
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
            hid_t gcpl = mien__h5_ordered_plist(H5P_GROUP_CREATE);
            hid_t group =
                mien__h5_note(H5Gcreate2(file->file, path, H5P_DEFAULT, gcpl, H5P_DEFAULT));
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
    hid_t dataset = mien__h5_note(
        H5Dcreate2(file->file, name, file_type(dtype), space, H5P_DEFAULT, dcpl, H5P_DEFAULT));
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
    herr_t result = (herr_t)mien__h5_note(
        writing ? H5Dwrite(dataset, memory_type(dtype), memory, space, H5P_DEFAULT, buffer)
                : H5Dread(dataset, memory_type(dtype), memory, space, H5P_DEFAULT, buffer));
    if (ndim) {
        H5Sclose(space);
        H5Sclose(memory);
    }
    if (result < 0) {
        if (writing)
            H5_FAIL(MIEN_ERR_IO, "%s: cannot write dataset '%s'; is the disk full?", file->path,
                    name);
        H5_FAIL(MIEN_ERR_IO,
                "%s: cannot read rows %lld to %lld of dataset '%s'; is it damaged, or packed by a "
                "filter that is not here?",
                file->path, (long long)first, (long long)(first + count - 1), name);
    }
    return MIEN_OK;
}

/* Grows the dataset by t's rows. */
static mien_status append(mien_h5 *file, const char *name, mien_tensor *t) {
    MIEN_TRY(mien__h5_usable(file, true));
    hid_t dataset = -1;
    MIEN_TRY(open_dataset(file, name, &dataset));
    mien_dtype dtype;
    int ndim = 0;
    int64_t shape[MIEN_MAX_DIMS];
    mien_status status = shape_of(file, name, dataset, &dtype, &ndim, shape);
    bool fits = status == MIEN_OK && ndim == mien_tensor_ndim(t) && ndim > 0;
    for (int i = 1; fits && i < ndim; i++) fits = shape[i] == mien_tensor_size(t, i);
    int64_t count = fits ? mien_tensor_size(t, 0) : 0, first = fits ? shape[0] : 0;
    if (status == MIEN_OK && !fits) {
        char got[96];
        status = mien__fail(MIEN_ERR_SHAPE, __FILE__, __LINE__,
                            "%s: rows of shape %s do not fit dataset '%s' (%d dimensions)",
                            file->path, mien__shape_text(t, got, sizeof got), name, ndim);
    }
    if (status == MIEN_OK && count > 0) {
        hsize_t size[MIEN_MAX_DIMS] = {(hsize_t)(first + count)};
        for (int i = 1; i < ndim; i++) size[i] = (hsize_t)shape[i];
        if (mien__h5_note(H5Dset_extent(dataset, size)) < 0) {
            status = mien__fail(MIEN_ERR_VENDOR, __FILE__, __LINE__, "%s: dataset '%s' cannot grow",
                                file->path, name);
            mien__h5_cause();
        }
    }
    if (status == MIEN_OK) {
        status = transfer(file, name, dataset, ndim, shape, first, count, mien_tensor_dtype(t),
                          mien_tensor_data(t), true);
        if (status != MIEN_OK) { /* on failure nothing has happened */
            hsize_t size[MIEN_MAX_DIMS];
            for (int i = 0; i < ndim; i++) size[i] = (hsize_t)shape[i];
            H5Dset_extent(dataset, size);
            H5Eclear2(H5E_DEFAULT);
        }
    }
    H5Dclose(dataset);
    return status;
}

typedef mien_status (*put)(mien_h5 *file, const char *name, mien_tensor *t);

static mien_status locked(put write, mien_h5 *file, const char *name, mien_tensor *t) {
    MIEN_CALL_THAT_WRITES("writing an HDF5 file");
    mien_tensor *ready = storable(t);
    if (!ready) return mien_error_last()->code;
    mien__h5_lock();
    mien_status status = write(file, name, ready);
    mien__h5_unlock();
    mien_tensor_release(ready);
    return status;
}

mien_status mien_h5_append(mien_h5 *file, const char *name, mien_tensor *t) {
    return locked(append, file, name, t);
}

static mien_status put_all(mien_h5 *file, const char *name, mien_tensor *t) {
    int ndim = mien_tensor_ndim(t);
    int64_t shape[MIEN_MAX_DIMS];
    for (int i = 0; i < ndim; i++) shape[i] = mien_tensor_size(t, i);
    MIEN_TRY(make_dataset(file, name, mien_tensor_dtype(t), ndim, shape, NULL, 0));
    hid_t dataset = -1;
    MIEN_TRY(open_dataset(file, name, &dataset));
    mien_status status = mien_tensor_count(t) == 0
                             ? MIEN_OK
                             : transfer(file, name, dataset, ndim, shape, 0, ndim ? shape[0] : 1,
                                        mien_tensor_dtype(t), mien_tensor_data(t), true);
    H5Dclose(dataset);
    return status;
}

mien_status mien_h5_write(mien_h5 *file, const char *name, mien_tensor *t) {
    return locked(put_all, file, name, t);
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
        status =
            mien__fail(MIEN_ERR_ARGUMENT, __FILE__, __LINE__,
                       "%s: rows %lld to %lld of dataset '%s', which has %lld", file->path,
                       (long long)first, (long long)(first + count - 1), name, (long long)rows);
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
