/* The cache of re-laid-out weights.
 * Not here: the LSTM's recurrent weights, which are packed per call (lstm.c). */
#include "pack.h"
#include <stdlib.h>

typedef struct packed {
    mien_tensor *elements; /* bytes from the pool */
    mien__primitive_key key;
    uint64_t version; /* of the storage when it was packed */
} packed;

static void release(void *all) {
    packed *slot = all;
    for (int i = 0; i < MIEN_PACK_USES; i++) mien_tensor_release(slot[i].elements);
    free(slot);
}

void *mien__pack(mien_tensor *weight, mien__primitive *p, int use) {
    if (!p->reorder) return mien__cpu_ptr(weight);
    mien_storage *storage = weight->storage;
    if (!storage->packed) {
        storage->packed = calloc(MIEN_PACK_USES, sizeof(packed));
        if (!storage->packed) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "cpu: no memory to pack weights");
        storage->packed_release = release;
    }
    packed *slot = (packed *)storage->packed + use;
    bool same_layout = slot->elements && memcmp(&slot->key, &p->key, sizeof p->key) == 0;
    if (same_layout && slot->version == storage->version) return mien__cpu_ptr(slot->elements);
    if (slot->elements && slot->elements->shape[0] != (int64_t)p->weights_bytes) {
        mien_tensor_release(slot->elements);
        slot->elements = NULL;
    }
    if (!slot->elements) slot->elements = mien__cpu_bytes((int64_t)p->weights_bytes);
    if (!slot->elements) return NULL;
    if (mien__primitive_reorder(p, mien__cpu_ptr(weight), mien__cpu_ptr(slot->elements)) != MIEN_OK)
        return NULL;
    slot->key = p->key;
    slot->version = storage->version;
    return mien__cpu_ptr(slot->elements);
}
