/* Two threads and two queues: one thread decodes, one finds the faces, the caller takes frames in
 * order. The queues hold a few frames, so that memory does not grow with the video.
 * Not here: what is done with a frame (video.c, face_seek.c). */
#include "stream.h"
#include "face_inner.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What went before a frame, or instead of one. */
typedef struct item {
    int code; /* as mien_video_next gives it */
    mien_error error;
    mien_stream_frame frame;
} item;

enum { DECODED = 4, READY = 64, READY_BYTES = 96 << 20 };

/* A ring of items between two threads. */
typedef struct queue {
    item **items;
    int room, first, count;
    bool closed; /* nobody takes anything more */
    pthread_mutex_t lock;
    pthread_cond_t changed;
} queue;

struct mien_stream {
    mien_video *video;
    mien__seeker seeker;
    int threads; /* that run */
    pthread_t decoder, searcher;
    queue decoded, ready;
    bool over; /* the caller has had the end */
};

/* ---- queues ---------------------------------------------------------------------------------- */

static mien_status queue_open(queue *q, int room) {
    q->items = calloc((size_t)room, sizeof(item *));
    if (!q->items) MIEN_FAIL(MIEN_ERR_MEMORY, "faces of a video: out of memory");
    q->room = room;
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&q->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return MIEN_OK;
}

static void drop(item *i) {
    if (i && i->code == 1) mien_tensor_release(i->frame.image);
    free(i);
}

static void queue_free(queue *q) {
    if (!q->items) return;
    for (; q->count > 0; q->count--, q->first++) drop(q->items[q->first % q->room]);
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    free(q->items);
}

/* Waits for room; false: nobody wants it any more, and it is dropped. */
static bool put(queue *q, item *i) {
    pthread_mutex_lock(&q->lock);
    while (q->count == q->room && !q->closed) pthread_cond_wait(&q->changed, &q->lock);
    const bool wanted = !q->closed;
    if (wanted) q->items[(q->first + q->count++) % q->room] = i;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    if (!wanted) drop(i);
    return wanted;
}

/* Waits for an item, a tenth of a second if `briefly`; NULL: none came, or the queue was closed. */
static item *take(queue *q, bool briefly) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&q->lock);
    int late = 0;
    while (q->count == 0 && !q->closed && !late) {
        if (briefly)
            late = pthread_cond_timedwait(&q->changed, &q->lock, &until);
        else
            pthread_cond_wait(&q->changed, &q->lock);
    }
    item *i = NULL;
    if (q->count > 0 && !q->closed) {
        i = q->items[q->first];
        q->first = (q->first + 1) % q->room;
        q->count--;
    }
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    return i;
}

static void queue_close(queue *q) {
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

static bool queue_is_closed(queue *q) {
    pthread_mutex_lock(&q->lock);
    const bool closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}

/* ---- stages ---------------------------------------------------------------------------------- */

/* The next frame without faces; NULL: out of memory. */
static item *decode(mien_stream *s) {
    item *i = calloc(1, sizeof *i);
    if (!i) return NULL;
    i->code = mien_video_next(s->video, &i->frame.image, &i->frame.time);
    if (i->code < 0) i->error = *mien_error_last();
    return i;
}

/* Puts the faces into it. */
static void look(mien_stream *s, item *i) {
    if (i->code != 1) return;
    mien_tensor *image = i->frame.image;
    const int n = mien__seek(&s->seeker, mien_tensor_data(image), (int)mien_tensor_size(image, 0),
                             (int)mien_tensor_size(image, 1), i->frame.faces, &i->frame.cut);
    if (n < 0) {
        i->error = *mien_error_last();
        i->code = -1;
        mien_tensor_release(image);
        return;
    }
    i->frame.count = n;
}

static void *run_decoder(void *argument) {
    mien_stream *s = argument;
    for (;;) {
        item *i = decode(s);
        const bool last = !i || i->code != 1;
        if (!put(&s->decoded, i) || last) return NULL;
    }
}

static void *run_searcher(void *argument) {
    mien_stream *s = argument;
    for (;;) {
        item *i = take(&s->decoded, false);
        if (!i) { /* closed, or the decoder had no memory: the caller finds the queue ended */
            queue_close(&s->ready);
            return NULL;
        }
        look(s, i);
        const bool last = i->code != 1;
        if (!put(&s->ready, i) || last) return NULL;
    }
}

/* ---- the caller ------------------------------------------------------------------------------ */

mien_stream *mien_stream_open(mien_video *video, mien_face_detector *detector, int smallest,
                              int every, int threads) {
    if (!video) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "faces of a video: no video was given");
    if (every < 1 || smallest < 0 || threads < 0 || threads > 1)
        MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT,
                       "faces of a video: every is %d, at least 1; smallest is %d, at least 0; "
                       "threads is %d, 0 or 1",
                       every, smallest, threads);
    mien_video_info info;
    mien_video_get_info(video, &info);
    const int64_t bytes = (int64_t)info.width * info.height * 3;
    int64_t room = READY_BYTES / (bytes > 0 ? bytes : 1);
    if (room > READY) room = READY;
    if (room < DECODED) room = DECODED;
    mien_stream *s = calloc(1, sizeof *s);
    if (!s) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "faces of a video: out of memory");
    s->video = video;
    mien__seeker_begin(&s->seeker, detector, smallest, every);
    if (queue_open(&s->decoded, DECODED) != MIEN_OK ||
        queue_open(&s->ready, (int)room) != MIEN_OK) {
        mien_stream_close(s);
        return NULL;
    }
    if (threads > 0 && pthread_create(&s->decoder, NULL, run_decoder, s) == 0) {
        s->threads = 1;
        if (pthread_create(&s->searcher, NULL, run_searcher, s) == 0) s->threads = 2;
    }
    if (threads > 0 && s->threads < 2) {
        mien_stream_close(s);
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "faces of a video: a thread could not be started");
    }
    return s;
}

/* The next item of the threads, or one made here; NULL with an error. */
static item *next_item(mien_stream *s) {
    if (s->threads == 0) {
        item *i = decode(s);
        if (i)
            look(s, i);
        else
            mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "faces of a video: out of memory");
        return i;
    }
    item *i;
    while (!(i = take(&s->ready, true))) {
        if (mien_interrupt_requested())
            MIEN_FAIL_NULL(MIEN_ERR_INTERRUPTED, "faces of a video: interrupted");
        if (queue_is_closed(&s->ready))
            MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "faces of a video: out of memory");
    }
    return i;
}

int mien_stream_next(mien_stream *s, mien_stream_frame *frame) {
    MIEN_CALL("waiting for a frame of a video");
    if (!s || !frame) {
        mien__fail(MIEN_ERR_ARGUMENT, __FILE__, __LINE__, "faces of a video: no stream was given");
        return -1;
    }
    if (s->over) return 0;
    item *i = next_item(s);
    if (!i) return -1;
    const int code = i->code;
    if (code == 1) *frame = i->frame;
    if (code != 1) s->over = true;
    if (code < 0) mien__fail_with(&i->error);
    free(i);
    return code;
}

void mien_stream_close(mien_stream *s) {
    if (!s) return;
    if (s->decoded.items) queue_close(&s->decoded);
    if (s->ready.items) queue_close(&s->ready);
    if (s->threads > 0) pthread_join(s->decoder, NULL);
    if (s->threads > 1) pthread_join(s->searcher, NULL);
    queue_free(&s->decoded);
    queue_free(&s->ready);
    free(s);
}
