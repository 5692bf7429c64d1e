/* Arranges tensors for the libraries, and keeps such copies of weights.
 * Not here: the copying itself (convert.cu). */
#include "weights.h"

#include <stdlib.h>
#include <string.h>

#include "backend/record.h"
#include "convert.h"

static bool is_arranged(const mien_tensor *t, mien_dtype dtype, int64_t channels) {
    bool laid_out = t->ndim == 4 ? mien__cuda_is_nhwc(t) : mien__tensor_is_contiguous(t);
    bool wide_enough = t->ndim != 4 || channels == 0 || channels == t->shape[1];
    return t->dtype == dtype && laid_out && wide_enough && (uintptr_t)mien__cuda_ptr(t) % 16 == 0;
}

/* The part of a wider tensor that holds t's channels. */
static mien_tensor *part_like(mien_tensor *wide, const mien_tensor *t) {
    mien_tensor *part = mien__tensor_alias(wide);
    if (part) memcpy(part->shape, t->shape, sizeof part->shape);
    return part;
}

mien_tensor *mien__cuda_as_channels_last(mien_tensor *t, mien_dtype dtype, int64_t channels) {
    if (is_arranged(t, dtype, channels)) return mien_tensor_retain(t);
    mien_tensor *wide = mien__tensor_header(dtype, MIEN_DEVICE_CUDA, t->ndim, t->shape);
    if (!wide) return NULL;
    bool pads = t->ndim == 4 && channels > t->shape[1];
    if (pads) wide->shape[1] = channels;
    mien_status status = t->ndim == 4 ? mien__cuda_alloc_nhwc(wide) : mien__cuda_alloc(wide);
    if (status == MIEN_OK && pads) status = mien__cuda_fill(wide, 0);
    mien_tensor *part = status == MIEN_OK ? part_like(wide, t) : NULL;
    if (status == MIEN_OK) status = part ? mien__cuda_copy(part, t) : mien_error_last()->code;
    mien_tensor_release(part);
    if (status == MIEN_OK) return wide;
    mien_tensor_release(wide);
    return NULL;
}

mien_status mien__cuda_assign(mien_tensor *t, mien_tensor *made, bool keep) {
    bool right = keep ? mien__cuda_is_nhwc(made) : mien__tensor_is_contiguous(made);
    if (mien__same_shape(t, made) && right && t->dtype == made->dtype && made->offset == 0) {
        mien__storage_release(t->storage);
        t->storage = mien__storage_retain(made->storage);
        memcpy(t->stride, made->stride, sizeof t->stride);
        return MIEN_OK;
    }
    MIEN_TRY(keep ? mien__cuda_alloc_nhwc(t) : mien__cuda_alloc(t));
    mien_tensor *part = part_like(made, t);
    mien_status status = part ? mien__cuda_copy(t, part) : mien_error_last()->code;
    mien_tensor_release(part);
    return status;
}

/* ---- copies of weights ----------------------------------------------------------------------- */

enum { SLOTS = 4 };
typedef struct slot {
    mien_tensor *copy; /* NULL: empty */
    mien_tensor of;    /* the view it was made from: dtype, shape, strides, offset */
    int64_t channels;
    uint64_t version; /* of the storage, when it was made */
    uint64_t visit;   /* of a capture that it was made in: only there it holds what it should */
} slot;

static void release(void *packed) {
    slot *slots = packed;
    for (int i = 0; i < SLOTS; i++) mien_tensor_release(slots[i].copy);
    free(slots);
}

static bool same_view(const mien_tensor *a, const mien_tensor *b) {
    return a->dtype == b->dtype && a->ndim == b->ndim && a->offset == b->offset &&
           memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) == 0 &&
           memcmp(a->stride, b->stride, (size_t)a->ndim * sizeof *a->stride) == 0;
}

mien_tensor *mien__cuda_weight(mien_tensor *t, mien_dtype dtype, int64_t channels) {
    if (is_arranged(t, dtype, channels)) return mien_tensor_retain(t);
    mien_storage *storage = t->storage;
    if (!storage->packed) {
        storage->packed = calloc(SLOTS, sizeof(slot));
        if (!storage->packed) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "cuda: no memory to pack weights");
        storage->packed_release = release;
    }
    slot *slots = storage->packed, *at = &slots[0];
    for (int i = 0; i < SLOTS; i++) {
        bool same = slots[i].copy && slots[i].copy->dtype == dtype &&
                    slots[i].channels == channels && same_view(&slots[i].of, t);
        if (same && slots[i].version == storage->version && slots[i].visit == mien__visit())
            return mien_tensor_retain(slots[i].copy);
        /* Its own old copy, else an empty slot, else the oldest. */
        bool worse = at->copy && (!slots[i].copy || slots[i].version < at->version);
        if (same || worse) at = &slots[i];
        if (same) break;
    }
    mien_tensor *copy = mien__cuda_as_channels_last(t, dtype, channels);
    if (!copy) return NULL;
    mien_tensor_release(at->copy);
    *at = (slot){.copy = copy,
                 .of = *t,
                 .channels = channels,
                 .version = storage->version,
                 .visit = mien__visit()};
    return mien_tensor_retain(copy);
}
