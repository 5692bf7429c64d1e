/* Opens libmien_cuda.so when a GPU is asked for, and answers which devices there are.
 * Not here: anything of CUDA (backend/cuda); who serves a call (dispatch.c). */
#include "discovery.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "base/beside.h"
#include "base/clock.h"
#include "plugin_abi.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const mien__cuda_plugin *plugin; /* NULL: not opened yet, or it cannot be */
static const mien_backend *opened;
static char why[768]; /* why not */

/* Under the lock. The plugin beside libmien.so, or the file that MIEN_CUDA_LIBRARY names. */
static const mien__cuda_plugin *find_plugin(void) {
    static const char beside[] = "libmien_cuda.so";
    const char *named = getenv("MIEN_CUDA_LIBRARY");
    char text[512];
    if (plugin) return plugin;
    void *library = named ? mien__library_at(named, text, sizeof text)
                          : mien__library_beside(beside, text, sizeof text);
    if (!library) {
        snprintf(why, sizeof why,
                 "libmien_cuda.so does not open (built without CUDA? install the CUDA toolkit and "
                 "cuDNN headers and build again): %s",
                 text);
        return NULL;
    }
    const mien__cuda_plugin *found = dlsym(library, MIEN_PLUGIN_SYMBOL);
    if (!found || found->abi != MIEN_PLUGIN_ABI) {
        snprintf(why, sizeof why, "%.600s was built from other sources; build again",
                 named ? named : beside);
        dlclose(library);
        return NULL;
    }
    return plugin = found;
}

const mien_backend *mien__cuda_backend(void) {
    const mien_backend *backend = __atomic_load_n(&opened, __ATOMIC_ACQUIRE);
    if (backend) return backend;
    pthread_mutex_lock(&lock);
    const mien__cuda_plugin *p = find_plugin();
    if (!p)
        mien__fail(MIEN_ERR_DEVICE, __FILE__, __LINE__, "no GPU can be used: %s", why);
    else if (!opened)
        __atomic_store_n(&opened, p->open(), __ATOMIC_RELEASE);
    backend = opened;
    pthread_mutex_unlock(&lock);
    return backend;
}

void mien_cuda_info_get(mien_cuda_info *info) {
    *info = (mien_cuda_info){0};
    pthread_mutex_lock(&lock);
    const mien__cuda_plugin *p = find_plugin();
    if (p) {
        p->info(info);
        info->built = 1;
    } else {
        snprintf(info->missing, sizeof info->missing, "%s", why);
    }
    pthread_mutex_unlock(&lock);
}

int mien_device_count(mien_device device) {
    if (device == MIEN_DEVICE_CPU) return 1;
    if (device == MIEN_DEVICE_CUDA) return mien__cuda_backend() ? 1 : 0;
    mien__fail(MIEN_ERR_DEVICE, __FILE__, __LINE__, "there is no device %d", (int)device);
    return 0;
}

mien_status mien_device_choose(const char *name, mien_device *device) {
    bool automatic = name && strcmp(name, "auto") == 0;
    if (!name || (!automatic && strcmp(name, "cpu") != 0 && strcmp(name, "cuda") != 0))
        MIEN_FAIL(MIEN_ERR_DEVICE, "there is no device '%s'; there are 'auto', 'cpu' and 'cuda'",
                  name ? name : "");
    if (automatic) {
        *device = mien__cuda_backend() ? MIEN_DEVICE_CUDA : MIEN_DEVICE_CPU;
        return MIEN_OK;
    }
    if (strcmp(name, "cuda") == 0 && !mien__cuda_backend()) return mien_error_last()->code;
    *device = strcmp(name, "cuda") == 0 ? MIEN_DEVICE_CUDA : MIEN_DEVICE_CPU;
    return MIEN_OK;
}

mien_status mien_device_synchronize(mien_device device) {
    MIEN_CALL("waiting for the GPU");
    if (device != MIEN_DEVICE_CUDA || !__atomic_load_n(&opened, __ATOMIC_ACQUIRE)) return MIEN_OK;
    return plugin->synchronize();
}

/* ---- a device's own clock ------------------------------------------------------------------- */

static double cpu_marks[MIEN_DEVICE_MARKS]; /* 0: never set */

static mien_status check_mark(int mark) {
    if (mark < 0 || mark >= MIEN_DEVICE_MARKS)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "there is no mark %d on a device's clock; there are 0 to %d",
                  mark, MIEN_DEVICE_MARKS - 1);
    return MIEN_OK;
}

mien_status mien_device_mark(mien_device device, int mark) {
    MIEN_TRY(check_mark(mark));
    if (device == MIEN_DEVICE_CUDA) {
        if (!mien__cuda_backend()) return mien_error_last()->code;
        return plugin->mark(mark);
    }
    cpu_marks[mark] = mien_time_monotonic();
    return MIEN_OK;
}

mien_status mien_device_between(mien_device device, int from, int to, double *seconds) {
    MIEN_TRY(check_mark(from));
    MIEN_TRY(check_mark(to));
    if (device == MIEN_DEVICE_CUDA) {
        if (!mien__cuda_backend()) return mien_error_last()->code;
        return plugin->between(from, to, seconds);
    }
    if (cpu_marks[from] == 0 || cpu_marks[to] == 0)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "mark %d on the device's clock was never set",
                  cpu_marks[from] == 0 ? from : to);
    *seconds = cpu_marks[to] - cpu_marks[from];
    return MIEN_OK;
}

/* ---- settings of arithmetic ---------------------------------------------------------------- */

static volatile bool tf32, autotune, deterministic = true;

void mien_tf32_set(bool on) {
    tf32 = on;
}
bool mien_tf32(void) {
    return tf32;
}
void mien_deterministic_set(bool on) {
    deterministic = on;
}
bool mien_deterministic(void) {
    return deterministic;
}

void mien_autotune_set(bool on) {
    autotune = on;
}
bool mien_autotune(void) {
    return autotune;
}
