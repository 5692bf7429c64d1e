/* Faces by comparisons of pixels: Markus, Frljak, Pandzic, Ahlberg, Forchheimer, "Object detection
 * with pixel intensity comparisons organized in decision trees", 2014; its files of version 3.
 * Not here: training such a cascade. */
#include "face_inner.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file: int32 version 3; int8 box[4]; int32 depth; int32 trees; then for each tree 2^depth - 1
 * comparisons (two points as int8 row, column in 1/256 of the side), 2^depth floats of votes, and
 * the sum below which a window is no face. Numbers are little-endian. */
enum { HEADER = 16, DEEPEST = 16 };

typedef struct pico {
    int depth, trees;
    int8_t *points; /* [trees][2^depth - 1][4] */
    float *votes;   /* [trees][2^depth] */
    float *least;   /* [trees] */
    uint8_t *grey;
    size_t room;
    mien_face *windows; /* that may be faces, of one search */
    int windows_room;
} pico;

/* Steps of sides and of positions, and the sum of votes that makes a face after clusters are
 * joined: those of the authors' own program; where a face was a moment ago less will do. */
static const double STEP = 1.1, STRIDE = 0.1, VOTES = 5, VOTES_NEAR = 3;

static void close_pico(void *self) {
    pico *p = self;
    if (!p) return;
    free(p->points);
    free(p->votes);
    free(p->least);
    free(p->grey);
    free(p->windows);
    free(p);
}

/* ---- search ---------------------------------------------------------------------------------- */

/* The votes of a window with its centre at row r and column c; false: no face. */
static bool votes_of(const pico *p, int height, int width, int r, int c, int s, float *votes) {
    const uint8_t *grey = p->grey;
    const int inner = (1 << p->depth) - 1;
    r *= 256;
    c *= 256;
    if ((r + 128 * s) / 256 >= height || r - 128 * s < 0 || (c + 128 * s) / 256 >= width ||
        c - 128 * s < 0)
        return false;
    float sum = 0;
    for (int t = 0; t < p->trees; t++) {
        const int8_t *points = p->points + (size_t)t * (size_t)inner * 4;
        int at = 1;
        for (int d = 0; d < p->depth; d++) {
            const int8_t *q = points + 4 * (at - 1);
            const uint8_t one = grey[(r + q[0] * s) / 256 * width + (c + q[1] * s) / 256];
            const uint8_t two = grey[(r + q[2] * s) / 256 * width + (c + q[3] * s) / 256];
            at = 2 * at + (one <= two);
        }
        sum += p->votes[(size_t)t * (size_t)(inner + 1) + (size_t)(at - inner - 1)];
        if (sum <= p->least[t]) return false;
    }
    *votes = sum - p->least[p->trees - 1];
    return true;
}

/* ITU-R BT.601, as mien_image_grey. */
static bool to_grey(pico *p, const mien__scene *scene) {
    const size_t n = (size_t)scene->w * (size_t)scene->h;
    if (n > p->room) {
        uint8_t *grey = realloc(p->grey, n);
        if (!grey) return false;
        p->grey = grey;
        p->room = n;
    }
    for (int y = 0; y < scene->h; y++) {
        const uint8_t *from =
            scene->pixels + 3 * ((size_t)(scene->y + y) * (size_t)scene->width + (size_t)scene->x);
        uint8_t *to = p->grey + (size_t)y * (size_t)scene->w;
        for (int x = 0; x < scene->w; x++, from += 3)
            to[x] = (uint8_t)((299 * from[0] + 587 * from[1] + 114 * from[2] + 500) / 1000);
    }
    return true;
}

/* Windows that overlap by 0.3 belong together: their mean is a face, their votes are added. */
static int cluster(mien_face *windows, int n, double wanted, mien_face *faces, int max) {
    int found = 0;
    for (int i = 0; i < n && found < max; i++) {
        if (windows[i].w == 0) continue; /* it belongs to one before */
        mien_face sum = {0, 0, 0, 0, 0};
        int members = 0;
        const mien_face best = windows[i];
        for (int k = i; k < n; k++) {
            if (windows[k].w == 0 || mien__face_overlap(&best, &windows[k]) < 0.3) continue;
            members++;
            sum.x += windows[k].x;
            sum.y += windows[k].y;
            sum.w += windows[k].w;
            sum.score += windows[k].score;
            windows[k].w = 0;
        }
        if (sum.score < wanted) continue;
        sum.x /= members;
        sum.y /= members;
        sum.w /= members;
        sum.h = sum.w;
        faces[found++] = sum;
    }
    return found;
}

static int better(const void *left, const void *right) {
    const mien_face *a = left, *b = right;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    if (a->y != b->y) return a->y > b->y ? 1 : -1;
    return a->x != b->x ? (a->x > b->x ? 1 : -1) : (a->w > b->w) - (a->w < b->w);
}

static bool more_windows(pico *p) {
    const int room = p->windows_room ? 2 * p->windows_room : 256;
    mien_face *windows = realloc(p->windows, (size_t)room * sizeof *windows);
    if (!windows) return false;
    p->windows = windows;
    p->windows_room = room;
    return true;
}

static int find(void *self, const mien__scene *scene, double smallest, double largest,
                mien__effort effort, mien_face *faces, int max) {
    pico *p = self;
    int n = 0;
    if (!to_grey(p, scene)) goto no_memory;
    for (double side = fmax(smallest, 16); side <= largest; side *= STEP) {
        const int s = (int)side, half = s / 2 + 1;
        const double step = fmax(STRIDE * side, 1);
        for (double r = half; r <= scene->h - half; r += step)
            for (double c = half; c <= scene->w - half; c += step) {
                float votes;
                if (!votes_of(p, scene->h, scene->w, (int)r, (int)c, s, &votes)) continue;
                if (n == p->windows_room && !more_windows(p)) goto no_memory;
                p->windows[n++] = (mien_face){scene->x + (int)c - s / 2.0,
                                              scene->y + (int)r - s / 2.0, s, s, votes};
            }
    }
    if (n > 1) qsort(p->windows, (size_t)n, sizeof *p->windows, better);
    return cluster(p->windows, n, effort == MIEN__NEAR ? VOTES_NEAR : VOTES, faces, max);
no_memory:
    mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "face detector: out of memory");
    return -1;
}

/* ---- the file -------------------------------------------------------------------------------- */

static int32_t int_at(const uint8_t *b) {
    return (int32_t)(b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24);
}

static float float_at(const uint8_t *b) {
    int32_t bits = int_at(b);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* All of the file, which is small; NULL with an error. */
static uint8_t *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) MIEN_FAIL_NULL(MIEN_ERR_IO, "%s: no cascade of pico: %s", path, strerror(errno));
    enum { MOST = 64 << 20 };
    uint8_t *bytes = NULL;
    size_t room = 1 << 16, n = 0;
    for (;;) {
        uint8_t *more = realloc(bytes, room);
        if (!more) break;
        bytes = more;
        n += fread(bytes + n, 1, room - n, file);
        if (n < room || room >= MOST) {
            fclose(file);
            *size = n;
            return bytes;
        }
        room *= 2;
    }
    fclose(file);
    free(bytes);
    MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "%s: out of memory", path);
}

static mien_status parse(const char *path, const uint8_t *bytes, size_t size, pico *p) {
    if (size < HEADER || int_at(bytes) != 3)
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: no cascade of pico (its files begin with version 3)", path);
    p->depth = int_at(bytes + 8);
    p->trees = int_at(bytes + 12);
    if (p->depth < 1 || p->depth > DEEPEST || p->trees < 1 || p->trees > 1 << 20)
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: no cascade of pico: %d trees of depth %d", path, p->trees,
                  p->depth);
    const size_t trees = (size_t)p->trees, leaves = (size_t)1 << p->depth, inner = leaves - 1;
    const size_t tree = 4 * (inner + leaves + 1), wanted = HEADER + trees * tree;
    if (size != wanted)
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: %zu bytes, %d trees of depth %d take %zu", path, size,
                  p->trees, p->depth, wanted);
    p->points = malloc(trees * inner * 4);
    p->votes = malloc(trees * leaves * sizeof(float));
    p->least = malloc(trees * sizeof(float));
    if (!p->points || !p->votes || !p->least) MIEN_FAIL(MIEN_ERR_MEMORY, "%s: out of memory", path);
    for (size_t t = 0; t < trees; t++) {
        const uint8_t *from = bytes + HEADER + t * tree;
        memcpy(p->points + t * inner * 4, from, inner * 4);
        from += inner * 4;
        for (size_t k = 0; k <= leaves; k++, from += 4) {
            const float value = float_at(from);
            if (!isfinite(value))
                MIEN_FAIL(MIEN_ERR_FORMAT, "%s: tree %zu holds a number that is not finite", path,
                          t + 1);
            if (k < leaves)
                p->votes[t * leaves + k] = value;
            else
                p->least[t] = value;
        }
    }
    return MIEN_OK;
}

mien_status mien__finder_pico(const char *path, mien_face_detector *detector) {
    static const mien__finder finder = {find, close_pico};
    if (!path)
        MIEN_FAIL(
            MIEN_ERR_ARGUMENT,
            "face detector: pico needs the file of its cascade (facefinder, from its authors)");
    size_t size = 0;
    uint8_t *bytes = read_all(path, &size);
    if (!bytes) return mien_error_last()->code;
    pico *p = calloc(1, sizeof *p);
    mien_status status = p ? parse(path, bytes, size, p) : MIEN_ERR_MEMORY;
    if (!p) mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "%s: out of memory", path);
    free(bytes);
    if (status != MIEN_OK) {
        close_pico(p);
        return status;
    }
    detector->finder = &finder;
    detector->self = p;
    return MIEN_OK;
}
