/* The backends there are, and which of them is chosen for each device.
 * Not here: who serves a call (dispatch.c), opening a GPU's (discovery.c), any computation. */
#include "backend.h"

#include "base/isa.h"
#include "discovery.h"

#include <string.h>

static const mien_backend *const known[] = {
#ifndef MIEN_WITHOUT_ONEDNN
    &mien__backend_cpu,
#endif
    &mien__backend_ref};
enum { KNOWN = sizeof known / sizeof known[0] };
static const mien_backend *chosen; /* of the CPU; NULL: the first */

const mien_backend *mien__backend_of(mien_device device) {
    if (device == MIEN_DEVICE_CUDA) return mien__cuda_backend();
    if (!mien_cpu_isa()) return NULL;
    return chosen ? chosen : known[0];
}

static const mien__device *cpu_memory(void) {
    const mien_backend *b = mien__backend_of(MIEN_DEVICE_CPU);
    return b ? &b->memory : NULL;
}

static const mien__device *cuda_memory(void) {
    const mien_backend *b = mien__backend_of(MIEN_DEVICE_CUDA);
    return b ? &b->memory : NULL;
}

static const mien__updates *cpu_updates(void) {
    const mien_backend *b = mien__backend_of(MIEN_DEVICE_CPU);
    return b ? &b->updates : NULL;
}

static const mien__updates *cuda_updates(void) {
    const mien_backend *b = mien__backend_of(MIEN_DEVICE_CUDA);
    return b ? &b->updates : NULL;
}

__attribute__((constructor)) static void register_tables(void) {
    mien__device_register(MIEN_DEVICE_CPU, cpu_memory);
    mien__device_register(MIEN_DEVICE_CUDA, cuda_memory);
    mien__updates_register(MIEN_DEVICE_CPU, cpu_updates);
    mien__updates_register(MIEN_DEVICE_CUDA, cuda_updates);
}

static const mien_backend *find(const char *name) {
    for (int i = 0; name && i < KNOWN; i++)
        if (strcmp(known[i]->name, name) == 0) return known[i];
    return NULL;
}

mien_status mien_backend_use(const char *name) {
    const mien_backend *b = find(name);
    if (b) {
        chosen = b;
        return MIEN_OK;
    }
    MIEN_FAIL(MIEN_ERR_ARGUMENT,
              "there is no backend '%s' for the CPU in this build; there is '%s'%s",
              name ? name : "", known[0]->name, KNOWN > 1 ? " and 'ref'" : "");
}

const char *mien_backend_current(void) {
    return (chosen ? chosen : known[0])->name;
}

const char *mien_backend_describe(const char *name) {
    const mien_backend *b = name && strcmp(name, "cuda") == 0 ? mien__cuda_backend() : find(name);
    if (!b || (b->device == MIEN_DEVICE_CPU && !mien_cpu_isa())) return NULL;
    return b->describe ? b->describe() : b->name;
}
