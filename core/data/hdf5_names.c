/* HDF5 listings and attributes.
 * Not here: datasets (hdf5.c). */
#include "hdf5_inner.h"
#include "store/store.h"
#include "base/nan.h"
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 16 /* groups within groups: a file that links a group into itself ends here */

mien_status mien__text_add(mien__text *text, const char *bytes, size_t n) {
    if (text->used + n + 1 > text->room) {
        size_t room = (text->used + n + 1) * 2;
        char *grown = realloc(text->bytes, room);
        if (!grown) MIEN_FAIL(MIEN_ERR_MEMORY, "HDF5: out of memory for a text of %zu bytes", room);
        text->bytes = grown;
        text->room = room;
    }
    memcpy(text->bytes + text->used, bytes, n);
    text->used += n;
    text->bytes[text->used] = 0;
    return MIEN_OK;
}

/* ---- listings -------------------------------------------------------------------------------- */

typedef struct walk {
    mien__text text;
    char prefix[1024];
    int depth, left;
    bool deep;
} walk;

herr_t mien__h5_each_link(hid_t group, H5L_iterate_t visit_link, void *data) {
    hid_t plist = H5Gget_create_plist(group);
    unsigned order = 0;
    if (plist >= 0) {
        H5Pget_link_creation_order(plist, &order);
        H5Pclose(plist);
    }
    hsize_t start = 0;
    return H5Literate(group, order & H5P_CRT_ORDER_TRACKED ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME,
                      H5_ITER_INC, &start, visit_link, data);
}

static herr_t visit(hid_t group, const char *name, const H5L_info_t *link, void *data) {
    walk *w = data;
    H5O_info_t info;
    if (w->left-- <= 0) return 1;
    if (H5Oget_info_by_name2(group, name, &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0) return 0;
    bool is_group = info.type == H5O_TYPE_GROUP;
    if (!is_group && info.type != H5O_TYPE_DATASET) return 0;
    size_t length = strlen(w->prefix), more = strlen(name);
    if (mien__text_add(&w->text, w->prefix, length) != MIEN_OK ||
        mien__text_add(&w->text, name, more) != MIEN_OK ||
        mien__text_add(&w->text, is_group ? "/\n" : "\n", is_group ? 2 : 1) != MIEN_OK)
        return -1;
    if (is_group && w->deep && w->depth < MAX_DEPTH && length + more + 2 < sizeof w->prefix) {
        hid_t child = H5Gopen2(group, name, H5P_DEFAULT);
        if (child < 0) return 0;
        snprintf(w->prefix + length, sizeof w->prefix - length, "%s/", name);
        w->depth++;
        mien__h5_each_link(child, visit, w);
        w->depth--;
        w->prefix[length] = 0;
        H5Gclose(child);
    }
    return 0;
}

char *mien__h5_names(hid_t group, int most) {
    walk w = {.left = most};
    mien__h5_each_link(group, visit, &w);
    return w.text.bytes;
}

/* Gives the file a text to keep until the next call. */
static const char *keep(mien_h5 *file, char *bytes) {
    free(file->text);
    file->text = bytes ? bytes : strdup("");
    if (!file->text) mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "HDF5: out of memory");
    return file->text;
}

const char *mien_h5_list(mien_h5 *file) {
    const char *result = NULL;
    mien__h5_lock();
    if (mien__h5_usable(file, false) == MIEN_OK) {
        walk w = {.left = 1000000, .deep = true};
        hid_t root = H5Gopen2(file->file, "/", H5P_DEFAULT);
        if (root >= 0) {
            mien__h5_each_link(root, visit, &w);
            H5Gclose(root);
        }
        H5Eclear2(H5E_DEFAULT);
        result = keep(file, w.text.bytes);
    }
    mien__h5_unlock();
    return result;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static mien_status open_object(mien_h5 *file, const char *object, bool writing, hid_t *id) {
    MIEN_TRY(mien__h5_usable(file, writing));
    *id = mien__h5_note(H5Oopen(file->file, object && *object ? object : "/", H5P_DEFAULT));
    if (*id < 0) H5_FAIL(MIEN_ERR_FORMAT, "%s: no group or dataset '%s'", file->path, object);
    return MIEN_OK;
}

static mien_status put_attribute(mien_h5 *file, const char *object, const char *key, hid_t type,
                                 hid_t memory, const void *value) {
    if (!key || !*key) MIEN_FAIL(MIEN_ERR_ARGUMENT, "an attribute needs a name");
    hid_t id = -1;
    MIEN_TRY(open_object(file, object, true, &id));
    if (H5Aexists(id, key) > 0) H5Adelete(id, key);
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = mien__h5_note(H5Acreate2(id, key, type, space, H5P_DEFAULT, H5P_DEFAULT));
    herr_t result = attribute < 0 ? -1 : (herr_t)mien__h5_note(H5Awrite(attribute, memory, value));
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    H5Oclose(id);
    if (result < 0)
        H5_FAIL(MIEN_ERR_IO, "%s: cannot write attribute '%s' of '%s'", file->path, key, object);
    return MIEN_OK;
}

/* Fixed size: texts of variable size lie in a heap without checksums. */
static mien_status put_text(mien_h5 *file, const char *object, const char *key, const char *text) {
    hid_t type = H5Tcopy(H5T_C_S1);
    size_t length = strlen(text);
    H5Tset_size(type, length + 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
    mien_status status = put_attribute(file, object, key, type, type, text);
    H5Tclose(type);
    return status;
}

/* Beyond this, HDF5 may keep an attribute where no checksum of its own is: it gets one of ours, in
 * an attribute beside it. */
enum { LONG_TEXT = 4000 };
#define SUM_OF "mien_sha256 "

static mien_status sum_key(const char *key, char *name, size_t room) {
    if ((size_t)snprintf(name, room, SUM_OF "%s", key) < room) return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_ARGUMENT, "the name of attribute '%.40s...' is too long", key);
}

mien_status mien_h5_set_text(mien_h5 *file, const char *object, const char *key, const char *text) {
    if (!key || !*key) MIEN_FAIL(MIEN_ERR_ARGUMENT, "an attribute needs a name");
    if (!text) MIEN_FAIL(MIEN_ERR_ARGUMENT, "attribute '%s': no text was given", key);
    char sum[65], name[256];
    bool is_long = strlen(text) > LONG_TEXT;
    if (is_long) {
        MIEN_TRY(sum_key(key, name, sizeof name));
        MIEN_TRY(mien_text_sha256(text, (int64_t)strlen(text), sum));
    }
    mien__h5_lock();
    mien_status status = put_text(file, object, key, text);
    if (status == MIEN_OK && is_long) status = put_text(file, object, name, sum);
    mien__h5_unlock();
    return status;
}

mien_status mien_h5_set_number(mien_h5 *file, const char *object, const char *key, double value) {
    mien__h5_lock();
    mien_status status =
        put_attribute(file, object, key, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
    mien__h5_unlock();
    return status;
}

typedef struct opened {
    hid_t id; /* < 0: it or its object is not there */
    H5T_class_t class;
    int64_t elements;
} opened;

static mien_status open_attribute(mien_h5 *file, const char *object, const char *key,
                                  opened *attribute) {
    attribute->id = -1;
    MIEN_TRY(mien__h5_usable(file, false));
    if (!key || !*key) MIEN_FAIL(MIEN_ERR_ARGUMENT, "an attribute needs a name");
    if (!object || !*object) object = "/";
    if (strcmp(object, "/") != 0 && !mien__h5_exists(file, object)) return MIEN_OK;
    htri_t there = (htri_t)mien__h5_note(H5Aexists_by_name(file->file, object, key, H5P_DEFAULT));
    if (there == 0) return MIEN_OK;
    hid_t id =
        there < 0
            ? -1
            : mien__h5_note(H5Aopen_by_name(file->file, object, key, H5P_DEFAULT, H5P_DEFAULT));
    if (id < 0)
        H5_FAIL(MIEN_ERR_FORMAT, "%s: attribute '%s' of '%s' is damaged", file->path, key, object);
    hid_t type = H5Aget_type(id), space = H5Aget_space(id);
    attribute->id = id;
    attribute->class = H5Tget_class(type);
    attribute->elements = (int64_t)H5Sget_simple_extent_npoints(space);
    H5Tclose(type);
    H5Sclose(space);
    return MIEN_OK;
}

/* Texts of any of HDF5's three kinds (variable, padded with zeros, padded with blanks), joined. */
char *mien__h5_texts(hid_t attribute, int64_t elements) {
    mien__text text = {0};
    hid_t type = H5Aget_type(attribute);
    bool variable = H5Tis_variable_str(type) > 0;
    size_t size = variable ? sizeof(char *) : H5Tget_size(type);
    char *values = calloc((size_t)elements + 1, size + 1);
    bool good = values && mien__text_add(&text, "", 0) == MIEN_OK &&
                (elements == 0 || H5Aread(attribute, type, values) >= 0);
    for (int64_t i = 0; good && i < elements; i++) {
        const char *value = values + (size_t)i * size;
        if (variable) value = ((char **)(void *)values)[i];
        size_t length = !value ? 0 : variable ? strlen(value) : strnlen(value, size);
        if (!variable && H5Tget_strpad(type) == H5T_STR_SPACEPAD)
            while (length && value[length - 1] == ' ') length--;
        if (i > 0) good = mien__text_add(&text, "\n", 1) == MIEN_OK;
        if (good && length) good = mien__text_add(&text, value, length) == MIEN_OK;
    }
    if (variable && values) {
        hid_t space = H5Aget_space(attribute);
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, values);
        H5Sclose(space);
    }
    H5Tclose(type);
    H5Eclear2(H5E_DEFAULT);
    free(values);
    if (!good) {
        free(text.bytes);
        return NULL;
    }
    return text.bytes;
}

/* *text: new, NULL when there is no such text. The lock is held. */
static mien_status read_text(mien_h5 *file, const char *object, const char *key, char **text) {
    opened attribute;
    *text = NULL;
    MIEN_TRY(open_attribute(file, object, key, &attribute));
    if (attribute.id < 0) return MIEN_OK;
    bool is_text = attribute.class == H5T_STRING;
    if (is_text) *text = mien__h5_texts(attribute.id, attribute.elements);
    H5Aclose(attribute.id);
    if (is_text && !*text)
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: attribute '%s' of '%s' is damaged", file->path, key,
                  object && *object ? object : "/");
    return MIEN_OK;
}

/* Whether a long text is the one that was written. */
static mien_status check_sum(mien_h5 *file, const char *object, const char *key, const char *text) {
    char name[256], sum[65], *written;
    MIEN_TRY(sum_key(key, name, sizeof name));
    MIEN_TRY(read_text(file, object, name, &written));
    mien_status status = mien_text_sha256(text, (int64_t)strlen(text), sum);
    if (status == MIEN_OK && written && strcmp(written, sum) != 0)
        status = mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__,
                            "%s: attribute '%s' of '%s' is damaged: its sha256 is another",
                            file->path, key, object && *object ? object : "/");
    free(written);
    return status;
}

mien_status mien_h5_get_text(mien_h5 *file, const char *object, const char *key,
                             const char **text) {
    char *bytes = NULL;
    *text = NULL;
    mien__h5_lock();
    mien_status status = read_text(file, object, key, &bytes);
    if (status == MIEN_OK && bytes && strlen(bytes) > LONG_TEXT)
        status = check_sum(file, object, key, bytes);
    if (status == MIEN_OK && bytes)
        *text = keep(file, bytes);
    else
        free(bytes);
    mien__h5_unlock();
    return status;
}

mien_status mien_h5_get_number(mien_h5 *file, const char *object, const char *key, double *value,
                               bool *found) {
    opened attribute;
    *found = false;
    mien__h5_lock();
    mien_status status = open_attribute(file, object, key, &attribute);
    if (status == MIEN_OK && attribute.id >= 0) {
        H5T_class_t class = attribute.class;
        *found = attribute.elements == 1 &&
                 (class == H5T_INTEGER || class == H5T_FLOAT || class == H5T_ENUM);
        if (*found && mien__h5_note(H5Aread(attribute.id, H5T_NATIVE_DOUBLE, value)) < 0) {
            status = mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__,
                                "%s: attribute '%s' of '%s' is damaged", file->path, key,
                                object && *object ? object : "/");
            mien__h5_cause();
        }
        if (*found) *value = mien__canonical(*value);
        H5Aclose(attribute.id);
    }
    mien__h5_unlock();
    return status;
}

static herr_t add_name(hid_t id, const char *name, const H5A_info_t *info, void *data) {
    mien__text *text = data;
    return mien__text_add(text, name, strlen(name)) != MIEN_OK ||
                   mien__text_add(text, "\n", 1) != MIEN_OK
               ? -1
               : 0;
}

const char *mien_h5_attributes(mien_h5 *file, const char *object) {
    const char *result = NULL;
    mien__h5_lock();
    hid_t id = -1;
    if (open_object(file, object, false, &id) == MIEN_OK) {
        mien__text text = {0};
        hsize_t start = 0;
        H5Aiterate2(id, H5_INDEX_NAME, H5_ITER_INC, &start, add_name, &text);
        H5Eclear2(H5E_DEFAULT);
        H5Oclose(id);
        result = keep(file, text.bytes);
    }
    mien__h5_unlock();
    return result;
}
