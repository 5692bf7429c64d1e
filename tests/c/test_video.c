/* Videos: exact frames and times of files made here and of real ones, and refusals of broken ones.
 * Not here: faces in them (test_face.c). */
#include "data_files.h"
#include "data/video.h"
#include "video_files.h"
#include <arpa/inet.h>
#include <math.h>
#include <poll.h>
#include <sys/socket.h>

static const char *need(const char *name) {
    const char *path = real_data(name);
    if (!path) skip();
    return path;
}

/* Frames of a file; -1 with an error record. Hands out the wanted frame. */
static int count_frames(const char *path, double *first, double *last, int wanted,
                        mien_tensor **picture) {
    mien_video *video = mien_video_open(path);
    if (!video) {
        if (mien_error_last()->code == MIEN_ERR_UNSUPPORTED) skip();
        return -1;
    }
    mien_tensor *frame;
    double time, before = -1;
    int n = 0, code;
    while ((code = mien_video_next(video, &frame, &time)) == 1) {
        assert_true(time > before);
        before = time;
        if (n == 0 && first) *first = time;
        if (n == wanted)
            *picture = frame;
        else
            mien_tensor_release(frame);
        n++;
    }
    if (last) *last = before;
    mien_video_close(video);
    return code < 0 ? -1 : n;
}

static void every_frame_of_video_01_is_given(void **state) {
    const char *path = need("video_openmpf/video_01.mp4");
    double first = -1, last = -1;
    assert_int_equal(count_frames(path, &first, &last, -1, NULL), 90);
    assert_true(fabs(first - 1001.0 / 30000) < 1e-6); /* as the stream says, not from 0 */
    assert_true(fabs(last - 90 * 1001.0 / 30000) < 1e-6);
    mien_video *video = mien_video_open(path);
    mien_video_info info;
    mien_video_get_info(video, &info);
    assert_int_equal(info.width, 640);
    assert_int_equal(info.height, 480);
    assert_int_equal(info.frames, 90);
    assert_true(fabs(info.fps - 30000 / 1001.0) < 1e-3);
    mien_video_close(video); /* before the first frame */
}

static void transcodes_have_their_frames(void **state) {
    static const struct {
        const char *name;
        int frames;
    } files[] = {{"h264_aac.mp4", 31}, {"h265_aac.mp4", 31},  {"mp4v_aac.mp4", 31},
                 {"xvid_aac.avi", 31}, {"vp8_opus.webm", 31}, {"theora_vorbis.ogg", 30}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[64];
        snprintf(name, sizeof name, "video_openmpf/%s", files[i].name);
        int n = count_frames(need(name), NULL, NULL, -1, NULL);
        if (n != files[i].frames) fail_msg("%s: %d frames", name, n);
    }
}

/* Frame i >= 1 of a transcode shows frame i-1 of video_01: nothing is skipped or doubled. */
static double psnr(mien_tensor *a, mien_tensor *b) {
    const uint8_t *x = mien_tensor_data(a), *y = mien_tensor_data(b);
    int64_t n = mien_tensor_count(a);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (x[i] - y[i]) * (x[i] - y[i]);
    return 10 * log10(255.0 * 255.0 * (double)n / sum);
}

static void frames_of_a_transcode_show_the_original(void **state) {
    char original[4096];
    snprintf(original, sizeof original, "%s", need("video_openmpf/video_01.mp4"));
    mien_tensor *copy, *same, *next;
    assert_int_equal(count_frames(need("video_openmpf/h264_aac.mp4"), NULL, NULL, 30, &copy), 31);
    assert_int_equal(count_frames(original, NULL, NULL, 29, &same), 90);
    assert_int_equal(count_frames(original, NULL, NULL, 32, &next), 90);
    assert_true(psnr(copy, same) > 34);
    assert_true(psnr(copy, same) > psnr(copy, next) + 3);
    mien_tensor_release(copy);
    mien_tensor_release(same);
    mien_tensor_release(next);
}

static void webcam_clips_have_their_frames_and_times(void **state) {
    static const struct {
        const char *name;
        int frames;
    } clips[] = {{"book", 109}, {"learn", 61}, {"milk", 51}, {"thanks", 51}, {"eat", 47},
                 {"night", 68}, {"no", 66},    {"yes", 65},  {"hungry", 49}, {"want", 47}};
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++) {
        char name[64];
        double first = -1;
        snprintf(name, sizeof name, "video_webcam/%s.mkv", clips[i].name);
        int n = count_frames(need(name), &first, NULL, -1, NULL);
        /* the stamps of four begin at 0.033 s, and with them the files' clocks */
        if (n != clips[i].frames || fabs(first) > 1e-6)
            fail_msg("%s: %d frames from %g s", name, n, first);
    }
}

#ifdef MIEN_TEST_FFMPEG
/* One frame of a video that is to be shown as video_shown says, and the time of the first. */
static mien_tensor *shown_frame(const char *name, enum AVCodecID id, mien_video_info *info,
                                double *first) {
    mien_video *video = mien_video_open(write_video(scratch(name), id, 12));
    if (!video) fail_msg("%s: %s", mien_error_last()->message, mien_error_last()->cause);
    mien_tensor *frame = NULL;
    assert_int_equal(mien_video_next(video, &frame, first), 1);
    mien_video_get_info(video, info);
    assert_int_equal(mien_tensor_size(frame, 0), info->height);
    assert_int_equal(mien_tensor_size(frame, 1), info->width);
    mien_video_close(video);
    return frame;
}

/* m0 m1, m3 m4 of the display matrices that do what EXIF's orientations do. */
static void videos_are_shown_upright(void **state) {
    static const int turns[9][4] = {{0},           {1, 0, 0, 1}, {-1, 0, 0, 1}, {-1, 0, 0, -1},
                                    {1, 0, 0, -1}, {0, 1, 1, 0}, {0, 1, -1, 0}, {0, -1, -1, 0},
                                    {0, -1, 1, 0}};
    for (int orientation = 1; orientation <= 8; orientation++) {
        const int *t = turns[orientation];
        int32_t matrix[9] = {t[0] * 65536, t[1] * 65536, 0, t[2] * 65536, t[3] * 65536, 0, 0, 0,
                             1 << 30};
        video_shown.corner = true;
        video_shown.matrix = matrix;
        mien_video_info info;
        double first;
        mien_tensor *frame = shown_frame("turned.mp4", AV_CODEC_ID_MPEG4, &info, &first);
        memset(&video_shown, 0, sizeof video_shown);
        assert_int_equal(info.width, orientation >= 5 ? 48 : 64);
        if (bright_corner(frame) != corner_of[orientation])
            fail_msg("orientation %d: corner %d", orientation, bright_corner(frame));
        mien_tensor_release(frame);
    }
}

static void pixels_are_square_and_clocks_begin_at_0(void **state) {
    mien_video_info info;
    double first;
    video_shown.pixel = (AVRational){4, 3};
    mien_tensor_release(shown_frame("wide.mkv", AV_CODEC_ID_MPEG4, &info, &first));
    assert_int_equal(info.width, 85);
    assert_int_equal(info.height, 48);
    video_shown.pixel = (AVRational){1, 2};
    mien_tensor_release(shown_frame("high.mkv", AV_CODEC_ID_MPEG4, &info, &first));
    assert_int_equal(info.width, 64);
    assert_int_equal(info.height, 96);
    memset(&video_shown, 0, sizeof video_shown);
    video_shown.first = 50; /* 2 s */
    mien_tensor_release(shown_frame("late.mkv", AV_CODEC_ID_MPEG4, &info, &first));
    memset(&video_shown, 0, sizeof video_shown);
    assert_true(fabs(first) < 1e-9);
    assert_true(fabs(info.fps - 25) < 0.01);
}
#endif

static void broken_and_soundless_files_are_refused(void **state) {
    assert_int_equal(count_frames(need("video_openmpf/video_01_invalid.mp4"), 0, 0, -1, NULL), -1);
    assert_message("video_01_invalid.mp4: no video, or a damaged one");
    assert_true(mien_error_last()->cause[0] != 0);
    assert_int_equal(count_frames(need("video_openmpf/video_02_audio_only.mp4"), 0, 0, -1, NULL),
                     -1);
    assert_message("has no video stream");
    assert_int_equal(count_frames(scratch("missing.mp4"), 0, 0, -1, NULL), -1);
    assert_message("No such file");
    FILE *file = fopen(scratch("text.mp4"), "w");
    fputs("no video at all\n", file);
    fclose(file);
    assert_int_equal(count_frames(scratch("text.mp4"), 0, 0, -1, NULL), -1);
}

/* A file that breaks off gives what it has and then an error. */
static void a_cut_file_gives_its_frames_and_then_an_error(void **state) {
    const char *path = need("video_webcam/book.mkv");
    char *bytes = malloc(150000);
    FILE *in = fopen(path, "rb"), *out = fopen(scratch("cut.mkv"), "wb");
    assert_int_equal(fread(bytes, 1, 150000, in), 150000);
    fwrite(bytes, 1, 150000, out);
    fclose(in);
    fclose(out);
    free(bytes);
    mien_video *video = mien_video_open(scratch("cut.mkv"));
    if (!video && mien_error_last()->code == MIEN_ERR_UNSUPPORTED) skip();
    assert_non_null(video);
    mien_tensor *frame;
    double time;
    int n = 0, code;
    while ((code = mien_video_next(video, &frame, &time)) == 1) {
        mien_tensor_release(frame);
        n++;
    }
    assert_in_range(n, 30, 108);
    assert_int_equal(code, -1);
    assert_message("damaged");
    mien_video_close(video);
}

#ifdef MIEN_TEST_FFMPEG
/* ---- videos made here ------------------------------------------------------------------------ */

static const struct {
    const char *name;
    enum AVCodecID id;
} kinds[] = {{"mpeg4.avi", AV_CODEC_ID_MPEG4},      {"mjpeg.avi", AV_CODEC_ID_MJPEG},
             {"mpeg2.ts", AV_CODEC_ID_MPEG2VIDEO},  {"mpeg1.mpg", AV_CODEC_ID_MPEG1VIDEO},
             {"mpeg2.vob", AV_CODEC_ID_MPEG2VIDEO}, {"ffv1.mkv", AV_CODEC_ID_FFV1},
             {"mpeg4.mkv", AV_CODEC_ID_MPEG4},      {"flv1.flv", AV_CODEC_ID_FLV1},
             {"mpeg4.asf", AV_CODEC_ID_MPEG4},      {"mpeg4.mp4", AV_CODEC_ID_MPEG4},
             {"mjpeg.mov", AV_CODEC_ID_MJPEG}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static double brightness(mien_tensor *image) {
    const uint8_t *pixels = mien_tensor_data(image);
    int64_t n = mien_tensor_count(image);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += pixels[i];
    return sum / (double)n;
}

/* Each frame is a little brighter than the one before: none is skipped, doubled or out of order. */
static void every_container_gives_its_frames_and_times(void **state) {
    for (int k = 0; k < KINDS; k++) {
        const char *name = kinds[k].name;
        mien_video *video = mien_video_open(write_video(scratch(name), kinds[k].id, 30));
        if (!video) fail_msg("%s: %s", mien_error_last()->message, mien_error_last()->cause);
        mien_video_info info;
        mien_video_get_info(video, &info);
        assert_int_equal(info.width, 64);
        assert_int_equal(info.height, 48);
        if (fabs(info.fps - 25) > 0.01) fail_msg("%s: %g frames/s", name, info.fps);
        mien_tensor *frame;
        double time, first = 0, before = 0;
        int n = 0, code;
        while ((code = mien_video_next(video, &frame, &time)) == 1) {
            double now = brightness(frame);
            mien_tensor_release(frame);
            if (n == 0) first = time;
            if (fabs(time - first - n / 25.0) > 1e-3) fail_msg("%s: frame %d at %g", name, n, time);
            if (n > 0 && fabs(now - before - 3.3) > 1)
                fail_msg("%s: %g after %g", name, now, before);
            before = now;
            n++;
        }
        if (code != 0 || n != 30)
            fail_msg("%s: %d frames, %s", name, n, mien_error_last()->message);
        mien_video_close(video);
    }
}

static void whatever_is_cut_says_so_at_its_end(void **state) {
    for (int k = 0; k < KINDS; k++) {
        const char *name = kinds[k].name;
        const char *path = write_video(scratch(name), kinds[k].id, 40);
        assert_int_equal(truncate(path, size_of(path) * 6 / 10), 0);
        int n = count_frames(path, NULL, NULL, -1, NULL);
        if (n != -1) fail_msg("%s: %d frames and no word", name, n);
        assert_message(name);
        assert_message("damaged");
    }
}

/* Between two packets nothing is torn; the header alone knows. */
static void an_avi_cut_between_packets_says_so(void **state) {
    const char *path = write_video(scratch("between.avi"), AV_CODEC_ID_MJPEG, 40);
    long size = size_of(path), at = size / 2;
    char *bytes = malloc((size_t)size);
    FILE *file = fopen(path, "rb");
    assert_int_equal(fread(bytes, 1, (size_t)size, file), size);
    fclose(file);
    while (memcmp(bytes + at, "00dc", 4) != 0) at++;
    free(bytes);
    assert_int_equal(truncate(path, at), 0);
    assert_int_equal(count_frames(path, NULL, NULL, -1, NULL), -1);
    assert_message("it breaks off");
    assert_message("(its header says 40)");
}

static void frames_that_are_partly_guessed_are_counted(void **state) {
    const char *path = write_video(scratch("hurt.avi"), AV_CODEC_ID_MPEG4, 40);
    overwrite(path, size_of(path) / 2, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
    assert_int_equal(count_frames(path, NULL, NULL, -1, NULL), -1);
    assert_message("only in part");
}

static void a_frame_of_another_size_is_counted(void **state) {
    const char *path = scratch("two.mjpeg");
    write_picture(scratch("small.jpg"), AV_CODEC_ID_MJPEG, 32, 32, NULL);
    write_picture(path, AV_CODEC_ID_MJPEG, 64, 48, NULL);
    char command[600];
    snprintf(command, sizeof command, "cat '%s' '%s/small.jpg' > '%s/both.mjpeg'", path,
             scratch_folder, scratch_folder);
    assert_int_equal(system(command), 0);
    mien_video *video = mien_video_open(scratch("both.mjpeg"));
    assert_non_null(video);
    mien_tensor *frame;
    mien_video_info info;
    double time;
    for (int n = 0; n < 2; n++) {
        assert_int_equal(mien_video_next(video, &frame, &time), 1);
        assert_int_equal(mien_tensor_size(frame, 0), 48);
        mien_tensor_release(frame);
        mien_video_get_info(video, &info);
        assert_int_equal(info.resized, n);
    }
    mien_video_close(video);
}

/* ---- paths ----------------------------------------------------------------------------------- */

static void a_path_is_a_path(void **state) {
    static const char *const names[] = {"2024-05-01T10:20:30.avi",
                                        "http:x.avi",
                                        "file:x.avi",
                                        "concat:a|b.avi",
                                        "pipe:0.avi",
                                        "%03d.avi",
                                        "-.avi"};
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    const char *path = write_video(scratch("plain.avi"), AV_CODEC_ID_MJPEG, 3);
    assert_int_equal(chdir(scratch_folder), 0);
    int counts[sizeof names / sizeof *names];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        link(path, names[i]);
        counts[i] = count_frames(names[i], NULL, NULL, -1, NULL);
    }
    assert_int_equal(chdir(here), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (counts[i] != 3) fail_msg("%s: %d frames", names[i], counts[i]);
}

/* Files that name an address on this machine, which listens: nobody may come. */
static void what_a_file_names_is_never_connected_to(void **state) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 4), 0);
    socklen_t size = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &size);
    static const struct {
        const char *name, *text;
    } files[] = {{"list.ffconcat", "ffconcat version 1.0\nfile 'http://127.0.0.1:%d/a.ts'\n"},
                 {"list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
                               "http://127.0.0.1:%d/a.ts\n#EXT-X-ENDLIST\n"},
                 {"talk.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
                              "m=video %d RTP/AVP 32\n"},
                 {"list.avi", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
                              "tcp://127.0.0.1:%d\n#EXT-X-ENDLIST\n"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        FILE *file = fopen(scratch(files[i].name), "w");
        fprintf(file, files[i].text, ntohs(address.sin_port));
        fclose(file);
        assert_int_equal(count_frames(scratch(files[i].name), NULL, NULL, -1, NULL), -1);
        struct pollfd wait = {listener, POLLIN, 0};
        if (poll(&wait, 1, 0) != 0) fail_msg("%s: somebody came", files[i].name);
    }
    close(listener);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
#ifdef MIEN_TEST_FFMPEG
        cmocka_unit_test(every_container_gives_its_frames_and_times),
        cmocka_unit_test(whatever_is_cut_says_so_at_its_end),
        cmocka_unit_test(an_avi_cut_between_packets_says_so),
        cmocka_unit_test(frames_that_are_partly_guessed_are_counted),
        cmocka_unit_test(a_frame_of_another_size_is_counted),
        cmocka_unit_test(a_path_is_a_path),
        cmocka_unit_test(what_a_file_names_is_never_connected_to),
#endif
        cmocka_unit_test(every_frame_of_video_01_is_given),
        cmocka_unit_test(transcodes_have_their_frames),
        cmocka_unit_test(frames_of_a_transcode_show_the_original),
        cmocka_unit_test(webcam_clips_have_their_frames_and_times),
#ifdef MIEN_TEST_FFMPEG
        cmocka_unit_test(videos_are_shown_upright),
        cmocka_unit_test(pixels_are_square_and_clocks_begin_at_0),
#endif
        cmocka_unit_test(broken_and_soundless_files_are_refused),
        cmocka_unit_test(a_cut_file_gives_its_frames_and_then_an_error),
    };
    return cmocka_run_group_tests_name("video", tests, NULL, scratch_remove);
}
