/* Unpacking: deflate and its two wrappers by libdeflate, snappy by its own library.
 * Not here: which bytes (bytes.c, zip.c). */
#include "bytes.h"
#include <libdeflate.h>
#include <snappy-c.h>

#define RATIO  64           /* more than weights are ever packed by */
#define ALWAYS (64LL << 20) /* small things may be: zeros, texts */

static int64_t bound(int64_t packed) {
    return packed < ALWAYS / RATIO ? ALWAYS : packed * RATIO;
}

static enum libdeflate_result inflate(struct libdeflate_decompressor *d, mien_packing packing,
                                      const void *from, size_t n, void *to, size_t room,
                                      size_t *made) {
    if (packing == MIEN_ZLIB) return libdeflate_zlib_decompress(d, from, n, to, room, made);
    if (packing == MIEN_GZIP) return libdeflate_gzip_decompress(d, from, n, to, room, made);
    return libdeflate_deflate_decompress(d, from, n, to, room, made);
}

/* Into a storage of `room` bytes, or while size is not known into ever larger ones. */
static mien_storage *inflated(const void *from, int64_t count, mien_packing packing, int64_t size,
                              const char *name) {
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    if (!d) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "%s: out of memory", name);
    int64_t most = bound(count), room = size >= 0 ? size : count * 4 + 1024;
    enum libdeflate_result result = LIBDEFLATE_INSUFFICIENT_SPACE;
    mien_storage *storage = NULL;
    size_t made = 0;
    for (;; room *= 4) {
        if (room > most) room = most;
        storage = mien__storage_new(MIEN_DEVICE_CPU, (size_t)room);
        if (!storage) break;
        result = inflate(d, packing, from, (size_t)count, storage->data, (size_t)room, &made);
        if (result != LIBDEFLATE_INSUFFICIENT_SPACE || size >= 0 || room == most) break;
        mien__storage_release(storage);
    }
    libdeflate_free_decompressor(d);
    if (!storage) return NULL;
    if (result == LIBDEFLATE_SUCCESS && (size < 0 || made == (size_t)size)) {
        storage->bytes = made;
        return storage;
    }
    mien__storage_release(storage);
    if (result == LIBDEFLATE_INSUFFICIENT_SPACE)
        MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: %lld packed bytes unpack to more than %lld", name,
                       (long long)count, (long long)room);
    MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: %lld packed bytes are damaged: they do not unpack", name,
                   (long long)count);
}

static mien_storage *unsnapped(const char *from, int64_t count, int64_t size, const char *name) {
    size_t made = 0;
    bool good = snappy_uncompressed_length(from, (size_t)count, &made) == SNAPPY_OK &&
                (size < 0 || made == (size_t)size);
    if (good && made > (size_t)bound(count))
        MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: %lld packed bytes unpack to %zu", name,
                       (long long)count, made);
    mien_storage *storage = good ? mien__storage_new(MIEN_DEVICE_CPU, made) : NULL;
    if (good && !storage) return NULL;
    if (good && snappy_uncompress(from, (size_t)count, storage->data, &made) == SNAPPY_OK)
        return storage;
    mien__storage_release(storage);
    MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: %lld bytes packed by snappy are damaged", name,
                   (long long)count);
}

mien_bytes *mien__bytes_unpacked(const void *from, int64_t count, mien_packing packing,
                                 int64_t size, const char *name) {
    if (size > bound(count))
        MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: %lld packed bytes are said to unpack to %lld", name,
                       (long long)count, (long long)size);
    mien_storage *storage = packing == MIEN_SNAPPY ? unsnapped(from, count, size, name)
                                                   : inflated(from, count, packing, size, name);
    mien_bytes *b = storage ? mien__bytes_at(storage, 0, (int64_t)storage->bytes, name) : NULL;
    mien__storage_release(storage);
    return b;
}
