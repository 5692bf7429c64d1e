/* Pictures: decode a file, resize, crop, colour changes; all on u8 RGB.
 * Not here: video (video.h), faces (face.h). */
#ifndef MIEN_IMAGE_H
#define MIEN_IMAGE_H
#include "tensor/tensor.h"

/* cdef:begin */
/* u8 [H,W,3] RGB from JPEG, PNG, BMP ... NULL: missing, or no picture. */
mien_tensor *mien_image_read(const char *path);
/* The same from the n bytes of a file; name: for messages. */
mien_tensor *mien_image_decode(const void *bytes, int64_t n, const char *name);
/* Writes u8 [H,W,3] as PNG (for looking at); through a temporary name. */
mien_status mien_image_write(const char *path, mien_tensor *image);
/* Bilinear, pixel centres aligned at half-pixels; antialiased (area) when shrinking. */
mien_tensor *mien_image_resize(mien_tensor *image, int height, int width);
/* The box x, y, w, h in pixels (may reach outside: the border is repeated), resized. */
mien_tensor *mien_image_crop(mien_tensor *image, double x, double y, double w, double h, int height,
                             int width);
/* Takes the colour out, in place: three equal channels of luma (ITU-R BT.601, half up). */
mien_status mien_image_grey(mien_tensor *image);
/* cdef:end */

/* The largest picture that is read or made: pixels on a side, and in all (402 MB as RGB; a small
 * file may claim any size). */
#define MIEN__PICTURE_SIDE   32767
#define MIEN__PICTURE_PIXELS (1 << 27)

/* A picture that somebody gave, as a contiguous u8 [H,W,3] in the host's memory: a new reference,
 * whose mien_tensor_data is there. NULL: freed, on a GPU, or of another shape; `what` begins the
 * message. Every function that takes a picture takes it through here. */
mien_tensor *mien__picture(mien_tensor *image, const char *what);
#endif
