/* Zip files: the list of what is in them, and its contents. The library of that name copies and
 * sums each file on the way, which takes twice as long as all the rest of reading weights. Not
 * here: unpacking (unpack.c), what the files mean. */
#include "bytes.h"
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sizes and marks of APPNOTE.TXT, 4.3: a file's own header, its line in the list, the list's end.
 */
enum { LOCAL = 30, LINE = 46, END = 22, END64 = 56, LOCATOR64 = 20, COMMENT = 65535 };
enum { STORED = 0, DEFLATED = 8, ENCRYPTED = 1 };

typedef struct member {
    char *name;
    uint64_t at, packed, size; /* of its own header; bytes in the file, and unpacked */
    uint32_t sum;
    uint16_t flags, method;
} member;

struct mien_zip {
    mien_bytes *file;
    char *path;
    member *members;
    int64_t count;
};

uint32_t mien_crc32(const void *bytes, int64_t n) {
    return libdeflate_crc32(0, bytes, (size_t)n);
}

static uint64_t number(const unsigned char *p, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--) value = value << 8 | p[i];
    return value;
}

/* ---- the list -------------------------------------------------------------------------------- */

static mien_status damaged(const mien_zip *zip, const char *what) {
    MIEN_FAIL(MIEN_ERR_FORMAT, "%s: a zip file that is cut off or damaged: %s", zip->path, what);
}

/* Where the list lies and how many lines it has. */
static mien_status find_list(mien_zip *zip, uint64_t *at, uint64_t *bytes, uint64_t *lines) {
    const unsigned char *data = mien__bytes_data(zip->file);
    int64_t size = mien_bytes_size(zip->file), end = size - END;
    while (end >= 0 && end >= size - END - COMMENT &&
           (memcmp(data + end, "PK\5\6", 4) != 0 ||
            end + END + (int64_t)number(data + end + 20, 2) != size))
        end--;
    if (end < 0 || end < size - END - COMMENT) return damaged(zip, "it has no list of its files");
    *lines = number(data + end + 10, 2);
    *bytes = number(data + end + 12, 4);
    *at = number(data + end + 16, 4);
    if (number(data + end + 4, 2) != 0 && number(data + end + 4, 2) != 0xffff)
        return damaged(zip, "it is one of several parts");
    if (end >= LOCATOR64 && memcmp(data + end - LOCATOR64, "PK\6\7", 4) == 0) {
        uint64_t wide = number(data + end - LOCATOR64 + 8, 8);
        if (wide > (uint64_t)end || (uint64_t)end - wide < END64 ||
            memcmp(data + wide, "PK\6\6", 4) != 0)
            return damaged(zip, "the end of its list is not where it should be");
        *lines = number(data + wide + 32, 8);
        *bytes = number(data + wide + 40, 8);
        *at = number(data + wide + 48, 8);
    }
    if (*at > (uint64_t)end || *bytes > (uint64_t)end - *at || *lines > *bytes / LINE)
        return damaged(zip, "the list of its files lies outside");
    return MIEN_OK;
}

/* Sizes and place that are too large for a line stand behind its name, in this order. */
static bool widen(member *m, const unsigned char *extra, uint64_t bytes) {
    uint64_t *wide[3] = {&m->size, &m->packed, &m->at};
    bool wanted = false;
    for (int i = 0; i < 3; i++) wanted = wanted || *wide[i] == 0xffffffff;
    while (wanted && bytes >= 4) {
        uint64_t kind = number(extra, 2), length = number(extra + 2, 2);
        if (length > bytes - 4) return false;
        const unsigned char *p = extra + 4, *stop = p + length;
        for (int i = 0; kind == 1 && i < 3; i++) {
            if (*wide[i] != 0xffffffff) continue;
            if (stop - p < 8) return false;
            *wide[i] = number(p, 8);
            p += 8;
        }
        if (kind == 1) return true;
        extra += 4 + length;
        bytes -= 4 + length;
    }
    return true;
}

static mien_status read_list(mien_zip *zip) {
    uint64_t at = 0, bytes = 0, lines = 0, size = (uint64_t)mien_bytes_size(zip->file);
    MIEN_TRY(find_list(zip, &at, &bytes, &lines));
    const unsigned char *p = (const unsigned char *)mien__bytes_data(zip->file) + at;
    const unsigned char *stop = p + bytes;
    zip->members = calloc(lines ? lines : 1, sizeof *zip->members);
    if (!zip->members) MIEN_FAIL(MIEN_ERR_MEMORY, "%s: out of memory", zip->path);
    for (uint64_t i = 0; i < lines; i++) {
        member *m = &zip->members[i];
        uint64_t name, extra, rest = (uint64_t)(stop - p);
        if (rest < LINE || memcmp(p, "PK\1\2", 4) != 0)
            return damaged(zip, "a line of its list is none");
        *m = (member){.flags = (uint16_t)number(p + 8, 2),
                      .method = (uint16_t)number(p + 10, 2),
                      .sum = (uint32_t)number(p + 16, 4),
                      .packed = number(p + 20, 4),
                      .size = number(p + 24, 4),
                      .at = number(p + 42, 4)};
        name = number(p + 28, 2);
        extra = number(p + 30, 2);
        uint64_t whole = LINE + name + extra + number(p + 32, 2);
        if (whole > rest || !widen(m, p + LINE + name, extra))
            return damaged(zip, "a line of its list is cut off");
        if (m->packed > size || m->at > size - m->packed || m->size > INT64_MAX ||
            (m->method == STORED && m->size != m->packed))
            return damaged(zip, "it contradicts itself on a file's size");
        m->name = strndup((const char *)p + LINE, (size_t)name);
        if (!m->name) MIEN_FAIL(MIEN_ERR_MEMORY, "%s: out of memory", zip->path);
        zip->count = (int64_t)i + 1;
        p += whole;
    }
    return MIEN_OK;
}

mien_zip *mien_zip_open(const char *path) {
    mien_bytes *file = mien_bytes_open(path);
    if (!file) return NULL;
    mien_zip *zip = calloc(1, sizeof *zip);
    if (!zip || !(zip->path = strdup(path))) {
        free(zip);
        mien_bytes_close(file);
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "%s: out of memory", path);
    }
    zip->file = file;
    if (read_list(zip) == MIEN_OK) return zip;
    mien_zip_close(zip);
    return NULL;
}

void mien_zip_close(mien_zip *zip) {
    if (!zip) return;
    for (int64_t i = 0; i < zip->count; i++) free(zip->members[i].name);
    free(zip->members);
    mien_bytes_close(zip->file);
    free(zip->path);
    free(zip);
}

int64_t mien_zip_count(const mien_zip *zip) {
    return zip->count;
}

const char *mien_zip_name(const mien_zip *zip, int64_t i) {
    return i >= 0 && i < zip->count ? zip->members[i].name : "";
}

int64_t mien_zip_size(const mien_zip *zip, int64_t i) {
    return i >= 0 && i < zip->count ? (int64_t)zip->members[i].size : -1;
}

/* ---- contents -------------------------------------------------------------------------------- */

/* Where a file's bytes begin: behind its own header, whose name and extra field may be longer than
 * the list's. */
static mien_status find_contents(mien_zip *zip, const member *m, const char *name, uint64_t *at) {
    unsigned char head[LOCAL];
    MIEN_TRY(mien_bytes_read(zip->file, (int64_t)m->at, LOCAL, head));
    *at = m->at + LOCAL + number(head + 26, 2) + number(head + 28, 2);
    if (memcmp(head, "PK\3\4", 4) != 0)
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: damaged: it is not where the zip file says", name);
    return MIEN_OK;
}

mien_bytes *mien_zip_read(mien_zip *zip, int64_t i) {
    MIEN_CALL("reading a zip file");
    if (i < 0 || i >= zip->count)
        MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "%s: there is no file %lld in it", zip->path,
                       (long long)i + 1);
    const member *m = &zip->members[i];
    char name[512];
    snprintf(name, sizeof name, "%s: %s", zip->path, m->name);
    if (m->flags & ENCRYPTED) MIEN_FAIL_NULL(MIEN_ERR_UNSUPPORTED, "%s: encrypted", name);
    if (m->method != STORED && m->method != DEFLATED)
        MIEN_FAIL_NULL(MIEN_ERR_UNSUPPORTED,
                       "%s: packed by method %d; only stored (0) and deflated (8) are read", name,
                       m->method);
    uint64_t at;
    if (find_contents(zip, m, name, &at) != MIEN_OK) return NULL;
    mien_bytes *packed = mien__bytes_part(zip->file, (int64_t)at, (int64_t)m->packed, name);
    mien_bytes *out = packed;
    if (packed && m->method == DEFLATED) {
        out = mien__bytes_unpacked(mien__bytes_data(packed), (int64_t)m->packed, MIEN_DEFLATE,
                                   (int64_t)m->size, name);
        mien_bytes_close(packed);
    }
    if (!out) return NULL;
    uint32_t sum = mien_crc32(mien__bytes_data(out), mien_bytes_size(out));
    if (sum == m->sum) return out;
    mien_bytes_close(out);
    MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: damaged: its CRC-32 is %08x, the zip file says %08x", name,
                   sum, m->sum);
}
