/* Which way up a picture is shown: EXIF's orientation in picture files, display matrices of videos.
 * Not here: decoding (video.c, video_image.c). */
#include "video_inner.h"
#include <libavutil/display.h>
#include <string.h>

/* Orientations are EXIF's: 1 as it lies, 2 mirrored, 3 half a turn, 4 mirrored upside down, 5 over
 * the main diagonal, 6 a quarter clockwise, 7 over the other diagonal, 8 a quarter the other way.
 */

mien_tensor *mien__upright(mien_tensor *image, int orientation) {
    if (!image || orientation <= 1 || orientation > 8) return image;
    bool turned = orientation >= 5;
    int64_t height = mien_tensor_size(image, 0), width = mien_tensor_size(image, 1);
    int64_t shape[3] = {turned ? width : height, turned ? height : width, 3};
    mien_tensor *result = mien_tensor_new(MIEN_U8, MIEN_DEVICE_CPU, 3, shape);
    const uint8_t *from = mien_tensor_data(image);
    uint8_t *to = result ? mien_tensor_data(result) : NULL;
    /* in the result, which way do the source's columns and rows run? */
    bool left = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool up = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    for (int64_t y = 0; to && from && y < shape[0]; y++)
        for (int64_t x = 0; x < shape[1]; x++, to += 3) {
            int64_t column = turned ? y : x, row = turned ? x : y;
            if (left) column = width - 1 - column;
            if (up) row = height - 1 - row;
            memcpy(to, from + (row * width + column) * 3, 3);
        }
    mien_tensor_release(image);
    return result;
}

/* ---- videos ---------------------------------------------------------------------------------- */

int mien__display_orientation(const AVStream *stream) {
    size_t size = 0;
    const int32_t *m =
        (const int32_t *)av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
    if (!m || size < 9 * sizeof *m) return 1;
    bool straight = m[1] == 0 && m[3] == 0 && m[0] && m[4];
    bool turned = m[0] == 0 && m[4] == 0 && m[1] && m[3];
    /* x' = m0 x + m3 y, y' = m1 x + m4 y */
    if (straight) return m[0] > 0 ? (m[4] > 0 ? 1 : 4) : (m[4] > 0 ? 2 : 3);
    if (turned) return m[1] > 0 ? (m[3] > 0 ? 5 : 6) : (m[3] > 0 ? 8 : 7);
    return 0;
}

/* ---- pictures -------------------------------------------------------------------------------- */

static uint32_t number(const uint8_t *at, int bytes, bool big) {
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | at[big ? i : bytes - 1 - i];
    return value;
}

/* Tag 0x0112 of the first directory of a TIFF, which is what EXIF is. */
static int of_tiff(const uint8_t *tiff, size_t n) {
    if (n < 8 || (memcmp(tiff, "II*\0", 4) != 0 && memcmp(tiff, "MM\0*", 4) != 0)) return 1;
    bool big = tiff[0] == 'M';
    size_t at = number(tiff + 4, 4, big);
    if (at > n - 2) return 1;
    size_t entries = number(tiff + at, 2, big);
    for (at += 2; entries-- > 0 && at + 12 <= n; at += 12)
        if (number(tiff + at, 2, big) == 0x0112) {
            uint32_t value = number(tiff + at + 8, 2, big);
            return number(tiff + at + 2, 2, big) == 3 && value >= 1 && value <= 8 ? (int)value : 1;
        }
    return 1;
}

/* The segments before a JPEG's picture. */
static int of_jpeg(const uint8_t *bytes, size_t n) {
    for (size_t at = 2; at + 4 <= n && bytes[at] == 0xff && bytes[at + 1] != 0xda;) {
        size_t length = number(bytes + at + 2, 2, true);
        if (length < 2 || at + 2 + length > n) return 1;
        if (bytes[at + 1] == 0xe1 && length >= 8 && memcmp(bytes + at + 4, "Exif\0\0", 6) == 0)
            return of_tiff(bytes + at + 10, length - 8);
        at += 2 + length;
    }
    return 1;
}

/* Chunks of PNG (length, name, data, sum) and of WebP (name, length, data). */
static int of_chunks(const uint8_t *bytes, size_t n, bool png) {
    for (size_t at = png ? 8 : 12; at + 8 <= n;) {
        const uint8_t *name = bytes + at + (png ? 4 : 0);
        size_t length = number(bytes + at + (png ? 0 : 4), 4, png);
        if (length > n - at - 8) return 1;
        if (memcmp(name, png ? "eXIf" : "EXIF", 4) == 0) {
            const uint8_t *exif = bytes + at + 8;
            bool marked = length >= 6 && memcmp(exif, "Exif\0\0", 6) == 0; /* some writers' WebP */
            return of_tiff(exif + 6 * marked, length - 6 * marked);
        }
        at += 8 + length + (png ? 4 : length % 2);
    }
    return 1;
}

int mien__exif_orientation(const uint8_t *bytes, size_t n) {
    if (n >= 4 && memcmp(bytes, "\xff\xd8\xff", 3) == 0) return of_jpeg(bytes, n);
    if (n >= 8 && memcmp(bytes, "\x89PNG", 4) == 0) return of_chunks(bytes, n, true);
    if (n >= 12 && memcmp(bytes, "RIFF", 4) == 0) return of_chunks(bytes, n, false);
    return of_tiff(bytes, n);
}
