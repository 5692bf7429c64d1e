/* One pixel of a resized picture, and its colours.
 * Not here: loops over pictures, and the CPU's version by whole rows (data/augment.c). */
#ifndef MIEN_CUDA_PICTURE_H
#define MIEN_CUDA_PICTURE_H
#include "number.h"
#include <math.h>

/* Which pixels of an axis make one pixel of the resized axis: `low` up to `high`, by a triangle
 * that is widened when shrinking; `sum` of all weights before they are divided by it. */
struct mien_taps {
    int low, high;
    float centre, reach, sum; /* centre: counted from `low`, which keeps its digits */
};

MIEN_HD float mien_tap(const mien_taps &t, int i) {
    float weight = 1 - fabsf(((float)(i - t.low) - t.centre) / t.reach);
    return weight > 0 ? weight : 0;
}

/* Of output o when `in` pixels become `out`. */
MIEN_HD mien_taps mien_taps_of(int o, int in, int out) {
    double ratio = (double)in / out, reach = ratio > 1 ? ratio : 1, centre = (o + 0.5) * ratio;
    int low = (int)floor(centre - reach + 0.5), high = (int)floor(centre + reach + 0.5);
    low = low < 0 ? 0 : low < in ? low : in - 1;
    high = high < low + 1 ? low + 1 : high < in ? high : in;
    mien_taps t = {low, high, (float)(centre - 0.5 - low), (float)reach, 0};
    for (int i = low; i < high; i++) t.sum += mien_tap(t, i);
    return t;
}

struct mien_rgb {
    float v[3];
};

/* picture: u8 [h,w,3]. */
MIEN_HD mien_rgb mien_sample(const uint8_t *picture, int64_t w, const mien_taps &rows,
                             const mien_taps &columns) {
    mien_rgb sum = {{0, 0, 0}};
    for (int j = columns.low; j < columns.high; j++) {
        mien_rgb column = {{0, 0, 0}};
        for (int i = rows.low; i < rows.high; i++) {
            const uint8_t *pixel = picture + (i * w + j) * 3;
            float weight = mien_tap(rows, i);
            for (int c = 0; c < 3; c++) column.v[c] += weight * (float)pixel[c];
        }
        float weight = mien_tap(columns, j) / (rows.sum * columns.sum);
        for (int c = 0; c < 3; c++) sum.v[c] += weight * column.v[c];
    }
    return sum;
}

/* Saturation blends with the luma of Rec. 601, brightness shifts, clipped to 0..255. */
MIEN_HD mien_rgb mien_colours(mien_rgb p, float brightness, float saturation) {
    float luma = 0.299f * p.v[0] + 0.587f * p.v[1] + 0.114f * p.v[2];
    for (int c = 0; c < 3; c++) {
        float v = luma + saturation * (p.v[c] - luma) + brightness;
        p.v[c] = v > 0 ? (v < 255 ? v : 255) : 0;
    }
    return p;
}

/* A crop's offset that leaves the crop inside, with `room` beside it. */
MIEN_HD int mien_offset(float draw, int room) {
    return draw > 0 ? (draw < (float)room ? (int)draw : room) : 0;
}
#endif
