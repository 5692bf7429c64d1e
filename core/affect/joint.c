/* Every median window with every delay at once: what the exhaustive search of post-processing
 * needs. Not here: the greedy chain's searches (search.c), which scores count (affect/post). */
#include "median.h"
#include "base/isa.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wpsabi" /* the vectors below are in inlined functions alone */

/* Delays, and windows, that one tile of sums holds in registers: with AVX2 these are 12 of 16.
 * (GCC 12 keeps vectors in memory that are longer than its registers.) */
#define LANES   4
#define DELAYS  (2 * LANES)
#define WINDOWS 6
/* Frames whose medians stay in the nearest cache while all delays go over them. */
#define FRAMES 256

typedef double lanes __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

typedef struct task {
    double *x, *y; /* centred by mean_x and mean_y, recordings joined */
    const int64_t *lengths;
    int recordings, max_delay;
    int64_t windows, frames; /* of all recordings */
    int64_t delays;          /* max_delay + 1, up to a whole number of tiles */
    double mean_x, mean_y;
    double *rows;                  /* medians of one recording, rows_at_once of them */
    double *late;                  /* [longest + delays] its y, then zeros */
    double *sum_x, *sum_xx, *held; /* [windows][max_delay + 1]; held: of the first value times y */
    double *sum_xy;                /* [windows, up to whole tiles][delays] */
} task;

static int64_t whole(int64_t n, int64_t of) {
    return (n + of - 1) / of * of;
}

/* Of a recording of n frames: whole tiles. */
static int64_t rows_at_once(const task *task, int64_t n) {
    int64_t all = whole(task->windows, WINDOWS), some = whole(mien__medians_at_once(n), WINDOWS);
    return some < all ? some : all;
}

/* sum_xy(w, d) += sum_t x(w, t) y(t + d) for WINDOWS rows of x and all delays: a product of x with
 * a matrix whose row t is y from t on. Each sum is made frame by frame in parts of FRAMES, so that
 * its bits depend neither on how many threads there are nor on how many rows are made at once. */
MIEN_CLONES(void, add_products,
            (double *sums, int64_t delays, const double *const *x, const double *y, int64_t n),
            (sums, delays, x, y, n)) {
    for (int64_t from = 0; from < n; from += FRAMES) {
        int64_t to = from + FRAMES < n ? from + FRAMES : n;
        for (int64_t d = 0; d < delays; d += DELAYS) {
            lanes sum[WINDOWS][2] = {0};
            for (int64_t t = from; t < to; t++) {
                const lanes *late = (const lanes *)(y + t + d);
#pragma GCC unroll 6
                for (int w = 0; w < WINDOWS; w++) {
                    sum[w][0] += x[w][t] * late[0];
                    sum[w][1] += x[w][t] * late[1];
                }
            }
            for (int w = 0; w < WINDOWS; w++) {
                lanes *to_add = (lanes *)(sums + w * delays + d);
                to_add[0] += sum[w][0];
                to_add[1] += sum[w][1];
            }
        }
    }
}

/* Adds one window's medians x[n] to the sums of every delay d: x shifted by d is its first value d
 * times, then x(0 .. n-d-1), so that sums follow from the delay before. */
static void add_delays(const task *task, const double *x, const double *y, int64_t n, int64_t w) {
    double *sum_x = task->sum_x + w * (task->max_delay + 1);
    double *sum_xx = task->sum_xx + w * (task->max_delay + 1);
    double *held = task->held + w * (task->max_delay + 1);
    double sx = 0, sxx = 0, sy = 0;
    for (int64_t t = 0; t < n; t++) sx += x[t], sxx += x[t] * x[t];
    for (int64_t d = 0; d <= task->max_delay; d++) {
        if (d > 0 && d <= n) {
            double gone = x[n - d];
            sx += x[0] - gone;
            sxx += x[0] * x[0] - gone * gone;
            sy += y[d - 1];
        }
        sum_x[d] += sx;
        sum_xx[d] += sxx;
        held[d] += x[0] * sy;
    }
}

/* Adds recording r, x[n] and y[n], to all sums. ranks: of x. */
static mien_status add_recording(const task *task, const mien__ranks *ranks, const double *y,
                                 const char *name) {
    int64_t n = ranks->n, row = mien__median_row(n), at_once = rows_at_once(task, n);
    int workers = omp_get_max_threads();
    memcpy(task->late, y, sizeof(double) * (size_t)n);
    memset(task->late + n, 0, sizeof(double) * (size_t)task->delays);
    for (int64_t first = 0; first < task->windows && !mien_interrupt_requested();
         first += at_once) {
        int64_t last = first + at_once < task->windows ? first + at_once : task->windows;
        MIEN_TRY(mien__medians(ranks, first, last - 1, task->rows, row, name));
#pragma omp parallel for schedule(dynamic, 1) num_threads(workers)
        for (int64_t w = first; w < last; w += WINDOWS) {
            if (mien_interrupt_requested()) continue;
            const double *x[WINDOWS]; /* the last row again where there are no more */
            for (int64_t i = 0; i < WINDOWS; i++) {
                int64_t own = w + i < last ? w + i : last - 1;
                x[i] = task->rows + (own - first) * row;
                if (own == w + i) add_delays(task, x[i], y, n, own);
            }
            add_products(task->sum_xy + w * task->delays, task->delays, x, task->late, n);
        }
    }
    return MIEN_OK;
}

static void moments_of(const task *task, mien_moments *moments) {
    double n = (double)task->frames, yy = 0;
    for (int64_t t = 0; t < task->frames; t++) yy += task->y[t] * task->y[t];
    for (int64_t w = 0; w < task->windows; w++)
        for (int64_t d = 0; d <= task->max_delay; d++) {
            int64_t i = w * (task->max_delay + 1) + d;
            double mean = task->sum_x[i] / n; /* y's mean is 0 after centring */
            moments[i] = (mien_moments){.n = n,
                                        .mean_x = mean + task->mean_x,
                                        .mean_y = task->mean_y,
                                        .m2_x = fmax(0, task->sum_xx[i] - n * mean * mean),
                                        .m2_y = yy,
                                        .m_xy = task->held[i] + task->sum_xy[w * task->delays + d]};
        }
}

static mien_status prepare(const double *x, const double *y, const int64_t *lengths, int recordings,
                           int max_window, int max_delay, task *task, int64_t *longest) {
    const char *name = "joint search";
    int64_t n = 0;
    if (recordings < 1 || max_window < 1 || max_delay < 0)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: %d recordings, windows to %d and delays to %d frames",
                  name, recordings, max_window, max_delay);
    *longest = 0;
    for (int r = 0; r < recordings; r++) {
        if (lengths[r] < 0)
            MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: recording %d has %lld frames", name, r + 1,
                      (long long)lengths[r]);
        if (lengths[r] > *longest) *longest = lengths[r];
        n += lengths[r];
    }
    if (n == 0) MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: the recordings hold no frame", name);
    mien_moments all = {0};
    mien_moments_add(&all, x, y, n);
    if (all.skipped > 0)
        MIEN_FAIL(MIEN_ERR_NUMERIC, "%s: %g of %lld frames are NaN: it needs every frame", name,
                  all.skipped, (long long)n);
    *task = (struct task){.lengths = lengths,
                          .recordings = recordings,
                          .max_delay = max_delay,
                          .windows = (max_window + 1) / 2,
                          .frames = n,
                          .delays = whole((int64_t)max_delay + 1, DELAYS),
                          .mean_x = all.mean_x,
                          .mean_y = all.mean_y};
    return MIEN_OK;
}

static mien_status search(const task *task, const double *x, const double *y, const char *name) {
    int64_t first = 0;
    for (int64_t t = 0; t < task->frames; t++) {
        task->x[t] = x[t] - task->mean_x;
        task->y[t] = y[t] - task->mean_y;
    }
    for (int r = 0; r < task->recordings; first += task->lengths[r++]) {
        if (task->lengths[r] == 0) continue;
        mien__ranks ranks;
        MIEN_TRY(
            mien__ranks_make(&ranks, task->x + first, task->lengths[r], task->windows - 1, name));
        mien_status status = add_recording(task, &ranks, task->y + first, name);
        mien__ranks_free(&ranks);
        MIEN_TRY(status);
    }
    return mien__search_stopped(name);
}

mien_status mien_search_joint(const double *x, const double *y, const int64_t *lengths,
                              int recordings, int max_window, int max_delay,
                              mien_moments *moments) {
    const char *name = "joint search";
    MIEN_CALL(name);
    task task;
    int64_t longest = 0, rows = 0;
    MIEN_TRY(prepare(x, y, lengths, recordings, max_window, max_delay, &task, &longest));
    for (int r = 0; r < recordings; r++) {
        int64_t need = rows_at_once(&task, lengths[r]) * mien__median_row(lengths[r]);
        if (need > rows) rows = need;
    }
    int64_t pairs = task.windows * (max_delay + 1);
    int64_t tiles = whole(task.windows, WINDOWS) * task.delays;
    double *room = calloc(
        (size_t)(2 * task.frames + rows + longest + task.delays + 3 * pairs + tiles), sizeof *room);
    if (!room)
        MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no memory for %lld frames", name, (long long)task.frames);
    task.x = room;
    task.y = task.x + task.frames;
    task.late = task.y + task.frames;
    task.sum_x = task.late + longest + task.delays;
    task.sum_xx = task.sum_x + pairs;
    task.held = task.sum_xx + pairs;
    task.sum_xy = task.held + pairs;
    task.rows = task.sum_xy + tiles;
    mien_status status = search(&task, x, y, name);
    if (status == MIEN_OK) moments_of(&task, moments);
    free(room);
    return status;
}
