/* Every median window with every delay at once: what the exhaustive search of post-processing
 * needs. Not here: the greedy chain's searches (search.c), which scores are compared
 * (post/joint.lua). */
#include "median.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* sum_t a(t) b(t): the inner loop of windows x delays x frames steps. */
static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t t = 0; t < n; t++) sum += a[t] * b[t];
    return sum;
}

/* Adds one filtered and centred recording to the sums of every delay d: x shifted by d is its
 * first value d times, then x(0 .. n-d-1), so that sums follow from the delay before. ysum[n+1]:
 * running sums of y. */
static void add_delays(const double *x, const double *y, const double *ysum, int64_t n,
                       int max_delay, double *sum_x, double *sum_xx, double *sum_xy) {
    if (n == 0) return;
    double sx = 0, sxx = 0;
    for (int64_t t = 0; t < n; t++) sx += x[t], sxx += x[t] * x[t];
    for (int d = 0; d <= max_delay; d++) {
        int64_t held = d < n ? d : n;
        if (d > 0 && d <= n) {
            double gone = x[n - d];
            sx += x[0] - gone;
            sxx += x[0] * x[0] - gone * gone;
        }
        sum_x[d] += sx;
        sum_xx[d] += sxx;
        sum_xy[d] += x[0] * ysum[held] + dot(x, y + held, n - held);
    }
}

typedef struct task {
    const double *y; /* centred by mean_y, recordings joined */
    const double *ysum;
    const int64_t *lengths;
    int recordings, max_delay;
    int64_t frames; /* of all recordings */
    double mean_x, mean_y;
} task;

/* Room of one worker. */
typedef struct room {
    double *out, *sums; /* [longest], [3 * (max_delay + 1)] */
    mien__rank_set set;
} room;

static void score_window(const task *task, const mien__ranks *ranks, int window, room *room,
                         mien_moments *moments) {
    int delays = task->max_delay + 1;
    double *sum_x = room->sums, *sum_xx = sum_x + delays, *sum_xy = sum_xx + delays;
    double n = (double)task->frames, yy = 0;
    memset(room->sums, 0, sizeof(double) * 3 * (size_t)delays);
    int64_t first = 0;
    for (int r = 0; r < task->recordings; first += task->lengths[r++]) {
        int64_t length = task->lengths[r];
        mien__median_slide(&ranks[r], window, &room->set, room->out);
        for (int64_t t = 0; t < length; t++) room->out[t] -= task->mean_x;
        const double *y = task->y + first;
        yy += dot(y, y, length);
        add_delays(room->out, y, task->ysum + first + r, length, task->max_delay, sum_x, sum_xx,
                   sum_xy);
    }
    for (int d = 0; d < delays; d++) {
        double mean = sum_x[d] / n; /* y's mean is 0 after centring */
        moments[d] = (mien_moments){.n = n,
                                    .mean_x = mean + task->mean_x,
                                    .mean_y = task->mean_y,
                                    .m2_x = fmax(0, sum_xx[d] - n * mean * mean),
                                    .m2_y = yy,
                                    .m_xy = sum_xy[d]};
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
                          .frames = n,
                          .mean_x = all.mean_x,
                          .mean_y = all.mean_y};
    return MIEN_OK;
}

mien_status mien_search_joint(const double *x, const double *y, const int64_t *lengths,
                              int recordings, int max_window, int max_delay,
                              mien_moments *moments) {
    const char *name = "joint search";
    MIEN_CALL(name);
    task task;
    int64_t longest = 0;
    MIEN_TRY(prepare(x, y, lengths, recordings, max_window, max_delay, &task, &longest));
    int windows = (max_window + 1) / 2, margin = windows - 1, workers = omp_get_max_threads();
    double *centred = malloc(sizeof(double) * (size_t)(2 * task.frames + recordings));
    mien__ranks *ranks = calloc((size_t)recordings, sizeof *ranks);
    room *rooms = calloc((size_t)workers, sizeof *rooms);
    bool memory = centred && ranks && rooms;
    mien_status status = MIEN_OK;
    double *ysum = centred + task.frames;
    int64_t first = 0;
    for (int r = 0; memory && r < recordings && status == MIEN_OK; first += lengths[r++]) {
        double *running = ysum + first + r; /* lengths[r] + 1 sums a recording */
        running[0] = 0;
        for (int64_t t = 0; t < lengths[r]; t++) {
            centred[first + t] = y[first + t] - task.mean_y;
            running[t + 1] = running[t] + centred[first + t];
        }
        status = mien__ranks_make(&ranks[r], x + first, lengths[r], margin, name);
    }
    for (int i = 0; memory && i < workers && status == MIEN_OK; i++) {
        rooms[i].out = malloc(sizeof(double) * (size_t)longest);
        rooms[i].sums = malloc(sizeof(double) * 3 * (size_t)(max_delay + 1));
        memory = rooms[i].out && rooms[i].sums;
        if (memory) status = mien__rank_set_make(&rooms[i].set, longest + 2 * margin, name);
    }
    if (!memory)
        status = mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "%s: no memory for %lld frames",
                            name, (long long)task.frames);
    if (status == MIEN_OK) {
        task.y = centred;
        task.ysum = ysum;
#pragma omp parallel for schedule(dynamic, 4) num_threads(workers)
        for (int w = 0; w < windows; w++)
            if (!mien_interrupt_requested())
                score_window(&task, ranks, 2 * w + 1, &rooms[omp_get_thread_num()],
                             moments + (size_t)w * (size_t)(max_delay + 1));
        status = mien__search_stopped(name);
    }
    for (int i = 0; rooms && i < workers; i++) {
        free(rooms[i].out);
        free(rooms[i].sums);
        mien__rank_set_free(&rooms[i].set);
    }
    for (int r = 0; ranks && r < recordings; r++) mien__ranks_free(&ranks[r]);
    free(rooms);
    free(ranks);
    free(centred);
    return status;
}
