/* From stored pixels to network input: resize, crop, colour, normalise, in one pass over a frame.
 * Not here: which draw a frame gets and the threads (loader.c), whole pictures (image.c). */
#ifndef MIEN_AUGMENT_H
#define MIEN_AUGMENT_H
#include "base/status.h"

/* One axis of a separable resize: output o = sum over k of weight[k * out + o] *
 * input[first[o] + k], first[o] + taps never beyond the input. */
typedef struct mien__axis {
    int in, out, taps;
    int *first;
    float *weight;
} mien__axis;

/* `out` samples of input positions from .. from+span (pixel edges), triangle filter, widened when
 * shrinking (antialiased, as PIL and torchvision do). Beyond the input: repeat ? its border pixel :
 * left out, the rest weighted up. */
mien_status mien__axis_init(mien__axis *axis, int in, int out, double from, double span,
                            bool repeat);
void mien__axis_free(mien__axis *axis);

/* What a frame of random numbers decided; top and left count in the resized picture. */
typedef struct mien__draw {
    int top, left;
    bool flip;
    float brightness; /* added, of 255 */
    float saturation; /* 1 leaves the colours */
} mien__draw;

typedef struct mien__frame_plan {
    mien__axis rows, columns; /* whole resized picture */
    int height, width;        /* of what comes out */
    float gain[3], bias[3];   /* out = pixel * gain + bias */
} mien__frame_plan;

/* Floats of scratch that a thread needs for render. */
size_t mien__frame_scratch(const mien__frame_plan *plan);
/* src u8 [rows.in, columns.in, 3] to dst f32 [3, height, width]. */
void mien__frame_render(const mien__frame_plan *plan, const uint8_t *src, const mien__draw *draw,
                        float *scratch, float *dst);

/* src u8 [rows.in, columns.in, 3] to dst u8 [rows.out, columns.out, 3]. */
mien_status mien__axes_apply(const mien__axis *rows, const mien__axis *columns, const uint8_t *src,
                             uint8_t *dst);
#endif
