/* FFmpeg's messages for errors, and decoded frames to RGB tensors.
 * Not here: reading files (video.c, video_image.c). */
#include "video_inner.h"
#include <libavutil/log.h>
#include <libavutil/pixdesc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- messages -------------------------------------------------------------------------------- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* FFmpeg decodes on threads of its own */
static char last[256];
static const void *cut_short; /* the AVFormatContext of the last file that broke off */
static const void *watched;   /* whose messages are counted */
static int complaints;

static void listener(void *context, int level, const char *format, va_list arguments) {
    if (level > AV_LOG_ERROR) return;
    pthread_mutex_lock(&mutex);
    vsnprintf(last, sizeof last, format, arguments);
    last[strcspn(last, "\n")] = 0;
    if (context == watched) complaints++;
    if (strstr(last, "ended prematurely")) cut_short = context;
    pthread_mutex_unlock(&mutex);
}

void mien__ffmpeg_listen(void) {
    pthread_mutex_lock(&mutex);
    last[0] = 0;
    cut_short = NULL;
    pthread_mutex_unlock(&mutex);
    av_log_set_callback(listener);
}

void mien__ffmpeg_cause(int code) {
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(code, text, sizeof text);
    pthread_mutex_lock(&mutex);
    if (last[0])
        mien__fail_cause("FFmpeg: %s (%s)", last, text);
    else
        mien__fail_cause("FFmpeg: %s", text);
    pthread_mutex_unlock(&mutex);
}

/* Matroska's demuxer ends a file that breaks off like one that ends, and only says so. */
bool mien__ffmpeg_cut_short(const AVFormatContext *format) {
    pthread_mutex_lock(&mutex);
    bool cut = cut_short == format;
    pthread_mutex_unlock(&mutex);
    return cut;
}

void mien__ffmpeg_watch(const void *context) {
    pthread_mutex_lock(&mutex);
    watched = context;
    complaints = 0;
    pthread_mutex_unlock(&mutex);
}

int mien__ffmpeg_complaints(void) {
    pthread_mutex_lock(&mutex);
    int n = complaints;
    pthread_mutex_unlock(&mutex);
    return n;
}

mien_status mien__ffmpeg_size(const char *path, int width, int height) {
    if (width <= MIEN__PICTURE_SIDE && height <= MIEN__PICTURE_SIDE &&
        (int64_t)width * height <= MIEN__PICTURE_PIXELS)
        return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_FORMAT,
              "%s: %dx%d pixels; at most %d on a side and %d million in all are read", path, width,
              height, MIEN__PICTURE_SIDE, MIEN__PICTURE_PIXELS / 1000000);
}

/* ---- pixels ---------------------------------------------------------------------------------- */

/* The j formats are the plain ones with full range; swscale wants them told apart by range. */
static enum AVPixelFormat plain_format(enum AVPixelFormat format, int *full) {
    switch (format) {
    case AV_PIX_FMT_YUVJ420P:
        *full = 1;
        return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P:
        *full = 1;
        return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P:
        *full = 1;
        return AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P:
        *full = 1;
        return AV_PIX_FMT_YUV440P;
    case AV_PIX_FMT_YUVJ411P:
        *full = 1;
        return AV_PIX_FMT_YUV411P;
    default:
        return format;
    }
}

mien_tensor *mien__ffmpeg_rgb(const AVFrame *frame, int width, int height,
                              struct SwsContext **scaler) {
    int full = frame->color_range == AVCOL_RANGE_JPEG;
    enum AVPixelFormat format = plain_format(frame->format, &full);
    *scaler = sws_getCachedContext(
        *scaler, frame->width, frame->height, format, width, height, AV_PIX_FMT_RGB24,
        SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_BITEXACT, NULL, NULL, NULL);
    if (!*scaler)
        MIEN_FAIL_NULL(MIEN_ERR_VENDOR, "video: no way from pixel format %s to RGB",
                       av_get_pix_fmt_name(format));
    /* Untagged streams: Rec. 601 as for standard definition, 709 from 720 lines on. */
    int matrix = frame->colorspace == AVCOL_SPC_BT709 ||
                         (frame->colorspace == AVCOL_SPC_UNSPECIFIED && frame->height >= 720 &&
                          frame->color_range != AVCOL_RANGE_JPEG)
                     ? SWS_CS_ITU709
                     : SWS_CS_ITU601;
    const int *table = sws_getCoefficients(matrix);
    sws_setColorspaceDetails(*scaler, table, full, table, 1, 0, 1 << 16, 1 << 16);
    int64_t shape[3] = {height, width, 3};
    mien_tensor *image = mien_tensor_new(MIEN_U8, MIEN_DEVICE_CPU, 3, shape);
    uint8_t *planes[4] = {image ? mien_tensor_data(image) : NULL};
    if (!planes[0]) {
        mien_tensor_release(image);
        return NULL;
    }
    int strides[4] = {width * 3};
    if (sws_scale(*scaler, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height,
                  planes, strides) != height) {
        mien_tensor_release(image);
        MIEN_FAIL_NULL(MIEN_ERR_VENDOR, "video: a frame could not be converted to RGB");
    }
    return image;
}
