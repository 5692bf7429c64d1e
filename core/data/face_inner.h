/* What a detector is to those that ask it: one search in a part of a picture.
 * Not here: which search is wanted when (face_seek.c). */
#ifndef MIEN_FACE_INNER_H
#define MIEN_FACE_INNER_H
#include "face.h"

enum { MIEN__FACES = 32 }; /* in one picture */

/* Pixels RGB, row after row without gaps, and the part of them that is searched. */
typedef struct mien__scene {
    const uint8_t *pixels;
    int height, width;
    int x, y, w, h; /* of the part, inside of the picture */
} mien__scene;

/* How hard to look: for any face; while others are known, for new ones; where a face was a moment
 * ago, so that a weaker answer will do. */
typedef enum mien__effort { MIEN__THOROUGH, MIEN__BRIEF, MIEN__NEAR } mien__effort;

/* A detector: find writes the faces with sides from `smallest` to `largest` pixels that lie in the
 * scene's part, in the picture's pixels and any order, and returns how many, -1 on error. */
typedef struct mien__finder {
    int (*find)(void *self, const mien__scene *scene, double smallest, double largest,
                mien__effort effort, mien_face *faces, int max);
    void (*close)(void *self);
} mien__finder;

struct mien_face_detector {
    const mien__finder *finder;
    void *self;
};

/* Each fills the detector, or records an error. */
mien_status mien__finder_cascade(const char *path, mien_face_detector *detector);
mien_status mien__finder_yunet(const char *path, mien_face_detector *detector);
mien_status mien__finder_pico(const char *path, mien_face_detector *detector);

/* Intersection over union. */
double mien__face_overlap(const mien_face *a, const mien_face *b);
/* The largest first, and always in the same order. */
void mien__faces_sort(mien_face *faces, int n);
/* All faces of a picture, in that order. */
int mien__face_find_all(mien_face_detector *detector, const uint8_t *pixels, int height, int width,
                        int smallest, mien__effort effort, mien_face *faces, int max);

/* ---- one frame after the other ----------------------------------------------------------------
 */

/* What is known of the frames before, so that most frames need a look at few pixels only. */
typedef struct mien__seeker {
    mien_face_detector *detector;
    int smallest;
    int every; /* frames from one search of the whole picture to the next */
    int known; /* faces that are looked for where they were */
    mien_face face[MIEN__FACES];
    int missed[MIEN__FACES]; /* frames since each was found */
    int since;               /* frames since the whole picture was searched */
    bool begun;
    uint8_t small[32 * 24]; /* the frame before, in grey */
    double restless;        /* how much frames differ from one to the next, on the mean */
} mien__seeker;

void mien__seeker_begin(mien__seeker *s, mien_face_detector *detector, int smallest, int every);
/* The faces of the next frame; *cut: the camera cut before it. -1: an error. */
int mien__seek(mien__seeker *s, const uint8_t *pixels, int height, int width, mien_face *faces,
               bool *cut);
#endif
