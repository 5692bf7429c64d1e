/* libFuzzer: the bytes of a video file, opened and read for some frames.
 * Not here: pictures (fuzz_image.c). */
#include "data/video.h"
#include "fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mien_video *video = mien_video_open(fuzz_file(data, size));
    if (!video) return 0;
    mien_video_info info;
    mien_tensor *frame;
    double time;
    for (int n = 0; n < 12 && mien_video_next(video, &frame, &time) == 1; n++) {
        mien_video_get_info(video, &info);
        if (mien_tensor_size(frame, 0) != info.height || mien_tensor_size(frame, 1) != info.width)
            abort();
        mien_tensor_release(frame);
    }
    mien_video_close(video);
    return 0;
}
