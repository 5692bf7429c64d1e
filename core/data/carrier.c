/* Batches to a GPU beside its work: the order of fills, copies and use.
 * Not here: the queue and the events themselves (tensor/device.h).
 *
 *   host      fills ........ wait, fills again
 *   aside           copies
 *   work   unused > ...... > take > uses                  (a > b: b waits for a) */
#include "carrier.h"

#include <string.h>

mien_status mien__carrier_open(mien__carrier *c, mien_device device,
                               const size_t bytes[MIEN_CARRIED]) {
    const size_t line = 64;
    size_t at[MIEN_CARRIED], all = 0;
    const mien__device *gpu = mien__device_with_queue(device);
    if (!gpu) return mien_error_last()->code;
    for (int i = 0; i < MIEN_CARRIED; i++) {
        at[i] = all;
        all += (bytes[i] + line - 1) / line * line;
    }
    char *data = gpu->pin(all);
    if (!data) return mien_error_last()->code;
    *c = (mien__carrier){.gpu = gpu};
    for (int i = 0; i < MIEN_CARRIED; i++) c->host[i] = data + at[i];
    return MIEN_OK;
}

mien_status mien__carrier_aim(mien__carrier *c, mien_tensor *const there[MIEN_CARRIED]) {
    MIEN_TRY(c->gpu->event_record(&c->unused, false));
    memcpy(c->there, there, sizeof c->there);
    return MIEN_OK;
}

mien_status mien__carrier_send(mien__carrier *c) {
    if (c->sent) return MIEN_OK;
    MIEN_TRY(c->gpu->event_wait(c->unused, true));
    for (int i = 0; i < MIEN_CARRIED; i++) {
        mien_tensor *t = c->there[i];
        size_t bytes = (size_t)mien_tensor_count(t) * mien_dtype_size(t->dtype);
        MIEN_TRY(c->gpu->upload_aside(t, c->host[i], bytes));
    }
    MIEN_TRY(c->gpu->event_record(&c->copied, true));
    c->sent = true;
    return MIEN_OK;
}

mien_status mien__carrier_take(mien__carrier *c, mien_tensor *there[MIEN_CARRIED]) {
    MIEN_TRY(c->gpu->event_wait(c->copied, false));
    memcpy(there, c->there, sizeof c->there);
    memset(c->there, 0, sizeof c->there);
    c->sent = false;
    return MIEN_OK;
}

mien_status mien__carrier_wait(const mien__carrier *c) {
    return c->copied ? c->gpu->event_synchronize(c->copied) : MIEN_OK;
}

void mien__carrier_close(mien__carrier *c) {
    if (!c->gpu) return;
    if (c->there[0])
        c->gpu->event_record(&c->copied, true); /* a send that failed may have begun one */
    mien__carrier_wait(c);                      /* a lost GPU has nothing to wait for */
    for (int i = 0; i < MIEN_CARRIED; i++) mien_tensor_release(c->there[i]);
    c->gpu->event_free(c->unused);
    c->gpu->event_free(c->copied);
    c->gpu->unpin(c->host[0]);
    *c = (mien__carrier){0};
}
