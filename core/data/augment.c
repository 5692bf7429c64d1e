/* Pixel kernels: separable resize, crop, colour and normalisation.
 * Not here: random draws and threads (loader.c), files of pictures (image.c). */
#include "augment.h"

/* No AVX2 kernel fuses a product into a sum here, and of AVX-512's the last few pixels of a row do
 * not: the pixels of an experiment keep their last bits. */
#define MIEN_TARGET_AVX2   "avx2"
#define MIEN_TARGET_AVX512 "avx512f"
#include "base/isa.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- axes ------------------------------------------------------------------------------------ */

static int clamp(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

mien_status mien__axis_init(mien__axis *axis, int in, int out, double from, double span,
                            bool repeat) {
    double scale = span / out, support = scale > 1 ? scale : 1;
    bool same = in == out && from == 0 && span == in;
    int taps = same ? 1 : (int)ceil(2 * support) + 1;
    if (taps > in) taps = in;
    axis->in = in;
    axis->out = out;
    axis->taps = taps;
    axis->first = malloc(sizeof(int) * (size_t)out);
    axis->weight = calloc((size_t)taps * (size_t)out, sizeof(float));
    if (!axis->first || !axis->weight) {
        mien__axis_free(axis);
        MIEN_FAIL(MIEN_ERR_MEMORY, "resize from %d to %d pixels: out of memory", in, out);
    }
    int widest = 1;
    for (int o = 0; o < out; o++) {
        double centre = from + (o + 0.5) * scale, sum = 0;
        int low = (int)floor(centre - support + 0.5), high = (int)floor(centre + support + 0.5);
        if (same) low = o, high = o + 1;
        if (!repeat) {
            low = clamp(low, 0, in - 1);
            high = clamp(high, low + 1, in);
        }
        int base = clamp(low, 0, in - taps), used = 1;
        for (int pass = 0; pass < 2; pass++)
            for (int i = low; i < high; i++) {
                double w = same ? 1 : 1 - fabs((i + 0.5 - centre) / support);
                if (w <= 0) continue;
                int k = clamp(i, 0, in - 1) - base;
                if (pass == 0) {
                    sum += w;
                } else if (k < taps) {
                    axis->weight[k * out + o] += (float)(w / sum);
                    if (k + 1 > used) used = k + 1;
                }
            }
        axis->first[o] = base;
        if (used > widest) widest = used;
    }
    axis->taps = widest; /* the last rows of weight, all zero, are not visited */
    return MIEN_OK;
}

void mien__axis_free(mien__axis *axis) {
    free(axis->first);
    free(axis->weight);
    axis->first = NULL;
    axis->weight = NULL;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* out[i] = sum over k of weight[k * step] * src[k * stride + i] */
MIEN_CLONES(void, blend_rows,
            (const uint8_t *src, size_t stride, const float *weight, int step, int taps, int n,
             float *restrict out),
            (src, stride, weight, step, taps, n, out)) {
    if (taps == 1) {
        for (int i = 0; i < n; i++) out[i] = src[i] * weight[0];
        return;
    }
    const float w0 = weight[0], w1 = weight[step];
    const uint8_t *next = src + stride;
    for (int i = 0; i < n; i++) out[i] = src[i] * w0 + next[i] * w1;
    for (int k = 2; k < taps; k++) {
        const float w = weight[k * step];
        const uint8_t *row = src + (size_t)k * stride;
        for (int i = 0; i < n; i++) out[i] += row[i] * w;
    }
}

/* Interleaved float row to one plane: out[x] = sum over k of weight[k * step + x] *
 * row[(first[x] + k) * 3]; row already points at the channel. */
MIEN_CLONES(void, blend_columns,
            (const float *row, const int *first, const float *weight, int step, int taps, int n,
             float *restrict out),
            (row, first, weight, step, taps, n, out)) {
    if (taps == 1) {
        for (int x = 0; x < n; x++) out[x] = row[first[x] * 3] * weight[x];
        return;
    }
    const float *w1 = weight + step;
    for (int x = 0; x < n; x++)
        out[x] = row[first[x] * 3] * weight[x] + row[first[x] * 3 + 3] * w1[x];
    for (int k = 2; k < taps; k++) {
        const float *w = weight + (size_t)k * (size_t)step;
        for (int x = 0; x < n; x++) out[x] += row[(first[x] + k) * 3] * w[x];
    }
}

/* Saturation blends with the luma of Rec. 601, brightness shifts, clipped to 0..255. */
MIEN_CLONES(void, change_colours,
            (float *restrict r, float *restrict g, float *restrict b, int n, float saturation,
             float brightness),
            (r, g, b, n, saturation, brightness)) {
    for (int x = 0; x < n; x++) {
        float luma = 0.299f * r[x] + 0.587f * g[x] + 0.114f * b[x];
        float red = luma + saturation * (r[x] - luma) + brightness;
        float green = luma + saturation * (g[x] - luma) + brightness;
        float blue = luma + saturation * (b[x] - luma) + brightness;
        red = red < 0 ? 0 : red;
        green = green < 0 ? 0 : green;
        blue = blue < 0 ? 0 : blue;
        r[x] = red > 255 ? 255 : red;
        g[x] = green > 255 ? 255 : green;
        b[x] = blue > 255 ? 255 : blue;
    }
}

MIEN_CLONES(void, normalise,
            (const float *restrict in, int n, float gain, float bias, float *restrict out),
            (in, n, gain, bias, out)) {
    for (int x = 0; x < n; x++) out[x] = in[x] * gain + bias;
}

/* ---- frames ---------------------------------------------------------------------------------- */

size_t mien__frame_scratch(const mien__frame_plan *plan) {
    return (size_t)plan->columns.in * 3 + (size_t)plan->width * 3;
}

void mien__frame_render(const mien__frame_plan *plan, const uint8_t *src, const mien__draw *draw,
                        float *scratch, float *dst) {
    const mien__axis *rows = &plan->rows, *columns = &plan->columns;
    const int width = plan->width;
    const size_t stride = (size_t)columns->in * 3, area = (size_t)plan->height * (size_t)width;
    float *row = scratch, *plane = scratch + stride;
    const int *first = columns->first + draw->left;
    /* only the source columns that the crop needs */
    const int from = first[0] * 3, to = (first[width - 1] + columns->taps) * 3;
    const bool colours = draw->saturation != 1.0f || draw->brightness != 0.0f;
    for (int y = 0; y < plan->height; y++) {
        int o = draw->top + y;
        blend_rows(src + (size_t)rows->first[o] * stride + from, stride, rows->weight + o,
                   rows->out, rows->taps, to - from, row + from);
        for (int c = 0; c < 3; c++)
            blend_columns(row + c, first, columns->weight + draw->left, columns->out, columns->taps,
                          width, plane + c * width);
        if (draw->flip)
            for (int c = 0; c < 3; c++)
                for (int x = 0, last = width - 1; x < last; x++, last--) {
                    float *p = plane + c * width, kept = p[x];
                    p[x] = p[last];
                    p[last] = kept;
                }
        if (colours)
            change_colours(plane, plane + width, plane + 2 * width, width, draw->saturation,
                           draw->brightness);
        for (int c = 0; c < 3; c++)
            normalise(plane + c * width, width, plan->gain[c], plan->bias[c],
                      dst + (size_t)c * area + (size_t)y * (size_t)width);
    }
}

mien_status mien__axes_apply(const mien__axis *rows, const mien__axis *columns, const uint8_t *src,
                             uint8_t *dst) {
    const size_t stride = (size_t)columns->in * 3;
    const int width = columns->out;
    float *row = malloc(sizeof(float) * (stride + (size_t)width));
    if (!row) MIEN_FAIL(MIEN_ERR_MEMORY, "resize to %dx%d: out of memory", rows->out, columns->out);
    float *plane = row + stride;
    for (int y = 0; y < rows->out; y++) {
        blend_rows(src + (size_t)rows->first[y] * stride, stride, rows->weight + y, rows->out,
                   rows->taps, (int)stride, row);
        uint8_t *out = dst + (size_t)y * (size_t)width * 3;
        for (int c = 0; c < 3; c++) {
            blend_columns(row + c, columns->first, columns->weight, columns->out, columns->taps,
                          width, plane);
            for (int x = 0; x < width; x++) {
                float v = plane[x] + 0.5f;
                out[x * 3 + c] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
            }
        }
    }
    free(row);
    return MIEN_OK;
}
