/* The second queue of a GPU that is none: a copy is done when somebody waits for it, not before, so
 * that whoever forgets to wait, or writes too early, gets wrong numbers.
 * Not here: work (fake_gpu_ops.c), which is done at once; speed. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fake_gpu_ops.h"

/* Set by the test through dlsym. */
size_t fake_gpu_pin_limit = (size_t)1 << 30; /* bytes that can be pinned at a time */
size_t fake_gpu_copies_left = SIZE_MAX;      /* copies aside that are taken before one fails */
/* Of use to it. */
size_t fake_gpu_pinned, fake_gpu_pins, fake_gpu_fences;

enum { MOST = 64 };
typedef struct copy {
    void *to;
    const void *from;
    size_t bytes;
} copy;
typedef struct fence {
    bool aside;
    uint64_t at; /* copies begun, or uses of memory by work, before it */
} fence;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static copy copies[MOST];                                /* of number i at i % MOST */
static uint64_t begun, done;
static uint64_t work_wants; /* copies that the next work comes after */
static uint64_t uses, past; /* of memory by work; those that the next copy comes after */

static void finish(uint64_t upto) {
    for (; done < upto; done++) {
        const copy *c = &copies[done % MOST];
        memcpy(fake_gpu_host(c->to), c->from, c->bytes);
    }
}

void fake_gpu_note_use(const void *block) {
    pthread_mutex_lock(&lock);
    finish(work_wants);
    *fake_gpu_last_use(block) = ++uses;
    pthread_mutex_unlock(&lock);
}

static mien_status upload_aside(mien_tensor *dst, const void *src, size_t bytes) {
    MIEN_TRY(fake_gpu_alive());
    pthread_mutex_lock(&lock);
    bool early = *fake_gpu_last_use(dst->storage->data) > past;
    bool fails = fake_gpu_copies_left == 0, full = begun - done == MOST;
    if (!early && !fails && !full) {
        copies[begun++ % MOST] = (copy){dst->storage->data, src, bytes};
        fake_gpu_copies_left--;
    }
    pthread_mutex_unlock(&lock);
    if (early) MIEN_FAIL(MIEN_ERR_VENDOR, "fake GPU: a copy to memory that work may still read");
    if (fails) MIEN_FAIL(MIEN_ERR_VENDOR, "fake GPU: a copy fails, as the test wishes");
    if (full) MIEN_FAIL(MIEN_ERR_VENDOR, "fake GPU: nobody waits for copies");
    return MIEN_OK;
}

static mien_status event_record(void **made, bool aside) {
    MIEN_TRY(fake_gpu_alive());
    pthread_mutex_lock(&lock);
    fence *f = *made;
    if (!f) {
        *made = f = malloc(sizeof *f);
        fake_gpu_fences++;
    }
    *f = (fence){aside, aside ? begun : uses};
    pthread_mutex_unlock(&lock);
    return MIEN_OK;
}

static mien_status event_wait(void *set, bool aside) {
    const fence *f = set;
    MIEN_TRY(fake_gpu_alive());
    pthread_mutex_lock(&lock);
    if (aside && !f->aside && f->at > past) past = f->at;
    if (!aside && f->aside && f->at > work_wants) work_wants = f->at;
    pthread_mutex_unlock(&lock);
    return MIEN_OK;
}

static mien_status event_synchronize(void *set) {
    const fence *f = set;
    MIEN_TRY(fake_gpu_alive());
    pthread_mutex_lock(&lock);
    if (f->aside) finish(f->at);
    pthread_mutex_unlock(&lock);
    return MIEN_OK;
}

static void event_free(void *set) {
    fake_gpu_fences -= set != NULL;
    free(set);
}

/* Pinned memory knows its size. */
static void *pin(size_t bytes) {
    if (fake_gpu_pinned + bytes > fake_gpu_pin_limit)
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "fake GPU: no more memory can be pinned");
    char *data = malloc(bytes + 64);
    *(size_t *)data = bytes;
    fake_gpu_pinned += bytes;
    fake_gpu_pins++;
    return data + 64;
}

/* A copy that would read it later is found by what it finds there. */
static void unpin(void *data) {
    size_t bytes = *(size_t *)((char *)data - 64);
    fake_gpu_pinned -= bytes;
    for (uint64_t i = done; i < begun && fake_gpu_alive() == MIEN_OK; i++) {
        const char *from = copies[i % MOST].from;
        if (from >= (char *)data && from < (char *)data + bytes) abort(); /* it would be read */
    }
    free((char *)data - 64);
}

void fake_gpu_serve_aside(mien_backend *table) {
    mien__device *memory = &table->memory;
    memory->upload_aside = upload_aside;
    memory->event_record = event_record;
    memory->event_wait = event_wait;
    memory->event_synchronize = event_synchronize;
    memory->event_free = event_free;
    memory->pin = pin;
    memory->unpin = unpin;
}
