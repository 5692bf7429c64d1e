/* SHA-256 of files and texts, by libcrypto.
 * Not here: what is done with a hash (lua/mien/results). */
#include "store.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* A signal breaks off waiting for a slow file, as the next poll would. */
static mien_status stopped(const char *path) {
    if (mien_interrupt_requested())
        MIEN_FAIL(MIEN_ERR_INTERRUPTED, "sha256 of %s: stopped on request", path);
    return MIEN_OK;
}

mien_status mien_file_sha256(const char *path, char *out) {
    MIEN_CALL("sha256 of a file");
    FILE *file = fopen(path, "rb");
    if (!file && errno == EINTR) MIEN_TRY(stopped(path));
    if (!file) MIEN_FAIL(MIEN_ERR_IO, "sha256: cannot open %s: %s", path, strerror(errno));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    char *block = malloc(1 << 16);
    mien_status status = MIEN_OK;
    if (!context || !block || !EVP_DigestInit_ex(context, EVP_sha256(), NULL))
        status = hash_failed(path);
    size_t got;
    while (status == MIEN_OK && (got = fread(block, 1, 1 << 16, file)) > 0)
        status = EVP_DigestUpdate(context, block, got) ? stopped(path) : hash_failed(path);
    if (status == MIEN_OK) status = stopped(path);
    if (status == MIEN_OK && ferror(file))
        status = mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "sha256: cannot read %s: %s", path,
                            strerror(errno));
    if (status == MIEN_OK) status = finish_hash(context, path, out);
    free(block);
    EVP_MD_CTX_free(context);
    fclose(file);
    return status;
}
