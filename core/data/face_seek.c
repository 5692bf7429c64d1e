/* Which part of a frame is searched: around each face that is known, at its size, and all of the
 * picture every few frames, when a face is lost and where the camera cut. What is found depends on
 * the frames and their order alone. Not here: detectors (face.c), threads (stream.c). */
#include "face_inner.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double AROUND = 0.5; /* of a face's side, searched on each side of it */
static const double SMALLER = 0.8, LARGER = 1.35; /* of its side, from one frame to the next */
static const double SAME = 0.3;                   /* overlap of two boxes of one face */
enum {
    PATIENCE = 12, /* frames in which a face that was lost is looked for at its place */
    IDLE = 3,      /* frames from search to search where no face is known */
};

void mien__seeker_begin(mien__seeker *s, mien_face_detector *detector, int smallest, int every) {
    *s = (mien__seeker){.detector = detector, .smallest = smallest, .every = every > 0 ? every : 1};
}

/* ---- cuts ------------------------------------------------------------------------------------ */

enum { COLUMNS = 32, ROWS = 24, SAMPLES = 4 }; /* cells, and pixels a side that stand for each */

/* The frame in few cells of grey. */
static void shrink(const uint8_t *pixels, int height, int width, uint8_t *small) {
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++) {
            int sum = 0;
            for (int i = 0; i < SAMPLES * SAMPLES; i++) {
                const int64_t y =
                    ((int64_t)(r * SAMPLES + i / SAMPLES) * height) / (ROWS * SAMPLES);
                const int64_t x =
                    ((int64_t)(c * SAMPLES + i % SAMPLES) * width) / (COLUMNS * SAMPLES);
                const uint8_t *p = pixels + 3 * (y * width + x);
                sum += p[0] + 2 * p[1] + p[2];
            }
            small[r * COLUMNS + c] = (uint8_t)(sum / (4 * SAMPLES * SAMPLES));
        }
}

/* A cut: most cells changed, by much more than from frame to frame before, and not all by the same,
 * as when a lamp is switched on. */
static bool is_cut(mien__seeker *s, const uint8_t *pixels, int height, int width) {
    uint8_t now[ROWS * COLUMNS];
    shrink(pixels, height, width, now);
    double mean = 0, change = 0;
    int changed = 0;
    for (int i = 0; i < ROWS * COLUMNS; i++) mean += now[i] - s->small[i];
    mean /= ROWS * COLUMNS;
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        const double d = fabs(now[i] - s->small[i] - mean);
        change += d;
        changed += d > 16;
    }
    change /= ROWS * COLUMNS;
    const bool cut =
        s->begun && change > 18 && change > 4 * s->restless && changed > ROWS * COLUMNS * 2 / 5;
    s->restless = s->begun && !cut ? s->restless + (change - s->restless) / 8 : 0;
    s->begun = true;
    memcpy(s->small, now, sizeof now);
    return cut;
}

/* ---- a frame --------------------------------------------------------------------------------- */

static int within(double value, int limit) {
    return value < 0 ? 0 : value > limit ? limit : (int)value;
}

/* Looks for a face where it was; false: it is not there. *failed: an error. */
static bool look_again(const mien__seeker *s, const uint8_t *pixels, int height, int width,
                       const mien_face *was, mien_face *is, bool *failed) {
    const double side = fmax(was->w, was->h), rim = AROUND * side;
    mien__scene scene = {
        pixels, height, width, within(was->x - rim, width), within(was->y - rim, height), 0, 0};
    scene.w = within(was->x + was->w + rim, width) - scene.x;
    scene.h = within(was->y + was->h + rim, height) - scene.y;
    if (scene.w < 8 || scene.h < 8) return false;
    mien_face found[MIEN__FACES];
    const int n = s->detector->finder->find(s->detector->self, &scene, SMALLER * side,
                                            LARGER * side, MIEN__NEAR, found, MIEN__FACES);
    if (n < 0) {
        *failed = true;
        return false;
    }
    mien__faces_sort(found, n);
    double best = SAME;
    for (int i = 0; i < n; i++) {
        const double share = mien__face_overlap(was, &found[i]);
        if (share > best) {
            best = share;
            *is = found[i];
        }
    }
    return best > SAME;
}

static bool overlaps_any(const mien_face *face, const mien_face *faces, int n) {
    for (int i = 0; i < n; i++)
        if (mien__face_overlap(face, &faces[i]) > SAME) return true;
    return false;
}

static void forget(mien__seeker *s, int i) {
    s->known--;
    memmove(s->face + i, s->face + i + 1, (size_t)(s->known - i) * sizeof *s->face);
    memmove(s->missed + i, s->missed + i + 1, (size_t)(s->known - i) * sizeof *s->missed);
}

/* The known faces, each where it was; those found come first in `faces`. *lost: one is gone since
 * the frame before. */
static int follow(mien__seeker *s, const uint8_t *pixels, int height, int width, mien_face *faces,
                  bool *lost) {
    int n = 0;
    bool failed = false;
    for (int i = 0; i < s->known; i++) {
        mien_face is;
        const bool there = look_again(s, pixels, height, width, &s->face[i], &is, &failed);
        if (failed) return -1;
        if (there && !overlaps_any(&is, faces, n)) {
            s->face[i] = faces[n++] = is;
            s->missed[i] = 0;
        } else {
            *lost = *lost || s->missed[i] == 0;
            if (s->missed[i]++ >= PATIENCE) forget(s, i--);
        }
    }
    return n;
}

/* Adds what a search of the whole picture finds: new faces, and known ones that were lost. */
static int search(mien__seeker *s, const uint8_t *pixels, int height, int width,
                  mien__effort effort, mien_face *faces, int n) {
    mien_face found[MIEN__FACES];
    const int all = mien__face_find_all(s->detector, pixels, height, width, s->smallest, effort,
                                        found, MIEN__FACES);
    if (all < 0) return -1;
    for (int i = 0; i < all && n < MIEN__FACES; i++) {
        if (overlaps_any(&found[i], faces, n)) continue;
        faces[n++] = found[i];
        int k = 0;
        while (k < s->known &&
               (s->missed[k] == 0 || mien__face_overlap(&found[i], &s->face[k]) <= SAME))
            k++;
        if (k == MIEN__FACES) continue;
        if (k == s->known) s->known++;
        s->face[k] = found[i];
        s->missed[k] = 0;
    }
    s->since = 0;
    return n;
}

int mien__seek(mien__seeker *s, const uint8_t *pixels, int height, int width, mien_face *faces,
               bool *cut) {
    const bool first = !s->begun;
    *cut = is_cut(s, pixels, height, width);
    if (*cut) s->known = 0;
    if (!s->detector) return 0; /* somebody else finds the faces */
    bool lost = false;
    int n = follow(s, pixels, height, width, faces, &lost);
    if (n < 0) return -1;
    s->since++;
    if (first || *cut || lost || (s->known == 0 && s->since >= IDLE))
        n = search(s, pixels, height, width, MIEN__THOROUGH, faces, n);
    else if (s->since >= s->every)
        n = search(s, pixels, height, width, MIEN__BRIEF, faces, n);
    if (n >= 0) mien__faces_sort(faces, n);
    return n;
}
