/* Faces in a picture, by OpenCV's cascades. Not here: following a face (lua/mien/data/face.lua). */
#ifndef MIEN_FACE_H
#define MIEN_FACE_H
#include "tensor/tensor.h"

/* cdef:begin */
typedef struct mien_face_detector mien_face_detector;
/* cascade: an OpenCV XML file; NULL looks where Debian's opencv-data has frontal faces.
 * NULL result: no such file, or built without OpenCV. */
mien_face_detector *mien_face_detector_new(const char *cascade);
void mien_face_detector_close(mien_face_detector *detector);
/* Boxes x, y, w, h in pixels into boxes[4*max], largest first; returns how many, -1 on error.
 * min_size: smallest face in pixels, 0 means a twelfth of the shorter side. */
int mien_face_detect(mien_face_detector *detector, mien_tensor *image, int min_size, double *boxes,
                     int max);
/* cdef:end */
#endif
