/* Small videos and pictures, written by FFmpeg's encoders when a test starts: nothing need be kept.
 * Not here: any test. Included after data_files.h, where MIEN_TEST_FFMPEG says that FFmpeg is
 * there. */
#ifndef VIDEO_FILES_H
#define VIDEO_FILES_H
#ifdef MIEN_TEST_FFMPEG
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

typedef struct {
    AVFormatContext *file; /* NULL: the packets alone follow each other */
    FILE *raw;
    AVCodecContext *codec;
    AVFrame *frame;
    AVPacket *packet;
} video_writer;

/* How the videos that follow are to be shown; all zero: as they lie, from 0 on. */
static struct {
    const int32_t *matrix; /* 9, of the display; NULL: none */
    AVRational pixel;      /* its shape */
    int first;             /* frame numbers that the clock is ahead */
    bool corner;           /* the upper left quarter is brighter */
} video_shown;

#define assert_libav(call) assert_true((call) >= 0)

static inline void write_packets(video_writer *w, const AVFrame *frame) {
    assert_libav(avcodec_send_frame(w->codec, frame));
    while (avcodec_receive_packet(w->codec, w->packet) >= 0) {
        if (w->raw) {
            fwrite(w->packet->data, 1, (size_t)w->packet->size, w->raw);
        } else {
            av_packet_rescale_ts(w->packet, w->codec->time_base, w->file->streams[0]->time_base);
            w->packet->stream_index = 0;
            assert_libav(av_write_frame(w->file, w->packet));
        }
        av_packet_unref(w->packet);
    }
}

/* Begins a video of 25 frames a second; its container by the file's name, or none. compression: of
 * TIFF, as FFmpeg names it, or NULL. */
static inline void video_begin(video_writer *w, const char *path, enum AVCodecID id, bool container,
                               int width, int height, const char *compression) {
    const AVCodec *encoder = avcodec_find_encoder(id);
    assert_non_null(encoder);
    *w = (video_writer){.codec = avcodec_alloc_context3(encoder),
                        .frame = av_frame_alloc(),
                        .packet = av_packet_alloc()};
    w->codec->width = w->frame->width = width;
    w->codec->height = w->frame->height = height;
    w->codec->pix_fmt = encoder->pix_fmts ? encoder->pix_fmts[0] : AV_PIX_FMT_YUV420P;
    w->codec->time_base = (AVRational){1, 25};
    w->codec->framerate = (AVRational){25, 1};
    w->codec->gop_size = 5;
    w->codec->bit_rate = 2000000;
    w->codec->thread_count = 1;
    w->frame->format = w->codec->pix_fmt;
    if (container) {
        assert_libav(avformat_alloc_output_context2(&w->file, NULL, NULL, path));
        if (w->file->oformat->flags & AVFMT_GLOBALHEADER)
            w->codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    } else {
        w->raw = fopen(path, "wb");
    }
    AVDictionary *options = NULL;
    if (compression) av_dict_set(&options, "compression_algo", compression, 0);
    assert_libav(avcodec_open2(w->codec, encoder, &options));
    assert_int_equal(av_dict_count(options), 0); /* it knew them */
    assert_libav(av_frame_get_buffer(w->frame, 0));
    if (!container) return;
    AVStream *stream = avformat_new_stream(w->file, NULL);
    stream->time_base = w->codec->time_base;
    stream->avg_frame_rate = w->codec->framerate;
    avcodec_parameters_from_context(stream->codecpar, w->codec);
    stream->sample_aspect_ratio = stream->codecpar->sample_aspect_ratio = video_shown.pixel;
    uint8_t *matrix =
        video_shown.matrix ? av_stream_new_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, 36) : NULL;
    if (matrix) memcpy(matrix, video_shown.matrix, 36);
    assert_libav(avio_open(&w->file->pb, path, AVIO_FLAG_WRITE));
    assert_libav(avformat_write_header(w->file, NULL));
}

/* Frame i: brightness 20 + 3 * i, with grain that does not compress away. */
static inline void video_frame(video_writer *w, int i) {
    uint32_t noise = 1 + (uint32_t)i;
    assert_libav(av_frame_make_writable(w->frame));
    bool packed = !w->frame->data[1];
    for (int plane = 0; plane < 4 && w->frame->data[plane]; plane++)
        for (int y = 0; y < (plane ? w->frame->height / 2 : w->frame->height); y++)
            for (int x = 0; x < w->frame->width * (packed ? 3 : 1) / (plane ? 2 : 1); x++) {
                noise = noise * 1664525 + 1013904223;
                w->frame->data[plane][y * w->frame->linesize[plane] + x] =
                    plane ? 128 : (uint8_t)(20 + 3 * i + (noise >> 28));
                if (video_shown.corner && !plane && y < w->frame->height / 2 &&
                    x < w->frame->width / 2)
                    w->frame->data[0][y * w->frame->linesize[0] + x] += 150;
            }
    w->frame->pts = i + video_shown.first;
    write_packets(w, w->frame);
}

static inline void video_end(video_writer *w) {
    write_packets(w, NULL);
    if (w->file) {
        assert_libav(av_write_trailer(w->file));
        avio_closep(&w->file->pb);
        avformat_free_context(w->file);
    } else {
        fclose(w->raw);
    }
    av_packet_free(&w->packet);
    av_frame_free(&w->frame);
    avcodec_free_context(&w->codec);
}

/* n frames of 64x48. */
static inline const char *write_video(const char *path, enum AVCodecID id, int n) {
    video_writer w;
    video_begin(&w, path, id, true, 64, 48, NULL);
    for (int i = 0; i < n; i++) video_frame(&w, i);
    video_end(&w);
    return path;
}

/* One picture, as the encoder gives it. */
static inline const char *write_picture(const char *path, enum AVCodecID id, int width, int height,
                                        const char *compression) {
    video_writer w;
    video_begin(&w, path, id, false, width, height, compression);
    video_frame(&w, 0);
    video_end(&w);
    return path;
}

/* In which quarter of the picture is the bright corner? 0 upper left, 1 upper right, 2 lower left,
 * 3 lower right. */
static inline int bright_corner(mien_tensor *image) {
    int64_t height = mien_tensor_size(image, 0), width = mien_tensor_size(image, 1);
    const uint8_t *pixels = mien_tensor_data(image);
    double sums[4] = {0};
    int best = 0;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++)
            sums[(y >= height / 2) * 2 + (x >= width / 2)] += pixels[(y * width + x) * 3];
    for (int i = 1; i < 4; i++)
        if (sums[i] > sums[best]) best = i;
    return best;
}

/* Where the upper left corner is seen with EXIF's orientations 1 to 8. */
static const int corner_of[9] = {0, 0, 1, 3, 2, 0, 1, 3, 2};

/* Changes n bytes of a file in place. */
static inline void overwrite(const char *path, long at, const void *bytes, size_t n) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static inline long size_of(const char *path) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    fclose(file);
    return size;
}
#endif
#endif
