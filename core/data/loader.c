/* The loader: threads that read windows, augment them and fill batches, handed out in order.
 * Not here: pixels (augment.c), which windows in which order (lua/mien/data). */
#include "loader.h"
#include "augment.h"
#include "base/clock.h"
#include "carrier.h"
#include "hdf5.h"
#include "tensor/rng.h"
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_SLOTS    4
#define PIECE        32 /* frames read at once when the dataset is not chunked */
#define MOST_OUTPUTS (1 << 16)
#define MOST_WORKERS 256 /* OpenMP ends the process when the system has no thread left for it */

/* A batch being filled. Its tensors are made and given away by the thread that calls next, so that
 * worker threads touch nothing but plain memory. */
typedef struct slot {
    mien_tensor *frames, *labels, *draws; /* draws: of stored frames; both NULL: carried */
    void *pixels;                         /* of frames: float, or uint8_t as stored */
    void *values;                         /* of labels: float or int32_t */
    float *drawn;                         /* of draws */
    int windows, done;
    int64_t failed; /* lowest window that failed, -1: none */
    mien_error error;
} slot;

struct mien_loader {
    mien_loader_config config;
    mien_h5 *file;
    int64_t *starts, n, batches;
    int *lengths; /* NULL: all windows are whole */
    mien__frame_plan plan;
    int height, width; /* of stored frames */
    int outputs;       /* K of continuous and multi-label targets; 0: classes */
    int64_t classes;   /* 0: unknown */
    double low, high;  /* range of continuous and multi-label targets */
    int64_t chunk;
    uint64_t stream;

    pthread_mutex_t mutex;
    pthread_cond_t work, ready;
    pthread_t *threads;
    int running;
    atomic_bool stop;
    slot slots[MAX_SLOTS];
    mien__carrier carriers[MAX_SLOTS]; /* of the slots, where memory could be pinned; one aims */
    char unpinned[512];                /* why it could not; empty: it could, or need not */
    int slot_count;
    int64_t consumer;  /* batch that next gives */
    int64_t next_unit; /* window that a worker takes next */
    double waited;
};

static int64_t windows_in(const mien_loader *l, int64_t batch) {
    int64_t left = l->n - batch * l->config.batch;
    return left < l->config.batch ? left : l->config.batch;
}

/* ---- one window, on a worker ----------------------------------------------------------------- */

/* The draw of nothing: the crop lies in the middle, colours stay. */
static mien__draw middle(const mien__frame_plan *plan) {
    return (mien__draw){.top = (plan->rows.out - plan->height) / 2,
                        .left = (plan->columns.out - plan->width) / 2,
                        .saturation = 1};
}

/* The draw of (epoch, position in the epoch, frame when drawn per frame): a pure function, so the
 * number of threads does not matter and a resumed run draws the same. */
static mien__draw draw_for(const mien_loader *l, int64_t position, int frame) {
    const mien_loader_config *c = &l->config;
    uint64_t index = (uint64_t)position * (uint64_t)(c->per_frame ? c->sequence : 1) +
                     (uint64_t)(c->per_frame ? frame : 0);
    uint64_t counter = ((uint64_t)c->epoch << 40) + index * 2;
    uint32_t word[8];
    mien__philox(c->seed, l->stream, counter, word);
    mien__philox(c->seed, l->stream, counter + 1, word + 4);
    int spare_y = l->plan.rows.out - c->height, spare_x = l->plan.columns.out - c->width;
    mien__draw draw = middle(&l->plan);
    if (c->random_crop) {
        draw.top = (int)(mien__u24(word[0]) * (float)(spare_y + 1));
        draw.left = (int)(mien__u24(word[1]) * (float)(spare_x + 1));
    }
    if (c->brightness > 0) draw.brightness = (float)c->brightness * (2 * mien__u24(word[2]) - 1);
    draw.saturation =
        (float)(c->saturation_low + (c->saturation_high - c->saturation_low) * mien__u24(word[3]));
    draw.flip = c->flip && (word[4] >> 31);
    return draw;
}

/* Labels of the `length` frames that a window has; padding has none. */
static mien_status read_labels(mien_loader *l, int64_t start, int length, void *values) {
    const int64_t count = (int64_t)length * (l->outputs ? l->outputs : 1);
    MIEN_TRY(mien__h5_read_rows(l->file, "labels", start, length, l->outputs ? MIEN_F32 : MIEN_I32,
                                values, 4 * (size_t)count));
    const int64_t whole = (int64_t)l->config.sequence * (l->outputs ? l->outputs : 1);
    for (int64_t i = count; i < whole; i++)
        if (l->outputs)
            ((float *)values)[i] = NAN;
        else
            ((int32_t *)values)[i] = -1;
    if (l->outputs == 0) {
        const int32_t *label = values;
        for (int t = 0; t < length; t++)
            if (label[t] < 0 || (l->classes > 0 && label[t] >= l->classes))
                MIEN_FAIL(MIEN_ERR_FORMAT,
                          "%s: the label of frame %lld is stored as class %d; a file's classes are "
                          "0 to %lld",
                          mien_h5_path(l->file), (long long)(start + t + 1), label[t],
                          (long long)l->classes - 1);
        return MIEN_OK;
    }
    const float *label = values;
    for (int64_t i = 0; i < count; i++)
        if (!(label[i] >= l->low && label[i] <= l->high))
            MIEN_FAIL(MIEN_ERR_FORMAT,
                      "%s: label %d of frame %lld is %g; labels lie in [%g, %g] (attributes "
                      "label_low, label_high)",
                      mien_h5_path(l->file), (int)(i % l->outputs) + 1,
                      (long long)(start + i / l->outputs + 1), label[i], l->low, l->high);
    return MIEN_OK;
}

/* A row of what the op `augment` takes. */
static void note_draw(const mien__draw *draw, float row[5]) {
    row[0] = (float)draw->top;
    row[1] = (float)draw->left;
    row[2] = draw->flip;
    row[3] = draw->brightness;
    row[4] = draw->saturation;
}

static mien_status fill_window(mien_loader *l, int64_t unit, slot *s, uint8_t *raw,
                               float *scratch) {
    const mien_loader_config *c = &l->config;
    const int64_t start = l->starts[unit], place = unit % c->batch;
    const int length = l->lengths ? l->lengths[unit] : c->sequence;
    const size_t label_bytes = 4 * (size_t)c->sequence * (size_t)(l->outputs ? l->outputs : 1);
    MIEN_TRY(mien__carrier_wait(&l->carriers[s - l->slots])); /* of the batch before */
    MIEN_TRY(read_labels(l, start, length, (char *)s->values + (size_t)place * label_bytes));
    const size_t in_frame = (size_t)l->height * (size_t)l->width * 3;
    const size_t out_frame = (size_t)c->height * (size_t)c->width * 3;
    const size_t before = (size_t)place * (size_t)c->sequence; /* frames of the batch's windows */
    const bool as_stored = c->device != MIEN_DEVICE_CPU;
    mien__draw draw = draw_for(l, unit, 0);
    for (int t = 0; t < length;) {
        /* up to the end of a chunk, so that each chunk is unpacked once */
        int64_t room = l->chunk - (start + t) % l->chunk;
        int count = (int)(room < length - t ? room : length - t);
        uint8_t *to = as_stored ? (uint8_t *)s->pixels + (before + (size_t)t) * in_frame : raw;
        MIEN_TRY(mien__h5_read_rows(l->file, "frames", start + t, count, MIEN_U8, to,
                                    (size_t)count * in_frame));
        for (int i = 0; i < count; i++, t++) {
            if (atomic_load_explicit(&l->stop, memory_order_relaxed)) return MIEN_OK;
            if (c->per_frame && t) draw = draw_for(l, unit, t);
            if (as_stored)
                note_draw(&draw, s->drawn + (before + (size_t)t) * 5);
            else
                mien__frame_render(&l->plan, raw + (size_t)i * in_frame, &draw, scratch,
                                   (float *)s->pixels + (before + (size_t)t) * out_frame);
        }
    }
    for (size_t t = (size_t)length, last = t - 1; t < (size_t)c->sequence; t++) { /* padding */
        if (as_stored) {
            uint8_t *pixels = (uint8_t *)s->pixels + before * in_frame;
            float *drawn = s->drawn + before * 5;
            memcpy(pixels + t * in_frame, pixels + last * in_frame, in_frame);
            memcpy(drawn + t * 5, drawn + last * 5, 5 * sizeof *drawn);
        } else {
            float *pixels = (float *)s->pixels + before * out_frame;
            memcpy(pixels + t * out_frame, pixels + last * out_frame, out_frame * sizeof *pixels);
        }
    }
    return MIEN_OK;
}

/* A whole batch to the GPU, when it has a target there. Under the mutex. */
static mien_status send(mien_loader *l, slot *s) {
    mien__carrier *c = &l->carriers[s - l->slots];
    if (!c->there[0] || s->done < s->windows || s->failed >= 0) return MIEN_OK;
    return mien__carrier_send(c);
}

static void *worker(void *data) {
    mien_loader *l = data;
    const size_t in_frame = (size_t)l->height * (size_t)l->width * 3;
    const int64_t most = l->chunk < l->config.sequence ? l->chunk : l->config.sequence;
    uint8_t *raw = malloc(in_frame * (size_t)most);
    float *scratch = malloc(sizeof(float) * mien__frame_scratch(&l->plan));
    pthread_mutex_lock(&l->mutex);
    for (;;) {
        while (!l->stop && (l->next_unit >= l->n || l->next_unit / l->config.batch >= l->batches ||
                            l->next_unit / l->config.batch >= l->consumer + l->slot_count))
            pthread_cond_wait(&l->work, &l->mutex);
        if (l->stop) break;
        const int64_t unit = l->next_unit++;
        slot *s = &l->slots[(unit / l->config.batch) % l->slot_count];
        pthread_mutex_unlock(&l->mutex);
        mien_status status = raw && scratch
                                 ? fill_window(l, unit, s, raw, scratch)
                                 : mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__,
                                              "loader: out of memory for %lld frames of %dx%d",
                                              (long long)most, l->height, l->width);
        pthread_mutex_lock(&l->mutex);
        if (status != MIEN_OK && (s->failed < 0 || unit < s->failed)) {
            s->failed = unit;
            s->error = *mien_error_last();
        }
        if (++s->done == s->windows) {
            send(l, s); /* when that fails, next tries again and tells */
            pthread_cond_signal(&l->ready);
        }
    }
    pthread_mutex_unlock(&l->mutex);
    free(raw);
    free(scratch);
    return NULL;
}

/* ---- making one ------------------------------------------------------------------------------ */

static mien_status check_config(const mien_loader_config *c) {
    if (c->sequence < 1 || c->batch < 1 || c->height < 1 || c->width < 1 || c->workers < 1)
        MIEN_FAIL(MIEN_ERR_ARGUMENT,
                  "loader: sequence %d, batch %d, size %dx%d and workers %d must be at least 1",
                  c->sequence, c->batch, c->height, c->width, c->workers);
    if (c->workers > MOST_WORKERS)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "loader: %d workers, at most %d; as many as cores are useful",
                  c->workers, MOST_WORKERS);
    if ((c->resize_height == 0) != (c->resize_width == 0) || c->resize_height < 0 ||
        c->resize_width < 0)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "loader: resize to %dx%d; give both sizes or none",
                  c->resize_height, c->resize_width);
    if (!(c->brightness >= 0) || !(c->saturation_low >= 0) ||
        !(c->saturation_high >= c->saturation_low))
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "loader: brightness %g, saturation %g to %g", c->brightness,
                  c->saturation_low, c->saturation_high);
    for (int i = 0; i < 3; i++)
        if (!(c->sd[i] > 0) || !isfinite(c->mean[i]))
            MIEN_FAIL(MIEN_ERR_ARGUMENT, "loader: scale of channel %d: mean %g, sd %g", i + 1,
                      c->mean[i], c->sd[i]);
    if (c->first_step < 0 || c->epoch < 0)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "loader: epoch %lld, first step %lld", (long long)c->epoch,
                  (long long)c->first_step);
    return MIEN_OK;
}

static mien_status read_layout(mien_loader *l, int64_t *frames) {
    const char *path = mien_h5_path(l->file);
    mien_dtype dtype;
    int ndim = 0;
    int64_t shape[MIEN_MAX_DIMS];
    MIEN_TRY(mien_h5_info(l->file, "frames", &dtype, &ndim, shape));
    if (dtype != MIEN_U8 || ndim != 4 || shape[3] != 3 || shape[1] < 1 || shape[2] < 1 ||
        shape[1] > 32767 || shape[2] > 32767)
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: frames must be u8 [N,H,W,3]", path);
    *frames = shape[0];
    l->height = (int)shape[1];
    l->width = (int)shape[2];
    MIEN_TRY(mien_h5_info(l->file, "labels", &dtype, &ndim, shape));
    bool real = dtype == MIEN_F32 || dtype == MIEN_F64;
    if (!(real && ndim == 2 && shape[1] > 0) && !(dtype == MIEN_I32 && ndim == 1))
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: labels must be f32 [N,K] or i32 [N]", path);
    if (real && shape[1] > MOST_OUTPUTS)
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: %lld labels a frame, at most %d are read", path,
                  (long long)shape[1], MOST_OUTPUTS);
    if (shape[0] != *frames)
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: %lld frames but %lld labels", path, (long long)*frames,
                  (long long)shape[0]);
    l->outputs = real ? (int)shape[1] : 0;
    if (!real) {
        const char *names;
        MIEN_TRY(mien_h5_get_text(l->file, "", "label_names", &names));
        l->classes = names && *names ? 1 : 0;
        for (; names && *names; names++) l->classes += *names == '\n';
        return mien__h5_chunk_rows(l->file, "frames", &l->chunk);
    }
    const char *kind;
    bool found;
    MIEN_TRY(mien_h5_get_text(l->file, "", "label_kind", &kind));
    if (kind && strcmp(kind, "class") == 0)
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: labels of classes must be i32 [N], these are %s [N,%d]",
                  path, mien_dtype_name(dtype), l->outputs);
    l->low = kind && strcmp(kind, "multilabel") == 0 ? 0 : -1;
    l->high = 1;
    MIEN_TRY(mien_h5_get_number(l->file, "", "label_low", &l->low, &found));
    MIEN_TRY(mien_h5_get_number(l->file, "", "label_high", &l->high, &found));
    return mien__h5_chunk_rows(l->file, "frames", &l->chunk);
}

/* For stored frames of height x width. */
static mien_status plan_frames(const mien_loader_config *c, int height, int width,
                               mien__frame_plan *plan) {
    int h = c->resize_height ? c->resize_height : height;
    int w = c->resize_width ? c->resize_width : width;
    if (h < c->height || w < c->width)
        MIEN_FAIL(MIEN_ERR_SHAPE,
                  "loader: cannot crop %dx%d out of %dx%d; set resize to at least the size",
                  c->height, c->width, h, w);
    MIEN_TRY(mien__axis_init(&plan->rows, height, h, 0, height, false));
    MIEN_TRY(mien__axis_init(&plan->columns, width, w, 0, width, false));
    plan->height = c->height;
    plan->width = c->width;
    for (int i = 0; i < 3; i++) {
        plan->gain[i] = (float)(1 / (255 * c->sd[i]));
        plan->bias[i] = (float)(-c->mean[i] / c->sd[i]);
    }
    return MIEN_OK;
}

static bool make(mien_tensor **t, void **data, mien_dtype dtype, int ndim, const int64_t *shape) {
    *t = mien_tensor_new(dtype, MIEN_DEVICE_CPU, ndim, shape);
    *data = *t ? mien__tensor_data(*t) : NULL;
    return *data != NULL;
}

static void drop(slot *s) {
    mien_tensor_release(s->frames);
    mien_tensor_release(s->labels);
    mien_tensor_release(s->draws);
}

/* Tensors of stored frames and their draws, for `batch`; on failure frames is NULL. */
static mien_status make_stored(const mien_loader *l, int64_t batch, mien_device device,
                               mien_tensor **frames, mien_tensor **draws) {
    int64_t windows = windows_in(l, batch), count = windows * l->config.sequence;
    int64_t shape[5] = {windows, l->config.sequence, l->height, l->width, 3}, rows[2] = {count, 5};
    *frames = mien_tensor_new(MIEN_U8, device, 5, shape);
    *draws = *frames ? mien_tensor_new(MIEN_F32, device, 2, rows) : NULL;
    if (*draws) return MIEN_OK;
    mien_tensor_release(*frames);
    *frames = NULL;
    return mien_error_last()->code;
}

/* Where the frames of `batch` are written. */
static mien_status make_frames(const mien_loader *l, slot *fresh, int64_t batch) {
    const mien_loader_config *c = &l->config;
    const mien__carrier *carrier = &l->carriers[batch % l->slot_count];
    int64_t shape[5] = {fresh->windows, c->sequence, 3, c->height, c->width};
    if (carrier->gpu) {
        fresh->pixels = carrier->host[0];
        fresh->drawn = carrier->host[1];
        return MIEN_OK;
    }
    if (c->device == MIEN_DEVICE_CPU)
        return make(&fresh->frames, &fresh->pixels, MIEN_F32, 5, shape) ? MIEN_OK
                                                                        : mien_error_last()->code;
    MIEN_TRY(make_stored(l, batch, MIEN_DEVICE_CPU, &fresh->frames, &fresh->draws));
    fresh->pixels = mien__tensor_data(fresh->frames);
    fresh->drawn = mien__tensor_data(fresh->draws);
    return MIEN_OK;
}

/* Fresh tensors for `batch`; nothing changes on failure. */
static mien_status prepare(mien_loader *l, slot *s, int64_t batch) {
    const mien_loader_config *c = &l->config;
    slot fresh = {.windows = (int)windows_in(l, batch), .failed = -1};
    int64_t labels[3] = {fresh.windows, c->sequence, l->outputs};
    bool whole = make_frames(l, &fresh, batch) == MIEN_OK &&
                 make(&fresh.labels, &fresh.values, l->outputs ? MIEN_F32 : MIEN_I32,
                      l->outputs ? 3 : 2, labels);
    if (!whole) {
        drop(&fresh);
        return mien_error_last()->code;
    }
    *s = fresh;
    return MIEN_OK;
}

/* Pins memory for the slots of `batches` batches, or for none: a system may allow little. */
static void pin(mien_loader *l, int64_t batches) {
    const size_t frames = (size_t)l->config.batch * (size_t)l->config.sequence;
    const size_t bytes[MIEN_CARRIED] = {frames * (size_t)l->height * (size_t)l->width * 3,
                                        frames * 5 * sizeof(float)};
    for (int i = 0; i < l->slot_count && i < batches; i++) {
        mien__carrier *c = &l->carriers[(l->consumer + i) % l->slot_count];
        if (mien__carrier_open(c, l->config.device, bytes) == MIEN_OK) continue;
        const mien_error *why = mien_error_last();
        snprintf(l->unpinned, sizeof l->unpinned, "%.300s%s%.200s", why->message,
                 why->cause[0] ? ": " : "", why->cause);
        for (int k = 0; k < MAX_SLOTS; k++) mien__carrier_close(&l->carriers[k]);
        return;
    }
}

/* Gives the batch that is next a target on the GPU, and sends it when it is whole: else the worker
 * does that makes it whole. One batch aims at a time, so one more than is used lies there. */
static mien_status aim(mien_loader *l) {
    slot *s = &l->slots[l->consumer % l->slot_count];
    mien__carrier *c = &l->carriers[s - l->slots];
    mien_tensor *there[MIEN_CARRIED];
    if (!c->gpu || l->consumer >= l->batches) return MIEN_OK;
    if (!c->there[0]) {
        MIEN_TRY(make_stored(l, l->consumer, l->config.device, &there[0], &there[1]));
        pthread_mutex_lock(&l->mutex);
        mien_status aimed = mien__carrier_aim(c, there);
        pthread_mutex_unlock(&l->mutex);
        if (aimed != MIEN_OK) {
            for (int i = 0; i < MIEN_CARRIED; i++) mien_tensor_release(there[i]);
            return aimed;
        }
    }
    pthread_mutex_lock(&l->mutex);
    mien_status sent = send(l, s);
    pthread_mutex_unlock(&l->mutex);
    return sent;
}

static mien_status start_threads(mien_loader *l) {
    /* Signals belong to the thread that runs Lua. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    for (int i = 0; i < l->config.workers && !error; i++) {
        error = pthread_create(&l->threads[i], NULL, worker, l);
        if (!error) l->running++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (l->running == 0)
        MIEN_FAIL(MIEN_ERR_MEMORY, "loader: no thread can be started: %s", strerror(error));
    return MIEN_OK; /* fewer threads than asked for give the same bits */
}

static mien_status set_up(mien_loader *l, const char *path, const int64_t *starts) {
    const mien_loader_config *c = &l->config;
    MIEN_TRY(check_config(c));
    l->file = mien_h5_open(path);
    if (!l->file) return mien_error_last()->code;
    int64_t frames = 0;
    MIEN_TRY(read_layout(l, &frames));
    if (l->chunk <= 0) l->chunk = PIECE;
    for (int64_t i = 0; i < l->n; i++) {
        const int length = c->lengths ? c->lengths[i] : c->sequence;
        if (length < 1 || length > c->sequence)
            MIEN_FAIL(MIEN_ERR_ARGUMENT, "loader: window %lld has %d frames, but 1 to %d fit in",
                      (long long)i + 1, length, c->sequence);
        if (starts[i] < 0 || starts[i] > frames - length)
            MIEN_FAIL(MIEN_ERR_ARGUMENT,
                      "loader: window %lld begins at frame %lld and takes %d, but %s has %lld",
                      (long long)i + 1, (long long)starts[i], length, path, (long long)frames);
    }
    if (l->n) memcpy(l->starts, starts, sizeof *starts * (size_t)l->n);
    if (l->n && c->lengths) {
        l->lengths = malloc(sizeof *l->lengths * (size_t)l->n);
        if (!l->lengths)
            MIEN_FAIL(MIEN_ERR_MEMORY, "loader: out of memory for %lld windows", (long long)l->n);
        memcpy(l->lengths, c->lengths, sizeof *l->lengths * (size_t)l->n);
    }
    l->config.lengths = NULL; /* the caller's */
    MIEN_TRY(plan_frames(c, l->height, l->width, &l->plan));
    mien_rng rng;
    mien_rng_start(&rng, c->seed, "augment");
    l->stream = rng.stream;
    l->batches = (l->n + (c->keep_last ? c->batch - 1 : 0)) / c->batch;
    l->consumer = c->first_step < l->batches ? c->first_step : l->batches;
    l->next_unit = l->consumer * c->batch;
    l->slot_count = 2 + c->workers / c->batch;
    if (l->slot_count > MAX_SLOTS) l->slot_count = MAX_SLOTS;
    if (c->device != MIEN_DEVICE_CPU) pin(l, l->batches - l->consumer);
    for (int64_t b = l->consumer; b < l->batches && b < l->consumer + l->slot_count; b++)
        MIEN_TRY(prepare(l, &l->slots[b % l->slot_count], b));
    aim(l); /* what fails here is tried again, and told, by next */
    return l->consumer < l->batches ? start_threads(l) : MIEN_OK;
}

mien_loader *mien_loader_new(const char *path, const int64_t *starts, int64_t n,
                             const mien_loader_config *config) {
    MIEN_CALL("starting a loader");
    if (!path || !config || n < 0 || (n && !starts))
        MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "loader: needs a path, a configuration and windows");
    mien_loader *l = calloc(1, sizeof *l);
    if (!l) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "loader: out of memory");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, &monotonic);
    pthread_condattr_destroy(&monotonic);
    l->config = *config;
    l->n = n;
    l->starts = malloc(sizeof(int64_t) * (size_t)(n ? n : 1));
    l->threads = calloc((size_t)(config->workers > 0 ? config->workers : 1), sizeof(pthread_t));
    mien_status status = !l->starts || !l->threads
                             ? mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__,
                                          "loader: out of memory for %lld windows", (long long)n)
                             : set_up(l, path, starts);
    if (status != MIEN_OK) {
        mien_loader_close(l);
        return NULL;
    }
    return l;
}

void mien_loader_close(mien_loader *l) {
    if (!l) return;
    MIEN_CALL("waiting for the loader's workers");
    pthread_mutex_lock(&l->mutex);
    l->stop = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->mutex);
    for (int i = 0; i < l->running; i++) pthread_join(l->threads[i], NULL);
    for (int i = 0; i < MAX_SLOTS; i++) {
        drop(&l->slots[i]);
        mien__carrier_close(&l->carriers[i]);
    }
    mien__axis_free(&l->plan.rows);
    mien__axis_free(&l->plan.columns);
    mien_h5_close(l->file);
    pthread_cond_destroy(&l->ready);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->mutex);
    free(l->starts);
    free(l->lengths);
    free(l->threads);
    free(l);
}

/* ---- pulling --------------------------------------------------------------------------------- */

/* Waits for the batch, looking up now and then for a wish to stop. */
static mien_status wait_for(mien_loader *l, slot *s) {
    mien_status status = MIEN_OK;
    double began = mien_time_monotonic();
    pthread_mutex_lock(&l->mutex);
    while (s->done < s->windows && status == MIEN_OK) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 50000000;
        if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
        pthread_cond_timedwait(&l->ready, &l->mutex, &until);
        if (mien_interrupt_requested()) status = MIEN_ERR_INTERRUPTED;
    }
    pthread_mutex_unlock(&l->mutex);
    l->waited += mien_time_monotonic() - began;
    if (status != MIEN_OK) MIEN_FAIL(status, "loader: interrupted");
    return MIEN_OK;
}

/* A filled slot's frames and draws, on the device that they are for. On failure the slot keeps what
 * it has, so that the same batch can be asked for again. */
static mien_status deliver(mien_loader *l, slot *s, mien_tensor *got[MIEN_CARRIED]) {
    mien__carrier *c = &l->carriers[s - l->slots];
    if (c->gpu) {
        MIEN_TRY(aim(l));
        return mien__carrier_take(c, got);
    }
    got[0] = s->frames;
    got[1] = s->draws;
    for (int i = 0; i < MIEN_CARRIED; i++)
        if (got[i]) MIEN_TRY(mien_tensor_move(got[i], l->config.device));
    return MIEN_OK;
}

int mien_loader_next(mien_loader *l, mien_tensor **frames, mien_tensor **labels,
                     mien_tensor **draws, int64_t *starts) {
    MIEN_CALL("waiting for frames");
    if (l->consumer >= l->batches) return 0;
    if (mien_interrupt_requested())
        return mien__fail(MIEN_ERR_INTERRUPTED, __FILE__, __LINE__, "loader: interrupted"), -1;
    slot *s = &l->slots[l->consumer % l->slot_count];
    if (wait_for(l, s) != MIEN_OK) return -1;
    if (s->failed >= 0) { /* recorded by a worker; this thread's record is what callers read */
        mien__fail(s->error.code, s->error.file, s->error.line, "%s", s->error.message);
        if (s->error.cause[0]) mien__fail_cause("%s", s->error.cause);
        return -1;
    }
    slot fresh = {.failed = -1};
    const int64_t following = l->consumer + l->slot_count;
    mien_tensor *got[MIEN_CARRIED];
    if (following < l->batches && prepare(l, &fresh, following) != MIEN_OK) return -1;
    if (deliver(l, s, got) != MIEN_OK) {
        drop(&fresh);
        return -1;
    }
    pthread_mutex_lock(&l->mutex);
    slot full = *s;
    *s = fresh;
    if (starts)
        memcpy(starts, l->starts + l->consumer * l->config.batch,
               sizeof *starts * (size_t)full.windows);
    l->consumer++;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->mutex);
    aim(l); /* as in set_up */
    *frames = got[0];
    *labels = full.labels;
    if (draws)
        *draws = got[1];
    else
        mien_tensor_release(got[1]);
    return 1;
}

int64_t mien_loader_batches(const mien_loader *l) {
    return l->batches;
}

const char *mien_loader_unpinned(const mien_loader *l) {
    return l->unpinned[0] ? l->unpinned : NULL;
}

double mien_loader_waited(const mien_loader *l) {
    return l->waited;
}

/* ---- frames that lie in no corpus -------------------------------------------------------------
 */

mien_tensor *mien_frames_render(mien_tensor *frames, const mien_loader_config *c) {
    MIEN_CALL("frames_render");
    char got[96];
    if (mien__tensor_check(frames, "frames_render") != MIEN_OK) return NULL;
    if (mien_tensor_dtype(frames) != MIEN_U8 || mien_tensor_ndim(frames) != 4 ||
        mien_tensor_size(frames, 3) != 3 || mien_tensor_count(frames) == 0 ||
        mien_tensor_size(frames, 1) > 32767 || mien_tensor_size(frames, 2) > 32767)
        MIEN_FAIL_NULL(MIEN_ERR_SHAPE, "frames_render: frames must be u8 [N,h,w,3], got %s %s",
                       mien_dtype_name(mien_tensor_dtype(frames)),
                       mien__shape_text(frames, got, sizeof got));
    if (mien_tensor_device(frames) != MIEN_DEVICE_CPU)
        MIEN_FAIL_NULL(MIEN_ERR_DEVICE, "frames_render: the frames live on the GPU; the op augment "
                                        "does this there");
    if (check_config(c) != MIEN_OK) return NULL;
    mien_tensor *source = mien__tensor_contiguous(frames), *result = NULL;
    if (!source) return NULL;
    const int h = (int)mien_tensor_size(frames, 1), w = (int)mien_tensor_size(frames, 2);
    const int64_t shape[4] = {mien_tensor_size(frames, 0), 3, c->height, c->width};
    mien__frame_plan plan = {0};
    float *scratch = NULL;
    if (plan_frames(c, h, w, &plan) == MIEN_OK) {
        scratch = malloc(sizeof *scratch * mien__frame_scratch(&plan));
        if (scratch)
            result = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 4, shape);
        else
            mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "frames_render: out of memory");
    }
    const uint8_t *from = mien_tensor_data(source);
    float *to = result ? mien_tensor_data(result) : NULL;
    const mien__draw draw = middle(&plan);
    const size_t in = (size_t)h * (size_t)w * 3, out = (size_t)(3 * shape[2] * shape[3]);
    for (int64_t i = 0; to && i < shape[0]; i++)
        mien__frame_render(&plan, from + (size_t)i * in, &draw, scratch, to + (size_t)i * out);
    free(scratch);
    mien__axis_free(&plan.rows);
    mien__axis_free(&plan.columns);
    mien_tensor_release(source);
    return result;
}
