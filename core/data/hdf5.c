/* HDF5 files: the lock, errors in HDF5's words, open, create under a temporary name, finish.
 * Not here: datasets (hdf5_rows.c), attributes and listings (hdf5_names.c). */
#include "hdf5_inner.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t h5_mutex = PTHREAD_MUTEX_INITIALIZER;
static bool h5_started;
static _Thread_local bool h5_quiet; /* a thread-safe HDF5 has a stack of errors for each thread */
#define NOTED 400

void mien__h5_lock(void) {
    mien__call_begin("reading an HDF5 file", false);
    pthread_mutex_lock(&h5_mutex);
    if (!h5_started) {
        /* HDF5's own clean-up at exit crashes on a file that it could not flush to a full disk. */
        H5dont_atexit();
        h5_started = true;
    }
    if (!h5_quiet) {
        H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* else it prints that stack */
        h5_quiet = true;
    }
}

void mien__h5_unlock(void) {
    pthread_mutex_unlock(&h5_mutex);
    mien__call_end();
}

/* The deepest entry of HDF5's stack, past its search for filter plugins. */
static herr_t take_first(unsigned n, const H5E_error2_t *error, void *data) {
    char *text = data;
    if (!text[0] && error->desc && error->maj_num != H5E_PLUGIN)
        snprintf(text, NOTED, "%s", error->desc);
    return 0;
}

static char noted[NOTED]; /* under the lock */

hid_t mien__h5_note(hid_t result) {
    if (result < 0) {
        noted[0] = 0;
        H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, noted);
        H5Eclear2(H5E_DEFAULT);
    }
    return result;
}

void mien__h5_words(char *text, size_t room) {
    noted[0] = 0;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, noted);
    snprintf(text, room, "%s", noted);
}

void mien__h5_cause(void) {
    if (noted[0]) mien__fail_cause("HDF5: %s", noted);
    noted[0] = 0;
}

mien_status mien__h5_usable(mien_h5 *file, bool writing) {
    if (!file) MIEN_FAIL(MIEN_ERR_ARGUMENT, "HDF5: no file was given");
    if (file->file < 0) MIEN_FAIL(MIEN_ERR_IO, "%s: the file was closed already", file->path);
    if (writing && !file->partial)
        MIEN_FAIL(MIEN_ERR_IO, "%s: open for reading, cannot be written", file->path);
    return MIEN_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

static mien_h5 *new_handle(const char *path, bool writing) {
    mien_h5 *file = calloc(1, sizeof *file);
    if (file) {
        file->file = -1;
        file->path = strdup(path);
        if (writing && !(file->partial = mien__file_temporary(path))) {
            mien_h5_close(file);
            return NULL;
        }
    }
    if (!file || !file->path) {
        mien_h5_close(file);
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "%s: out of memory", path);
    }
    return file;
}

/* All that version 1.10 of the format describes a file with has checksums; what came before has
 * not. */
hid_t mien__h5_access_plist(void) {
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG);
    H5Pset_file_locking(fapl, true, true); /* file systems without locks are readable too */
    H5Pset_libver_bounds(fapl, H5F_LIBVER_V110, H5F_LIBVER_V110);
    return fapl;
}

/* Says in the first line why a file that is there could not be opened. */
static void tell_unopened(const char *path, int64_t bytes) {
    char first[512] = "";
    FILE *in = fopen(path, "rb");
    size_t n = in ? fread(first, 1, sizeof first, in) : 0;
    if (in) fclose(in);
    bool text = n > 0;
    for (size_t i = 0; i < n; i++)
        text = text && ((unsigned char)first[i] >= ' ' || strchr("\t\n\r\f", first[i])) && first[i];
    const char *why = "a damaged HDF5 file, or one of a newer version of the format";
    if (bytes == 0)
        why = "an empty file, where an HDF5 file is wanted";
    else if (strstr(noted, "unable to lock file"))
        why = "open for writing in another program; wait until it has closed the file";
    else if (strstr(noted, "already open for"))
        why = "open for writing in another program, or one that ended without closing it (h5clear "
              "-s)";
    else if (strstr(noted, "truncated file"))
        why = "a truncated HDF5 file: copy or download it again";
    else if (strstr(noted, "signature") && text)
        why = "no HDF5 file: it holds text";
    else if (strstr(noted, "signature"))
        why = "no HDF5 file, or one whose beginning is damaged";
    mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__, "%s: %s", path, why);
    mien__h5_cause();
}

/* Opens what a child has read before, as it was then. The lock is held. */
static mien_status open_vetted(mien_h5 *file) {
    for (int tries = 0; tries < 3; tries++) {
        struct stat about;
        if (stat(file->path, &about) != 0)
            MIEN_FAIL(MIEN_ERR_IO, "%s: cannot be read: %s", file->path, strerror(errno));
        MIEN_TRY(mien__h5_vet(file->path, &about));
        hid_t fapl = mien__h5_access_plist();
        file->file = mien__h5_note(H5Fopen(file->path, H5F_ACC_RDONLY, fapl));
        H5Pclose(fapl);
        if (file->file < 0) {
            tell_unopened(file->path, (int64_t)about.st_size);
            return MIEN_ERR_FORMAT;
        }
        if (stat(file->path, &about) == 0 && mien__h5_is_vetted(&about)) return MIEN_OK;
        H5Fclose(file->file);
        file->file = -1;
    }
    MIEN_FAIL(MIEN_ERR_IO, "%s: another program goes on changing the file", file->path);
}

mien_h5 *mien_h5_open(const char *path) {
    if (!path) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "HDF5: no path was given");
    struct stat about;
    if (access(path, R_OK) != 0 || stat(path, &about) != 0)
        MIEN_FAIL_NULL(MIEN_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (S_ISDIR(about.st_mode))
        MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: a folder, where an HDF5 file is wanted", path);
    if (!S_ISREG(about.st_mode))
        MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: a device or a pipe, where an HDF5 file is wanted",
                       path);
    mien_h5 *file = new_handle(path, false);
    if (!file) return NULL;
    mien__h5_lock();
    mien_status status = open_vetted(file);
    mien__h5_unlock();
    if (status == MIEN_OK) return file;
    mien_h5_close(file);
    return NULL;
}

/* Attributes lie in their object's header, which has a checksum, and no times are kept: the same
 * contents are the same bytes. The order of links is tracked, so that listings give names in the
 * order they were written. */
hid_t mien__h5_creation_plist(hid_t cls) {
    hid_t plist = H5Pcreate(cls);
    H5Pset_attr_phase_change(plist, 65535, 0);
    H5Pset_obj_track_times(plist, false);
    if (cls != H5P_DATASET_CREATE)
        H5Pset_link_creation_order(plist, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    return plist;
}

/* Removes what a failed creation left, unless somebody else is writing there by now. */
static void remove_partial(const char *partial) {
    int fd = open(partial, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) unlink(partial);
    if (fd >= 0) close(fd);
}

/* Closes a file that was never begun; what lies under its temporary name is not its own. */
static mien_h5 *abandon(mien_h5 *file) {
    free(file->partial);
    file->partial = NULL;
    mien_h5_close(file);
    return NULL;
}

mien_h5 *mien_h5_create(const char *path) {
    if (!path || !*path) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "HDF5: no path was given");
    mien_h5 *file = new_handle(path, true);
    if (!file) return NULL;
    /* A clear reason for a missing folder or missing rights, which HDF5 words badly; and a look for
     * HDF5's lock, since it cuts a file down before it finds that somebody else is writing it. */
    int fd = open(file->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    bool taken = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd < 0 || taken) {
        mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "%s: cannot be created: %s", file->partial,
                   taken ? "it is being written already, by this process or another; wait for that"
                         : strerror(errno));
        if (taken) close(fd);
        return abandon(file);
    }
    close(fd);
    mien__h5_lock();
    hid_t fapl = mien__h5_access_plist(), fcpl = mien__h5_creation_plist(H5P_FILE_CREATE);
    file->file = mien__h5_note(H5Fcreate(file->partial, H5F_ACC_TRUNC, fcpl, fapl));
    H5Pclose(fapl);
    H5Pclose(fcpl);
    if (file->file < 0) {
        mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "%s: cannot be created", file->partial);
        mien__h5_cause();
        remove_partial(file->partial);
    }
    mien__h5_unlock();
    return file->file < 0 ? abandon(file) : file;
}

/* Flushes and closes. HDF5 1.10 keeps a file that it cannot flush (a full disk) open for ever. */
static mien_status close_file(mien_h5 *file) {
    mien__h5_lock();
    bool flushed = mien__h5_note(H5Fflush(file->file, H5F_SCOPE_GLOBAL)) >= 0;
    if (!flushed) {
        mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "%s: cannot be written; is the disk full?",
                   file->path);
        mien__h5_cause();
    }
    bool closed = mien__h5_note(H5Fclose(file->file)) >= 0;
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

mien_status mien_h5_finish(mien_h5 *file) {
    MIEN_CALL_THAT_WRITES("putting an HDF5 file on disk");
    MIEN_TRY(mien__h5_usable(file, true));
    MIEN_TRY(close_file(file));
    MIEN_TRY(mien__file_commit(file->partial, file->path));
    file->finished = true;
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
    if (file->partial && !file->finished) {
        /* emptied first: HDF5 may hold it open, and the disk wants its room back */
        if (truncate(file->partial, 0) != 0) errno = 0; /* nothing more can be done about it */
        unlink(file->partial);
    }
    free(file->path);
    free(file->partial);
    free(file->text);
    free(file);
}

const char *mien_h5_path(const mien_h5 *file) {
    return file ? file->path : "";
}
