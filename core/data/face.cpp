/* Faces by OpenCV's cascades behind a C face; no exception leaves this file.
 * Not here: following a face through a video (lua/mien/data/face.lua). */
extern "C" {
#include "face.h"
#include "image.h"
}
#include <algorithm>
#include <cstring>
#include <new>
#include <opencv2/core/utility.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/objdetect.hpp>
#include <unistd.h>

/* The first cascade rarely calls something a face that is none; the second finds tilted and half
 * covered faces too, and is asked only where the first finds nothing. */
struct mien_face_detector {
    cv::CascadeClassifier cascade, second;
};

/* Where packages put OpenCV's data. */
static const char *const places[] = {
    "/usr/share/opencv4/haarcascades/",
    "/usr/local/share/opencv4/haarcascades/",
    "/usr/share/opencv/haarcascades/",
};

static bool find_cascade(const char *name, char *path, size_t size) {
    for (const char *place : places) {
        snprintf(path, size, "%s%s", place, name);
        if (access(path, R_OK) == 0) return true;
    }
    return false;
}

static int keep_quiet(int, const char *, const char *, const char *, int, void *) {
    return 0;
}

static void fail(mien_status code, int line, const char *what, const char *reason) {
    mien__fail(code, __FILE__, line, "%s", what);
    if (reason) mien__fail_cause("OpenCV: %s", reason);
}

extern "C" mien_face_detector *mien_face_detector_new(const char *path) {
    char first[256], second[256] = "", text[512];
    if (!path) {
        if (!find_cascade("haarcascade_frontalface_alt2.xml", first, sizeof first)) {
            fail(MIEN_ERR_IO, __LINE__,
                 "face detector: no cascade found; install opencv-data or name an XML file",
                 nullptr);
            return nullptr;
        }
        path = first;
        if (!find_cascade("haarcascade_frontalface_default.xml", second, sizeof second))
            second[0] = 0;
    }
    snprintf(text, sizeof text, "%s: no cascade of OpenCV", path);
    if (access(path, R_OK) != 0) {
        fail(MIEN_ERR_IO, __LINE__, text, strerror(errno));
        return nullptr;
    }
    cv::redirectError(keep_quiet); /* it prints what it also throws */
    mien_face_detector *detector = nullptr;
    try {
        detector = new mien_face_detector;
        if (detector->cascade.load(path)) {
            if (second[0]) detector->second.load(second);
            return detector;
        }
        fail(MIEN_ERR_FORMAT, __LINE__, text, nullptr);
    } catch (const std::bad_alloc &) {
        fail(MIEN_ERR_MEMORY, __LINE__, "face detector: out of memory", nullptr);
    } catch (const std::exception &error) {
        fail(MIEN_ERR_FORMAT, __LINE__, text, error.what());
    }
    delete detector;
    return nullptr;
}

extern "C" void mien_face_detector_close(mien_face_detector *detector) {
    delete detector;
}

/* Scales in steps of 1.1; a box counts when six neighbouring windows agree. */
static int detect(mien_face_detector *detector, mien_tensor *pixels, int min_size, double *boxes,
                  int max) {
    const int height = (int)mien_tensor_size(pixels, 0), width = (int)mien_tensor_size(pixels, 1);
    cv::Mat rgb(height, width, CV_8UC3, mien_tensor_data(pixels)), grey;
    cv::cvtColor(rgb, grey, cv::COLOR_RGB2GRAY);
    cv::equalizeHist(grey, grey);
    if (min_size <= 0) min_size = std::min(height, width) / 12;
    std::vector<cv::Rect> found;
    const cv::Size smallest(min_size, min_size);
    detector->cascade.detectMultiScale(grey, found, 1.1, 6, 0, smallest);
    if (found.empty() && !detector->second.empty())
        detector->second.detectMultiScale(grey, found, 1.1, 6, 0, smallest);
    std::sort(found.begin(), found.end(), [](const cv::Rect &a, const cv::Rect &b) {
        return a.area() != b.area() ? a.area() > b.area() : a.x != b.x ? a.x < b.x : a.y < b.y;
    });
    const int n = std::min(max, (int)found.size());
    for (int i = 0; i < n; i++) {
        boxes[4 * i] = found[(size_t)i].x;
        boxes[4 * i + 1] = found[(size_t)i].y;
        boxes[4 * i + 2] = found[(size_t)i].width;
        boxes[4 * i + 3] = found[(size_t)i].height;
    }
    return n;
}

extern "C" int mien_face_detect(mien_face_detector *detector, mien_tensor *image, int min_size,
                                double *boxes, int max) {
    if (!detector || !boxes || max < 1) {
        fail(MIEN_ERR_ARGUMENT, __LINE__, "face_detect: needs a detector and room for a box",
             nullptr);
        return -1;
    }
    mien_tensor *pixels = mien__picture(image, "face_detect");
    if (!pixels) return -1;
    int n = -1;
    try {
        n = detect(detector, pixels, min_size, boxes, max);
    } catch (const std::bad_alloc &) {
        fail(MIEN_ERR_MEMORY, __LINE__, "face_detect: out of memory", nullptr);
    } catch (const std::exception &error) {
        fail(MIEN_ERR_VENDOR, __LINE__, "face_detect: OpenCV refused", error.what());
    }
    mien_tensor_release(pixels);
    return n;
}
