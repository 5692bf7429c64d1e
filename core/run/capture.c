/* The device-independent side of captures: their memory, what they write, numbers fed to them.
 * Not here: recording and launching (mien__recorder in backend/record.h). */
#include "capture.h"

#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/allocate.h"
#include "base/assert.h"

struct mien_capture {
    const mien__device *device;
    const mien__recorder *recorder;
    mien__pool *pool;
    void *made;          /* the recorder's; NULL: nothing recorded yet */
    mien_storage *there; /* where the device has the feeds */
    mien__feeds feeds;
    struct outside { /* what lies outside the pool and is used by the step, retained */
        mien_storage *storage;
        bool written;
    } * used;
    size_t n_used, room;
    mien__pool *before; /* where memory came from before `enter` */
    enum { OUTSIDE, INSIDE, RECORDING } state;
    bool launched; /* a replay may still read the feeds */
    bool overflow; /* a use could not be noted */
    int64_t replays;
};

static mien_capture *recording; /* one at a time, by one thread */
static uint64_t visits;

/* ---- what a step uses ------------------------------------------------------------------------ */

static void note_use(mien_storage *s, bool written) {
    mien_capture *c = recording;
    MIEN_ASSERT_LUA_THREAD();
    MIEN_ASSERT(c && c->n_used <= c->room);
    if (s->pool == c->pool) return;
    for (size_t i = 0; i < c->n_used; i++) {
        if (c->used[i].storage != s) continue;
        c->used[i].written |= written;
        return;
    }
    if (c->n_used == c->room) {
        size_t room = c->room ? 2 * c->room : 256;
        struct outside *grown = mien__realloc(c->used, room * sizeof *grown);
        if (!grown) {
            c->overflow = true;
            return;
        }
        c->used = grown;
        c->room = room;
    }
    s->captures++;
    c->used[c->n_used++] = (struct outside){mien__storage_retain(s), written};
}

static void forget_uses(mien_capture *c) {
    while (c->n_used > 0) {
        mien_storage *s = c->used[--c->n_used].storage;
        MIEN_ASSERT(s->captures > 0 && s->refs >= s->captures);
        s->captures--;
        mien__storage_release(s);
    }
    c->overflow = false;
}

bool mien_capture_stale(const mien_capture *c) {
    for (size_t i = 0; i < c->n_used; i++)
        if (c->used[i].storage->refs == c->used[i].storage->captures) return true;
    return false;
}

/* ---- making one ------------------------------------------------------------------------------ */

mien_capture *mien_capture_new(const mien_capture *beside) {
    const mien_backend *b = mien__backend_of(MIEN_DEVICE_CUDA);
    if (!b) return NULL;
    if (!b->recorder.begin)
        MIEN_FAIL_NULL(MIEN_ERR_UNSUPPORTED, "device %s records no steps",
                       mien__device_name(MIEN_DEVICE_CUDA));
    mien_capture *c = mien__calloc(1, sizeof *c);
    if (!c) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "capture: no memory");
    c->device = &b->memory;
    c->recorder = &b->recorder;
    mien__under_way.captures++;
    size_t bytes = MIEN__FEEDS_MOST * sizeof *c->feeds.here;
    c->pool = beside ? mien__pool_retain(beside->pool) : mien__pool_new(MIEN_DEVICE_CUDA);
    if (c->pool) c->there = mien__storage_in(c->pool, bytes);
    if (c->there) c->feeds.here = c->device->pin(bytes);
    if (c->feeds.here) {
        memset(c->feeds.here, 0, bytes);
        c->feeds.there = c->there->data;
        return c;
    }
    mien_capture_free(c);
    return NULL;
}

void mien_capture_free(mien_capture *c) {
    if (!c) return;
    if (c->state != OUTSIDE) mien_capture_leave(c, false);
    if (c->launched) c->recorder->wait(c->made);
    if (c->made) c->recorder->free(c->made);
    if (c->feeds.here) c->device->unpin(c->feeds.here);
    mien__storage_release(c->there);
    forget_uses(c);
    free(c->used);
    mien__pool_release(c->pool);
    free(c);
    MIEN_ASSERT(mien__under_way.captures > 0);
    mien__under_way.captures--;
}

/* ---- recording ------------------------------------------------------------------------------- */

mien_status mien_capture_enter(mien_capture *c, bool record) {
    MIEN_ASSERT_LUA_THREAD();
    if (c->state != OUTSIDE) mien_capture_leave(c, false);
    if (mien__visit()) MIEN_FAIL(MIEN_ERR_ARGUMENT, "capture: another one is under way");
    if (record && c->made)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "capture: a step was recorded already; replay it");
    if (record) {
        MIEN_TRY(c->recorder->begin(c->there->data, c->feeds.here,
                                    MIEN__FEEDS_MOST * sizeof *c->feeds.here));
        c->feeds.n = 0;
        recording = c;
        mien__under_way.feeds = &c->feeds;
        mien__hooks.watch = note_use;
    }
    c->state = record ? RECORDING : INSIDE;
    mien__under_way.visit = ++visits;
    c->before = mien__pool_use(MIEN_DEVICE_CUDA, c->pool);
    return MIEN_OK;
}

mien_status mien_capture_leave(mien_capture *c, bool keep) {
    if (c->state == OUTSIDE) MIEN_FAIL(MIEN_ERR_ARGUMENT, "capture: left without being entered");
    bool recorded = c->state == RECORDING;
    c->state = OUTSIDE;
    mien__under_way.visit = 0;
    mien__pool_use(MIEN_DEVICE_CUDA, c->before);
    if (!recorded) return MIEN_OK;
    mien__hooks.watch = NULL;
    recording = NULL;
    mien__under_way.feeds = NULL;
    keep = keep && !c->overflow;
    mien_status status = c->recorder->end(keep, &c->made);
    if (status == MIEN_OK && c->overflow)
        status = mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "capture: no memory");
    if (status != MIEN_OK || !keep) forget_uses(c);
    return status;
}

/* ---- numbers that change from step to step --------------------------------------------------- */

/* Before feeds change: the last replay has read them. */
static mien_status wait_for_last(mien_capture *c) {
    if (!c->made) MIEN_FAIL(MIEN_ERR_ARGUMENT, "capture: nothing was recorded yet");
    if (!c->launched) return MIEN_OK;
    MIEN_TRY(c->recorder->wait(c->made));
    c->launched = false;
    return MIEN_OK;
}

static mien_status set(mien_capture *c, mien__feed_kind kind, const void *hyper,
                       const mien__feed *value) {
    bool found = false;
    MIEN_TRY(wait_for_last(c));
    for (int i = 0; i < c->feeds.n; i++) {
        if (c->feeds.list[i].kind != kind || c->feeds.list[i].hyper != hyper) continue;
        c->feeds.here[i] = *value;
        found = true;
    }
    if (!found) MIEN_FAIL(MIEN_ERR_ARGUMENT, "capture: the step has no update of this optimiser");
    return MIEN_OK;
}

mien_status mien_capture_adam(mien_capture *c, const mien_adam *hyper, int64_t step) {
    mien__feed value = {{0}};
    mien__adam_numbers(hyper, step, value.adam);
    return set(c, MIEN_FEED_ADAM, hyper, &value);
}

mien_status mien_capture_sgd(mien_capture *c, const mien_sgd *hyper) {
    mien__feed value = {{0}};
    mien__sgd_numbers(hyper, value.sgd);
    return set(c, MIEN_FEED_SGD, hyper, &value);
}

mien_status mien_capture_draws(mien_capture *c, double seed, double stream, double blocks) {
    MIEN_TRY(wait_for_last(c));
    for (int i = 0; i < c->feeds.n; i++) {
        struct mien__fed *f = &c->feeds.list[i];
        if (f->kind != MIEN_FEED_DRAWS || f->seed != seed || f->stream != stream) continue;
        f->known = true;
        c->feeds.here[i].counter = f->counter + (uint64_t)(int64_t)blocks;
    }
    return MIEN_OK;
}

int mien_capture_strays(const mien_capture *c) {
    int n = 0;
    for (int i = 0; i < c->feeds.n; i++)
        n += c->feeds.list[i].kind == MIEN_FEED_DRAWS && !c->feeds.list[i].known;
    return n;
}

/* ---- replaying ------------------------------------------------------------------------------- */

mien_status mien_capture_replay(mien_capture *c) {
    if (!c->made) MIEN_FAIL(MIEN_ERR_ARGUMENT, "capture: nothing was recorded yet");
    MIEN_TRY(mien__not_recorded("it replays another step"));
    MIEN_TRY(c->recorder->replay(c->made));
    c->launched = true;
    c->replays++;
    for (size_t i = 0; i < c->n_used; i++)
        if (c->used[i].written)
            __atomic_fetch_add(&c->used[i].storage->version, 1, __ATOMIC_RELAXED);
    return MIEN_OK;
}

int64_t mien_capture_replays(const mien_capture *c) {
    return c->replays;
}
