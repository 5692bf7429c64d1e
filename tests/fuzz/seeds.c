/* Small pictures and videos for the fuzzers to begin with: seeds FOLDER fills FOLDER/image and
 * FOLDER/video. Not here: seeds of corpora and weights. */
#include "data_files.h"
#include "video_files.h"

static const char *root;

static const char *in(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void write_all(void **state) {
    write_picture(in("image/a.png"), AV_CODEC_ID_PNG, 20, 14, NULL);
    write_picture(in("image/a.jpg"), AV_CODEC_ID_MJPEG, 20, 14, NULL);
    write_picture(in("image/a.bmp"), AV_CODEC_ID_BMP, 20, 14, NULL);
    write_picture(in("image/a.tif"), AV_CODEC_ID_TIFF, 20, 14, NULL);
    write_picture(in("image/b.tif"), AV_CODEC_ID_TIFF, 20, 14, "lzw");
    write_picture(in("image/c.tif"), AV_CODEC_ID_TIFF, 20, 14, "deflate");
    write_video(in("video/a.avi"), AV_CODEC_ID_MPEG4, 4);
    write_video(in("video/b.avi"), AV_CODEC_ID_MJPEG, 3);
    write_video(in("video/a.ts"), AV_CODEC_ID_MPEG2VIDEO, 4);
    write_video(in("video/a.mpg"), AV_CODEC_ID_MPEG1VIDEO, 4);
    write_video(in("video/a.mkv"), AV_CODEC_ID_FFV1, 3);
    write_video(in("video/a.flv"), AV_CODEC_ID_FLV1, 4);
    write_video(in("video/a.mp4"), AV_CODEC_ID_MPEG4, 4);
    write_video(in("video/a.mov"), AV_CODEC_ID_MJPEG, 3);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    root = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(write_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
