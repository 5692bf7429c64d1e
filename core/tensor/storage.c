/* Storage: refcounted bytes from a per-device pool that keeps its blocks from step to step.
 * Not here: shapes and elements (tensor.c), the device's own allocator (backend/). */
#include "tensor.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"
#include "base/allocate.h"
#include "base/assert.h"
#include "device.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(data, bytes)   ASAN_POISON_MEMORY_REGION(data, bytes)
#define UNPOISON(data, bytes) ASAN_UNPOISON_MEMORY_REGION(data, bytes)
#else
#define POISON(data, bytes)   ((void)0)
#define UNPOISON(data, bytes) ((void)0)
#endif

/* A training step allocates the same sizes in the same order every time. What it frees is kept, so
 * that the next step meets the same pages: without that, page faults cost more than a third of a
 * ResNet-50 step (measured: 10.5 against 16.5 frames/s).
 *
 * Small blocks (up to 1 MiB) come in size classes, 8 to a doubling, so at most 1/8 is unused.
 * Larger ones are rounded to 64 KiB; the host's are cut out of an arena. Another device's are found
 * by best fit, again with at most 1/8 unused, and never split or joined. When a new one would bring
 * the pool's whole footprint above 5/4 of the highest live size (and 256 MiB), the blocks idle for
 * longest go back first: a change of batch size does not keep two generations of everything. */

enum { SMALL_CLASSES = 96 };
static const size_t small_limit = (size_t)1 << 20;
static const size_t large_grain = (size_t)64 << 10;
static const size_t huge_page = (size_t)2 << 20;
static const size_t footprint_slack = (size_t)256 << 20;

typedef struct block {
    void *data;
    size_t capacity;
    uint64_t freed_at; /* the pool's clock: orders blocks by idleness */
} block;

typedef struct block_list {
    block *items;
    size_t count, room;
} block_list;

/* A device has a common pool, and reserved ones beside it: their blocks are never handed to others
 * and stay until the pool goes. The device's lock and figures serve all of them. */
typedef struct mien__pool {
    mien_device device;
    enum { COMMON, RESERVED } kind;
    size_t holders; /* live storages, and the owners of a reserved pool */
    size_t owners;
    block_list small[SMALL_CLASSES]; /* one capacity each, newest last */
    block_list large;                /* by capacity, newest last among equals */
    uint64_t clock;
    size_t live_capacity;
    size_t highest_footprint; /* of live_capacity, ever: what a step needs */
    size_t pooled;
} pool;

static struct device {
    pthread_mutex_t lock;
    pool common;
    pool *now; /* where new storages come from; NULL: the common pool */
    size_t live_bytes, live_storages, pooled;
    size_t peak_bytes; /* of live_bytes since the last reset */
} devices[2] = {{.lock = PTHREAD_MUTEX_INITIALIZER, .common.device = MIEN_DEVICE_CPU},
                {.lock = PTHREAD_MUTEX_INITIALIZER, .common.device = MIEN_DEVICE_CUDA}};

static void add_pooled(pool *p, size_t bytes) {
    p->pooled += bytes;
    devices[p->device].pooled += bytes;
}
static void take_pooled(pool *p, size_t bytes) {
    MIEN_ASSERT(p->pooled >= bytes && devices[p->device].pooled >= bytes);
    p->pooled -= bytes;
    devices[p->device].pooled -= bytes;
}

/* ---- the host's allocator -------------------------------------------------------------------- */

void *mien__host_alloc(size_t bytes) {
    if (mien__no_memory())
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "no memory for %zu bytes, as was asked for", bytes);
    if (bytes <= small_limit) {
        void *data = aligned_alloc(64, bytes ? (bytes + 63) & ~(size_t)63 : 64);
        if (!data)
            mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "no memory for %zu bytes", bytes);
        return data;
    }
    /* Mapped at a multiple of the huge page, else the first and last pages stay small. */
    size_t reserve = bytes + huge_page;
    char *raw = reserve < bytes ? MAP_FAILED
                                : mmap(NULL, reserve, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) {
        mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "no memory for %.1f MiB",
                   bytes / 1048576.0);
        return NULL;
    }
    size_t page = 4096;
    char *data = (char *)(((uintptr_t)raw + huge_page - 1) & ~(uintptr_t)(huge_page - 1));
    char *end = (char *)(((uintptr_t)data + bytes + page - 1) & ~(uintptr_t)(page - 1));
    if (data > raw) munmap(raw, data - raw);
    if (raw + reserve > end) munmap(end, raw + reserve - end);
#ifdef MADV_HUGEPAGE
    madvise(data, end - data, MADV_HUGEPAGE);
#endif
    return data;
}

void mien__host_free(void *data, size_t bytes) {
    if (!data) return;
    if (bytes <= small_limit)
        free(data);
    else
        munmap(data, bytes);
}

/* Bytes of this machine or of the control group that the process runs in. Linux grants more than
 * there is and kills the process when it touches it: an error comes before that. The caller of this
 * and of pool_alloc holds the lock of the pool. */
static size_t host_limit(void) {
    static size_t limit;
    if (limit) return limit;
    size_t bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    static const char *const groups[] = {"/sys/fs/cgroup/memory.max",
                                         "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(groups[i], "r");
        unsigned long long bound; /* version 2 writes "max" when there is none */
        if (file && fscanf(file, "%llu", &bound) == 1 && bound < bytes) bytes = (size_t)bound;
        if (file) fclose(file);
    }
    return limit = bytes;
}

/* A large block of the host's, from the arena. */
static void *host_large(pool *p, size_t bytes) {
    if (mien__no_memory()) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "no memory, as was asked for");
    size_t fresh, held = p->live_capacity + p->pooled;
    void *data = mien__arena_alloc(bytes, host_limit() > held ? host_limit() - held : 0, &fresh);
    if (!data) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "more than the machine has");
    take_pooled(p, bytes - fresh);
    return data;
}

static bool in_arena(const pool *p, size_t capacity) {
    return p->device == MIEN_DEVICE_CPU && p->kind == COMMON && capacity > small_limit;
}

static void *pool_alloc(pool *p, size_t bytes) {
    if (in_arena(p, bytes)) return host_large(p, bytes);
    if (p->device == MIEN_DEVICE_CPU) return mien__host_alloc(bytes);
    const mien__device *d = mien__device_for(p->device);
    return d ? d->alloc(bytes) : NULL;
}

static void pool_free(const pool *p, block b) {
    if (p->device == MIEN_DEVICE_CPU) {
        UNPOISON(b.data, b.capacity);
        mien__host_free(b.data, b.capacity);
        return;
    }
    const mien__device *d = mien__device_for(p->device);
    if (d) d->free(b.data, b.capacity);
}

/* ---- lists of free blocks -------------------------------------------------------------------- */

/* Capacity that serves a request, and its class (-1: large). */
static size_t round_up(size_t bytes, int *class) {
    if (bytes > small_limit) {
        *class = -1;
        return (bytes + large_grain - 1) & ~(large_grain - 1);
    }
    if (bytes <= 512) { /* 64, 128, ... 512: classes 0 to 7 */
        size_t lines = bytes ? (bytes + 63) / 64 : 1;
        *class = (int)lines - 1;
        return lines * 64;
    }
    int top = 63 - __builtin_clzll(bytes - 1); /* 2^top < bytes <= 2^(top+1) */
    size_t step = (size_t)1 << (top - 3);
    size_t steps = (bytes + step - 1) / step; /* 9 to 16 */
    *class = 8 + (top - 9) * 8 + (int)(steps - 9);
    return steps * step;
}

static bool list_insert(block_list *list, size_t at, block b) {
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 16;
        block *items = mien__realloc(list->items, room * sizeof *items);
        if (!items) return false;
        list->items = items;
        list->room = room;
    }
    memmove(list->items + at + 1, list->items + at, (list->count - at) * sizeof *list->items);
    list->items[at] = b;
    list->count++;
    return true;
}

static block list_remove(block_list *list, size_t at) {
    MIEN_ASSERT(at < list->count && list->count <= list->room);
    block b = list->items[at];
    list->count--;
    memmove(list->items + at, list->items + at + 1, (list->count - at) * sizeof *list->items);
    return b;
}

/* Number of large blocks with a capacity below (or, with `equal`, up to) `capacity`. */
static size_t large_rank(const block_list *list, size_t capacity, bool equal) {
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        size_t c = list->items[mid].capacity;
        if (c < capacity || (equal && c == capacity))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The newest free block that fits with at most 1/8 unused, in a pool of several owners the smallest
 * that fits; data NULL when there is none. */
static block pool_find(pool *p, size_t capacity, int class) {
    bool any = p->owners > 1;
    for (; class >= 0; class = any && class + 1 < SMALL_CLASSES ? class + 1 : -1) {
        block_list *list = &p->small[class];
        if (list->count) return list_remove(list, list->count - 1);
        if (!any) return (block){0};
    }
    size_t first = large_rank(&p->large, capacity, false);
    if (first == p->large.count) return (block){0};
    size_t found = p->large.items[first].capacity;
    if (found > capacity + capacity / 8 && !any) return (block){0};
    return list_remove(&p->large, large_rank(&p->large, found, true) - 1);
}

/* Gives the blocks idle for longest back until the footprint with `wanted` more is in bounds. */
static void pool_evict(pool *p, size_t wanted) {
    if (p->kind != COMMON) return;
    size_t bound = p->highest_footprint > p->live_capacity + wanted ? p->highest_footprint
                                                                    : p->live_capacity + wanted;
    bound += bound / 4 + footprint_slack;
    while (p->large.count && p->live_capacity + p->pooled + wanted > bound) {
        size_t oldest = 0;
        for (size_t i = 1; i < p->large.count; i++)
            if (p->large.items[i].freed_at < p->large.items[oldest].freed_at) oldest = i;
        block b = list_remove(&p->large, oldest);
        take_pooled(p, b.capacity);
        pool_free(p, b);
    }
}

static void pool_trim(pool *p) {
    for (int i = 0; i <= SMALL_CLASSES; i++) {
        block_list *list = i < SMALL_CLASSES ? &p->small[i] : &p->large;
        for (size_t k = 0; k < list->count; k++) pool_free(p, list->items[k]);
        free(list->items);
        *list = (block_list){0};
    }
    if (p->device == MIEN_DEVICE_CPU && p->kind == COMMON) mien__arena_trim();
    take_pooled(p, p->pooled);
}

/* ---- reserved pools -------------------------------------------------------------------------- */

mien__pool *mien__pool_new(mien_device device) {
    pool *p = mien__calloc(1, sizeof *p);
    if (!p) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "no memory for the record of a pool");
    p->device = device;
    p->kind = RESERVED;
    p->holders = p->owners = 1;
    return p;
}

mien__pool *mien__pool_retain(mien__pool *p) {
    struct device *d = &devices[p->device];
    pthread_mutex_lock(&d->lock);
    p->holders++;
    p->owners++;
    pthread_mutex_unlock(&d->lock);
    return p;
}

/* Under the lock. */
static void let_go(pool *p) {
    MIEN_ASSERT(p->holders > 0 || p->kind == COMMON);
    if (--p->holders > 0 || p->kind == COMMON) return;
    pool_trim(p);
    free(p);
}

void mien__pool_release(mien__pool *p) {
    if (!p) return;
    struct device *d = &devices[p->device];
    pthread_mutex_lock(&d->lock);
    if (--p->owners == 0) pool_trim(p);
    let_go(p);
    pthread_mutex_unlock(&d->lock);
}

mien__pool *mien__pool_use(mien_device device, mien__pool *p) {
    struct device *d = &devices[device];
    pthread_mutex_lock(&d->lock);
    pool *before = d->now;
    d->now = p;
    pthread_mutex_unlock(&d->lock);
    return before;
}

/* ---- storages -------------------------------------------------------------------------------- */

/* From `p`, NULL: from where the device's new storages come. */
static mien_storage *storage_from(pool *p, mien_device device, size_t bytes) {
    mien_storage *s = mien__calloc(1, sizeof *s);
    if (!s) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "no memory for a tensor's storage record");
    int class;
    size_t capacity = round_up(bytes, &class);
    struct device *d = &devices[device];
    pthread_mutex_lock(&d->lock);
    if (!p) p = d->now ? d->now : &d->common;
    block b = pool_find(p, capacity, class);
    if (b.data) {
        take_pooled(p, b.capacity);
    } else {
        if (class < 0) pool_evict(p, capacity);
        b = (block){.data = pool_alloc(p, capacity), .capacity = capacity};
        if (!b.data && d->common.pooled && mien_error_last()->code == MIEN_ERR_MEMORY) {
            pool_trim(&d->common);
            b.data = pool_alloc(p, capacity);
        }
    }
    if (b.data) {
        p->holders++;
        p->live_capacity += b.capacity;
        d->live_bytes += bytes;
        d->live_storages++;
        if (d->live_bytes > d->peak_bytes) d->peak_bytes = d->live_bytes;
        if (p->live_capacity > p->highest_footprint) p->highest_footprint = p->live_capacity;
    }
    size_t live = d->live_bytes;
    pthread_mutex_unlock(&d->lock);
    if (!b.data) {
        free(s);
        if (mien_error_last()->code != MIEN_ERR_MEMORY) return NULL; /* no such device, or lost */
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY,
                       "out of memory: %.1f MiB wanted while %.1f MiB are in use on %s; a smaller "
                       "batch or shorter sequences need less",
                       bytes / 1048576.0, live / 1048576.0,
                       device == MIEN_DEVICE_CPU ? "the CPU" : "the GPU");
    }
    if (device == MIEN_DEVICE_CPU) {
        UNPOISON(b.data, b.capacity);
#ifdef MIEN_DEBUG
        memset(b.data, 0xff, b.capacity); /* NaN in every float type, -1 in integers */
#endif
    }
    s->refs = 1;
    s->device = device;
    s->bytes = bytes;
    s->capacity = b.capacity;
    s->data = b.data;
    s->pool = p;
    return s;
}

mien_storage *mien__storage_new(mien_device device, size_t bytes) {
    return storage_from(NULL, device, bytes);
}

mien_storage *mien__storage_in(mien__pool *pool, size_t bytes) {
    return storage_from(pool, pool->device, bytes);
}

mien_storage *mien__storage_lent(void *data, size_t bytes,
                                 void (*give_back)(void *data, size_t bytes)) {
    mien_storage *s = mien__calloc(1, sizeof *s);
    if (!s) {
        give_back(data, bytes);
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "no memory for the record of a storage");
    }
    *s = (mien_storage){.refs = 1,
                        .device = MIEN_DEVICE_CPU,
                        .bytes = bytes,
                        .capacity = bytes,
                        .data = data,
                        .give_back = give_back};
    return s;
}

mien_storage *mien__storage_retain(mien_storage *s) {
    MIEN_ASSERT(!s || __atomic_load_n(&s->refs, __ATOMIC_RELAXED) > 0);
    if (s) __atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void mien__storage_drop_packed(mien_storage *s) {
    if (!s || !s->packed) return;
    void *packed = s->packed;
    s->packed = NULL;
    s->packed_release(packed);
}

void mien__storage_release(mien_storage *s) {
    MIEN_ASSERT(!s || __atomic_load_n(&s->refs, __ATOMIC_RELAXED) > 0);
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    mien__storage_drop_packed(s);
    if (s->give_back) {
        s->give_back(s->data, s->bytes);
        free(s);
        return;
    }
    struct device *d = &devices[s->device];
    pool *p = s->pool;
    int class;
    round_up(s->capacity, &class);
    block b = {.data = s->data, .capacity = s->capacity};
    if (s->device == MIEN_DEVICE_CPU) POISON(b.data, b.capacity);
    pthread_mutex_lock(&d->lock);
    MIEN_ASSERT(s->captures == 0 && d->live_storages > 0 && d->live_bytes >= s->bytes);
    MIEN_ASSERT(p->live_capacity >= s->capacity);
    d->live_bytes -= s->bytes;
    d->live_storages--;
    p->live_capacity -= s->capacity;
    b.freed_at = ++p->clock;
    block_list *list = class < 0 ? &p->large : &p->small[class];
    size_t at = class < 0 ? large_rank(list, b.capacity, true) : list->count;
    bool arena = in_arena(p, b.capacity);
    if (arena) mien__arena_give(b.data, b.capacity);
    bool ownerless = p->kind == RESERVED && p->owners == 0;
    if (arena || (!ownerless && list_insert(list, at, b)))
        add_pooled(p, b.capacity);
    else
        pool_free(p, b);
    let_go(p);
    pthread_mutex_unlock(&d->lock);
    free(s);
}

/* ---- figures --------------------------------------------------------------------------------- */

void mien_memory(mien_device device, mien_memory_stats *stats) {
    *stats = (mien_memory_stats){0};
    if (device != MIEN_DEVICE_CPU && device != MIEN_DEVICE_CUDA) return;
    struct device *d = &devices[device];
    pthread_mutex_lock(&d->lock);
    stats->live_bytes = (int64_t)d->live_bytes;
    stats->pooled_bytes = (int64_t)d->pooled;
    stats->peak_bytes = (int64_t)d->peak_bytes;
    stats->live_storages = (int64_t)d->live_storages;
    pthread_mutex_unlock(&d->lock);
}

void mien_memory_reset_peak(mien_device device) {
    if (device != MIEN_DEVICE_CPU && device != MIEN_DEVICE_CUDA) return;
    pthread_mutex_lock(&devices[device].lock);
    devices[device].peak_bytes = devices[device].live_bytes;
    pthread_mutex_unlock(&devices[device].lock);
}

void mien_memory_trim(mien_device device) {
    if (device != MIEN_DEVICE_CPU && device != MIEN_DEVICE_CUDA) return;
    pthread_mutex_lock(&devices[device].lock);
    pool_trim(&devices[device].common);
    pthread_mutex_unlock(&devices[device].lock);
}
