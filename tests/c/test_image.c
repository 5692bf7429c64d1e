/* Pictures: files come back as they were, resizing and cropping at borders.
 * Not here: the loader's use of the same kernels (test_loader.c). */
#include "data_files.h"
#include "data/image.h"
#include "video_files.h"
#include <math.h>
#include <sys/stat.h>

static mien_tensor *image_of(int64_t height, int64_t width, int seed) {
    int64_t shape[3] = {height, width, 3};
    return pattern(MIEN_U8, 3, shape, seed);
}

/* Skips the test where the library was built without FFmpeg. */
static void need_ffmpeg(void) {
    mien_tensor *t = image_of(2, 2, 0);
    mien_status status = mien_image_write(scratch("probe.png"), t);
    mien_tensor_release(t);
    if (status == MIEN_ERR_UNSUPPORTED) skip();
}

static void png_comes_back_bit_for_bit(void **state) {
    need_ffmpeg();
    const char *path = scratch("picture.png");
    mien_tensor *t = image_of(37, 53, 5);
    assert_int_equal(mien_image_write(path, t), MIEN_OK);
    assert_int_equal(access(scratch("picture.png.partial"), F_OK), -1);
    mien_tensor *back = mien_image_read(path);
    assert_non_null(back);
    assert_int_equal(mien_tensor_size(back, 0), 37);
    assert_int_equal(mien_tensor_size(back, 1), 53);
    assert_memory_equal(mien_tensor_data(back), mien_tensor_data(t), 37 * 53 * 3);
    mien_tensor_release(back);
    assert_int_equal(mien_image_write(scratch("no/folder.png"), t), MIEN_ERR_IO);
    mien_tensor_release(t);
}

#ifdef MIEN_TEST_FFMPEG
static uint32_t png_sum(const uint8_t *bytes, size_t n) {
    uint32_t sum = ~0u;
    for (size_t i = 0; i < n; i++) {
        sum ^= bytes[i];
        for (int k = 0; k < 8; k++) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320u : 0);
    }
    return ~sum;
}

/* Puts n bytes into a file at a place. */
static void insert(const char *path, size_t at, const uint8_t *bytes, size_t n) {
    long size = size_of(path);
    uint8_t *whole = malloc((size_t)size);
    FILE *file = fopen(path, "rb");
    assert_int_equal(fread(whole, 1, (size_t)size, file), size);
    fclose(file);
    file = fopen(path, "wb");
    fwrite(whole, 1, at, file);
    fwrite(bytes, 1, n, file);
    fwrite(whole + at, 1, (size_t)size - at, file);
    fclose(file);
    free(whole);
}

/* 26 bytes of EXIF: a TIFF with one directory of one entry. */
static void exif_of(uint8_t *exif, int orientation, bool big) {
    static const uint8_t little_end[26] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3,
                                           0,   1,   0,  0, 0, 0, 0, 0, 0, 0, 0,    0, 0};
    static const uint8_t big_end[26] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0,
                                        3,   0,   0, 0,  1, 0, 0, 0, 0, 0, 0, 0,    0};
    memcpy(exif, big ? big_end : little_end, 26);
    exif[big ? 19 : 18] = (uint8_t)orientation;
}

static void pictures_are_read_upright(void **state) {
    need_ffmpeg();
    for (int orientation = 0; orientation <= 9; orientation++)
        for (int kind = 0; kind < 4; kind++) {
            bool big = kind % 2, png = kind >= 2;
            const char *path = scratch(png ? "phone.png" : "phone.jpg");
            video_shown.corner = true;
            write_picture(path, png ? AV_CODEC_ID_PNG : AV_CODEC_ID_MJPEG, 64, 48, NULL);
            video_shown.corner = false;
            uint8_t chunk[40] = {0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f'};
            if (png) memcpy(chunk, "\0\0\0\32eXIf", 8);
            exif_of(chunk + (png ? 8 : 10), orientation, big);
            uint32_t sum = png_sum(chunk + 4, 30);
            for (int i = 0; i < 4 && png; i++) chunk[34 + i] = (uint8_t)(sum >> (24 - 8 * i));
            insert(path, png ? 33 : 2, chunk, png ? 38 : 36);
            mien_tensor *image = mien_image_read(path);
            if (!image) fail_msg("%s %s", mien_error_last()->message, mien_error_last()->cause);
            bool known = orientation >= 1 && orientation <= 8; /* others are no orientation */
            assert_int_equal(mien_tensor_size(image, 1), known && orientation >= 5 ? 48 : 64);
            if (bright_corner(image) != corner_of[known ? orientation : 1])
                fail_msg("kind %d, orientation %d: corner %d", kind, orientation,
                         bright_corner(image));
            mien_tensor_release(image);
        }
}
#endif

static void what_is_no_picture_is_refused(void **state) {
    need_ffmpeg();
    const char *path = scratch("text.jpg");
    FILE *file = fopen(path, "w");
    fputs("image,emotion\n", file);
    fclose(file);
    assert_null(mien_image_read(path));
    assert_message("no picture");
    assert_null(mien_image_read(scratch("missing.jpg")));
    assert_message("No such file");
    fclose(fopen(scratch("empty.png"), "w"));
    assert_null(mien_image_read(scratch("empty.png")));
    assert_message("empty");
    assert_null(mien_image_read("/tmp"));
    path = scratch("cut.png");
    mien_tensor *t = image_of(64, 64, 5);
    assert_int_equal(mien_image_write(path, t), MIEN_OK);
    mien_tensor_release(t);
    struct stat info;
    stat(path, &info);
    assert_int_equal(truncate(path, info.st_size / 2), 0);
    assert_null(mien_image_read(path));
    assert_message("damaged picture");
}

static void real_pictures_have_their_true_size(void **state) {
    need_ffmpeg();
    static const struct {
        const char *name;
        int width, height;
    } pictures[] = {
        {"obama.jpg", 910, 1137},
        {"obama-240p.jpg", 427, 240},
        {"obama_partial_face.jpg", 491, 1137},
        {"biden.jpg", 970, 2204},
        {"astronaut.png", 512, 512},
        {"noface_chelsea.png", 451, 300},
    };
    const char *folder = real_data("faces");
    if (!folder) skip();
    char root[4096], path[4200];
    snprintf(root, sizeof root, "%s", folder);
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++) {
        snprintf(path, sizeof path, "%s/%s", root, pictures[i].name);
        mien_tensor *t = mien_image_read(path);
        if (!t) fail_msg("%s", mien_error_last()->message);
        assert_int_equal(mien_tensor_size(t, 0), pictures[i].height);
        assert_int_equal(mien_tensor_size(t, 1), pictures[i].width);
        mien_tensor_release(t);
    }
}

#ifdef MIEN_TEST_FFMPEG
static void each_kind_is_read_and_a_cut_one_refused(void **state) {
    static const struct {
        const char *name;
        enum AVCodecID id;
        const char *compression;
    } kinds[] = {{"a.png", AV_CODEC_ID_PNG, NULL},        {"a.jpg", AV_CODEC_ID_MJPEG, NULL},
                 {"a.bmp", AV_CODEC_ID_BMP, NULL},        {"packed.tif", AV_CODEC_ID_TIFF, NULL},
                 {"raw.tif", AV_CODEC_ID_TIFF, "raw"},    {"lzw.tif", AV_CODEC_ID_TIFF, "lzw"},
                 {"zip.tif", AV_CODEC_ID_TIFF, "deflate"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *path = scratch(kinds[i].name);
        write_picture(path, kinds[i].id, 40, 30, kinds[i].compression);
        mien_tensor *t = mien_image_read(path);
        if (!t) fail_msg("%s: %s", mien_error_last()->message, mien_error_last()->cause);
        assert_int_equal(mien_tensor_size(t, 0), 30);
        assert_int_equal(mien_tensor_size(t, 1), 40);
        mien_tensor_release(t);
        long size = size_of(path);
        for (int part = 9; part > 0; part--) {
            assert_int_equal(truncate(path, size * part / 10), 0);
            if (mien_image_read(path)) fail_msg("%s, %d0 %%", path, part);
        }
    }
}

/* An IFD in front, as most programs write it: then the strip alone is cut. */
static void half_a_tiff_is_none(void **state) {
    const char *path = write_picture(scratch("strip.tif"), AV_CODEC_ID_TIFF, 40, 30, "deflate");
    mien_tensor *t = mien_image_read(path);
    assert_non_null(t);
    mien_tensor_release(t);
    overwrite(path, 400, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
    assert_null(mien_image_read(path));
    assert_message("strip.tif: a damaged picture");
    /* and the next one is read */
    write_picture(path, AV_CODEC_ID_TIFF, 40, 30, "lzw");
    t = mien_image_read(path);
    assert_non_null(t);
    mien_tensor_release(t);
}

/* A small file may claim any size. */
static void what_is_too_large_is_refused_before_it_is_decoded(void **state) {
    const char *path = write_picture(scratch("large.bmp"), AV_CODEC_ID_BMP, 40, 30, NULL);
    overwrite(path, 18, "\x20\x4e\0\0\x10\x27\0\0", 8); /* 20000 x 10000 */
    assert_null(mien_image_read(path));
    assert_message(
        "large.bmp: 20000x10000 pixels; at most 32767 on a side and 134 million in all are read");
    path = write_picture(scratch("large.png"), AV_CODEC_ID_PNG, 40, 30, NULL);
    uint8_t head[17] = "IHDR\0\0\x2e\xe0\0\0\x2e\xe0\x08\x02"; /* 12000 x 12000 of RGB */
    uint32_t crc = 0xffffffff;
    for (int i = 0; i < 17; i++) {
        crc ^= head[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    crc = ~crc;
    uint8_t sum[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
                      (uint8_t)crc};
    overwrite(path, 12, head, 17);
    overwrite(path, 29, sum, 4);
    assert_null(mien_image_read(path));
    assert_message("large.png: 12000x12000 pixels; at most");
}
#endif

static void resizing_to_the_same_size_changes_nothing(void **state) {
    mien_tensor *t = image_of(31, 17, 8), *same = mien_image_resize(t, 31, 17);
    assert_memory_equal(mien_tensor_data(same), mien_tensor_data(t), 31 * 17 * 3);
    mien_tensor_release(same);
    mien_tensor_release(t);
}

/* Half-pixel centres: [0, 100] to four samples gives 0, 25, 75, 100; shrinking by 4 averages. */
static void resizing_is_bilinear_and_antialiased(void **state) {
    int64_t two[3] = {1, 2, 3}, eight[3] = {1, 8, 3};
    mien_tensor *t = mien_tensor_new(MIEN_U8, MIEN_DEVICE_CPU, 3, two);
    double values[24] = {0, 0, 0, 100, 100, 100};
    mien_tensor_write(t, values, 6);
    mien_tensor *wide = mien_image_resize(t, 1, 4);
    const uint8_t *out = mien_tensor_data(wide), want[4] = {0, 25, 75, 100};
    for (int i = 0; i < 4; i++) assert_int_equal(out[3 * i], want[i]);
    mien_tensor_release(wide);
    mien_tensor_release(t);

    t = mien_tensor_new(MIEN_U8, MIEN_DEVICE_CPU, 3, eight);
    for (int i = 0; i < 24; i++) values[i] = i / 3 % 2 ? 200 : 0; /* stripes of one pixel */
    mien_tensor_write(t, values, 24);
    mien_tensor *small = mien_image_resize(t, 1, 2);
    out = mien_tensor_data(small);
    for (int i = 0; i < 2; i++)
        assert_in_range(out[3 * i], 85, 115); /* nearest would give 0 or 200 */
    mien_tensor_release(small);
    mien_tensor_release(t);
}

static void a_crop_may_leave_the_picture(void **state) {
    mien_tensor *t = image_of(20, 30, 2);
    const uint8_t *in = mien_tensor_data(t);
    mien_tensor *inside = mien_image_crop(t, 5, 7, 10, 8, 8, 10);
    const uint8_t *out = mien_tensor_data(inside);
    for (int y = 0; y < 8; y++) assert_memory_equal(out + y * 30, in + ((y + 7) * 30 + 5) * 3, 30);
    mien_tensor_release(inside);
    mien_tensor *corner = mien_image_crop(t, -6, -4, 10, 8, 8, 10); /* the border is repeated */
    out = mien_tensor_data(corner);
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 10; x++)
            for (int c = 0; c < 3; c++) {
                int sy = y < 4 ? 0 : y - 4, sx = x < 6 ? 0 : x - 6;
                assert_int_equal(out[(y * 10 + x) * 3 + c], in[(sy * 30 + sx) * 3 + c]);
            }
    mien_tensor_release(corner);
    mien_tensor *outside = mien_image_crop(t, 500, 500, 10, 8, 4, 4);
    out = mien_tensor_data(outside);
    assert_memory_equal(out, in + 20 * 30 * 3 - 3, 3);
    mien_tensor_release(outside);
    assert_null(mien_image_crop(t, 0, 0, 0, 5, 4, 4));
    assert_null(mien_image_crop(t, 0, 0, 0.0 / 0.0, 5, 4, 4));
    assert_null(mien_image_resize(t, 0, 5));
    mien_tensor_release(t);
}

static void only_pictures_are_resized(void **state) {
    int64_t shape[3] = {3, 4, 5};
    mien_tensor *t = pattern(MIEN_U8, 3, shape, 0);
    assert_null(mien_image_resize(t, 4, 4));
    assert_message("[3,4,5]");
    assert_null(mien_image_resize(NULL, 4, 4));
    mien_tensor_release(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_comes_back_bit_for_bit),
#ifdef MIEN_TEST_FFMPEG
        cmocka_unit_test(pictures_are_read_upright),
#endif
        cmocka_unit_test(what_is_no_picture_is_refused),
        cmocka_unit_test(real_pictures_have_their_true_size),
#ifdef MIEN_TEST_FFMPEG
        cmocka_unit_test(each_kind_is_read_and_a_cut_one_refused),
        cmocka_unit_test(half_a_tiff_is_none),
        cmocka_unit_test(what_is_too_large_is_refused_before_it_is_decoded),
#endif
        cmocka_unit_test(resizing_to_the_same_size_changes_nothing),
        cmocka_unit_test(resizing_is_bilinear_and_antialiased),
        cmocka_unit_test(a_crop_may_leave_the_picture),
        cmocka_unit_test(only_pictures_are_resized),
    };
    return cmocka_run_group_tests_name("image", tests, NULL, scratch_remove);
}
