/* Faces in a picture, by one of several detectors. Not here: faces of a video, frame by frame
 * (stream.h), following a face (lua/mien/data/face.lua). */
#ifndef MIEN_FACE_H
#define MIEN_FACE_H
#include "tensor/tensor.h"

/* cdef:begin */
typedef struct mien_face {
    double x, y, w, h; /* pixels */
    double score; /* as the detector gives it: cascade: windows that agree; pico: a sum of votes;
                     yunet: from 0 to 1 */
} mien_face;

typedef struct mien_face_detector mien_face_detector;
/* kind, and the file with what was trained:
 * "cascade" OpenCV's XML; NULL takes two frontal faces of Debian's opencv-data
 * "yunet"   an ONNX file for OpenCV's FaceDetectorYN
 * "pico"    a cascade of pixel comparisons (Markus et al. 2014), version 3
 * NULL result: no such kind, no such file, a damaged one, or built without OpenCV. */
mien_face_detector *mien_face_detector_new(const char *kind, const char *path);
void mien_face_detector_close(mien_face_detector *detector);
/* Into faces[max], largest first; returns how many, -1 on error.
 * smallest: side of the smallest face in pixels, 0 means a twelfth of the shorter side. */
int mien_face_detect(mien_face_detector *detector, mien_tensor *image, int smallest,
                     mien_face *faces, int max);
/* cdef:end */
#endif
