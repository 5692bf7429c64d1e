/* The face detector on real pictures.
 * Not here: following faces through videos (tests/lua/data_face_spec.lua). */
#include "data_files.h"
#include "data/face.h"
#include "data/image.h"
#include <math.h>

static mien_face_detector *need_detector(void) {
    mien_face_detector *detector = mien_face_detector_new(NULL);
    if (!detector) skip(); /* no OpenCV, or no opencv-data */
    return detector;
}

static double overlap(const double *a, const double *b) {
    double w = fmin(a[0] + a[2], b[0] + b[2]) - fmax(a[0], b[0]);
    double h = fmin(a[1] + a[3], b[1] + b[3]) - fmax(a[1], b[1]);
    double both = w > 0 && h > 0 ? w * h : 0;
    return both / (a[2] * a[3] + b[2] * b[3] - both);
}

static void the_largest_box_is_the_face(void **state) {
    static const struct {
        const char *name;
        double box[4]; /* OpenCV's Haar cascade elsewhere */
    } faces[] = {{"faces/obama.jpg", {342, 95, 300, 300}},
                 {"faces/obama-240p.jpg", {189, 21, 67, 67}},
                 {"faces/biden.jpg", {433, 211, 314, 314}},
                 {"faces/astronaut.png", {176, 66, 95, 95}}};
    mien_face_detector *detector = need_detector();
    for (size_t i = 0; i < 4; i++) {
        const char *path = real_data(faces[i].name);
        mien_tensor *image = path ? mien_image_read(path) : NULL;
        if (!image) {
            mien_face_detector_close(detector);
            skip();
        }
        double boxes[4 * 8];
        assert_true(mien_face_detect(detector, image, 0, boxes, 8) >= 1);
        if (overlap(boxes, faces[i].box) < 0.7)
            fail_msg("%s: %g,%g,%g,%g", faces[i].name, boxes[0], boxes[1], boxes[2], boxes[3]);
        mien_tensor_release(image);
    }
    mien_face_detector_close(detector);
}

static void no_more_boxes_than_asked_for(void **state) {
    mien_face_detector *detector = need_detector();
    const char *path = real_data("faces/biden.jpg");
    mien_tensor *image = path ? mien_image_read(path) : NULL;
    if (image) {
        double boxes[5] = {0, 0, 0, 0, -7};
        assert_int_equal(mien_face_detect(detector, image, 20, boxes, 1), 1);
        assert_true(boxes[4] == -7);
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
    double boxes[4];
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
    assert_null(mien_face_detector_new(scratch("missing.xml")));
    assert_message("missing.xml");
    FILE *file = fopen(scratch("broken.xml"), "w");
    fputs("<?xml version=\"1.0\"?><opencv_storage><cascade>", file);
    fclose(file);
    assert_null(mien_face_detector_new(scratch("broken.xml")));
    assert_message("no cascade");
    file = fopen(scratch("other.xml"), "w");
    fputs("<?xml version=\"1.0\"?>\n<opencv_storage><a>1</a></opencv_storage>\n", file);
    fclose(file);
    assert_null(mien_face_detector_new(scratch("other.xml")));
}

static void a_named_cascade_loads(void **state) {
    mien_face_detector_close(need_detector());
    const char *path = real_data("face_detectors/haarcascade_frontalface_default.xml");
    if (!path) skip();
    mien_face_detector *detector = mien_face_detector_new(path);
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
