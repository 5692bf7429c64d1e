/* Files of other programs as plain bytes: read at places, unpacked, and taken as tensors. Nothing
 * is allocated that the file is too short for.
 * Not here: what the bytes mean (lua/mien/weights/reading). */
#ifndef MIEN_BYTES_H
#define MIEN_BYTES_H
#include "tensor/tensor.h"

/* cdef:begin */
typedef struct mien_bytes mien_bytes;
typedef struct mien_zip mien_zip;

/* A regular file, mapped into memory: nothing is copied, and writing to a tensor that was taken of
 * it changes no file. NULL: missing, unreadable, a folder, a device or a pipe. As with any mapped
 * file, who makes it shorter meanwhile ends this process. */
mien_bytes *mien_bytes_open(const char *path);
/* NULL is allowed. Tensors that were taken stay. */
void mien_bytes_close(mien_bytes *b);
int64_t mien_bytes_size(const mien_bytes *b);
/* count bytes from `offset` on (from 0). Error: they end before. */
mien_status mien_bytes_read(mien_bytes *b, int64_t offset, int64_t count, void *to);
/* CRC-32C (Castagnoli, RFC 3720) of count bytes from `offset` on. Error: they end before. */
mien_status mien_bytes_crc32c(mien_bytes *b, int64_t offset, int64_t count, uint32_t *sum);
/* A new contiguous tensor whose element 0 lies at byte `offset`. stride: elements from one index to
 * the next, one for each dimension, none below 0; NULL: row-major. swapped: the bytes of an element
 * are in the other order than this machine's. Error: an element lies outside; more than 6
 * dimensions. */
mien_tensor *mien_bytes_tensor(mien_bytes *b, int64_t offset, bool swapped, mien_dtype dtype,
                               int ndim, const int64_t *shape, const int64_t *stride);

typedef enum mien_packing {
    MIEN_DEFLATE = 0, /* RFC 1951 */
    MIEN_ZLIB,        /* RFC 1950 */
    MIEN_GZIP,        /* RFC 1952 */
    MIEN_SNAPPY       /* its raw format */
} mien_packing;
/* What `count` packed bytes from `offset` on unpack to, in memory. size: how much that is, -1: not
 * known. Error: damaged, another size, or more than 64 times as much and 64 MiB. */
mien_bytes *mien_bytes_unpack(mien_bytes *b, int64_t offset, int64_t count, mien_packing packing,
                              int64_t size);

/* CRC-32 of n bytes, as zip files keep it. */
uint32_t mien_crc32(const void *bytes, int64_t n);

/* A zip file (APPNOTE.TXT 6.3.10, with zip64, of one part). NULL: missing, cut off or damaged. */
mien_zip *mien_zip_open(const char *path);
void mien_zip_close(mien_zip *zip); /* NULL is allowed */
/* Files in it; their names and unpacked sizes, by position from 0. */
int64_t mien_zip_count(const mien_zip *zip);
const char *mien_zip_name(const mien_zip *zip, int64_t i);
int64_t mien_zip_size(const mien_zip *zip, int64_t i);
/* One of them; what was stored lies where the file is mapped. Error: damaged (its CRC-32 is
 * another), encrypted, packed in a way that is neither "stored" nor "deflated", or unpacking to too
 * much (mien_bytes_unpack). */
mien_bytes *mien_zip_read(mien_zip *zip, int64_t i);
/* cdef:end */

/* Bytes `first` to first + count - 1 of a storage, which is retained; name: for messages. NULL: no
 * memory. */
mien_bytes *mien__bytes_at(mien_storage *storage, int64_t first, int64_t count, const char *name);
/* A part of b under another name. Error: it lies outside. */
mien_bytes *mien__bytes_part(mien_bytes *b, int64_t first, int64_t count, const char *name);
/* Their address. */
const void *mien__bytes_data(const mien_bytes *b);
/* `count` bytes at `from`, unpacked; name: of what they are, for messages. */
mien_bytes *mien__bytes_unpacked(const void *from, int64_t count, mien_packing packing,
                                 int64_t size, const char *name);
#endif
