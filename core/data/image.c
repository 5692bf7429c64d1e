/* Pictures in memory: resize, crop and grey of u8 RGB.
 * Not here: picture files (video_image.c), the resize kernels (augment.c). */
#include "image.h"
#include "augment.h"
#include <math.h>
#include <stdlib.h>

mien_tensor *mien__picture(mien_tensor *image, const char *what) {
    char got[96];
    if (!image) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "%s: no image was given", what);
    if (mien__tensor_check(image, what) != MIEN_OK) return NULL;
    if (mien_tensor_dtype(image) != MIEN_U8 || mien_tensor_ndim(image) != 3 ||
        mien_tensor_size(image, 2) != 3 || mien_tensor_count(image) == 0 ||
        mien_tensor_size(image, 0) > MIEN__PICTURE_SIDE ||
        mien_tensor_size(image, 1) > MIEN__PICTURE_SIDE)
        MIEN_FAIL_NULL(MIEN_ERR_SHAPE, "%s: image must be u8 [H,W,3], got %s %s", what,
                       mien_dtype_name(mien_tensor_dtype(image)),
                       mien__shape_text(image, got, sizeof got));
    if (mien_tensor_device(image) != MIEN_DEVICE_CPU)
        MIEN_FAIL_NULL(MIEN_ERR_DEVICE,
                       "%s: the image lives on the GPU; image:to\"cpu\" gives a copy for this",
                       what);
    return mien__tensor_contiguous(image);
}

static mien_tensor *sample(mien_tensor *image, double x, double y, double w, double h, int height,
                           int width, bool repeat, const char *what) {
    mien_tensor *source = mien__picture(image, what);
    if (!source) return NULL;
    mien__axis rows = {0}, columns = {0};
    mien_tensor *result = NULL;
    int64_t shape[3] = {height, width, 3};
    if (height < 1 || width < 1 || height > MIEN__PICTURE_SIDE || width > MIEN__PICTURE_SIDE) {
        mien__fail(MIEN_ERR_ARGUMENT, __FILE__, __LINE__, "%s: cannot make %dx%d pixels", what,
                   height, width);
    } else if (mien__axis_init(&rows, (int)mien_tensor_size(source, 0), height, y, h, repeat) ==
                   MIEN_OK &&
               mien__axis_init(&columns, (int)mien_tensor_size(source, 1), width, x, w, repeat) ==
                   MIEN_OK) {
        result = mien_tensor_new(MIEN_U8, MIEN_DEVICE_CPU, 3, shape);
        const uint8_t *from = mien_tensor_data(source);
        uint8_t *to = result ? mien_tensor_data(result) : NULL;
        if (!from || !to || mien__axes_apply(&rows, &columns, from, to) != MIEN_OK) {
            mien_tensor_release(result);
            result = NULL;
        }
    }
    mien__axis_free(&rows);
    mien__axis_free(&columns);
    mien_tensor_release(source);
    return result;
}

mien_tensor *mien_image_resize(mien_tensor *image, int height, int width) {
    mien_tensor *whole = mien__picture(image, "image_resize");
    if (!whole) return NULL;
    mien_tensor *result =
        sample(whole, 0, 0, (double)mien_tensor_size(whole, 1), (double)mien_tensor_size(whole, 0),
               height, width, false, "image_resize");
    mien_tensor_release(whole);
    return result;
}

mien_tensor *mien_image_crop(mien_tensor *image, double x, double y, double w, double h, int height,
                             int width) {
    if (!(w > 0) || !(h > 0) || !isfinite(x) || !isfinite(y) || w > MIEN__PICTURE_SIDE ||
        h > MIEN__PICTURE_SIDE || fabs(x) > MIEN__PICTURE_SIDE || fabs(y) > MIEN__PICTURE_SIDE)
        MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "image_crop: box x %g, y %g, w %g, h %g", x, y, w, h);
    return sample(image, x, y, w, h, height, width, true, "image_crop");
}

mien_status mien_image_grey(mien_tensor *image) {
    mien_tensor *pixels = mien__picture(image, "image_grey");
    uint8_t *at = pixels ? mien_tensor_data(pixels) : NULL;
    mien_status status = at ? MIEN_OK : mien_error_last()->code;
    for (int64_t i = 0, n = at ? mien_tensor_count(pixels) : 0; i < n; i += 3)
        at[i] = at[i + 1] = at[i + 2] =
            (uint8_t)floor(0.299 * at[i] + 0.587 * at[i + 1] + 0.114 * at[i + 2] + 0.5);
    if (at && pixels != image)
        status = mien_tensor_copy(image, pixels); /* a view of a larger picture */
    else if (at)
        mien__tensor_touch(image);
    mien_tensor_release(pixels);
    return status;
}
