/* Who serves the updates of each device. Not here: the tables (backend/). */
#include "updates.h"

#include "tensor/device.h"

static const mien__updates *(*tables[2])(void); /* by mien_device */

void mien__updates_register(mien_device device, const mien__updates *(*table)(void)) {
    tables[device] = table;
}

const mien__updates *mien__updates_for(mien_device device) {
    const mien__updates *u = tables[device]();
    if (!u || u->adam) return u;
    MIEN_FAIL_NULL(MIEN_ERR_UNSUPPORTED, "device %s has no updates of parameters",
                   mien__device_name(device));
}
