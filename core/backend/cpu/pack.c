/* The cache of re-laid-out weights.
 * Not here: the LSTM's recurrent weights, which are packed per call (recurrent.c). */
#include "pack.h"
#include "base/allocate.h"
#include <stdlib.h>

typedef struct packed {
    mien_tensor *elements; /* bytes from the pool */
    mien__primitive_key key;
    int64_t offset;   /* which view of the storage was packed, */
    uint64_t version; /* and the storage's version then */
} packed;

static void release(void *all) {
    packed *slot = all;
    for (int i = 0; i < MIEN_PACK_USES; i++) mien_tensor_release(slot[i].elements);
    free(slot);
}

/* The weights' slot of this use, with room for `bytes`; *stale: they have to be laid out anew. NULL
 * with an error record on failure. */
static packed *slot_for(mien_tensor *weight, int use, const mien__primitive_key *key, int64_t bytes,
                        bool *stale) {
    mien_storage *storage = weight->storage;
    if (!storage->packed) {
        storage->packed = mien__calloc(MIEN_PACK_USES, sizeof(packed));
        if (!storage->packed) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "cpu: no memory to pack weights");
        storage->packed_release = release;
    }
    packed *slot = (packed *)storage->packed + use;
    bool same_layout = slot->elements && memcmp(&slot->key, key, sizeof *key) == 0;
    *stale = !same_layout || slot->version != storage->version || slot->offset != weight->offset ||
             mien__cpu_plain();
    if (slot->elements && slot->elements->shape[0] != bytes) {
        mien_tensor_release(slot->elements);
        slot->elements = NULL;
    }
    if (!slot->elements) slot->elements = mien__cpu_bytes(bytes);
    if (!slot->elements) return NULL;
    slot->key = *key;
    slot->version = storage->version;
    slot->offset = weight->offset;
    return slot;
}

/* For when its elements could not be made. */
static void forget(packed *slot) {
    mien_tensor_release(slot->elements);
    slot->elements = NULL;
}

void *mien__pack(mien_tensor *weight, mien__primitive *p, int use) {
    if (!p->weights_bytes) return mien__cpu_ptr(weight);
    bool stale;
    packed *slot = slot_for(weight, use, &p->key, (int64_t)p->weights_bytes, &stale);
    if (!slot) return NULL;
    void *elements = mien__cpu_ptr(slot->elements);
    if (stale && mien__primitive_reorder(p, mien__cpu_ptr(weight), elements) != MIEN_OK) {
        forget(slot);
        return NULL;
    }
    return elements;
}

void *mien__pack_own(mien_tensor *weight, int use, const mien__primitive_key *key, int64_t bytes,
                     void (*make)(const void *context, const float *weights, float *to),
                     const void *context) {
    bool stale;
    packed *slot = slot_for(weight, use, key, bytes, &stale);
    if (!slot) return NULL;
    float *elements = mien__cpu_ptr(slot->elements);
    if (stale) make(context, mien__cpu_ptr(weight), elements);
    return elements;
}

void *mien__pack_rounded(mien_tensor *weight) {
    static const mien__primitive_key rounded; /* no primitive's */
    bool stale;
    packed *slot = slot_for(weight, 0, &rounded, 2 * mien_tensor_count(weight), &stale);
    if (!slot) return NULL;
    if (!stale) return mien__cpu_ptr(slot->elements);
    mien_tensor *half =
        mien__tensor_header(MIEN_BF16, MIEN_DEVICE_CPU, weight->ndim, weight->shape);
    if (half) half->storage = mien__storage_retain(slot->elements->storage);
    mien_status status = half ? mien__cpu_copy(half, weight) : mien_error_last()->code;
    mien_tensor_release(half);
    if (status == MIEN_OK) return mien__cpu_ptr(slot->elements);
    forget(slot);
    return NULL;
}
