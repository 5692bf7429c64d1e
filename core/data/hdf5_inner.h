/* What hdf5.c and hdf5_names.c share: the handle, the lock, errors with HDF5's own words.
 * Not here: anything for other folders (hdf5.h). */
#ifndef MIEN_HDF5_INNER_H
#define MIEN_HDF5_INNER_H
#include "hdf5.h"
#include <hdf5.h>
#include <sys/stat.h>

struct mien_h5 {
    hid_t file;    /* < 0 after finish */
    char *path;    /* the name the caller gave */
    char *partial; /* where a created file is written; NULL when opened for reading */
    bool finished;
    char *text; /* what list, get_text and attributes gave last */
};

/* HDF5 need not be built thread-safe: every call into it happens between these two. Its names of
 * types (H5T_NATIVE_FLOAT ...) are such calls. */
void mien__h5_lock(void);
void mien__h5_unlock(void);

/* Around a call whose failure is reported: keeps HDF5's deepest message, which its next call would
 * clear; gives the result through. Then mien__h5_cause adds it to the error recorded last. */
hid_t mien__h5_note(hid_t result);
void mien__h5_cause(void);
#define H5_FAIL(code, ...)                                                                         \
    do {                                                                                           \
        mien__fail((code), __FILE__, __LINE__, __VA_ARGS__);                                       \
        mien__h5_cause();                                                                          \
        return (code);                                                                             \
    } while (0)

/* Fails unless the file is open, and for writing when asked. The lock is held. */
mien_status mien__h5_usable(mien_h5 *file, bool writing);
/* Lists of how files are opened, and files, groups and datasets made. */
hid_t mien__h5_access_plist(void);
hid_t mien__h5_creation_plist(hid_t cls);
/* HDF5's deepest message. */
void mien__h5_words(char *text, size_t room);
/* A dataset or group of this name is there. */
bool mien__h5_exists(mien_h5 *file, const char *name);
/* A child process has read what the file's structure is made of, now or before, and survived; else
 * an error. External storage, links to other files and unsafe filters are errors, too. */
mien_status mien__h5_vet(const char *path, const struct stat *about);
bool mien__h5_is_vetted(const struct stat *about);
/* H5Literate over a group's links, in the order they were written where that is known. */
herr_t mien__h5_each_link(hid_t group, H5L_iterate_t visit, void *data);
/* Texts of an attribute, joined by newlines; the caller frees. NULL: they cannot be read. */
char *mien__h5_texts(hid_t attribute, int64_t elements);
/* Rows of a dataset whose chunks are those of memory and a sum, checked; false: HDF5 is to read
 * them, and says what is wrong with them if anything is. */
bool mien__h5_read_plain(hid_t dataset, hid_t memory_type, int ndim, const int64_t *shape,
                         int64_t first, int64_t count, void *buffer);
/* What a stored type is read as; -1: no numbers. */
hid_t mien__h5_memory_type(hid_t type);
/* "a\nb\n" of the names in a group, at most `most` of them; the caller frees. NULL: no memory. */
char *mien__h5_names(hid_t group, int most);

/* A text that grows. */
typedef struct mien__text {
    char *bytes;
    size_t used, room;
} mien__text;
mien_status mien__text_add(mien__text *text, const char *bytes, size_t n);
#endif
