/* Picture files through FFmpeg's codecs: read JPEG, PNG, BMP, TIFF, WebP; write PNG.
 * EXIF's orientation is applied, its sizes are ignored. Not here: resize and crop (image.c). */
#include "store/store.h"
#include "image.h"
#include "video_inner.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST ((off_t)1 << 30) /* bytes of a picture file */

/* The kind by its first bytes: names of files lie. */
static enum AVCodecID codec_of(const uint8_t *bytes, size_t n) {
    static const struct {
        enum AVCodecID id;
        size_t length;
        const char *magic;
    } kinds[] = {
        {AV_CODEC_ID_MJPEG, 3, "\xff\xd8\xff"},
        {AV_CODEC_ID_PNG, 4, "\x89PNG"},
        {AV_CODEC_ID_BMP, 2, "BM"},
        {AV_CODEC_ID_TIFF, 4, "II*\0"},
        {AV_CODEC_ID_TIFF, 4, "MM\0*"},
        {AV_CODEC_ID_WEBP, 4, "RIFF"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].length && memcmp(bytes, kinds[i].magic, kinds[i].length) == 0)
            return kinds[i].id;
    return AV_CODEC_ID_NONE;
}

/* The whole file in a packet. */
static mien_status read_file(const char *path, AVPacket *packet) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        int reason = errno;
        if (fd >= 0) close(fd);
        MIEN_FAIL(MIEN_ERR_IO, "%s: cannot be read: %s", path, strerror(reason));
    }
    mien_status status = MIEN_OK;
    if (!S_ISREG(info.st_mode) || info.st_size > MOST)
        status = mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__, "%s: no picture file", path);
    else if (info.st_size == 0)
        status = mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__, "%s: the file is empty", path);
    else if (av_new_packet(packet, (int)info.st_size) < 0)
        status = mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "%s: out of memory", path);
    for (off_t at = 0; status == MIEN_OK && at < info.st_size;) {
        ssize_t n = read(fd, packet->data + at, (size_t)(info.st_size - at));
        if (n <= 0)
            status = mien__fail(MIEN_ERR_IO, __FILE__, __LINE__, "%s: cannot be read: %s", path,
                                n ? strerror(errno) : "it became shorter");
        at += n;
    }
    close(fd);
    return status;
}

/* What a decoder asks for memory with: the first place where the size is known, whatever the kind.
 */
typedef struct {
    const char *path;
    bool too_large;
} asked;

static int give_room(AVCodecContext *codec, AVFrame *frame, int flags) {
    asked *by = codec->opaque;
    by->too_large = mien__ffmpeg_size(by->path, frame->width, frame->height) != MIEN_OK;
    return by->too_large ? AVERROR(EINVAL) : avcodec_default_get_buffer2(codec, frame, flags);
}

static mien_tensor *decode(const char *path, AVPacket *packet, AVFrame *frame) {
    const AVCodec *decoder = avcodec_find_decoder(codec_of(packet->data, (size_t)packet->size));
    if (!decoder)
        MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: no picture; JPEG, PNG, BMP, TIFF and WebP are read",
                       path);
    AVCodecContext *codec = avcodec_alloc_context3(decoder);
    if (!codec) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "%s: out of memory", path);
    codec->thread_count = 1;
    asked by = {.path = path};
    codec->opaque = &by;
    codec->get_buffer2 = give_room;
    /* Half a picture is no picture. FFmpeg's TIFF would then also refuse every tag that it does not
     * know, the resolution's unit among them; there, what it complains about counts instead. */
    bool strict = decoder->id != AV_CODEC_ID_TIFF;
    if (strict) codec->err_recognition = AV_EF_EXPLODE;
    mien__ffmpeg_watch(codec);
    int code = avcodec_open2(codec, decoder, NULL);
    if (code >= 0) code = avcodec_send_packet(codec, packet);
    if (code >= 0) code = avcodec_send_packet(codec, NULL);
    if (code >= 0) code = avcodec_receive_frame(codec, frame);
    if (code >= 0 && !strict && mien__ffmpeg_complaints() > 0) code = AVERROR_INVALIDDATA;
    mien__ffmpeg_watch(NULL);
    mien_tensor *image = NULL;
    if (code < 0 && !by.too_large) {
        mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__, "%s: a damaged picture", path);
        mien__ffmpeg_cause(code);
    } else if (code >= 0) {
        struct SwsContext *scaler = NULL;
        image = mien__ffmpeg_rgb(frame, frame->width, frame->height, &scaler);
        sws_freeContext(scaler);
        image = mien__upright(image, mien__exif_orientation(packet->data, (size_t)packet->size));
    }
    avcodec_free_context(&codec);
    return image;
}

/* bytes NULL: those of the file `path`. */
static mien_tensor *picture_of(const char *path, const void *bytes, int64_t n) {
    mien__ffmpeg_listen();
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    mien_tensor *image = NULL;
    if (!packet || !frame || (bytes && av_new_packet(packet, (int)n) < 0)) {
        mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "%s: out of memory", path);
    } else if (bytes) {
        memcpy(packet->data, bytes, (size_t)n);
        image = decode(path, packet, frame);
    } else if (read_file(path, packet) == MIEN_OK) {
        image = decode(path, packet, frame);
    }
    av_packet_free(&packet);
    av_frame_free(&frame);
    return image;
}

mien_tensor *mien_image_read(const char *path) {
    MIEN_CALL("reading a picture");
    if (!path) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "image_read: no path was given");
    return picture_of(path, NULL, 0);
}

mien_tensor *mien_image_decode(const void *bytes, int64_t n, const char *name) {
    MIEN_CALL("reading a picture");
    if (!bytes || !name) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "image_decode: no bytes, or no name");
    if (n < 1 || n > MOST)
        MIEN_FAIL_NULL(MIEN_ERR_FORMAT, "%s: no picture: %lld bytes", name, (long long)n);
    return picture_of(name, bytes, n);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Encodes; the caller unrefs the packet. */
static mien_status encode(const char *path, mien_tensor *pixels, AVPacket *packet) {
    const AVCodec *encoder = avcodec_find_encoder(AV_CODEC_ID_PNG);
    AVCodecContext *codec = encoder ? avcodec_alloc_context3(encoder) : NULL;
    AVFrame *frame = av_frame_alloc();
    int code = AVERROR(ENOMEM);
    if (codec && frame) {
        codec->width = frame->width = (int)mien_tensor_size(pixels, 1);
        codec->height = frame->height = (int)mien_tensor_size(pixels, 0);
        codec->pix_fmt = AV_PIX_FMT_RGB24;
        frame->format = AV_PIX_FMT_RGB24;
        codec->time_base = (AVRational){1, 1};
        code = avcodec_open2(codec, encoder, NULL);
        if (code >= 0) code = av_frame_get_buffer(frame, 0);
        const uint8_t *rows = mien_tensor_data(pixels);
        if (!rows) code = AVERROR(EINVAL);
        size_t row = (size_t)frame->width * 3;
        for (int y = 0; code >= 0 && y < frame->height; y++)
            memcpy(frame->data[0] + (ptrdiff_t)y * frame->linesize[0], rows + (size_t)y * row, row);
        if (code >= 0) code = avcodec_send_frame(codec, frame);
        if (code >= 0) code = avcodec_send_frame(codec, NULL);
        if (code >= 0) code = avcodec_receive_packet(codec, packet);
    }
    av_frame_free(&frame);
    avcodec_free_context(&codec);
    if (code < 0) {
        mien__fail(MIEN_ERR_VENDOR, __FILE__, __LINE__, "%s: cannot be encoded as PNG", path);
        mien__ffmpeg_cause(code);
        return MIEN_ERR_VENDOR;
    }
    return MIEN_OK;
}

mien_status mien_image_write(const char *path, mien_tensor *image) {
    MIEN_CALL_THAT_WRITES("writing a picture");
    if (!path) MIEN_FAIL(MIEN_ERR_ARGUMENT, "image_write: no path was given");
    mien__ffmpeg_listen();
    mien_tensor *pixels = mien__picture(image, "image_write");
    if (!pixels) return mien_error_last()->code;
    AVPacket *packet = av_packet_alloc();
    mien_status status =
        packet ? encode(path, pixels, packet)
               : mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "%s: out of memory", path);
    if (status == MIEN_OK) status = mien_file_write(path, packet->data, packet->size);
    av_packet_free(&packet);
    mien_tensor_release(pixels);
    return status;
}
