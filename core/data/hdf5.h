/* HDF5 files: groups, datasets that grow, slabs, attributes; written to a temporary name and
 * renamed when closed. Not here: what a corpus or a checkpoint holds (lua/mien/data, checkpoint).
 */
#ifndef MIEN_HDF5_H
#define MIEN_HDF5_H
#include "tensor/tensor.h"

/* cdef:begin */
typedef struct mien_h5 mien_h5;

/* Opens for reading, after a child process has walked the file's structure and survived (once for a
 * file that has not changed). NULL: missing, unreadable, no HDF5 file, open for writing elsewhere,
 * damaged, or made of other files (the message says). */
mien_h5 *mien_h5_open(const char *path);
/* Starts a new file as PATH.partial; it becomes PATH in mien_h5_finish. Error: no such folder, no
 * right to write there, or somebody is writing this file. */
mien_h5 *mien_h5_create(const char *path);
/* Flushes, closes and renames to the final path; the handle stays to be closed. */
mien_status mien_h5_finish(mien_h5 *file);
/* Closes; a created file that was not finished is deleted. NULL is allowed. */
void mien_h5_close(mien_h5 *file);
const char *mien_h5_path(const mien_h5 *file);

/* Makes dataset `name` ("a/b" makes group a) of dtype and shape; the first dimension grows when
 * it is 0. chunk: ndim sizes or NULL (about 1 MiB a chunk, 32 KiB when growing). Chunks have
 * checksums; what is small lies with the dataset's description, which has one too.
 * gzip 0..9; f16 and bf16 are not stored: convert first. */
mien_status mien_h5_dataset(mien_h5 *file, const char *name, mien_dtype dtype, int ndim,
                            const int64_t *shape, const int64_t *chunk, int gzip);
/* Appends rows [n, ...] of t (converted to the dataset's dtype) to a growing dataset. */
mien_status mien_h5_append(mien_h5 *file, const char *name, mien_tensor *t);
/* A dataset that holds exactly t; on failure there is none. */
mien_status mien_h5_write(mien_h5 *file, const char *name, mien_tensor *t);

/* Shape and dtype of a dataset. Error: no such dataset (the message lists those near it). */
mien_status mien_h5_info(mien_h5 *file, const char *name, mien_dtype *dtype, int *ndim,
                         int64_t *shape);
bool mien_h5_has(mien_h5 *file, const char *name);
/* A new tensor with rows first .. first+count-1; count -1 means to the end. */
mien_tensor *mien_h5_read(mien_h5 *file, const char *name, int64_t first, int64_t count);
/* All datasets and groups, depth first, as "name\n" lines, groups with a trailing "/"; valid
 * until the next call on this file. */
const char *mien_h5_list(mien_h5 *file);

/* Attributes of an object ("" or "/" for the file). Text is UTF-8. A list of texts is kept as one
 * text joined with '\n'. */
mien_status mien_h5_set_text(mien_h5 *file, const char *object, const char *key, const char *text);
mien_status mien_h5_set_number(mien_h5 *file, const char *object, const char *key, double value);
/* *text is NULL when there is no such attribute, or no text; valid until the next call. Error: it
 * is damaged. */
mien_status mien_h5_get_text(mien_h5 *file, const char *object, const char *key, const char **text);
/* *found is false, and *value as it was, when there is no such attribute, or no number. Error: it
 * is damaged. */
mien_status mien_h5_get_number(mien_h5 *file, const char *object, const char *key, double *value,
                               bool *found);
/* Names of an object's attributes as "name\n" lines. */
const char *mien_h5_attributes(mien_h5 *file, const char *object);
/* cdef:end */

/* For the loader, whose threads read into buffers of their own: rows first .. first+count-1 as
 * `dtype` into dst. Error: they do not have exactly `bytes` bytes. */
mien_status mien__h5_read_rows(mien_h5 *file, const char *name, int64_t first, int64_t count,
                               mien_dtype dtype, void *dst, size_t bytes);
/* Rows in a chunk of a dataset, 0 when it is contiguous. */
mien_status mien__h5_chunk_rows(mien_h5 *file, const char *name, int64_t *rows);
#endif
