/* HDF5 datasets: make, grow, read and write rows.
 * Not here: files (hdf5.c), attributes and listings (hdf5_names.c). */
#include "hdf5_inner.h"
#include "base/nan.h"
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

/* The narrowest of our types for the values of a stored one (of all small whole numbers with a sign
 * i32, which more ops take than i8); -1: text, records ... A value that it does not hold, as u64
 * has above 2^63 - 1, is an error when it is read. */
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

hid_t mien__h5_memory_type(hid_t type) {
    int dtype = dtype_of(type);
    return dtype < 0 ? -1 : memory_type((mien_dtype)dtype);
}

/* ---- datasets -------------------------------------------------------------------------------- */

static mien_status check_name(mien_h5 *file, const char *name) {
    if (!name || !*name) MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: a dataset needs a name", file->path);
    return MIEN_OK;
}

bool mien__h5_exists(mien_h5 *file, const char *name) {
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
    if (!slash || !*group || !mien__h5_exists(file, group)) snprintf(group, sizeof group, "/");
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
    if (!mien__h5_exists(file, name)) return no_dataset(file, name);
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
    int64_t bytes = 8;
    for (int i = 0; i < dims; i++) {
        shape[i] = (int64_t)sizes[i];
        if (shape[i] < 0 || (shape[i] && __builtin_mul_overflow(bytes, shape[i], &bytes)))
            MIEN_FAIL(MIEN_ERR_FORMAT, "%s: dataset '%s' claims to have more than 2^63 bytes",
                      file->path, name);
    }
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
            hid_t gcpl = mien__h5_creation_plist(H5P_GROUP_CREATE);
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

/* Bytes of a chunk, about. A growing dataset is often a small one that does not know it yet. */
enum { CHUNK = 1 << 20, GROWING_CHUNK = 1 << 15, SMALL = 1 << 14, LARGEST_CHUNK = 1 << 30 };

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
    hsize_t size[MIEN_MAX_DIMS], limit[MIEN_MAX_DIMS], chunks[MIEN_MAX_DIMS];
    int64_t bytes = (int64_t)mien_dtype_size(dtype); /* of a row */
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0 || (i > 0 && shape[i] == 0) || (chunk && chunk[i] < 1))
            MIEN_FAIL(MIEN_ERR_SHAPE, "%s: dataset '%s': size %lld, chunk %lld on dimension %d",
                      file->path, name, (long long)shape[i], chunk ? (long long)chunk[i] : 0LL,
                      i + 1);
        size[i] = limit[i] = (hsize_t)shape[i];
        if (i > 0 && __builtin_mul_overflow(bytes, shape[i], &bytes))
            MIEN_FAIL(MIEN_ERR_SHAPE, "%s: dataset '%s': a row has more than 2^63 bytes",
                      file->path, name);
    }
    bool small = ndim == 0 || (!grows && !chunk && !gzip && bytes <= SMALL / shape[0]);
    const int64_t wanted = grows ? GROWING_CHUNK : CHUNK;
    for (int i = 0; i < ndim; i++) {
        int64_t rows = i == 0 ? wanted / bytes : (int64_t)size[i];
        if (i == 0 && !grows && rows > 0) { /* all of about one size: the last is filled up */
            int64_t pieces = (shape[0] + rows - 1) / rows;
            rows = (shape[0] + pieces - 1) / pieces;
        }
        chunks[i] = chunk ? (hsize_t)chunk[i] : (hsize_t)(rows > 0 ? rows : 1);
        if (!grows && chunks[i] > size[i]) chunks[i] = size[i];
    }
    /* HDF5 takes chunks of less than 4 GiB: a row beyond that is cut. */
    for (int i = 1; !chunk && i < ndim && bytes > LARGEST_CHUNK; i++) {
        bytes /= shape[i];
        int64_t most = LARGEST_CHUNK / bytes;
        chunks[i] = (hsize_t)(most > 0 ? most : 1);
    }
    if (grows) limit[0] = H5S_UNLIMITED;
    MIEN_TRY(make_groups(file, name));
    hid_t dcpl = mien__h5_creation_plist(H5P_DATASET_CREATE);
    if (small) {
        H5Pset_layout(dcpl, H5D_COMPACT);
    } else {
        H5Pset_chunk(dcpl, ndim, chunks);
        if (gzip) H5Pset_deflate(dcpl, (unsigned)gzip);
        H5Pset_fletcher32(dcpl);
    }
    hid_t space = ndim ? H5Screate_simple(ndim, size, limit) : H5Screate(H5S_SCALAR);
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

/* A retained contiguous host tensor of a type that HDF5 converts from. Without the lock: names no
 * type of HDF5's, as each begins with a call into it. */
static mien_tensor *storable(mien_tensor *t) {
    if (!t) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "HDF5: no tensor was given");
    if (mien__tensor_check(t, "HDF5: write") != MIEN_OK) return NULL;
    mien_dtype dtype = mien_tensor_dtype(t);
    if (dtype == MIEN_BF16 || dtype == MIEN_F16) dtype = MIEN_F32;
    if (dtype != mien_tensor_dtype(t) || mien_tensor_device(t) != MIEN_DEVICE_CPU)
        return mien_tensor_to(t, dtype, MIEN_DEVICE_CPU);
    return mien__tensor_contiguous(t);
}

/* HDF5 would put the nearest value that the type holds in place of one that it does not. */
static H5T_conv_ret_t refuse(H5T_conv_except_t what, hid_t from, hid_t to, void *value, void *put,
                             void *data) {
    if (what != H5T_CONV_EXCEPT_RANGE_HI && what != H5T_CONV_EXCEPT_RANGE_LOW)
        return H5T_CONV_UNHANDLED;
    *(bool *)data = true;
    return H5T_CONV_ABORT;
}

/* No NaN with a payload comes into memory from a file. */
static void clean(mien_dtype dtype, void *rows, int ndim, const int64_t *shape, int64_t count) {
    int64_t n = ndim ? count : 1;
    for (int i = 1; i < ndim; i++) n *= shape[i];
    if (dtype == MIEN_F32) mien__canonical_floats(rows, n);
    if (dtype == MIEN_F64) mien__canonical_doubles(rows, n);
}

/* Reads or writes rows of a dataset of `ndim` dimensions; buffer is contiguous. */
static mien_status transfer(mien_h5 *file, const char *name, hid_t dataset, int ndim,
                            const int64_t *shape, int64_t first, int64_t count, mien_dtype dtype,
                            void *buffer, bool writing) {
    if (ndim && count == 0) return MIEN_OK;
    if (!writing && !file->partial &&
        mien__h5_read_plain(dataset, memory_type(dtype), ndim, shape, first, count, buffer)) {
        clean(dtype, buffer, ndim, shape, count);
        return MIEN_OK;
    }
    hid_t space = H5S_ALL, memory = H5S_ALL, dxpl = H5Pcreate(H5P_DATASET_XFER);
    bool beyond = false;
    H5Pset_type_conv_cb(dxpl, refuse, &beyond);
    if (ndim) {
        hsize_t from[MIEN_MAX_DIMS] = {(hsize_t)first}, sizes[MIEN_MAX_DIMS] = {(hsize_t)count};
        for (int i = 1; i < ndim; i++) sizes[i] = (hsize_t)shape[i];
        memory = H5Screate_simple(ndim, sizes, NULL);
        space = H5Dget_space(dataset);
        H5Sselect_hyperslab(space, H5S_SELECT_SET, from, NULL, sizes, NULL);
    }
    herr_t result = (herr_t)mien__h5_note(
        writing ? H5Dwrite(dataset, memory_type(dtype), memory, space, dxpl, buffer)
                : H5Dread(dataset, memory_type(dtype), memory, space, dxpl, buffer));
    H5Pclose(dxpl);
    if (ndim) {
        H5Sclose(space);
        H5Sclose(memory);
    }
    if (beyond)
        MIEN_FAIL(MIEN_ERR_FORMAT,
                  "%s: rows %lld to %lld of dataset '%s' hold a value that %s does not hold",
                  file->path, (long long)first, (long long)(first + count - 1), name,
                  mien_dtype_name(dtype));
    if (result < 0) {
        if (writing)
            H5_FAIL(MIEN_ERR_IO, "%s: cannot write dataset '%s'; is the disk full?", file->path,
                    name);
        H5_FAIL(MIEN_ERR_IO,
                "%s: cannot read rows %lld to %lld of dataset '%s'; is it damaged, or packed by a "
                "filter that is not here?",
                file->path, (long long)first, (long long)(first + count - 1), name);
    }
    if (!writing) clean(dtype, buffer, ndim, shape, count);
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
                          mien__tensor_data(t), true);
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
                                        mien_tensor_dtype(t), mien__tensor_data(t), true);
    H5Dclose(dataset);
    if (status != MIEN_OK) { /* on failure nothing has happened */
        H5Ldelete(file->file, name, H5P_DEFAULT);
        H5Eclear2(H5E_DEFAULT);
    }
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
    bool found = file && file->file >= 0 && name && *name && mien__h5_exists(file, name);
    mien__h5_unlock();
    return found;
}

/* Opens a dataset and makes sure that it has rows first .. first+count-1; count -1: to the end. */
static mien_status open_rows(mien_h5 *file, const char *name, int64_t first, int64_t *count,
                             hid_t *dataset, mien_dtype *dtype, int *ndim, int64_t *shape) {
    MIEN_TRY(mien__h5_usable(file, false));
    MIEN_TRY(open_dataset(file, name, dataset));
    mien_status status = shape_of(file, name, *dataset, dtype, ndim, shape);
    int64_t rows = status == MIEN_OK && *ndim ? shape[0] : 1;
    if (*count < 0) *count = first <= rows ? rows - first : 0;
    if (status == MIEN_OK && (first < 0 || first > rows || *count > rows - first))
        status = mien__fail(MIEN_ERR_ARGUMENT, __FILE__, __LINE__,
                            "%s: %lld rows from row %lld of dataset '%s', which has %lld",
                            file->path, (long long)*count, (long long)first, name, (long long)rows);
    if (status == MIEN_OK && *ndim) shape[0] = *count;
    if (status != MIEN_OK) H5Dclose(*dataset);
    return status;
}

static mien_status read_rows(mien_h5 *file, const char *name, int64_t first, int64_t count,
                             mien_dtype wanted, void *dst, size_t bytes) {
    hid_t dataset = -1;
    mien_dtype dtype;
    int ndim = 0;
    int64_t shape[MIEN_MAX_DIMS], all = count;
    MIEN_TRY(open_rows(file, name, first, &all, &dataset, &dtype, &ndim, shape));
    size_t size = mien_dtype_size(wanted); /* shape_of knows that the product fits */
    for (int i = 0; i < ndim; i++) size *= (size_t)shape[i];
    mien_status status =
        count >= 0 && size == bytes
            ? transfer(file, name, dataset, ndim, shape, first, count, wanted, dst, false)
            : mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__,
                         "%s: %lld rows of dataset '%s' have %zu bytes, where %zu were wanted",
                         file->path, (long long)count, name, size, bytes);
    H5Dclose(dataset);
    return status;
}

mien_status mien__h5_read_rows(mien_h5 *file, const char *name, int64_t first, int64_t count,
                               mien_dtype dtype, void *dst, size_t bytes) {
    mien__h5_lock();
    mien_status status = read_rows(file, name, first, count, dtype, dst, bytes);
    mien__h5_unlock();
    return status;
}

static mien_tensor *read_tensor(mien_h5 *file, const char *name, int64_t first, int64_t count) {
    hid_t dataset = -1;
    mien_dtype dtype;
    int ndim = 0;
    int64_t shape[MIEN_MAX_DIMS];
    if (open_rows(file, name, first, &count, &dataset, &dtype, &ndim, shape) != MIEN_OK)
        return NULL;
    mien_tensor *t = mien_tensor_new(dtype, MIEN_DEVICE_CPU, ndim, shape);
    mien_status status = t ? MIEN_OK : mien_error_last()->code;
    if (t && mien_tensor_count(t) > 0)
        status = transfer(file, name, dataset, ndim, shape, first, count, dtype,
                          mien__tensor_data(t), false);
    H5Dclose(dataset);
    if (status == MIEN_OK) return t;
    mien_tensor_release(t);
    return NULL;
}

mien_tensor *mien_h5_read(mien_h5 *file, const char *name, int64_t first, int64_t count) {
    mien__h5_lock();
    mien_tensor *t = read_tensor(file, name, first, count);
    mien__h5_unlock();
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
