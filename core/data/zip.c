/* Zip files through libzip. Not here: what their files mean. */
#include "bytes.h"
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

struct mien_zip {
    zip_t *zip;
    char *path;
};

uint32_t mien_crc32(const void *bytes, int64_t n) {
    return libdeflate_crc32(0, bytes, (size_t)n);
}

mien_zip *mien_zip_open(const char *path) {
    mien_bytes *file = mien_bytes_open(path); /* says what is no file at all */
    if (!file) return NULL;
    mien_bytes_close(file);
    int code = 0;
    mien_zip *zip = calloc(1, sizeof *zip);
    if (!zip || !(zip->path = strdup(path))) {
        mien_zip_close(zip);
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "%s: out of memory", path);
    }
    zip->zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &code);
    if (zip->zip) return zip;
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__, "%s: a zip file that is cut off or damaged",
               path);
    mien__fail_cause("libzip: %s", zip_error_strerror(&error));
    zip_error_fini(&error);
    mien_zip_close(zip);
    return NULL;
}

void mien_zip_close(mien_zip *zip) {
    if (!zip) return;
    if (zip->zip) zip_discard(zip->zip);
    free(zip->path);
    free(zip);
}

int64_t mien_zip_count(const mien_zip *zip) {
    return zip_get_num_entries(zip->zip, 0);
}

static mien_status about(const mien_zip *zip, int64_t i, zip_stat_t *stat) {
    zip_uint64_t wanted =
        ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_CRC;
    zip_stat_init(stat);
    if (i >= 0 && zip_stat_index(zip->zip, (zip_uint64_t)i, 0, stat) == 0 &&
        (stat->valid & wanted) == wanted)
        return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_FORMAT, "%s: the zip file does not say what file %lld of it is", zip->path,
              (long long)i + 1);
}

const char *mien_zip_name(const mien_zip *zip, int64_t i) {
    zip_stat_t stat;
    return about(zip, i, &stat) == MIEN_OK ? stat.name : "";
}

int64_t mien_zip_size(const mien_zip *zip, int64_t i) {
    zip_stat_t stat;
    return about(zip, i, &stat) == MIEN_OK && stat.size <= INT64_MAX ? (int64_t)stat.size : -1;
}

/* Its bytes as they lie in the file. */
static mien_storage *packed(mien_zip *zip, int64_t i, const zip_stat_t *stat, const char *name) {
    zip_file_t *file = zip_fopen_index(zip->zip, (zip_uint64_t)i, ZIP_FL_COMPRESSED);
    mien_storage *storage =
        file ? mien__storage_new(MIEN_DEVICE_CPU, (size_t)stat->comp_size) : NULL;
    zip_uint64_t done = 0;
    while (storage && done < stat->comp_size) {
        zip_int64_t n = zip_fread(file, (char *)storage->data + done, stat->comp_size - done);
        if (n <= 0) break;
        done += (zip_uint64_t)n;
    }
    if (file && !storage) {
        zip_fclose(file);
        return NULL;
    }
    if (!file || done < stat->comp_size) {
        mien__storage_release(storage);
        storage = NULL;
        mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__, "%s: cannot be read", name);
        mien__fail_cause("libzip: %s", zip_strerror(zip->zip));
    }
    if (file) zip_fclose(file);
    return storage;
}

mien_bytes *mien_zip_read(mien_zip *zip, int64_t i) {
    MIEN_CALL("reading a zip file");
    zip_stat_t stat;
    char name[512];
    if (about(zip, i, &stat) != MIEN_OK) return NULL;
    snprintf(name, sizeof name, "%s: %s", zip->path, stat.name);
    mien_bytes *file = mien_bytes_open(zip->path);
    if (!file) return NULL;
    bool inside = stat.comp_size <= (zip_uint64_t)mien_bytes_size(file);
    mien_bytes_close(file);
    if (!inside || stat.size > INT64_MAX ||
        (stat.comp_method == ZIP_CM_STORE && stat.size != stat.comp_size))
        MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: damaged: the zip file contradicts itself on its size",
                       name);
    if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE)
        MIEN_FAIL_NULL(MIEN_ERR_UNSUPPORTED,
                       "%s: packed by method %d; only stored (0) and deflated (8) are read", name,
                       stat.comp_method);
    mien_storage *raw = packed(zip, i, &stat, name);
    if (!raw) return NULL;
    mien_bytes *out;
    uint32_t sum;
    if (stat.comp_method == ZIP_CM_DEFLATE) {
        out = mien__bytes_unpacked(raw->data, (int64_t)raw->bytes, MIEN_DEFLATE, (int64_t)stat.size,
                                   name);
        mien__storage_release(raw);
    } else {
        out = mien__bytes_in(raw, name);
    }
    if (!out) return NULL;
    sum = mien_crc32(mien__bytes_data(out), mien_bytes_size(out));
    if (sum == stat.crc) return out;
    mien_bytes_close(out);
    MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: damaged: its CRC-32 is %08x, the zip file says %08x", name,
                   sum, stat.crc);
}
