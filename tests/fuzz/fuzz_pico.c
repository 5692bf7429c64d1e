/* libFuzzer: the bytes of a cascade of pico, read and asked about a small picture.
 * `--seeds FOLDER` writes a cascade to begin with. Not here: pictures and videos. */
#include "data/face_inner.h"
#include "fuzz_file.h"
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    if (*argc != 3 || strcmp((*argv)[1], "--seeds") != 0) return 0;
    const struct {
        int32_t version;
        int8_t box[4];
        int32_t depth, trees;
        int8_t points[2][3][4];
    } head = {3, {0}, 2, 1, {{{-128, -128, 127, 127}, {5, 6, 7, 8}, {-9, 9, 100, -100}}}};
    const float votes[5] = {1, 6, -1, 8, -2};
    char path[4096];
    snprintf(path, sizeof path, "%s/cascade.bin", (*argv)[2]);
    FILE *file = fopen(path, "wb");
    if (!file) exit(1);
    fwrite(&head, 1, 16 + 3 * 4, file);
    fwrite(votes, 1, sizeof votes, file);
    fclose(file);
    exit(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mien_face_detector *detector = mien_face_detector_new("pico", fuzz_file(data, size));
    if (!detector) return 0;
    static uint8_t pixels[40 * 50 * 3];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 31 % 251);
    mien_face faces[MIEN__FACES];
    const int n =
        mien__face_find_all(detector, pixels, 40, 50, 16, MIEN__THOROUGH, faces, MIEN__FACES);
    for (int i = 0; i < n; i++)
        if (!(faces[i].x >= 0 && faces[i].x + faces[i].w <= 50 && faces[i].y >= 0 &&
              faces[i].y + faces[i].h <= 40))
            abort();
    mien_face_detector_close(detector);
    return 0;
}
