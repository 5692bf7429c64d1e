/* Tensors: life, headers, views and layouts.
 * Not here: reading, writing and converting elements (elements.c, convert.c). */
#include "tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/assert.h"

/* ---- dtypes -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [MIEN_F32] = {"f32", 4}, [MIEN_BF16] = {"bf16", 2}, [MIEN_F16] = {"f16", 2},
    [MIEN_F64] = {"f64", 8}, [MIEN_U8] = {"u8", 1},     [MIEN_I32] = {"i32", 4},
    [MIEN_I64] = {"i64", 8}, [MIEN_I8] = {"i8", 1},
};

static bool dtype_known(mien_dtype dtype) {
    return (unsigned)dtype < sizeof dtypes / sizeof dtypes[0];
}

const char *mien_dtype_name(mien_dtype dtype) {
    return dtype_known(dtype) ? dtypes[dtype].name : "unknown";
}

size_t mien_dtype_size(mien_dtype dtype) {
    return dtype_known(dtype) ? dtypes[dtype].size : 0;
}

/* ---- making and letting go ----------------------------------------------------------------- */

static void set_contiguous(mien_tensor *t) {
    int64_t stride = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        t->stride[i] = stride;
        stride *= t->shape[i] > 0 ? t->shape[i] : 1;
    }
    t->offset = 0;
    t->block = 0;
}

mien_tensor *mien__tensor_header(mien_dtype dtype, mien_device device, int ndim,
                                 const int64_t *shape) {
    if (!dtype_known(dtype)) MIEN_FAIL_NULL(MIEN_ERR_DTYPE, "there is no dtype %d", (int)dtype);
    if (device != MIEN_DEVICE_CPU && device != MIEN_DEVICE_CUDA)
        MIEN_FAIL_NULL(MIEN_ERR_DEVICE, "there is no device %d", (int)device);
    if (ndim < 0 || ndim > MIEN_MAX_DIMS)
        MIEN_FAIL_NULL(MIEN_ERR_SHAPE, "a tensor has 0 to %d dimensions, not %d", MIEN_MAX_DIMS,
                       ndim);
    int64_t bytes = (int64_t)dtypes[dtype].size;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0)
            MIEN_FAIL_NULL(MIEN_ERR_SHAPE, "dimension %d of a new tensor is %lld", i + 1,
                           (long long)shape[i]);
        if (__builtin_mul_overflow(bytes, shape[i] ? shape[i] : 1, &bytes))
            MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "a tensor of this shape exceeds the address space");
    }
    mien_tensor *t = mien__calloc(1, sizeof *t);
    if (!t) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "no memory for a tensor's header");
    t->refs = 1;
    t->dtype = dtype;
    t->device = device;
    t->ndim = ndim;
    for (int i = 0; i < ndim; i++) t->shape[i] = shape[i];
    set_contiguous(t);
    return t;
}

mien_status mien__tensor_alloc(mien_tensor *t, int block) {
    int64_t count = mien_tensor_count(t);
    if (block) {
        if (t->ndim != 4 || (block != 8 && block != 16) || t->device != MIEN_DEVICE_CPU)
            MIEN_FAIL(MIEN_ERR_INTERNAL, "no blocked layout for %d dimensions in blocks of %d",
                      t->ndim, block);
        count =
            t->shape[0] * ((t->shape[1] + block - 1) / block * block) * t->shape[2] * t->shape[3];
    }
    mien_storage *storage = mien__storage_new(t->device, (size_t)count * dtypes[t->dtype].size);
    if (!storage) return mien_error_last()->code;
    mien__storage_release(t->storage);
    t->storage = storage;
    set_contiguous(t);
    t->block = block;
    mien__host_zero_padding(t);
    return MIEN_OK;
}

mien_tensor *mien_tensor_new(mien_dtype dtype, mien_device device, int ndim, const int64_t *shape) {
    mien_tensor *t = mien__tensor_header(dtype, device, ndim, shape);
    if (t && mien__tensor_alloc(t, 0) != MIEN_OK) {
        mien_tensor_release(t);
        return NULL;
    }
    return t;
}

mien_tensor *mien_tensor_retain(mien_tensor *t) {
    MIEN_ASSERT(!t || __atomic_load_n(&t->refs, __ATOMIC_RELAXED) > 0);
    if (t) __atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
    return t;
}

void mien_tensor_free(mien_tensor *t) {
    if (!t) return;
    mien__storage_release(t->storage);
    mien_tensor_release(t->grad);
    if (t->node) mien__hooks.release_node(t->node);
    t->storage = NULL;
    t->grad = NULL;
    t->node = NULL;
}

void mien_tensor_release(mien_tensor *t) {
    MIEN_ASSERT(!t || __atomic_load_n(&t->refs, __ATOMIC_RELAXED) > 0);
    if (!t || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    mien_tensor_free(t);
    free(t->name);
    free(t);
}

bool mien_tensor_is_freed(const mien_tensor *t) {
    return !t || !t->storage;
}

mien_status mien__tensor_check(const mien_tensor *t, const char *who) {
    if (!t) MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: there is no tensor", who);
    char shape[96];
    if (!t->storage)
        MIEN_FAIL(MIEN_ERR_MEMORY, "%s: tensor %s%s%s was freed; take what you need from it before",
                  who, t->name ? t->name : "", t->name ? " " : "",
                  mien__shape_text(t, shape, sizeof shape));
    return MIEN_OK;
}

/* ---- what a tensor is ---------------------------------------------------------------------- */

int mien_tensor_ndim(const mien_tensor *t) {
    return t->ndim;
}

int64_t mien_tensor_size(const mien_tensor *t, int dim) {
    return dim >= 0 && dim < t->ndim ? t->shape[dim] : 1;
}

int64_t mien_tensor_stride(const mien_tensor *t, int dim) {
    return dim >= 0 && dim < t->ndim ? t->stride[dim] : 0;
}

int64_t mien_tensor_count(const mien_tensor *t) {
    int64_t count = 1;
    for (int i = 0; i < t->ndim; i++) count *= t->shape[i];
    return count;
}

mien_dtype mien_tensor_dtype(const mien_tensor *t) {
    return t->dtype;
}
mien_device mien_tensor_device(const mien_tensor *t) {
    return t->device;
}
int mien_tensor_block(const mien_tensor *t) {
    return t->block;
}
const char *mien_tensor_name(const mien_tensor *t) {
    return t->name;
}

void mien_tensor_set_name(mien_tensor *t, const char *name) {
    free(t->name);
    t->name = name ? strdup(name) : NULL;
}

const char *mien__shape_text(const mien_tensor *t, char *buffer, size_t size) {
    size_t used = (size_t)snprintf(buffer, size, "[");
    for (int i = 0; t && i < t->ndim && used < size; i++)
        used += (size_t)snprintf(buffer + used, size - used, i ? ",%lld" : "%lld",
                                 (long long)t->shape[i]);
    if (used < size) snprintf(buffer + used, size - used, "]");
    return buffer;
}

int64_t mien__bytes_of(mien_tensor *const *tensors, int n) {
    int64_t bytes = 0;
    for (int i = 0; i < n; i++)
        if (tensors[i] && tensors[i]->storage)
            bytes += mien_tensor_count(tensors[i]) * (int64_t)mien_dtype_size(tensors[i]->dtype);
    return bytes;
}

bool mien__tensor_is_contiguous(const mien_tensor *t) {
    if (t->block) return false;
    int64_t stride = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        if (t->shape[i] == 0) return true;
        if (t->shape[i] != 1 && t->stride[i] != stride) return false;
        stride *= t->shape[i];
    }
    return true;
}

/* ---- views and layouts --------------------------------------------------------------------- */

mien_tensor *mien__tensor_alias(mien_tensor *t) {
    mien_tensor *alias = mien__tensor_header(t->dtype, t->device, t->ndim, t->shape);
    if (alias) mien__tensor_share(alias, t);
    return alias;
}

void mien__tensor_share(mien_tensor *header, const mien_tensor *t) {
    MIEN_ASSERT(!header->storage && mien__same_shape(header, t));
    memcpy(header->stride, t->stride, sizeof t->stride);
    header->offset = t->offset;
    header->block = t->block;
    header->storage = mien__storage_retain(t->storage);
}

mien_tensor *mien_tensor_detach(mien_tensor *t) {
    if (mien__tensor_check(t, "detach") != MIEN_OK || mien__tensor_make_plain(t) != MIEN_OK)
        return NULL;
    return mien__tensor_alias(t);
}

mien_status mien__tensor_make_plain(mien_tensor *t) {
    if (!t->block) return MIEN_OK;
    if (t->shape[2] * t->shape[3] == 1 && t->shape[1] % t->block == 0) {
        set_contiguous(t); /* one pixel: both layouts are the same bytes */
        return MIEN_OK;
    }
    mien_tensor *plain = mien_tensor_new(t->dtype, t->device, t->ndim, t->shape);
    if (!plain) return mien_error_last()->code;
    mien_status status = mien_tensor_copy(plain, t);
    if (status == MIEN_OK) {
        mien_storage *blocked = t->storage;
        t->storage = plain->storage;
        plain->storage = blocked;
        set_contiguous(t);
    }
    mien_tensor_release(plain);
    return status;
}

mien_tensor *mien__tensor_contiguous(mien_tensor *t) {
    if (mien__tensor_is_contiguous(t)) return mien_tensor_retain(t);
    return mien_tensor_to(t, t->dtype, t->device);
}

mien__tensor_hooks mien__hooks;

void mien__tensor_touch(mien_tensor *t) {
    if (!t->storage) return;
    __atomic_fetch_add(&t->storage->version, 1, __ATOMIC_RELAXED);
    if (mien__hooks.watch && t->device == MIEN_DEVICE_CUDA) mien__hooks.watch(t->storage, true);
}
