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
    struct stat about;
    if (access(path, R_OK) != 0 || stat(path, &about) != 0)
        MIEN_FAIL_NULL(MIEN_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (S_ISDIR(about.st_mode))
        MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: a folder, where an HDF5 file is wanted", path);
    mien_h5 *file = new_handle(path, false);
    if (!file) return NULL;
    mien__h5_lock();
    hid_t fapl = access_plist();
    file->file = mien__h5_note(H5Fopen(path, H5F_ACC_RDONLY, fapl));
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
hid_t mien__h5_ordered_plist(hid_t cls) {
    hid_t plist = H5Pcreate(cls);
    H5Pset_link_creation_order(plist, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    return plist;
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
    hid_t fapl = access_plist(), fcpl = mien__h5_ordered_plist(H5P_FILE_CREATE);
    file->file = mien__h5_note(H5Fcreate(file->partial, H5F_ACC_TRUNC, fcpl, fapl));
    H5Pclose(fapl);
    H5Pclose(fcpl);
    if (file->file < 0) {
        mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "%s: cannot be created", file->partial);
        mien__h5_cause();
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
    MIEN_TRY(mien_file_commit(file->partial, file->path));
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
