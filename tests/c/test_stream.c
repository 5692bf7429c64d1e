/* The frames of a video with the faces in them: what is searched when, cuts, the order of frames,
 * ends. Not here: detectors (test_face.c), decoding (test_video.c). */
#include "data_files.h"
#include "data/face_inner.h"
#include "data/stream.h"

/* ---- a detector that finds bright squares -----------------------------------------------------
 */

enum { H = 96, W = 128 };

static int wholes, parts; /* searches of either kind since the count began */
static double pixels;     /* that they covered */

/* The bounding box of what is brighter than 200 in the part, if it lies inside and its side fits.
 */
static int find_bright(void *self, const mien__scene *scene, double smallest, double largest,
                       mien__effort effort, mien_face *faces, int max) {
    assert_true(scene->x >= 0 && scene->y >= 0 && scene->x + scene->w <= scene->width &&
                scene->y + scene->h <= scene->height && max > 0);
    wholes += effort != MIEN__NEAR;
    parts += effort == MIEN__NEAR;
    pixels += scene->w * scene->h;
    int left = W, right = -1, top = H, bottom = -1;
    for (int y = scene->y; y < scene->y + scene->h; y++)
        for (int x = scene->x; x < scene->x + scene->w; x++)
            if (scene->pixels[3 * (y * scene->width + x)] > 200) {
                if (x < left) left = x;
                if (x > right) right = x;
                if (y < top) top = y;
                if (y > bottom) bottom = y;
            }
    const int side = right - left + 1;
    if (right < 0 || side < smallest || side > largest) return 0;
    faces[0] = (mien_face){left, top, side, bottom - top + 1, 1};
    return 1;
}

static void nothing(void *self) {}
static const mien__finder bright = {find_bright, nothing};
static mien_face_detector detector = {&bright, NULL};

/* A picture with a pattern that depends on `scene`, and a bright square where side > 0. */
static const uint8_t *picture(int scene, int x, int y, int side) {
    static uint8_t p[H * W * 3];
    for (int i = 0; i < H * W; i++) {
        const int cell = (i / W / 12) * 11 + i % W / 12;
        const int value = (cell * (scene * 2 + 37)) % 150 + 20;
        memset(p + 3 * i, value, 3);
    }
    for (int r = 0; r < side; r++)
        for (int c = 0; c < side; c++)
            if (y + r < H && x + c < W) memset(p + 3 * ((y + r) * W + x + c), 255, 3);
    return p;
}

static void begin(mien__seeker *s, int every) {
    mien__seeker_begin(s, &detector, 8, every);
    wholes = parts = 0;
    pixels = 0;
}

static int seek(mien__seeker *s, const uint8_t *p, mien_face *faces, bool *cut) {
    return mien__seek(s, p, H, W, faces, cut);
}

static void a_known_face_is_looked_for_where_it_was(void **state) {
    mien__seeker s;
    mien_face faces[MIEN__FACES];
    bool cut;
    begin(&s, 10);
    for (int n = 0; n < 41; n++) {
        assert_int_equal(seek(&s, picture(1, 20 + n, 30, 20), faces, &cut), 1);
        assert_true(faces[0].x == 20 + n && faces[0].w == 20);
        assert_false(cut);
    }
    assert_int_equal(wholes, 5); /* frames 1, 11, 21, 31, 41 */
    assert_int_equal(parts, 40);
    assert_true(pixels < 41 * H * W / 3.0);
}

static void a_lost_face_is_searched_for_everywhere_at_once(void **state) {
    mien__seeker s;
    mien_face faces[MIEN__FACES];
    bool cut;
    begin(&s, 1000);
    assert_int_equal(seek(&s, picture(1, 10, 10, 20), faces, &cut), 1);
    assert_int_equal(seek(&s, picture(1, 10, 10, 20), faces, &cut), 1);
    assert_int_equal(wholes, 1);
    assert_int_equal(seek(&s, picture(1, 90, 60, 20), faces, &cut), 1); /* it jumped */
    assert_true(faces[0].x == 90);
    assert_int_equal(wholes, 2);
    assert_int_equal(seek(&s, picture(1, 0, 0, 0), faces, &cut), 0); /* it is gone */
    assert_int_equal(wholes, 3);
    assert_int_equal(seek(&s, picture(1, 92, 62, 20), faces, &cut), 1); /* back near its place */
    assert_int_equal(wholes, 3);
    assert_true(faces[0].x == 92);
}

static void where_no_face_is_known_every_third_frame_is_searched(void **state) {
    mien__seeker s;
    mien_face faces[MIEN__FACES];
    bool cut;
    begin(&s, 10);
    for (int n = 0; n < 10; n++) assert_int_equal(seek(&s, picture(1, 0, 0, 0), faces, &cut), 0);
    assert_int_equal(wholes, 4);
    assert_int_equal(parts, 0);
}

static void a_cut_is_found_and_a_lamp_is_none(void **state) {
    mien__seeker s;
    mien_face faces[MIEN__FACES];
    bool cut;
    begin(&s, 1000);
    for (int n = 0; n < 5; n++) {
        assert_int_equal(seek(&s, picture(1, 20 + n, 30, 20), faces, &cut), 1);
        assert_false(cut);
    }
    uint8_t light[H * W * 3];
    memcpy(light, picture(1, 25, 30, 20), sizeof light);
    for (size_t i = 0; i < sizeof light; i++)
        light[i] = (uint8_t)(light[i] > 215 ? 255 : light[i] + 40);
    seek(&s, light, faces, &cut);
    assert_false(cut);
    const int before = wholes;
    assert_int_equal(seek(&s, picture(8, 25, 30, 20), faces, &cut),
                     1); /* a face at the same place */
    assert_true(cut);
    assert_int_equal(wholes, before + 1);
    seek(&s, picture(8, 26, 30, 20), faces, &cut);
    assert_false(cut);
}

/* ---- whole videos ------------------------------------------------------------------------------
 */

/* All frames into a sum that knows their order; returns how many. */
static int read_all(const char *path, mien_face_detector *with, int threads, uint64_t *sum,
                    int *faces, int *end) {
    mien_video *video = mien_video_open(path);
    assert_non_null(video);
    mien_stream *stream = mien_stream_open(video, with, 0, 10, threads);
    assert_non_null(stream);
    mien_stream_frame frame;
    int n = 0;
    *sum = 0;
    *faces = 0;
    while ((*end = mien_stream_next(stream, &frame)) == 1) {
        const uint8_t *p = mien_tensor_data(frame.image);
        for (int64_t i = 0; i < mien_tensor_count(frame.image); i += 97) *sum = *sum * 31 + p[i];
        *sum = *sum * 31 + (uint64_t)(frame.time * 1e6);
        for (int k = 0; k < frame.count; k++)
            *sum = *sum * 31 + (uint64_t)(frame.faces[k].x * 64 + frame.faces[k].score);
        *faces += frame.count;
        mien_tensor_release(frame.image);
        n++;
    }
    if (*end == 0) assert_int_equal(mien_stream_next(stream, &frame), 0);
    mien_stream_close(stream);
    mien_video_close(video);
    return n;
}

static void threads_give_the_same_frames_and_faces(void **state) {
    const char *path = real_data("video_webcam/milk.mkv");
    if (!path) skip();
    mien_face_detector *cascade = mien_face_detector_new("cascade", NULL);
    if (!cascade) skip();
    uint64_t beside, here;
    int faces, faces_here, end;
    assert_int_equal(read_all(path, cascade, 1, &beside, &faces, &end), 51);
    assert_int_equal(end, 0);
    assert_int_equal(read_all(path, cascade, 0, &here, &faces_here, &end), 51);
    assert_true(beside == here);
    assert_int_equal(faces, faces_here);
    assert_true(faces >= 45);
    mien_face_detector_close(cascade);
}

static void a_damage_comes_after_the_frames_before_it(void **state) {
    const char *path = real_data("video_openmpf/video_01.mp4");
    if (!path) skip();
    FILE *from = fopen(path, "rb"), *to = fopen(scratch("damaged.mp4"), "wb");
    static uint8_t bytes[1 << 20];
    const size_t n = fread(bytes, 1, sizeof bytes, from);
    memset(bytes + n / 2, 0x55, n / 8);
    fwrite(bytes, 1, n, to);
    fclose(from);
    fclose(to);
    uint64_t sum, here;
    int faces, end, end_here;
    const int count = read_all(scratch("damaged.mp4"), NULL, 1, &sum, &faces, &end);
    assert_true(count > 20);
    assert_int_equal(end, -1);
    assert_message("damaged.mp4: damaged");
    assert_int_equal(read_all(scratch("damaged.mp4"), NULL, 0, &here, &faces, &end_here), count);
    assert_int_equal(end_here, -1);
    assert_true(sum == here);
}

static void nobody_need_take_all_frames(void **state) {
    const char *path = real_data("video_openmpf/video_01.mp4");
    if (!path) skip();
    for (int taken = 0; taken < 3; taken++) {
        mien_video *video = mien_video_open(path);
        assert_non_null(video);
        mien_stream *stream = mien_stream_open(video, &detector, 8, 10, 1);
        mien_stream_frame frame;
        for (int i = 0; i < taken; i++) {
            assert_int_equal(mien_stream_next(stream, &frame), 1);
            mien_tensor_release(frame.image);
        }
        mien_stream_close(stream);
        mien_video_close(video);
    }
}

static void senseless_options_are_refused(void **state) {
    assert_null(mien_stream_open(NULL, NULL, 0, 1, 0));
    assert_message("no video");
    const char *path = real_data("video_openmpf/video_01.mp4");
    mien_video *video = path ? mien_video_open(path) : NULL;
    if (!video) skip();
    assert_null(mien_stream_open(video, NULL, 0, 0, 0));
    assert_message("every is 0");
    mien_video_close(video);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_face_is_looked_for_where_it_was),
        cmocka_unit_test(a_lost_face_is_searched_for_everywhere_at_once),
        cmocka_unit_test(where_no_face_is_known_every_third_frame_is_searched),
        cmocka_unit_test(a_cut_is_found_and_a_lamp_is_none),
        cmocka_unit_test(threads_give_the_same_frames_and_faces),
        cmocka_unit_test(a_damage_comes_after_the_frames_before_it),
        cmocka_unit_test(nobody_need_take_all_frames),
        cmocka_unit_test(senseless_options_are_refused),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, scratch_remove);
}
