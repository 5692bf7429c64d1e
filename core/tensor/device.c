/* Who serves memory and copies of each device. Not here: the tables (backend/). */
#include "device.h"

static const mien__device *(*tables[2])(void); /* by mien_device */

void mien__device_register(mien_device device, const mien__device *(*table)(void)) {
    tables[device] = table;
}

const mien__device *mien__device_for(mien_device device) {
    return tables[device]();
}

const mien__device *mien__device_with_queue(mien_device device) {
    const mien__device *d = mien__device_for(device);
    if (!d || d->upload_aside) return d;
    MIEN_FAIL_NULL(MIEN_ERR_UNSUPPORTED, "device %s has no queue for copies beside its work",
                   mien__device_name(device));
}

const char *mien__device_name(mien_device device) {
    return device == MIEN_DEVICE_CPU ? "cpu" : "cuda";
}
