/* The face detector on real pictures.
 * Not here: following faces through videos (tests/lua/data_face_spec.lua). */
#include "data_files.h"
#include "data/face_inner.h"
#include "data/image.h"
#include <math.h>

static mien_face_detector *need_detector(void) {
    mien_face_detector *detector = mien_face_detector_new("cascade", NULL);
    if (!detector) skip(); /* no OpenCV, or no opencv-data */
    return detector;
}

static void the_largest_box_is_the_face(void **state) {
    static const struct {
        const char *name;
        mien_face box; /* OpenCV's Haar cascade elsewhere */
    } faces[] = {{"faces/obama.jpg", {342, 95, 300, 300, 0}},
                 {"faces/obama-240p.jpg", {189, 21, 67, 67, 0}},
                 {"faces/biden.jpg", {433, 211, 314, 314, 0}},
                 {"faces/astronaut.png", {176, 66, 95, 95, 0}}};
    mien_face_detector *detector = need_detector();
    for (size_t i = 0; i < 4; i++) {
        const char *path = real_data(faces[i].name);
        mien_tensor *image = path ? mien_image_read(path) : NULL;
        if (!image) {
            mien_face_detector_close(detector);
            skip();
        }
        mien_face boxes[8];
        assert_true(mien_face_detect(detector, image, 0, boxes, 8) >= 1);
        if (mien__face_overlap(boxes, &faces[i].box) < 0.7)
            fail_msg("%s: %g,%g,%g,%g", faces[i].name, boxes->x, boxes->y, boxes->w, boxes->h);
        mien_tensor_release(image);
    }
    mien_face_detector_close(detector);
}

static void no_more_boxes_than_asked_for(void **state) {
    mien_face_detector *detector = need_detector();
    const char *path = real_data("faces/biden.jpg");
    mien_tensor *image = path ? mien_image_read(path) : NULL;
    if (image) {
        mien_face boxes[2] = {[1] = {.x = -7}};
        assert_int_equal(mien_face_detect(detector, image, 20, boxes, 1), 1);
        assert_true(boxes[1].x == -7);
    }
    mien_tensor_release(image);
    mien_face_detector_close(detector);
    if (!path) skip();
}

static void an_empty_picture_has_no_face(void **state) {
    mien_face_detector *detector = need_detector();
    int64_t shape[3] = {120, 160, 3}, flat[2] = {120, 160};
    mien_tensor *grey = mien_tensor_new(MIEN_U8, MIEN_DEVICE_CPU, 3, shape);
    mien_tensor_fill(grey, 128);
    mien_face boxes[1];
    assert_int_equal(mien_face_detect(detector, grey, 0, boxes, 1), 0);
    mien_tensor_release(grey);
    mien_tensor *wrong = mien_tensor_new(MIEN_U8, MIEN_DEVICE_CPU, 2, flat);
    assert_int_equal(mien_face_detect(detector, wrong, 0, boxes, 1), -1);
    assert_message("u8 [H,W,3]");
    mien_tensor_release(wrong);
    mien_face_detector_close(detector);
}

static void what_is_no_cascade_is_refused(void **state) {
    mien_face_detector_close(need_detector());
    assert_null(mien_face_detector_new("cascade", scratch("missing.xml")));
    assert_message("missing.xml");
    FILE *file = fopen(scratch("broken.xml"), "w");
    fputs("<?xml version=\"1.0\"?><opencv_storage><cascade>", file);
    fclose(file);
    assert_null(mien_face_detector_new("cascade", scratch("broken.xml")));
    assert_message("no cascade");
    file = fopen(scratch("other.xml"), "w");
    fputs("<?xml version=\"1.0\"?>\n<opencv_storage><a>1</a></opencv_storage>\n", file);
    fclose(file);
    assert_null(mien_face_detector_new("cascade", scratch("other.xml")));
}

static void a_named_cascade_loads(void **state) {
    mien_face_detector_close(need_detector());
    const char *path = real_data("face_detectors/haarcascade_frontalface_default.xml");
    if (!path) skip();
    mien_face_detector *detector = mien_face_detector_new("cascade", path);
    assert_non_null(detector);
    mien_face_detector_close(detector);
}

/* ---- pico -------------------------------------------------------------------------------------
 */

static void pico_finds_the_faces_of_stills(void **state) {
    const char *path = real_data("face_detectors/pico_facefinder.bin");
    if (!path) skip();
    mien_face_detector *detector = mien_face_detector_new("pico", path);
    assert_non_null(detector);
    static const struct {
        const char *name;
        mien_face box;
    } faces[] = {{"faces/obama.jpg", {342, 95, 300, 300, 0}},
                 {"faces/obama-240p.jpg", {189, 21, 67, 67, 0}},
                 {"faces/biden.jpg", {433, 211, 314, 314, 0}},
                 {"faces/astronaut.png", {176, 66, 95, 95, 0}}};
    for (size_t i = 0; i < 4; i++) {
        mien_tensor *image = mien_image_read(real_data(faces[i].name));
        if (!image) fail_msg("%s: %s", faces[i].name, mien_error_last()->message);
        mien_face found[8];
        const int n = mien_face_detect(detector, image, 0, found, 8);
        double best = 0;
        for (int k = 0; k < n; k++) best = fmax(best, mien__face_overlap(&found[k], &faces[i].box));
        if (best < 0.6) fail_msg("%s: overlap %g among %d", faces[i].name, best, n);
        mien_tensor_release(image);
    }
    mien_face_detector_close(detector);
}

/* A cascade of one tree of depth 1 whose windows all get `vote`, except the last `cut` bytes. */
static const char *write_pico(int version, int depth, float vote, int cut) {
    struct __attribute__((packed)) {
        int32_t version;
        int8_t box[4];
        int32_t depth, trees;
        int8_t points[4];
        float votes[2], least;
    } cascade = {version, {0}, depth, 1, {-128, -128, 127, 127}, {vote, vote}, -1};
    const char *path = scratch("cascade.bin");
    FILE *file = fopen(path, "wb");
    fwrite(&cascade, 1, sizeof cascade - (size_t)cut, file);
    fclose(file);
    return path;
}

static void pico_refuses_what_is_no_cascade(void **state) {
    assert_null(mien_face_detector_new("pico", NULL));
    assert_message("needs the file");
    assert_null(mien_face_detector_new("pico", scratch("missing.bin")));
    assert_message("missing.bin");
    assert_null(mien_face_detector_new("pico", write_pico(2, 1, 1, 0)));
    assert_message("version 3");
    assert_null(mien_face_detector_new("pico", write_pico(3, 1, 1, 1)));
    assert_message("31 bytes, 1 trees of depth 1 take 32");
    assert_null(mien_face_detector_new("pico", write_pico(3, 30, 1, 0)));
    assert_message("of depth 30");
    assert_null(mien_face_detector_new("pico", write_pico(3, 1, NAN, 0)));
    assert_message("not finite");
}

static void pico_reads_no_pixel_outside_of_the_picture(void **state) {
    mien_face_detector *detector = mien_face_detector_new("pico", write_pico(3, 1, 4, 0));
    assert_non_null(detector);
    for (int side = 1; side < 60; side += 7) { /* under ASan: the corners of all windows */
        int64_t shape[3] = {side, side + 3, 3};
        mien_tensor *image = mien_tensor_new(MIEN_U8, MIEN_DEVICE_CPU, 3, shape);
        mien_tensor_fill(image, 7);
        mien_face found[4];
        const int n = mien_face_detect(detector, image, 16, found, 4);
        assert_true(side > 18 ? n > 0 : n == 0);
        for (int i = 0; i < n; i++)
            assert_true(found[i].x >= 0 && found[i].x + found[i].w <= side + 3);
        mien_tensor_release(image);
    }
    mien_face_detector_close(detector);
}

/* ---- names ------------------------------------------------------------------------------------
 */

static void detectors_go_by_name(void **state) {
    assert_null(mien_face_detector_new("yolo", NULL));
    assert_message("there is no yolo; known: cascade, yunet, pico");
    mien_face_detector_close(need_detector());
    assert_null(mien_face_detector_new("yunet", NULL));
    assert_message("yunet needs its ONNX file");
    FILE *file = fopen(scratch("bad.onnx"), "w");
    fputs("no network", file);
    fclose(file);
    assert_null(mien_face_detector_new("yunet", scratch("bad.onnx")));
    assert_message("bad.onnx: no YuNet");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pico_finds_the_faces_of_stills),
        cmocka_unit_test(pico_refuses_what_is_no_cascade),
        cmocka_unit_test(pico_reads_no_pixel_outside_of_the_picture),
        cmocka_unit_test(detectors_go_by_name),
        cmocka_unit_test(the_largest_box_is_the_face),
        cmocka_unit_test(no_more_boxes_than_asked_for),
        cmocka_unit_test(an_empty_picture_has_no_face),
        cmocka_unit_test(what_is_no_cascade_is_refused),
        cmocka_unit_test(a_named_cascade_loads),
    };
    return cmocka_run_group_tests_name("face", tests, NULL, scratch_remove);
}
