/* OpenCV's detectors, which are left out of the targets: nothing of a fuzzer's file reaches them.
 * Not here: the targets. */
#include "data/face_inner.h"

mien_status mien__finder_cascade(const char *path, mien_face_detector *detector) {
    MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "%s: built without OpenCV", path);
}

mien_status mien__finder_yunet(const char *path, mien_face_detector *detector) {
    MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "%s: built without OpenCV", path);
}
