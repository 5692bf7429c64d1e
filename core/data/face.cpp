/* OpenCV's detectors behind a C face: its cascades and YuNet. No exception leaves this file.
 * Not here: the detectors by name (face.c), following a face (lua/mien/data/face.lua). */
extern "C" {
#include "face_inner.h"
}
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <new>
#include <opencv2/core/utility.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/objdetect.hpp>
#include <opencv2/objdetect/face.hpp>
#include <unistd.h>

static int keep_quiet(int, const char *, const char *, const char *, int, void *) {
    return 0;
}

static mien_status fail(mien_status code, int line, const char *what, const char *reason) {
    mien__fail(code, __FILE__, line, "%s", what);
    if (reason) mien__fail_cause("OpenCV: %s", reason);
    return code;
}

/* What `work` gives, or `failure` with an error when it throws. */
template <typename T, typename Work>
static T guarded(T failure, mien_status code, const char *what, Work work) {
    try {
        return work();
    } catch (const std::bad_alloc &) {
        fail(MIEN_ERR_MEMORY, __LINE__, "face detector: out of memory", nullptr);
    } catch (const std::exception &error) {
        fail(code, __LINE__, what, error.what());
    }
    return failure;
}

/* It prints what it also throws, and its own threads would make the order of results a matter of
 * time; those that search several frames at once are mien's. */
static void tame() {
    cv::redirectError(keep_quiet);
    cv::setNumThreads(1);
}

/* The scene's part, in no memory of its own. */
static cv::Mat part_of(const mien__scene *scene) {
    cv::Mat all(scene->height, scene->width, CV_8UC3, const_cast<uint8_t *>(scene->pixels));
    return all(cv::Rect(scene->x, scene->y, scene->w, scene->h));
}

/* ---- cascades -------------------------------------------------------------------------------- */

/* The first cascade rarely calls something a face that is none; the second finds tilted and half
 * covered faces too, and is asked only where the first finds nothing. */
struct cascades {
    cv::CascadeClassifier first, second;
    cv::Mat grey, small;
};

/* Pixels that the smallest face is shrunk to; finer where a face is known, which costs little and
 * gives better boxes. */
static const double WINDOW = 24, NEAR_WINDOW = 40;

/* Scales in steps of 1.1; a box counts when six neighbouring windows agree, three where a face is
 * known. There the grey is left as it is: that of few pixels would be stretched differently from
 * frame to frame. A brief search takes steps of 1.2, and the first cascade alone, for half of the
 * time. */
static int find_cascade(void *self, const mien__scene *scene, double smallest, double largest,
                        mien__effort effort, mien_face *faces, int max) {
    cascades *c = static_cast<cascades *>(self);
    const bool near = effort == MIEN__NEAR, brief = effort == MIEN__BRIEF;
    return guarded(-1, MIEN_ERR_VENDOR, "face_detect: OpenCV refused", [&] {
        const double scale = std::min(1.0, (near ? NEAR_WINDOW : WINDOW) / smallest);
        cv::cvtColor(part_of(scene), c->grey, cv::COLOR_RGB2GRAY);
        if (scale < 1) {
            cv::Size size(std::max(1, cvRound(scene->w * scale)),
                          std::max(1, cvRound(scene->h * scale)));
            cv::resize(c->grey, c->small, size, 0, 0, cv::INTER_AREA);
        } else {
            c->small = c->grey;
        }
        if (!near) cv::equalizeHist(c->small, c->small);
        const double sx = (double)scene->w / c->small.cols, sy = (double)scene->h / c->small.rows;
        const cv::Size least(cvFloor(smallest / sx), cvFloor(smallest / sy)),
            most(cvCeil(largest / sx), cvCeil(largest / sy));
        std::vector<cv::Rect> boxes;
        std::vector<int> agreed;
        const double step = brief ? 1.2 : 1.1;
        const int wanted = near ? 3 : 6;
        c->first.detectMultiScale(c->small, boxes, agreed, step, wanted, 0, least, most);
        if (boxes.empty() && !brief && !c->second.empty())
            c->second.detectMultiScale(c->small, boxes, agreed, step, wanted, 0, least, most);
        const int n = std::min(max, (int)boxes.size());
        for (int i = 0; i < n; i++) {
            const cv::Rect &b = boxes[(size_t)i];
            faces[i] = {scene->x + b.x * sx, scene->y + b.y * sy, b.width * sx, b.height * sy,
                        (double)agreed[(size_t)i]};
        }
        return n;
    });
}

static void close_cascade(void *self) {
    delete static_cast<cascades *>(self);
}

/* Where packages put OpenCV's data. */
static const char *const places[] = {
    "/usr/share/opencv4/haarcascades/",
    "/usr/local/share/opencv4/haarcascades/",
    "/usr/share/opencv/haarcascades/",
};

static bool look_for(const char *name, char *path, size_t size) {
    for (const char *place : places) {
        snprintf(path, size, "%s%s", place, name);
        if (access(path, R_OK) == 0) return true;
    }
    return false;
}

extern "C" mien_status mien__finder_cascade(const char *path, mien_face_detector *detector) {
    static const mien__finder finder = {find_cascade, close_cascade};
    char first[256], second[256] = "", text[512];
    if (!path) {
        if (!look_for("haarcascade_frontalface_alt2.xml", first, sizeof first))
            return fail(MIEN_ERR_IO, __LINE__,
                        "face detector: no cascade found; install opencv-data or name an XML file",
                        nullptr);
        path = first;
        if (!look_for("haarcascade_frontalface_default.xml", second, sizeof second)) second[0] = 0;
    }
    snprintf(text, sizeof text, "%s: no cascade of OpenCV", path);
    if (access(path, R_OK) != 0) return fail(MIEN_ERR_IO, __LINE__, text, strerror(errno));
    tame();
    cascades *c = guarded((cascades *)nullptr, MIEN_ERR_FORMAT, text, [&] {
        cascades *made = new cascades;
        bool good = false;
        try {
            good = made->first.load(path);
            if (good && second[0]) made->second.load(second);
        } catch (...) {
            delete made;
            throw;
        }
        if (good) return made;
        delete made;
        fail(MIEN_ERR_FORMAT, __LINE__, text, nullptr);
        return (cascades *)nullptr;
    });
    if (!c) return mien_error_last()->code;
    detector->finder = &finder;
    detector->self = c;
    return MIEN_OK;
}

/* ---- YuNet ----------------------------------------------------------------------------------- */

struct yunet {
    cv::Ptr<cv::FaceDetectorYN> net;
    cv::Mat bgr, small, padded;
};

/* It finds faces from 10 pixels on; sides are brought to multiples of its largest stride. */
static const double YUNET_FACE = 20, YUNET_SCORE = 0.6, YUNET_NEAR = 0.4;
enum { YUNET_STRIDE = 32 };

static int find_yunet(void *self, const mien__scene *scene, double smallest, double largest,
                      mien__effort effort, mien_face *faces, int max) {
    yunet *y = static_cast<yunet *>(self);
    return guarded(-1, MIEN_ERR_VENDOR, "face_detect: YuNet failed", [&] {
        const double scale = std::min(1.0, YUNET_FACE / smallest);
        cv::cvtColor(part_of(scene), y->bgr, cv::COLOR_RGB2BGR);
        const cv::Size size(std::max(1, cvRound(scene->w * scale)),
                            std::max(1, cvRound(scene->h * scale)));
        cv::resize(y->bgr, y->small, size, 0, 0, cv::INTER_AREA);
        const auto whole = [](int n) {
            return (n + YUNET_STRIDE - 1) / YUNET_STRIDE * YUNET_STRIDE;
        };
        cv::copyMakeBorder(y->small, y->padded, 0, whole(size.height) - size.height, 0,
                           whole(size.width) - size.width, cv::BORDER_CONSTANT);
        y->net->setInputSize(y->padded.size());
        y->net->setScoreThreshold((float)(effort == MIEN__NEAR ? YUNET_NEAR : YUNET_SCORE));
        cv::Mat found; /* rows of x, y, w, h, five landmarks, score */
        y->net->detect(y->padded, found);
        const double sx = (double)scene->w / size.width, sy = (double)scene->h / size.height;
        int n = 0;
        for (int i = 0; i < found.rows && n < max; i++) {
            const float *row = found.ptr<float>(i);
            const mien_face face = {scene->x + row[0] * sx, scene->y + row[1] * sy, row[2] * sx,
                                    row[3] * sy, row[14]};
            if (!std::isfinite(face.x + face.y + face.w + face.h + face.score)) continue;
            const double side = std::max(face.w, face.h);
            if (side >= smallest && side <= largest && face.w >= 1 && face.h >= 1)
                faces[n++] = face;
        }
        return n;
    });
}

static void close_yunet(void *self) {
    delete static_cast<yunet *>(self);
}

extern "C" mien_status mien__finder_yunet(const char *path, mien_face_detector *detector) {
    static const mien__finder finder = {find_yunet, close_yunet};
    char text[512];
    if (!path)
        return fail(MIEN_ERR_ARGUMENT, __LINE__,
                    "face detector: yunet needs its ONNX file "
                    "(face_detection_yunet_2022mar.onnx of OpenCV's model zoo)",
                    nullptr);
    snprintf(text, sizeof text, "%s: no YuNet that this OpenCV (%s) reads", path, CV_VERSION);
    if (access(path, R_OK) != 0) return fail(MIEN_ERR_IO, __LINE__, text, strerror(errno));
    tame();
    yunet *y = guarded((yunet *)nullptr, MIEN_ERR_FORMAT, text, [&] {
        cv::Ptr<cv::FaceDetectorYN> net =
            cv::FaceDetectorYN::create(path, "", cv::Size(320, 320), (float)YUNET_SCORE, 0.3F, 500);
        cv::Mat nothing(320, 320, CV_8UC3, cv::Scalar(0, 0, 0)), found;
        net->detect(nothing, found); /* another network fails here, not in the middle of a video */
        yunet *made = new yunet;
        made->net = net;
        return made;
    });
    if (!y) return mien_error_last()->code;
    detector->finder = &finder;
    detector->self = y;
    return MIEN_OK;
}
