/* What storages and copies need of a device: the table that its backend registers.
 * Not here: which devices there are (backend/discovery.h), arithmetic (backend/backend.h). */
#ifndef MIEN_DEVICE_H
#define MIEN_DEVICE_H
#include "tensor.h"

typedef struct mien__device {
    /* Memory of the device; NULL data with an error record on failure. NULL on the CPU, whose
     * memory storage.c gets by itself. */
    void *(*alloc)(size_t bytes);
    void (*free)(void *data, size_t bytes);
    /* What writes elements also calls mien__tensor_touch.
     * Elements between any two layouts and dtypes of this device, same shape. */
    mien_status (*copy)(mien_tensor *dst, mien_tensor *src);
    mien_status (*fill)(mien_tensor *t, double value);
    /* Host <-> device, contiguous plain bytes; NULL on the CPU. */
    mien_status (*upload)(mien_tensor *dst, const void *src, size_t bytes);
    mien_status (*download)(void *dst, mien_tensor *src, size_t bytes);
    /* The rest is there together or not at all. Host memory that the device reads by itself. */
    void *(*pin)(size_t bytes);
    void (*unpin)(void *data);
    /* Copies beside the device's work, in a queue of their own (`aside`), in any thread: plain
     * bytes from pinned memory to dst. An event (made where *event is NULL) stands where a queue
     * ends when it is recorded. event_wait: what a queue is given from now on waits for it;
     * event_synchronize: the host does. */
    mien_status (*upload_aside)(mien_tensor *dst, const void *src, size_t bytes);
    mien_status (*event_record)(void **event, bool aside);
    mien_status (*event_wait)(void *event, bool aside);
    mien_status (*event_synchronize)(void *event);
    void (*event_free)(void *event); /* NULL is allowed */
} mien__device;

/* From now on the device's table is what `table` gives: NULL with an error record when the device
 * cannot be used. It may open the device at the first call. */
void mien__device_register(mien_device device, const mien__device *(*table)(void));
/* NULL with an error record that tells why the device cannot be used. */
const mien__device *mien__device_for(mien_device device);
/* The same for who uploads aside; an error where it cannot. */
const mien__device *mien__device_with_queue(mien_device device);
/* "cpu" */
const char *mien__device_name(mien_device device);
#endif
