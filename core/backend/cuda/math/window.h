/* Windows of pooling over a map, cut off at its borders.
 * Not here: loops. */
#ifndef MIEN_CUDA_WINDOW_H
#define MIEN_CUDA_WINDOW_H
#include "number.h"

/* n maps of h x w with c channels, channels-last, pooled to oh x ow. */
struct mien_pool {
    int64_t n, c, h, w, oh, ow;
    int kernel_h, kernel_w, stride_h, stride_w, top, left;
};

/* [low, high) along one axis. */
struct mien_span {
    int64_t low, high;
};
/* What window o reads of an axis of `size`. */
MIEN_HD mien_span mien_window(int64_t o, int kernel, int stride, int pad, int64_t size) {
    int64_t low = o * stride - pad, high = low + kernel;
    return mien_span{low < 0 ? 0 : low, high > size ? size : high};
}
/* Which of `count` windows read place i of an axis. */
MIEN_HD mien_span mien_readers(int64_t i, int kernel, int stride, int pad, int64_t count) {
    int64_t after = i + pad - kernel; /* windows that start at `after` or before end before i */
    int64_t low = after < 0 ? 0 : after / stride + 1, high = (i + pad) / stride + 1;
    return mien_span{low, high > count ? count : high};
}
/* Places of a window that lie in the map. */
MIEN_HD float mien_cells(mien_span rows, mien_span columns) {
    return (float)((rows.high - rows.low) * (columns.high - columns.low));
}
#endif
