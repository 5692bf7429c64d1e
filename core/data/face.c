/* The detectors by name, and one picture searched by one of them.
 * Not here: the detectors (face.cpp: OpenCV's, face_pico.c), videos (face_seek.c, stream.c). */
#include "face_inner.h"
#include "image.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    mien_status (*open)(const char *path, mien_face_detector *detector);
} kinds[] = {
    {"cascade", mien__finder_cascade},
    {"yunet", mien__finder_yunet},
    {"pico", mien__finder_pico},
};

mien_face_detector *mien_face_detector_new(const char *kind, const char *path) {
    for (size_t i = 0; kind && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kind, kinds[i].name) != 0) continue;
        mien_face_detector *detector = calloc(1, sizeof *detector);
        if (!detector) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "face detector: out of memory");
        if (kinds[i].open(path, detector) == MIEN_OK) return detector;
        free(detector);
        return NULL;
    }
    MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "face detector: there is no %s; known: cascade, yunet, pico",
                   kind ? kind : "NULL");
}

void mien_face_detector_close(mien_face_detector *detector) {
    if (!detector) return;
    detector->finder->close(detector->self);
    free(detector);
}

double mien__face_overlap(const mien_face *a, const mien_face *b) {
    double w = fmin(a->x + a->w, b->x + b->w) - fmax(a->x, b->x);
    double h = fmin(a->y + a->h, b->y + b->h) - fmax(a->y, b->y);
    if (w <= 0 || h <= 0) return 0;
    return w * h / (a->w * a->h + b->w * b->h - w * h);
}

static int larger(const void *left, const void *right) {
    const mien_face *a = left, *b = right;
    double sizes = b->w * b->h - a->w * a->h;
    if (sizes != 0) return sizes > 0 ? 1 : -1;
    if (a->x != b->x) return a->x > b->x ? 1 : -1;
    return (a->y > b->y) - (a->y < b->y);
}

void mien__faces_sort(mien_face *faces, int n) {
    if (n > 1) qsort(faces, (size_t)n, sizeof *faces, larger);
}

int mien__face_find_all(mien_face_detector *detector, const uint8_t *pixels, int height, int width,
                        int smallest, mien__effort effort, mien_face *faces, int max) {
    const int shorter = height < width ? height : width;
    const mien__scene all = {pixels, height, width, 0, 0, width, height};
    if (smallest <= 0) smallest = shorter / 12;
    mien_face found[MIEN__FACES];
    int n = detector->finder->find(detector->self, &all, smallest > 0 ? smallest : 1, shorter,
                                   effort, found, MIEN__FACES);
    if (n < 0) return -1;
    mien__faces_sort(found, n);
    if (n > max) n = max;
    memcpy(faces, found, (size_t)n * sizeof *faces);
    return n;
}

int mien_face_detect(mien_face_detector *detector, mien_tensor *image, int smallest,
                     mien_face *faces, int max) {
    MIEN_CALL("looking for faces");
    if (!detector || !faces || max < 1) {
        mien__fail(MIEN_ERR_ARGUMENT, __FILE__, __LINE__,
                   "face_detect: needs a detector and room for a face");
        return -1;
    }
    mien_tensor *pixels = mien__picture(image, "face_detect");
    if (!pixels) return -1;
    int n =
        mien__face_find_all(detector, mien_tensor_data(pixels), (int)mien_tensor_size(pixels, 0),
                            (int)mien_tensor_size(pixels, 1), smallest, MIEN__THOROUGH, faces, max);
    mien_tensor_release(pixels);
    return n;
}
