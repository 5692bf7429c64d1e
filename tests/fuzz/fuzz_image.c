/* libFuzzer: the bytes of a picture file, read, resized, cropped and made grey.
 * Not here: videos (fuzz_video.c). */
#include "data/image.h"
#include "fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mien_tensor *image = mien_image_read(fuzz_file(data, size));
    if (!image) return 0;
    mien_tensor *small = mien_image_resize(image, 7, 9);
    mien_tensor *crop = mien_image_crop(image, -3, 2, 20, 30, 5, 5);
    if (!small || !crop || mien_image_grey(crop) != MIEN_OK) abort();
    mien_tensor_release(small);
    mien_tensor_release(crop);
    mien_tensor_release(image);
    return 0;
}
