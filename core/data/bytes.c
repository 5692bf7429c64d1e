/* Bytes of a file or in memory, and tensors from them. Not here: unpacking (unpack.c), zip files
 * (zip.c). */
#include "bytes.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct mien_bytes {
    mien_storage *storage;
    int64_t first, size; /* of the storage's bytes */
    char *name;          /* for messages */
};

/* ---- life ------------------------------------------------------------------------------------ */

mien_bytes *mien__bytes_at(mien_storage *storage, int64_t first, int64_t count, const char *name) {
    mien_bytes *b = calloc(1, sizeof *b);
    if (b && (b->name = strdup(name))) {
        b->storage = mien__storage_retain(storage);
        b->first = first;
        b->size = count;
        return b;
    }
    free(b);
    MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "%s: out of memory", name);
}

static void unmap(void *data, size_t bytes) {
    munmap(data, bytes);
}

/* The whole file, private to this process. */
static mien_bytes *mapped(int fd, int64_t size, const char *path) {
    static char none[64];
    void *data = none;
    if (size > 0)
        data = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    if (data == MAP_FAILED)
        MIEN_FAIL_NULL(MIEN_ERR_IO, "%s: cannot be mapped: %s", path, strerror(errno));
    if (size > 0) madvise(data, (size_t)size, MADV_WILLNEED);
    mien_storage *storage =
        size > 0 ? mien__storage_lent(data, (size_t)size, unmap) : mien__storage_new(0, 0);
    mien_bytes *b = storage ? mien__bytes_at(storage, 0, size, path) : NULL;
    mien__storage_release(storage);
    return b;
}

mien_bytes *mien_bytes_open(const char *path) {
    if (!path) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "bytes: no path was given");
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for its writer */
    mien_bytes *b = NULL;
    if (fd < 0 || fstat(fd, &about) != 0)
        mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "%s: cannot be read: %s", path,
                   strerror(errno));
    else if (!S_ISREG(about.st_mode))
        mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__, "%s: a %s, where a file is wanted", path,
                   S_ISDIR(about.st_mode) ? "folder" : "device or a pipe");
    else
        b = mapped(fd, (int64_t)about.st_size, path);
    if (fd >= 0) close(fd);
    return b;
}

void mien_bytes_close(mien_bytes *b) {
    if (!b) return;
    mien__storage_release(b->storage);
    free(b->name);
    free(b);
}

int64_t mien_bytes_size(const mien_bytes *b) {
    return b ? b->size : 0;
}

const void *mien__bytes_data(const mien_bytes *b) {
    return (char *)b->storage->data + b->first;
}

/* ---- reading --------------------------------------------------------------------------------- */

static mien_status check_range(const mien_bytes *b, int64_t offset, int64_t count) {
    if (!b) MIEN_FAIL(MIEN_ERR_ARGUMENT, "bytes: nothing was given to read from");
    if (offset >= 0 && count >= 0 && offset <= b->size && count <= b->size - offset) return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_FORMAT,
              "%s: %lld bytes at byte %lld are wanted, but it has only %lld: cut off, or damaged",
              b->name, (long long)count, (long long)offset, (long long)b->size);
}

mien_status mien_bytes_read(mien_bytes *b, int64_t offset, int64_t count, void *to) {
    MIEN_TRY(check_range(b, offset, count));
    if (count > 0) memcpy(to, (const char *)mien__bytes_data(b) + offset, (size_t)count);
    return MIEN_OK;
}

mien_bytes *mien__bytes_part(mien_bytes *b, int64_t first, int64_t count, const char *name) {
    if (check_range(b, first, count) != MIEN_OK) return NULL;
    return mien__bytes_at(b->storage, b->first + first, count, name);
}

/* ---- sums ------------------------------------------------------------------------------------ */

static uint32_t castagnoli_plain(uint32_t crc, const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return crc;
}

__attribute__((target("sse4.2"))) static uint32_t
castagnoli_fast(uint32_t crc, const unsigned char *p, size_t n) {
    uint64_t wide = crc, eight;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&eight, p, 8);
        wide = __builtin_ia32_crc32di(wide, eight);
    }
    crc = (uint32_t)wide;
    for (; n > 0; n--) crc = __builtin_ia32_crc32qi(crc, *p++);
    return crc;
}

mien_status mien_bytes_crc32c(mien_bytes *b, int64_t offset, int64_t count, uint32_t *sum) {
    MIEN_CALL("summing weights");
    MIEN_TRY(check_range(b, offset, count));
    const unsigned char *from = (const unsigned char *)mien__bytes_data(b) + offset;
    *sum = ~(__builtin_cpu_supports("sse4.2") ? castagnoli_fast(~0u, from, (size_t)count)
                                              : castagnoli_plain(~0u, from, (size_t)count));
    return MIEN_OK;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static void swap_bytes(unsigned char *p, int64_t n, size_t size) {
    for (int64_t i = 0; i < n; i++, p += size)
        for (size_t k = 0; k < size / 2; k++) {
            unsigned char byte = p[k];
            p[k] = p[size - 1 - k];
            p[size - 1 - k] = byte;
        }
}

/* Bytes from element 0 to behind the last one; strides as `stride` gives them, row-major without.
 * Negative ones would reach before `offset`. */
static mien_status span_of(const mien_tensor *t, const int64_t *stride, const char *name,
                           int64_t *bytes) {
    int64_t last = 0, size = (int64_t)mien_dtype_size(t->dtype), part;
    if (mien_tensor_count(t) == 0) {
        *bytes = 0;
        return MIEN_OK;
    }
    for (int i = 0; i < t->ndim; i++) {
        int64_t step = stride ? stride[i] : t->stride[i];
        if (step < 0 || __builtin_mul_overflow(t->shape[i] - 1, step, &part) ||
            __builtin_add_overflow(last, part, &last))
            MIEN_FAIL(MIEN_ERR_FORMAT,
                      "%s: a tensor with %lld elements from one index of "
                      "dimension %d to the next",
                      name, (long long)step, i + 1);
    }
    if (__builtin_add_overflow(last, 1, &last) || __builtin_mul_overflow(last, size, bytes))
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: a tensor larger than the address space", name);
    return MIEN_OK;
}

/* The storage with these bytes of b: b's own when they lie there as they are wanted. */
static mien_storage *storage_of(mien_bytes *b, int64_t offset, int64_t bytes, bool swapped,
                                size_t size, int64_t *element) {
    uint64_t at = (uint64_t)(b->first + offset);
    *element = !swapped && at % size == 0 ? (int64_t)(at / size) : 0;
    if (!swapped && at % size == 0) return mien__storage_retain(b->storage);
    mien_storage *storage = mien__storage_new(MIEN_DEVICE_CPU, (size_t)bytes);
    if (!storage) return NULL;
    if (bytes > 0) memcpy(storage->data, (const char *)mien__bytes_data(b) + offset, (size_t)bytes);
    if (swapped) swap_bytes(storage->data, bytes / (int64_t)size, size);
    return storage;
}

mien_tensor *mien_bytes_tensor(mien_bytes *b, int64_t offset, bool swapped, mien_dtype dtype,
                               int ndim, const int64_t *shape, const int64_t *stride) {
    MIEN_CALL("reading weights");
    int64_t bytes = (int64_t)mien_dtype_size(dtype);
    if (check_range(b, offset, 0) != MIEN_OK) return NULL;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] >= 0 && !__builtin_mul_overflow(bytes, shape[i] ? shape[i] : 1, &bytes))
            continue;
        MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: a tensor with %lld entries in dimension %d: damaged",
                       b->name, (long long)shape[i], i + 1);
    }
    mien_tensor *t = mien__tensor_header(dtype, MIEN_DEVICE_CPU, ndim, shape);
    if (!t) return NULL;
    /* of a stride of 0 the elements are more than the bytes */
    int64_t most = (b->size + 1) * 64;
    if (span_of(t, stride, b->name, &bytes) != MIEN_OK ||
        check_range(b, offset, bytes) != MIEN_OK || mien_tensor_count(t) > most) {
        if (mien_tensor_count(t) > most && bytes <= b->size)
            mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__,
                       "%s: a tensor of %lld elements, which all lie in %lld bytes", b->name,
                       (long long)mien_tensor_count(t), (long long)bytes);
        mien_tensor_release(t);
        return NULL;
    }
    t->storage = storage_of(b, offset, bytes, swapped, mien_dtype_size(dtype), &t->offset);
    if (!t->storage) {
        mien_tensor_release(t);
        return NULL;
    }
    for (int i = 0; stride && i < ndim; i++) t->stride[i] = stride[i];
    mien_tensor *plain = mien__tensor_contiguous(t);
    mien_tensor_release(t);
    return plain;
}

/* ---- unpacking ------------------------------------------------------------------------------- */

mien_bytes *mien_bytes_unpack(mien_bytes *b, int64_t offset, int64_t count, mien_packing packing,
                              int64_t size) {
    if (check_range(b, offset, count) != MIEN_OK) return NULL;
    return mien__bytes_unpacked((const char *)mien__bytes_data(b) + offset, count, packing, size,
                                b->name);
}
