/* What keeping results on disk needs beside a database: hashes, atomic renames, folders, clocks.
 * Not here: what is written to those files (core/data/hdf5.c, lua/mien/checkpoint.lua). */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- SHA-256 --------------------------------------------------------------------------------- */

static mien_status hash_failed(const char *what) {
    MIEN_FAIL(MIEN_ERR_VENDOR, "sha256 of %s: libcrypto refused", what);
}

static mien_status finish_hash(EVP_MD_CTX *context, const char *what, char *out) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (!EVP_DigestFinal_ex(context, digest, &length)) return hash_failed(what);
    for (unsigned i = 0; i < length; i++) sprintf(out + 2 * i, "%02x", digest[i]);
    return MIEN_OK;
}

mien_status mien_text_sha256(const char *text, int64_t bytes, char *out) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    mien_status status;
    if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) &&
        EVP_DigestUpdate(context, text, (size_t)bytes))
        status = finish_hash(context, "a text", out);
    else
        status = hash_failed("a text");
    EVP_MD_CTX_free(context);
    return status;
}

mien_status mien_file_sha256(const char *path, char *out) {
    FILE *file = fopen(path, "rb");
    if (!file) MIEN_FAIL(MIEN_ERR_IO, "sha256: cannot open %s: %s", path, strerror(errno));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    char *block = malloc(1 << 16);
    mien_status status = MIEN_OK;
    if (!context || !block || !EVP_DigestInit_ex(context, EVP_sha256(), NULL))
        status = hash_failed(path);
    size_t got;
    while (status == MIEN_OK && (got = fread(block, 1, 1 << 16, file)) > 0)
        if (!EVP_DigestUpdate(context, block, got)) status = hash_failed(path);
    if (status == MIEN_OK && ferror(file))
        status = mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "sha256: cannot read %s: %s", path,
                            strerror(errno));
    if (status == MIEN_OK) status = finish_hash(context, path, out);
    free(block);
    EVP_MD_CTX_free(context);
    fclose(file);
    return status;
}

/* ---- files and folders ----------------------------------------------------------------------- */

static mien_status sync_path(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) MIEN_FAIL(MIEN_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    int rc = fsync(fd), problem = errno;
    close(fd);
    /* EINVAL: a file system that knows no fsync of folders */
    if (rc < 0 && problem != EINVAL)
        MIEN_FAIL(MIEN_ERR_IO, "cannot write %s to disk: %s", path, strerror(problem));
    return MIEN_OK;
}

mien_status mien_file_commit(const char *temporary, const char *path) {
    MIEN_TRY(sync_path(temporary, O_RDONLY));
    if (rename(temporary, path) < 0)
        MIEN_FAIL(MIEN_ERR_IO, "cannot rename %s to %s: %s", temporary, path, strerror(errno));
    char *folder = strdup(path);
    if (!folder) MIEN_FAIL(MIEN_ERR_MEMORY, "commit of %s: out of memory", path);
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    mien_status status = sync_path(slash ? folder : ".", O_RDONLY | O_DIRECTORY);
    free(folder);
    return status;
}

static mien_status make_one(const char *path) {
    struct stat info;
    if (mkdir(path, 0777) == 0) return MIEN_OK;
    int problem = errno;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_IO, "cannot make folder %s: %s", path, strerror(problem));
}

mien_status mien_folder_make(const char *path) {
    if (!path || !*path) MIEN_FAIL(MIEN_ERR_ARGUMENT, "folder: the path is empty");
    char *copy = strdup(path);
    if (!copy) MIEN_FAIL(MIEN_ERR_MEMORY, "folder %s: out of memory", path);
    mien_status status = MIEN_OK;
    for (char *slash = strchr(copy + 1, '/'); slash && status == MIEN_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        status = make_one(copy);
        *slash = '/';
    }
    if (status == MIEN_OK) status = make_one(copy);
    free(copy);
    return status;
}

/* ---- clocks ---------------------------------------------------------------------------------- */

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
double mien_time_now(void) {
    return seconds(CLOCK_REALTIME);
}
double mien_time_monotonic(void) {
    return seconds(CLOCK_MONOTONIC);
}
