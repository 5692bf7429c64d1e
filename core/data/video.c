/* Video files through FFmpeg: every frame once, in order of presentation, with its time.
 * Not here: picture files (video_image.c), colours (video_frame.c). Rotation marks are ignored. */
#include "video.h"
#include "video_inner.h"
#include <errno.h>
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
    int64_t given;   /* frames so far */
    int64_t damaged; /* packets that could not be decoded */
    double time;     /* of the last frame */
    bool drained;    /* the decoder was told that no packets follow */
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

static double ratio(AVRational r) {
    return r.num > 0 && r.den > 0 ? av_q2d(r) : 0;
}

static mien_status set_up(mien_video *v) {
    const char *path = v->path;
    if (access(path, R_OK) != 0)
        MIEN_FAIL(MIEN_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    int code = avformat_open_input(&v->format, path, NULL, NULL);
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
    code = avcodec_open2(v->codec, decoder, NULL);
    if (code < 0) {
        mien__fail(MIEN_ERR_VENDOR, __FILE__, __LINE__, "%s: decoder %s does not start", path,
                   decoder->name);
        mien__ffmpeg_cause(code);
        return MIEN_ERR_VENDOR;
    }
    v->info.width = v->codec->width;
    v->info.height = v->codec->height;
    if (v->info.width < 1 || v->info.height < 1)
        MIEN_FAIL(MIEN_ERR_FORMAT, "%s: a video of %dx%d pixels", path, v->info.width,
                  v->info.height);
    v->info.fps = ratio(v->stream->avg_frame_rate);
    if (v->info.fps == 0) v->info.fps = ratio(v->stream->r_frame_rate);
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

/* Gives the decoder its next packet, or the news that there is none. */
static void feed(mien_video *v) {
    int code;
    while ((code = av_read_frame(v->format, v->packet)) >= 0 &&
           v->packet->stream_index != v->stream->index)
        av_packet_unref(v->packet);
    if (code < 0) {
        /* a file that breaks off ends here as one that ends does; what is inside is still given */
        if (code != AVERROR_EOF || mien__ffmpeg_cut_short(v->format)) v->damaged++;
        avcodec_send_packet(v->codec, NULL);
        v->drained = true;
        return;
    }
    if (avcodec_send_packet(v->codec, v->packet) < 0) v->damaged++;
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
        if (code != AVERROR(EAGAIN)) v->damaged++;
        if (v->drained) break;
        feed(v);
    }
    if (code < 0) {
        if (v->given > 0 && v->damaged == 0) return 0;
        if (v->given == 0 && v->damaged == 0) code = AVERROR_INVALIDDATA;
        mien__fail(MIEN_ERR_FORMAT, __FILE__, __LINE__,
                   "%s: damaged: %lld frames could be decoded, %lld packets could not", v->path,
                   (long long)v->given, (long long)v->damaged);
        mien__ffmpeg_cause(code);
        return -1;
    }
    double step = v->info.fps > 0 ? 1 / v->info.fps : 0;
    int64_t stamp = v->frame->best_effort_timestamp;
    v->time = stamp != AV_NOPTS_VALUE ? (double)stamp * av_q2d(v->stream->time_base)
              : v->given              ? v->time + step
                                      : 0;
    mien_tensor *image = mien__ffmpeg_rgb(v->frame, v->info.width, v->info.height, &v->scaler);
    av_frame_unref(v->frame);
    if (!image) return -1;
    v->given++;
    *frame = image;
    *time = v->time;
    return 1;
}
