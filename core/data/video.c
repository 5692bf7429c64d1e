/* Video files through FFmpeg: every frame once, in order of presentation, with its time, as players
 * show it: upright, with square pixels, on a clock that begins with the file's.
 * Not here: picture files (video_image.c), colours (video_frame.c), turning (video_upright.c). */
#include "video.h"
#include "video_inner.h"
#include <errno.h>
#include <libavutil/avstring.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct mien_video {
    char *path;
    AVFormatContext *format;
    AVCodecContext *codec;
    AVPacket *packet;
    AVFrame *frame;
    struct SwsContext *scaler;
    AVStream *stream;
    mien_video_info info;
    int coded_width, coded_height; /* of the frames as they come, */
    int wide, high;                /* with square pixels, */
    int orientation;               /* before they are turned */
    double start;                  /* of the file's clock */
    int64_t packets, given;        /* read, and frames so far */
    int64_t lost;                  /* packets that are not whole or could not be decoded */
    int64_t guessed;               /* frames with parts that the decoder made up */
    bool cut;                      /* the file ends before it should */
    double time;                   /* of the last frame */
    bool drained;                  /* the decoder was told that no packets follow */
};

/* Not mien_video_close: libmien.so has a function of that name, which comes here. */
static void dispose(mien_video *v) {
    if (!v) return;
    sws_freeContext(v->scaler);
    av_frame_free(&v->frame);
    av_packet_free(&v->packet);
    avcodec_free_context(&v->codec);
    avformat_close_input(&v->format);
    free(v->path);
    free(v);
}

void mien_video_close(mien_video *video) {
    dispose(video);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double ratio(AVRational r) {
    return r.num > 0 && r.den > 0 ? av_q2d(r) : 0;
}

/* A path is a path: FFmpeg would take "10:20.mp4" or "http:x.mp4" for an address, and a playlist,
 * by whatever name, may send it anywhere. Files alone are opened, here and by what they name. */
static int open_file(const char *path, AVFormatContext **format) {
    char *address = av_asprintf("file:%s", path);
    AVDictionary *options = NULL;
    int code = address ? av_dict_set(&options, "protocol_whitelist", "file", 0) : AVERROR(ENOMEM);
    if (code >= 0) code = avformat_open_input(format, address, NULL, &options);
    av_dict_free(&options);
    av_free(address);
    return code;
}

/* Frames a second by the times of the first packets: the mean of the steps that are near the
 * median, as times are rounded or jitter, and gaps are none; 0 where there are too few. */
static double measured_rate(const char *path, int index) {
    enum { PACKETS = 64 };
    AVFormatContext *format = NULL;
    AVPacket *packet = av_packet_alloc();
    double times[PACKETS], steps[PACKETS], rate = 0;
    int n = 0;
    if (packet && open_file(path, &format) >= 0 && index < (int)format->nb_streams) {
        double tick = av_q2d(format->streams[index]->time_base);
        while (n < PACKETS && av_read_frame(format, packet) >= 0) {
            if (packet->stream_index == index && packet->pts != AV_NOPTS_VALUE)
                times[n++] = (double)packet->pts * tick;
            av_packet_unref(packet);
        }
    }
    if (n >= 4) {
        qsort(times, (size_t)n, sizeof *times, ascending);
        for (int i = 0; i + 1 < n; i++) steps[i] = times[i + 1] - times[i];
        qsort(steps, (size_t)(n - 1), sizeof *steps, ascending);
        double usual = steps[(n - 1) / 2], sum = 0;
        int near = 0;
        for (int i = 0; i + 1 < n; i++)
            if (steps[i] > usual / 2 && steps[i] < usual * 1.5) sum += steps[i], near++;
        rate = sum > 0 ? near / sum : 0;
    }
    av_packet_free(&packet);
    avformat_close_input(&format);
    return rate;
}

/* What the container says is believed where the frames' times agree. */
static double rate_of(const mien_video *v) {
    double said = ratio(v->stream->avg_frame_rate), rate = measured_rate(v->path, v->stream->index);
    if (said == 0) said = ratio(v->stream->r_frame_rate);
    return rate == 0 || (said > 0 && fabs(rate / said - 1) < 0.05) ? said : rate;
}

/* Sizes as they are shown: pixels made square by making more of them, a picture on its side turned.
 */
static mien_status set_sizes(mien_video *v) {
    v->coded_width = v->wide = v->codec->width;
    v->coded_height = v->high = v->codec->height;
    if (v->wide < 1 || v->high < 1)
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: a video of %dx%d pixels", v->path, v->wide, v->high);
    double shape = ratio(av_guess_sample_aspect_ratio(v->format, v->stream, NULL));
    if (shape > 8 || (shape > 0 && shape < 0.125)) {
        mien__notice("%s: pixels of shape %g are taken for square ones", v->path, shape);
        shape = 1;
    }
    if (shape > 1) v->wide = (int)lround(v->wide * shape);
    if (shape > 0 && shape < 1) v->high = (int)lround(v->high / shape);
    v->orientation = mien__display_orientation(v->stream);
    if (v->orientation == 0)
        mien__notice("%s: is to be turned by an angle that is no quarter; it is read as it lies",
                     v->path);
    v->info.width = v->orientation >= 5 ? v->high : v->wide;
    v->info.height = v->orientation >= 5 ? v->wide : v->high;
    return mien__ffmpeg_size(v->path, v->wide, v->high);
}

static mien_status set_up(mien_video *v) {
    const char *path = v->path;
    if (access(path, R_OK) != 0)
        MIEN_FAIL(MIEN_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    int code = open_file(path, &v->format);
    if (code >= 0) code = avformat_find_stream_info(v->format, NULL);
    if (code < 0) {
        mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__, "%s: no video, or a damaged one", path);
        mien__ffmpeg_cause(code);
        return MIEN_ERR_FORMAT;
    }
    const AVCodec *decoder = NULL;
    int index = av_find_best_stream(v->format, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
    if (index == AVERROR_DECODER_NOT_FOUND)
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "%s: FFmpeg has no decoder for its video stream", path);
    if (index < 0 ||
        (v->format->streams[index]->disposition & AV_DISPOSITION_ATTACHED_PIC)) /* a cover */
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: has no video stream (it has %u other streams)", path,
                  v->format->nb_streams);
    v->stream = v->format->streams[index];
    for (unsigned i = 0; i < v->format->nb_streams; i++)
        if ((int)i != index) v->format->streams[i]->discard = AVDISCARD_ALL;
    v->codec = avcodec_alloc_context3(decoder);
    v->packet = av_packet_alloc();
    v->frame = av_frame_alloc();
    if (!v->codec || !v->packet || !v->frame)
        MIEN_FAIL(MIEN_ERR_MEMORY, "%s: out of memory for a decoder", path);
    avcodec_parameters_to_context(v->codec, v->stream->codecpar);
    v->codec->pkt_timebase = v->stream->time_base;
    v->codec->thread_count = 0;
    v->codec->max_pixels = MIEN__PICTURE_PIXELS;
    code = avcodec_open2(v->codec, decoder, NULL);
    if (code < 0) {
        mien__fail(MIEN_ERR_VENDOR, __FILE__, __LINE__, "%s: decoder %s does not start", path,
                   decoder->name);
        mien__ffmpeg_cause(code);
        return MIEN_ERR_VENDOR;
    }
    MIEN_TRY(set_sizes(v));
    v->info.fps = rate_of(v);
    /* the file's, not the stream's: sound that begins before the picture keeps its lead */
    if (v->format->start_time != AV_NOPTS_VALUE)
        v->start = (double)v->format->start_time / AV_TIME_BASE;
    v->info.frames = v->stream->nb_frames;
    if (v->stream->duration > 0)
        v->info.duration = (double)v->stream->duration * av_q2d(v->stream->time_base);
    else if (v->format->duration > 0)
        v->info.duration = (double)v->format->duration / AV_TIME_BASE;
    return MIEN_OK;
}

mien_video *mien_video_open(const char *path) {
    if (!path) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "video: no path was given");
    mien__ffmpeg_listen();
    mien_video *v = calloc(1, sizeof *v);
    if (v) v->path = strdup(path);
    if (!v || !v->path) {
        dispose(v);
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "%s: out of memory", path);
    }
    if (set_up(v) != MIEN_OK) {
        dispose(v);
        return NULL;
    }
    return v;
}

void mien_video_get_info(const mien_video *video, mien_video_info *info) {
    *info = video->info;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static uint32_t little_endian(const uint8_t *b) {
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/* AVI: the header says how many bytes and frames there are. FFmpeg reads what it finds. */
static bool avi_is_cut(const mien_video *v, const uint8_t *head, int64_t size) {
    return (int64_t)little_endian(head + 4) + 8 > size && v->packets < v->stream->nb_frames;
}

/* MPEG-TS: packets of one size, each with a mark; one that is not whole was cut. */
static bool ts_is_cut(const uint8_t *head, size_t n, int64_t size) {
    static const struct {
        int bytes, rest; /* of a packet; behind the last mark */
    } kinds[] = {{188, 0}, {192, 188}, {204, 0}};
    for (size_t at = 0; at + 3 * 204 < n; at++)
        for (int k = 0; k < 3; k++)
            if (head[at] == 0x47 && head[at + kinds[k].bytes] == 0x47 &&
                head[at + 2 * kinds[k].bytes] == 0x47 && head[at + 3 * kinds[k].bytes] == 0x47)
                return (size - (int64_t)at) % kinds[k].bytes != kinds[k].rest;
    return false;
}

/* Did the file break off, although its end looks like one? Where its form says nothing (a cut
 * between two packets of MPEG-TS or MPEG-PS) nobody can tell. */
static bool is_cut(const mien_video *v) {
    if (mien__ffmpeg_cut_short(v->format)) return true;
    uint8_t head[1024];
    FILE *file = fopen(v->path, "rb");
    size_t n = file ? fread(head, 1, sizeof head, file) : 0;
    int64_t size = file && fseeko(file, 0, SEEK_END) == 0 ? ftello(file) : 0;
    if (file) fclose(file);
    const char *kind = v->format->iformat->name;
    if (n > 12 && strcmp(kind, "avi") == 0) return avi_is_cut(v, head, size);
    if (strcmp(kind, "mpegts") == 0) return ts_is_cut(head, n, size);
    return false;
}

/* The end: 0, or -1 with an error that counts what is missing. */
static int ended(mien_video *v, int code) {
    if (v->given > 0 && v->lost + v->guessed == 0 && !v->cut) return 0;
    if (v->given == 0 && v->lost == 0) code = AVERROR_INVALIDDATA;
    char header[64] = "";
    if (v->info.frames > v->given)
        snprintf(header, sizeof header, " (its header says %lld)", (long long)v->info.frames);
    mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__,
               "%s: damaged%s: %lld frames could be decoded%s, %lld of them only in part; %lld "
               "packets could not",
               v->path, v->cut ? ", it breaks off" : "", (long long)v->given, header,
               (long long)v->guessed, (long long)v->lost);
    mien__ffmpeg_cause(code);
    return -1;
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* Gives the decoder its next packet, or the news that there is none. */
static void feed(mien_video *v) {
    int code;
    while ((code = av_read_frame(v->format, v->packet)) >= 0 &&
           v->packet->stream_index != v->stream->index)
        av_packet_unref(v->packet);
    if (code < 0) {
        /* a file that breaks off ends here as one that ends does; what is inside is still given */
        v->cut = code != AVERROR_EOF || is_cut(v);
        avcodec_send_packet(v->codec, NULL);
        v->drained = true;
        return;
    }
    v->packets++;
    if (avcodec_send_packet(v->codec, v->packet) < 0 || v->packet->flags & AV_PKT_FLAG_CORRUPT)
        v->lost++;
    av_packet_unref(v->packet);
}

int mien_video_next(mien_video *v, mien_tensor **frame, double *time) {
    MIEN_CALL("decoding a video");
    int code;
    while ((code = avcodec_receive_frame(v->codec, v->frame)) < 0) {
        if (mien_interrupt_requested()) {
            mien__fail(MIEN_ERR_INTERRUPTED, __FILE__, __LINE__, "%s: interrupted", v->path);
            return -1;
        }
        if (code == AVERROR_EOF) break;
        if (code != AVERROR(EAGAIN)) v->lost++;
        if (v->drained) break;
        feed(v);
    }
    if (code < 0) return ended(v, code);
    if (v->frame->decode_error_flags || v->frame->flags & AV_FRAME_FLAG_CORRUPT) v->guessed++;
    if (v->frame->width != v->coded_width || v->frame->height != v->coded_height) v->info.resized++;
    double step = v->info.fps > 0 ? 1 / v->info.fps : 0;
    int64_t stamp = v->frame->best_effort_timestamp;
    v->time = stamp != AV_NOPTS_VALUE ? (double)stamp * av_q2d(v->stream->time_base) - v->start
              : v->given              ? v->time + step
                                      : 0;
    mien_tensor *image = mien__ffmpeg_rgb(v->frame, v->wide, v->high, &v->scaler);
    image = mien__upright(image, v->orientation);
    av_frame_unref(v->frame);
    if (!image) return -1;
    v->given++;
    *frame = image;
    *time = v->time;
    return 1;
}
