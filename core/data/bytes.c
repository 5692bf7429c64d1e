/* Bytes of a file or in memory, and tensors from them. Not here: unpacking (unpack.c), zip files
 * (zip.c). */
#include "bytes.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct mien_bytes {
    int fd; /* -1: in memory */
    int64_t size;
    mien_storage *storage; /* what lies in memory */
    char *name;            /* for messages */
};

/* ---- life ------------------------------------------------------------------------------------ */

static mien_bytes *new_bytes(int fd, mien_storage *storage, int64_t size, const char *name) {
    mien_bytes *b = calloc(1, sizeof *b);
    if (b && (b->name = strdup(name))) {
        b->fd = fd;
        b->storage = storage;
        b->size = size;
        return b;
    }
    free(b);
    if (fd >= 0) close(fd);
    mien__storage_release(storage);
    MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "%s: out of memory", name);
}

mien_bytes *mien__bytes_in(mien_storage *storage, const char *name) {
    return new_bytes(-1, storage, (int64_t)storage->bytes, name);
}

mien_bytes *mien_bytes_open(const char *path) {
    if (!path) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "bytes: no path was given");
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for its writer */
    if (fd < 0 || fstat(fd, &about) != 0) {
        mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "%s: cannot be read: %s", path,
                   strerror(errno));
        if (fd >= 0) close(fd);
        return NULL;
    }
    if (!S_ISREG(about.st_mode)) {
        close(fd);
        MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: a %s, where a file is wanted", path,
                       S_ISDIR(about.st_mode) ? "folder" : "device or a pipe");
    }
    return new_bytes(fd, NULL, (int64_t)about.st_size, path);
}

void mien_bytes_close(mien_bytes *b) {
    if (!b) return;
    if (b->fd >= 0) close(b->fd);
    mien__storage_release(b->storage);
    free(b->name);
    free(b);
}

int64_t mien_bytes_size(const mien_bytes *b) {
    return b ? b->size : 0;
}

const void *mien__bytes_data(const mien_bytes *b) {
    return b->storage->data;
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
    if (b->fd < 0) {
        if (count > 0) memcpy(to, (char *)b->storage->data + offset, (size_t)count);
        return MIEN_OK;
    }
    for (int64_t done = 0; done < count;) {
        ssize_t n = pread(b->fd, (char *)to + done, (size_t)(count - done), offset + done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            MIEN_FAIL(MIEN_ERR_IO, "%s: cannot be read at byte %lld: %s", b->name,
                      (long long)(offset + done),
                      n < 0 ? strerror(errno) : "it has become shorter");
        done += n;
    }
    return MIEN_OK;
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
    bool fast = __builtin_cpu_supports("sse4.2");
    unsigned char part[16384];
    uint32_t crc = ~0u;
    for (int64_t done = 0, n; done < count; done += n) {
        n = count - done < (int64_t)sizeof part ? count - done : (int64_t)sizeof part;
        MIEN_TRY(mien_bytes_read(b, offset + done, n, part));
        crc = fast ? castagnoli_fast(crc, part, (size_t)n) : castagnoli_plain(crc, part, (size_t)n);
    }
    *sum = ~crc;
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
    bool fits = b->fd < 0 && !swapped && (uint64_t)offset % size == 0;
    *element = fits ? offset / (int64_t)size : 0;
    if (fits) return mien__storage_retain(b->storage);
    mien_storage *storage = mien__storage_new(MIEN_DEVICE_CPU, (size_t)bytes);
    if (storage && mien_bytes_read(b, offset, bytes, storage->data) != MIEN_OK) {
        mien__storage_release(storage);
        return NULL;
    }
    if (storage && swapped) swap_bytes(storage->data, bytes / (int64_t)size, size);
    return storage;
}

mien_tensor *mien_bytes_tensor(mien_bytes *b, int64_t offset, bool swapped, mien_dtype dtype,
                               int ndim, const int64_t *shape, const int64_t *stride) {
    MIEN_CALL("reading weights");
    int64_t bytes = 0;
    if (check_range(b, offset, 0) != MIEN_OK) return NULL;
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
    if (b->fd < 0)
        return mien__bytes_unpacked((char *)b->storage->data + offset, count, packing, size,
                                    b->name);
    mien_storage *packed = mien__storage_new(MIEN_DEVICE_CPU, (size_t)count);
    mien_bytes *out = NULL;
    if (packed && mien_bytes_read(b, offset, count, packed->data) == MIEN_OK)
        out = mien__bytes_unpacked(packed->data, count, packing, size, b->name);
    mien__storage_release(packed);
    return out;
}
