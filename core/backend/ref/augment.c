/* Stored pictures to network input, pixel by pixel.
 * Not here: the loader's own version, row by row in f32 (data/augment.c). */
#include "ref.h"
#include <math.h>

/* Weight of input pixel i for output o when `in` pixels become `out`, not yet divided by the sum of
 * all: a triangle as wide as one pixel of the coarser side. */
static double triangle(int64_t i, int64_t o, int64_t in, int64_t out) {
    double ratio = (double)in / (double)out, reach = ratio > 1 ? ratio : 1;
    double away = fabs((double)i + 0.5 - ((double)o + 0.5) * ratio) / reach;
    return away < 1 ? 1 - away : 0;
}

/* Channel c of the resized picture at (y, x). */
static double sample(const double *picture, int64_t h, int64_t w, int64_t y, int64_t x,
                     int64_t out_h, int64_t out_w, int c) {
    double sum = 0, weights = 0;
    for (int64_t i = 0; i < h; i++) {
        double row = triangle(i, y, h, out_h);
        for (int64_t j = 0; row > 0 && j < w; j++) {
            double weight = row * triangle(j, x, w, out_w);
            sum += weight * picture[(i * w + j) * 3 + c];
            weights += weight;
        }
    }
    return sum / weights;
}

/* The crop stays inside the picture. */
static int64_t offset(double draw, double room) {
    return (int64_t)(draw > 0 ? (draw < room ? draw : room) : 0);
}

mien_status mien__ref_augment_forward(mien__ref *r) {
    const mien_augment_attr *a = r->attr;
    const mien_tensor *frames = r->call->in[0];
    const int64_t h = frames->shape[frames->ndim - 3], w = frames->shape[frames->ndim - 2];
    const int64_t n = r->call->in[1]->shape[0], height = (int64_t)a->height;
    const int64_t width = (int64_t)a->width, area = height * width;
    for (int64_t f = 0; f < n; f++) {
        const double *draw = r->in[1] + f * 5, *picture = r->in[0] + f * h * w * 3;
        const int64_t top = offset(draw[0], a->resize_height - a->height);
        const int64_t left = offset(draw[1], a->resize_width - a->width);
        for (int64_t i = 0; i < area; i++) {
            int64_t x = i % width;
            if (draw[2] != 0) x = width - 1 - x;
            double pixel[3];
            for (int c = 0; c < 3; c++)
                pixel[c] = sample(picture, h, w, top + i / width, left + x,
                                  (int64_t)a->resize_height, (int64_t)a->resize_width, c);
            const bool colours = draw[3] != 0 || draw[4] != 1;
            const double luma = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
            for (int c = 0; c < 3; c++) {
                double v = colours ? luma + draw[4] * (pixel[c] - luma) + draw[3] : pixel[c];
                v = v > 0 ? (v < 255 ? v : 255) : 0;
                r->out[0][(f * 3 + c) * area + i] = v * r->in[2][c] + r->in[2][3 + c];
            }
        }
    }
    return MIEN_OK;
}
