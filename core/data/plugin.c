/* What needs FFmpeg or OpenCV lives in libmien_video.so, opened at the first use: those two bring
 * 120 shared libraries and 45 ms to every start. Not here: decoding (video*.c), face.cpp. */
#include "base/beside.h"
#include "face_inner.h"
#include "image.h"
#include "video.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void *library;
static char why[512];

static void open_library(void) {
    library = mien__library_beside("libmien_video.so", why, sizeof why);
}

/* The plugin's function of the same name; NULL with an error record. */
static void *find(const char *name) {
    pthread_once(&once, open_library);
    if (!library) {
        mien__fail(MIEN_ERR_UNSUPPORTED, __FILE__, __LINE__, "%s: libmien_video.so does not open",
                   name);
        mien__fail_cause("%s", why);
        return NULL;
    }
    void *function = dlsym(library, name);
    if (!function)
        mien__fail(MIEN_ERR_UNSUPPORTED, __FILE__, __LINE__,
                   "%s: built without FFmpeg or OpenCV; install their packages (mien doctor) and "
                   "build again",
                   name);
    return function;
}

#define FORWARD(type, name, failure, parameters, arguments)                                        \
    type name parameters {                                                                         \
        type(*function) parameters = (type(*) parameters)find(#name);                              \
        return function ? function arguments : failure;                                            \
    }
#define FORWARD_CLOSE(name, handle_type)                                                           \
    void name(handle_type *handle) {                                                               \
        void (*function)(handle_type *) = handle ? (void (*)(handle_type *))find(#name) : NULL;    \
        if (function) function(handle);                                                            \
    }

FORWARD(mien_video *, mien_video_open, NULL, (const char *path), (path))
void mien_video_get_info(const mien_video *video, mien_video_info *info) {
    void (*function)(const mien_video *, mien_video_info *) = find("mien_video_get_info");
    *info = (mien_video_info){0};
    if (function) function(video, info);
}
FORWARD(int, mien_video_next, -1, (mien_video * video, mien_tensor **frame, double *time),
        (video, frame, time))
FORWARD_CLOSE(mien_video_close, mien_video)

FORWARD(mien_tensor *, mien_image_read, NULL, (const char *path), (path))
FORWARD(mien_tensor *, mien_image_decode, NULL, (const void *bytes, int64_t n, const char *name),
        (bytes, n, name))
FORWARD(mien_status, mien_image_write, mien_error_last()->code,
        (const char *path, mien_tensor *image), (path, image))

FORWARD(mien_status, mien__finder_cascade, mien_error_last()->code,
        (const char *path, mien_face_detector *detector), (path, detector))
FORWARD(mien_status, mien__finder_yunet, mien_error_last()->code,
        (const char *path, mien_face_detector *detector), (path, detector))
