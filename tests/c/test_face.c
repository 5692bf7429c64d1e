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
            fail_msg("%s: %g,%g,%g,%g", faces[i].name, boxes->x, boxes->y, boxes->w,
                     boxes->h);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_box_is_the_face),
        cmocka_unit_test(no_more_boxes_than_asked_for),
        cmocka_unit_test(an_empty_picture_has_no_face),
        cmocka_unit_test(what_is_no_cascade_is_refused),
        cmocka_unit_test(a_named_cascade_loads),
    };
    return cmocka_run_group_tests_name("face", tests, NULL, scratch_remove);
}
