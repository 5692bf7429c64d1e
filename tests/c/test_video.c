/* Videos: exact frames and times of real files, and refusals of broken ones.
 * Not here: faces in them (test_face.c). */
#include "data_files.h"
#include "data/video.h"
#include <math.h>

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
        double first;
    } clips[] = {{"book", 109, 0.033}, {"learn", 61, 0},   {"milk", 51, 0.033},
                 {"thanks", 51, 0},    {"eat", 47, 0},     {"night", 68, 0.033},
                 {"no", 66, 0},        {"yes", 65, 0.033}, {"hungry", 49, 0},
                 {"want", 47, 0}};
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++) {
        char name[64];
        double first = -1;
        snprintf(name, sizeof name, "video_webcam/%s.mkv", clips[i].name);
        int n = count_frames(need(name), &first, NULL, -1, NULL);
        if (n != clips[i].frames || fabs(first - clips[i].first) > 1e-6)
            fail_msg("%s: %d frames from %g s", name, n, first);
    }
}

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_of_video_01_is_given),
        cmocka_unit_test(transcodes_have_their_frames),
        cmocka_unit_test(frames_of_a_transcode_show_the_original),
        cmocka_unit_test(webcam_clips_have_their_frames_and_times),
        cmocka_unit_test(broken_and_soundless_files_are_refused),
        cmocka_unit_test(a_cut_file_gives_its_frames_and_then_an_error),
    };
    return cmocka_run_group_tests_name("video", tests, NULL, scratch_remove);
}
