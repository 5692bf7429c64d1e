/* A GPU that is none: a plugin whose device memory is the host's, with a limit and errors on
 * demand. Not here: any op (fake_gpu_ops.c) and copies beside them (fake_gpu_aside.c), which one of
 * the plugins has. Tests open it through MIEN_CUDA_LIBRARY. */
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/record.h"
#include "backend/discovery.h"
#include "fake_gpu_ops.h"
#include "plugin_abi.h"

/* Set by the test through dlsym. */
size_t fake_gpu_limit = (size_t)1 << 30; /* bytes that can be allocated at a time */
bool fake_gpu_lost;                      /* every transfer fails, as after a sticky error */
bool fake_gpu_missing;                   /* opening fails: no driver */
size_t fake_gpu_used;

/* Device addresses are the host's plus this, so that a host path that reads one is found out. */
static const uintptr_t distance = (uintptr_t)1 << 46;

static void *host(const void *device) {
    return (void *)((uintptr_t)device - distance);
}

void *fake_gpu_host(const void *device) {
    return host(device);
}

/* In front of each block: when work used it last. */
enum { HEADER = 64 };

uint64_t *fake_gpu_last_use(const void *block) {
    return (uint64_t *)((char *)host(block) - HEADER);
}

void *fake_gpu_use(const void *block) {
#ifdef FAKE_GPU_OPS
    fake_gpu_note_use(block);
#endif
    return host(block);
}

static void *elements(const mien_tensor *t) {
    return (char *)fake_gpu_use(t->storage->data) + (size_t)t->offset * mien_dtype_size(t->dtype);
}

static mien_status alive(void) {
    if (fake_gpu_lost) MIEN_FAIL(MIEN_ERR_VENDOR, "fake GPU: the context is lost; restart");
    return MIEN_OK;
}

mien_status fake_gpu_alive(void) {
    return alive();
}

static void *alloc(size_t bytes) {
    if (mien__not_recorded("it wants more memory") != MIEN_OK) return NULL;
    if (fake_gpu_used + bytes > fake_gpu_limit) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "fake GPU: full");
    char *data = calloc(1, HEADER + bytes);
    if (!data) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "fake GPU: the host is full");
    fake_gpu_used += bytes;
    return (void *)((uintptr_t)data + HEADER + distance);
}

static void give_back(void *data, size_t bytes) {
    free((char *)host(data) - HEADER);
    fake_gpu_used -= bytes;
}

static mien_status upload(mien_tensor *dst, const void *src, size_t bytes) {
    MIEN_TRY(alive());
    MIEN_TRY(mien__not_recorded("it brings numbers of the host to the GPU"));
    memcpy(elements(dst), src, bytes);
    return MIEN_OK;
}

static mien_status download(void *dst, mien_tensor *src, size_t bytes) {
    MIEN_TRY(alive());
    MIEN_TRY(mien__not_recorded("it reads a number back from the GPU"));
    memcpy(dst, elements(src), bytes);
    return MIEN_OK;
}

/* The tensor as a view of host memory. */
static mien_tensor view(const mien_tensor *t, mien_storage *storage) {
    mien_tensor v = *t;
    *storage = *t->storage;
    storage->data = fake_gpu_use(t->storage->data);
    v.storage = storage;
    v.device = MIEN_DEVICE_CPU;
    return v;
}

static mien_status copy(mien_tensor *dst, mien_tensor *src) {
    MIEN_TRY(alive());
    mien_storage a, b;
    mien_tensor to = view(dst, &a), from = view(src, &b);
    MIEN_TRY(mien__host_copy(&to, &from));
    mien__tensor_touch(dst);
    return MIEN_OK;
}

static mien_status fill(mien_tensor *t, double value) {
    MIEN_TRY(alive());
    mien_storage s;
    mien_tensor to = view(t, &s);
    MIEN_TRY(mien__host_fill(&to, value));
    mien__tensor_touch(t);
    return MIEN_OK;
}

static mien_backend backend = {
    .name = "cuda",
    .device = MIEN_DEVICE_CUDA,
    .memory = {.alloc = alloc,
               .free = give_back,
               .upload = upload,
               .download = download,
               .copy = copy,
               .fill = fill},
};

static const mien_backend *open_backend(void) {
    if (fake_gpu_missing) MIEN_FAIL_NULL(MIEN_ERR_DEVICE, "fake GPU: there is no NVIDIA driver");
#ifdef FAKE_GPU_OPS
    fake_gpu_serve(&backend);
#endif
    return &backend;
}

static void info(mien_cuda_info *info) {
    info->devices = fake_gpu_missing ? 0 : 1;
    strcpy(info->device, "fake GPU");
}

/* Work takes one second each time that a mark is set. */
static double marks[MIEN_DEVICE_MARKS], now;

static mien_status mark(int mark) {
    MIEN_TRY(alive());
    marks[mark] = now += 1;
    return MIEN_OK;
}

static mien_status between(int from, int to, double *seconds) {
    *seconds = marks[to] - marks[from];
    return MIEN_OK;
}

const mien__cuda_plugin mien__cuda_plugin_table = {
#ifdef FAKE_GPU_OLD
    .abi = 1,
#else
    .abi = MIEN_PLUGIN_ABI,
#endif
    .open = open_backend,
    .info = info,
    .synchronize = alive,
    .mark = mark,
    .between = between,
};
