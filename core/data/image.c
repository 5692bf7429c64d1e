/* Pictures in memory: resize and crop of u8 RGB.
 * Not here: picture files (video_image.c), the resize kernels (augment.c). */
#include "image.h"
#include "augment.h"
#include <math.h>
#include <stdlib.h>

#define LARGEST 32767 /* pixels on a side */

/* A retained contiguous u8 [H,W,3]. */
static mien_tensor *picture(mien_tensor *image, const char *what) {
    char got[96];
    if (!image) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "%s: no image was given", what);
    if (mien_tensor_dtype(image) != MIEN_U8 || mien_tensor_ndim(image) != 3 ||
        mien_tensor_size(image, 2) != 3 || mien_tensor_count(image) == 0 ||
        mien_tensor_size(image, 0) > LARGEST || mien_tensor_size(image, 1) > LARGEST)
        MIEN_FAIL_NULL(MIEN_ERR_SHAPE, "%s: image must be u8 [H,W,3], got %s %s", what,
                       mien_dtype_name(mien_tensor_dtype(image)),
                       mien__shape_text(image, got, sizeof got));
    return mien__tensor_contiguous(image);
}

static mien_tensor *sample(mien_tensor *image, double x, double y, double w, double h, int height,
                           int width, bool repeat, const char *what) {
    mien_tensor *source = picture(image, what);
    if (!source) return NULL;
    mien__axis rows = {0}, columns = {0};
    mien_tensor *result = NULL;
    int64_t shape[3] = {height, width, 3};
    if (height < 1 || width < 1 || height > LARGEST || width > LARGEST) {
        mien__fail(MIEN_ERR_ARGUMENT, __FILE__, __LINE__, "%s: cannot make %dx%d pixels", what,
                   height, width);
    } else if (mien__axis_init(&rows, (int)mien_tensor_size(source, 0), height, y, h, repeat) ==
                   MIEN_OK &&
               mien__axis_init(&columns, (int)mien_tensor_size(source, 1), width, x, w, repeat) ==
                   MIEN_OK) {
        result = mien_tensor_new(MIEN_U8, MIEN_DEVICE_CPU, 3, shape);
        if (result && mien__axes_apply(&rows, &columns, mien_tensor_data(source),
                                       mien_tensor_data(result)) != MIEN_OK) {
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
    if (!image || mien_tensor_ndim(image) != 3) {
        picture(image, "image_resize");
        return NULL;
    }
    return sample(image, 0, 0, (double)mien_tensor_size(image, 1),
                  (double)mien_tensor_size(image, 0), height, width, false, "image_resize");
}

mien_tensor *mien_image_crop(mien_tensor *image, double x, double y, double w, double h, int height,
                             int width) {
    if (!(w > 0) || !(h > 0) || !isfinite(x) || !isfinite(y) || w > LARGEST || h > LARGEST ||
        fabs(x) > LARGEST || fabs(y) > LARGEST)
        MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "image_crop: box x %g, y %g, w %g, h %g", x, y, w, h);
    return sample(image, x, y, w, h, height, width, true, "image_crop");
}
