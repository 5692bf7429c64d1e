/* The device-independent side of captures: their memory, what they write, numbers fed to them.
 * Not here: recording and launching (backend entries record ... forget). */
#include "capture.h"

#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "base/allocate.h"
#include "base/assert.h"

enum { FEEDS_MOST = 1024 };

typedef struct feed {
    mien__feed_kind kind;
    const void *hyper;
    double seed, stream;
    uint64_t counter; /* when it was recorded */
    bool known;       /* mien_capture_draws was told of the stream */
} feed;

struct mien_capture {
    const mien_backend *backend;
    mien__pool *pool;
    void *made;          /* the backend's; NULL: nothing recorded yet */
    mien_storage *there; /* the feeds on the device */
    mien__feed *here;    /* and in pinned memory, from where each replay takes them */
    feed feeds[FEEDS_MOST];
    int n_feeds;
    struct outside { /* what lies outside the pool and is used by the step, retained */
        mien_storage *storage;
        bool written;
    } * used;
    size_t n_used, room;
    mien__pool *before; /* where memory came from before `enter` */
    enum { OUTSIDE, INSIDE, RECORDING } state;
    bool launched; /* a replay may still read `here` */
    bool overflow; /* a use could not be noted */
    int64_t replays;
};

static mien_capture *recording; /* one at a time, by one thread */
static uint64_t visits, visit;  /* `visit` is 0 outside of all */
static int captures;

bool mien__recording(void) {
    return recording != NULL;
}

uint64_t mien__visit(void) {
    return visit;
}

int mien__captures(void) {
    return captures;
}

mien_status mien__not_recorded(const char *what) {
    if (!recording) return MIEN_OK;
    const char *op = mien__op_running;
    MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "a step cannot be recorded: %s%s%s", op ? op : "",
              op ? ": " : "", what);
}

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
    if (!b->record)
        MIEN_FAIL_NULL(MIEN_ERR_UNSUPPORTED, "device %s records no steps",
                       mien__device_name(MIEN_DEVICE_CUDA));
    mien_capture *c = mien__calloc(1, sizeof *c);
    if (!c) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "capture: no memory");
    c->backend = b;
    captures++;
    size_t bytes = FEEDS_MOST * sizeof *c->here;
    c->pool = beside ? mien__pool_retain(beside->pool) : mien__pool_new(MIEN_DEVICE_CUDA);
    if (c->pool) c->there = mien__storage_in(c->pool, bytes);
    if (c->there) c->here = b->memory.pin(bytes);
    if (c->here) {
        memset(c->here, 0, bytes);
        return c;
    }
    mien_capture_free(c);
    return NULL;
}

void mien_capture_free(mien_capture *c) {
    if (!c) return;
    if (c->state != OUTSIDE) mien_capture_leave(c, false);
    if (c->launched) c->backend->settle(c->made);
    if (c->made) c->backend->forget(c->made);
    if (c->here) c->backend->memory.unpin(c->here);
    mien__storage_release(c->there);
    forget_uses(c);
    free(c->used);
    mien__pool_release(c->pool);
    free(c);
    MIEN_ASSERT(captures > 0);
    captures--;
}

/* ---- recording ------------------------------------------------------------------------------- */

mien_status mien_capture_enter(mien_capture *c, bool record) {
    MIEN_ASSERT_LUA_THREAD();
    if (c->state != OUTSIDE) mien_capture_leave(c, false);
    if (visit) MIEN_FAIL(MIEN_ERR_ARGUMENT, "capture: another one is under way");
    if (record && c->made)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "capture: a step was recorded already; replay it");
    if (record) {
        MIEN_TRY(c->backend->record(c->there->data, c->here, FEEDS_MOST * sizeof *c->here));
        c->n_feeds = 0;
        recording = c;
        mien__hooks.watch = note_use;
    }
    c->state = record ? RECORDING : INSIDE;
    visit = ++visits;
    c->before = mien__pool_use(MIEN_DEVICE_CUDA, c->pool);
    return MIEN_OK;
}

mien_status mien_capture_leave(mien_capture *c, bool keep) {
    if (c->state == OUTSIDE) MIEN_FAIL(MIEN_ERR_ARGUMENT, "capture: left without being entered");
    bool recorded = c->state == RECORDING;
    c->state = OUTSIDE;
    visit = 0;
    mien__pool_use(MIEN_DEVICE_CUDA, c->before);
    if (!recorded) return MIEN_OK;
    mien__hooks.watch = NULL;
    recording = NULL;
    keep = keep && !c->overflow;
    mien_status status = c->backend->recorded(keep, &c->made);
    if (status == MIEN_OK && c->overflow)
        status = mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "capture: no memory");
    if (status != MIEN_OK || !keep) forget_uses(c);
    return status;
}

/* ---- numbers that change from step to step --------------------------------------------------- */

const mien__feed *mien__capture_feed(mien__feed_kind kind, const void *hyper, double seed,
                                     double stream, const mien__feed *first, bool *failed) {
    mien_capture *c = recording;
    *failed = false;
    if (!c) return NULL;
    MIEN_ASSERT(c->n_feeds >= 0 && c->n_feeds <= FEEDS_MOST);
    if (c->n_feeds == FEEDS_MOST) {
        *failed = mien__not_recorded("it has too many updates and dropouts") != MIEN_OK;
        return NULL;
    }
    c->feeds[c->n_feeds] = (feed){kind, hyper, seed, stream, first->counter, false};
    c->here[c->n_feeds] = *first;
    return (const mien__feed *)c->there->data + c->n_feeds++;
}

/* Before `here` changes: the last replay has read it. */
static mien_status settle(mien_capture *c) {
    if (!c->made) MIEN_FAIL(MIEN_ERR_ARGUMENT, "capture: nothing was recorded yet");
    if (!c->launched) return MIEN_OK;
    MIEN_TRY(c->backend->settle(c->made));
    c->launched = false;
    return MIEN_OK;
}

static mien_status set(mien_capture *c, mien__feed_kind kind, const void *hyper,
                       const mien__feed *value) {
    bool found = false;
    MIEN_TRY(settle(c));
    for (int i = 0; i < c->n_feeds; i++) {
        if (c->feeds[i].kind != kind || c->feeds[i].hyper != hyper) continue;
        c->here[i] = *value;
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
    MIEN_TRY(settle(c));
    for (int i = 0; i < c->n_feeds; i++) {
        feed *f = &c->feeds[i];
        if (f->kind != MIEN_FEED_DRAWS || f->seed != seed || f->stream != stream) continue;
        f->known = true;
        c->here[i].counter = f->counter + (uint64_t)(int64_t)blocks;
    }
    return MIEN_OK;
}

int mien_capture_strays(const mien_capture *c) {
    int n = 0;
    for (int i = 0; i < c->n_feeds; i++)
        n += c->feeds[i].kind == MIEN_FEED_DRAWS && !c->feeds[i].known;
    return n;
}

/* ---- replaying ------------------------------------------------------------------------------- */

mien_status mien_capture_replay(mien_capture *c) {
    if (!c->made) MIEN_FAIL(MIEN_ERR_ARGUMENT, "capture: nothing was recorded yet");
    MIEN_TRY(mien__not_recorded("it replays another step"));
    MIEN_TRY(c->backend->replay(c->made));
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
