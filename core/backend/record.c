/* The recording that is under way, as backends see it.
 * Not here: captures, which begin and end it (run/capture.c). */
#include "record.h"

#include "backend.h"
#include "base/assert.h"

struct mien__under_way mien__under_way;

bool mien__recording(void) {
    return mien__under_way.feeds != NULL;
}

uint64_t mien__visit(void) {
    return mien__under_way.visit;
}

int mien__captures(void) {
    return mien__under_way.captures;
}

mien_status mien__not_recorded(const char *what) {
    if (!mien__recording()) return MIEN_OK;
    const char *op = mien__op_running;
    MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "a step cannot be recorded: %s%s%s", op ? op : "",
              op ? ": " : "", what);
}

const mien__feed *mien__capture_feed(mien__feed_kind kind, const void *hyper, double seed,
                                     double stream, const mien__feed *first, bool *failed) {
    mien__feeds *f = mien__under_way.feeds;
    *failed = false;
    if (!f) return NULL;
    MIEN_ASSERT(f->n >= 0 && f->n <= MIEN__FEEDS_MOST);
    if (f->n == MIEN__FEEDS_MOST) {
        *failed = mien__not_recorded("it has too many updates and dropouts") != MIEN_OK;
        return NULL;
    }
    f->list[f->n] = (struct mien__fed){kind, hyper, seed, stream, first->counter, false};
    f->here[f->n] = *first;
    return f->there + f->n++;
}
