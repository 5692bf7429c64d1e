/* A first look at an HDF5 file by a child process. HDF5 trusts what a file says of itself: a
 * changed bit or a crafted file may end the process that reads it, or keep it in a loop for ever.
 * So a child walks whatever of a file's structure is read later, and the file is opened only when
 * the child has survived. Not here: damage to the elements of datasets, which checksums tell when
 * they are read. */
#define _GNU_SOURCE /* pipe2 */
#include "hdf5_inner.h"
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

/* ---- in the child ---------------------------------------------------------------------------- */

#define DEEPEST 64      /* groups within groups */
#define MOST    1000000 /* links */

typedef struct look {
    int out;          /* where the verdict goes */
    char place[1024]; /* of what is looked at: "/a/b" */
    int depth, links;
    haddr_t *seen; /* objects with several names, which might be groups within themselves */
    size_t n_seen, room;
} look;

/* Says why the file is refused, and ends the child. */
static _Noreturn void refuse(look *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static _Noreturn void refuse(look *l, const char *fmt, ...) {
    char text[1400] = "b";
    va_list list;
    va_start(list, fmt);
    vsnprintf(text + 1, sizeof text - 1, fmt, list);
    va_end(list);
    _exit(write(l->out, text, strlen(text)) < 0);
}

static _Noreturn void damaged(look *l) {
    char words[400];
    mien__h5_words(words, sizeof words);
    refuse(l, "'%s' is damaged%s%s", l->place, words[0] ? ": HDF5: " : "", words);
}

static herr_t look_at_attribute(hid_t object, const char *name, const H5A_info_t *info,
                                void *data) {
    look *l = data;
    hid_t id = H5Aopen(object, name, H5P_DEFAULT);
    hid_t type = id < 0 ? -1 : H5Aget_type(id), space = id < 0 ? -1 : H5Aget_space(id);
    if (type < 0 || space < 0) damaged(l);
    H5T_class_t class = H5Tget_class(type);
    int64_t elements = (int64_t)H5Sget_simple_extent_npoints(space);
    double number;
    if (class == H5T_STRING) {
        char *text = mien__h5_texts(id, elements);
        if (!text) damaged(l);
        free(text);
    } else if (elements == 1 && (class == H5T_INTEGER || class == H5T_FLOAT || class == H5T_ENUM)) {
        if (H5Aread(id, H5T_NATIVE_DOUBLE, &number) < 0) damaged(l);
    }
    H5Tclose(type);
    H5Sclose(space);
    H5Aclose(id);
    return 0;
}

static void look_at_attributes(look *l, hid_t object) {
    hsize_t start = 0;
    if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &start, look_at_attribute, l) < 0)
        damaged(l);
}

/* Filters of HDF5's own that take what is packed at its word. */
static const char *unsafe_filter(hid_t dcpl) {
    for (int i = 0; i < H5Pget_nfilters(dcpl); i++) {
        size_t n = 0;
        H5Z_filter_t filter = H5Pget_filter2(dcpl, (unsigned)i, NULL, &n, NULL, 0, NULL, NULL);
        if (filter == H5Z_FILTER_NBIT) return "nbit";
        if (filter == H5Z_FILTER_SCALEOFFSET) return "scaleoffset";
    }
    return NULL;
}

/* One row of a type that HDF5 has to convert, as it is read later; whether its elements are damaged
 * is told then. */
static void read_a_row(hid_t dataset, hid_t type, hid_t space) {
    hid_t memory_type = mien__h5_memory_type(type);
    hsize_t sizes[H5S_MAX_RANK], first[H5S_MAX_RANK] = {0}, bytes = 8;
    int ndim = H5Sget_simple_extent_dims(space, sizes, NULL);
    if (memory_type < 0 || H5Tequal(type, memory_type) > 0) return;
    if (ndim < 0 || H5Sget_simple_extent_npoints(space) < 1) return;
    if (ndim) sizes[0] = 1;
    for (int i = 0; i < ndim; i++)
        if (__builtin_mul_overflow(bytes, sizes[i], &bytes) || bytes > 64 << 20) return;
    void *row = malloc(bytes);
    hid_t memory = ndim ? H5Screate_simple(ndim, sizes, NULL) : H5Screate(H5S_SCALAR);
    if (ndim) H5Sselect_hyperslab(space, H5S_SELECT_SET, first, NULL, sizes, NULL);
    if (row) H5Dread(dataset, memory_type, memory, space, H5P_DEFAULT, row);
    H5Sclose(memory);
    free(row);
}

static void look_at_dataset(look *l, hid_t group, const char *name) {
    hid_t id = H5Dopen2(group, name, H5P_DEFAULT);
    if (id < 0) damaged(l);
    hid_t type = H5Dget_type(id), space = H5Dget_space(id), dcpl = H5Dget_create_plist(id);
    if (type < 0 || space < 0 || dcpl < 0) damaged(l);
    H5D_layout_t layout = H5Pget_layout(dcpl);
    if (H5Pget_external_count(dcpl) > 0)
        refuse(l, "'%s' lies in another file (external storage), which is not read", l->place);
    if (layout == H5D_VIRTUAL)
        refuse(l, "'%s' is put together out of other files (virtual), which are not read",
               l->place);
    const char *filter = unsafe_filter(dcpl);
    if (filter)
        refuse(l, "'%s' is packed with HDF5's filter %s, which is not read: h5repack -f GZIP=4",
               l->place, filter);
    hsize_t chunks;
    if (layout == H5D_CHUNKED && H5Dget_num_chunks(id, space, &chunks) < 0) damaged(l);
    read_a_row(id, type, space);
    H5Eclear2(H5E_DEFAULT);
    look_at_attributes(l, id);
    H5Pclose(dcpl);
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(id);
}

static bool was_seen(look *l, const H5O_info_t *info) {
    if (info->rc < 2) return false;
    for (size_t i = 0; i < l->n_seen; i++)
        if (l->seen[i] == info->addr) return true;
    if (l->n_seen == l->room) {
        l->room = l->room * 2 + 16;
        l->seen = realloc(l->seen, l->room * sizeof *l->seen);
        if (!l->seen) _exit(1);
    }
    l->seen[l->n_seen++] = info->addr;
    return false;
}

static void look_at_group(look *l, hid_t group);

static herr_t look_at_link(hid_t group, const char *name, const H5L_info_t *link, void *data) {
    look *l = data;
    H5O_info_t info;
    size_t length = strlen(l->place);
    snprintf(l->place + length, sizeof l->place - length, "/%s", name);
    if (++l->links > MOST) refuse(l, "it has more than %d objects", MOST);
    if (link->type == H5L_TYPE_HARD) {
        if (H5Oget_info_by_name2(group, name, &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0) damaged(l);
        if (info.type == H5O_TYPE_DATASET) look_at_dataset(l, group, name);
        if (info.type == H5O_TYPE_GROUP && !was_seen(l, &info)) {
            hid_t child = H5Gopen2(group, name, H5P_DEFAULT);
            if (child < 0) damaged(l);
            if (++l->depth > DEEPEST) refuse(l, "'%s' is too deep within groups", l->place);
            look_at_group(l, child);
            l->depth--;
            H5Gclose(child);
        }
    } else if (link->type == H5L_TYPE_SOFT) { /* to a place in this file, or to none */
        H5Oget_info_by_name2(group, name, &info, H5O_INFO_BASIC, H5P_DEFAULT);
        H5Eclear2(H5E_DEFAULT);
    } else {
        refuse(l, "'%s' is a link to another file, which is not followed", l->place);
    }
    l->place[length] = 0;
    return 0;
}

static void look_at_group(look *l, hid_t group) {
    look_at_attributes(l, group);
    if (mien__h5_each_link(group, look_at_link, l) < 0) damaged(l);
}

/* What ends a process by default, and no words on the terminal: the parent says it. Signals are let
 * in, as the thread that forked may have blocked them. */
static void become_silent(int64_t file_bytes) {
    sigset_t none;
    sigemptyset(&none);
    for (int s = 1; s < 32; s++) signal(s, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int nothing = open("/dev/null", O_RDWR);
    if (nothing >= 0) dup2(nothing, STDOUT_FILENO), dup2(nothing, STDERR_FILENO);
    struct rlimit limit = {0, 0};
    setrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = 2 + (rlim_t)(file_bytes >> 28); /* seconds of its own work, not of waiting */
    limit.rlim_max = limit.rlim_cur + 1;
    setrlimit(RLIMIT_CPU, &limit);
#if !defined(__SANITIZE_ADDRESS__) /* whose shadow is larger than any limit */
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm && fscanf(statm, "%ld", &pages) == 1) {
        limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)1 << 31);
        limit.rlim_max = limit.rlim_cur;
        setrlimit(RLIMIT_AS, &limit);
    }
    if (statm) fclose(statm);
#endif
    mallopt(M_PERTURB, 0x5b); /* unset memory is always the same, and never a good pointer */
}

static _Noreturn void examine(const char *path, int64_t bytes, int out) {
    look l = {.out = out};
    become_silent(bytes);
    hid_t fapl = mien__h5_access_plist();
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, fapl);
    if (file < 0)
        _exit(write(out, "o", 1) < 0); /* an error like any other: the parent gets it too */
    hid_t root = H5Gopen2(file, "/", H5P_DEFAULT);
    snprintf(l.place, sizeof l.place, "/");
    if (root < 0) damaged(&l);
    l.place[0] = 0;
    look_at_group(&l, root);
    _exit(write(out, "g", 1) < 0);
}

/* ---- in the parent --------------------------------------------------------------------------- */

/* The files that a child has survived, by what changes when one is written. Under the lock. */
typedef struct identity {
    dev_t device;
    ino_t number;
    off_t size;
    struct timespec changed;
} identity;
enum { REMEMBERED = 256 };
static identity vetted[REMEMBERED];
static unsigned n_vetted;

static identity identity_of(const struct stat *about) {
    identity i;
    memset(&i, 0, sizeof i);
    i.device = about->st_dev;
    i.number = about->st_ino;
    i.size = about->st_size;
    i.changed = about->st_mtim;
    return i;
}

/* Reads the child's verdict until it ends. false: Ctrl-C. */
static bool listen(int in, char *verdict, size_t room) {
    size_t used = 0;
    for (;;) {
        struct pollfd from = {.fd = in, .events = POLLIN};
        int ready = poll(&from, 1, 50);
        if (ready <= 0 && mien_interrupt_requested()) return false;
        if (ready <= 0) continue;
        ssize_t n = read(in, verdict + used, room - 1 - used);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        used += (size_t)n;
    }
    verdict[used] = 0;
    return true;
}

static mien_status judge(const char *path, const char *verdict, int ended) {
    if (verdict[0] == 'g' || verdict[0] == 'o') return MIEN_OK;
    if (verdict[0] == 'b') MIEN_FAIL(MIEN_ERR_FORMAT, "%s: %s", path, verdict + 1);
    mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__,
               "%s: a damaged file: HDF5's library does not survive reading it", path);
    if (WIFSIGNALED(ended)) {
        int s = WTERMSIG(ended);
        mien__fail_cause("a process that looked at it first ended by signal %d (%s)", s,
                         s == SIGXCPU || s == SIGKILL ? "it came to no end" : strsignal(s));
    }
    return MIEN_ERR_FORMAT;
}

mien_status mien__h5_vet(const char *path, const struct stat *about) {
    const identity file = identity_of(about);
    for (unsigned i = 0; i < REMEMBERED && i < n_vetted; i++)
        if (memcmp(&vetted[i], &file, sizeof file) == 0) return MIEN_OK;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        MIEN_FAIL(MIEN_ERR_IO, "%s: no pipe for a look at it: %s", path, strerror(errno));
    pid_t child = fork();
    if (child == 0) examine(path, about->st_size, ends[1]);
    int error = errno, ended = 0;
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no process for a look at it: %s", path, strerror(error));
    }
    char verdict[1400];
    bool heard = listen(ends[0], verdict, sizeof verdict);
    close(ends[0]);
    if (!heard) kill(child, SIGKILL);
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR) {
    }
    if (!heard) MIEN_FAIL(MIEN_ERR_INTERRUPTED, "%s: interrupted", path);
    MIEN_TRY(judge(path, verdict, ended));
    if (verdict[0] == 'g') vetted[n_vetted++ % REMEMBERED] = file;
    return MIEN_OK;
}

bool mien__h5_is_vetted(const struct stat *about) {
    const identity file = identity_of(about);
    for (unsigned i = 0; i < REMEMBERED && i < n_vetted; i++)
        if (memcmp(&vetted[i], &file, sizeof file) == 0) return true;
    return false;
}
