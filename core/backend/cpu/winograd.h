/* 3x3 convolutions of stride 1 by Winograd's algorithm, for processors with AVX2: oneDNN has it for
 * AVX-512 alone. Not here: oneDNN's (conv_plan.c). */
#ifndef MIEN_WINOGRAD_H
#define MIEN_WINOGRAD_H
#include "conv_plan.h"

typedef struct mien__winograd {
    mien__conv_use use;
    int64_t images, inputs, outputs; /* channels in blocks of 8; of a data gradient the sides are
                                        swapped: its inputs are the outputs' gradients */
    int64_t height, width;           /* of the map that is read */
    int64_t rows, columns;           /* of the map that is written, or in a weights gradient of the
                                        outputs' */
    int64_t top, left;               /* padding */
    int64_t down, across;            /* tiles of an image in each direction */
    int64_t piece;                   /* tiles at once */
    int parts;                       /* of the outputs, where there are fewer pieces than threads */
    int threads;
    mien__primitive_key key; /* of the laid out weights */
    const char *name;        /* of this implementation, for profiles */
} mien__winograd;

/* Describes the pass in *w if it goes faster this way. All maps have to lie in blocks of 8 channels
 * then. */
bool mien__winograd_plan(const mien__conv_case *c, mien__winograd *w);
/* Bytes of scratch memory that a run needs, and of weights that are laid out for it. */
int64_t mien__winograd_scratch(const mien__winograd *w);
int64_t mien__winograd_bytes(const mien__winograd *w);
/* Lays out weights [O,I,3,3] for forward, inference or data gradient of *winograd. */
void mien__winograd_lay_out(const void *winograd, const float *weights, float *laid_out);
/* dst = the convolution of src, plus bias and residual where they are not NULL, not below 0 with
 * relu. The same bits for any number of threads. */
void mien__winograd_run(const mien__winograd *w, const float *src, const float *laid_out,
                        const float *bias, const float *residual, bool relu, float *dst,
                        float *scratch);
/* weights [O,I,3,3] = the gradient; the same bits for any number of threads. */
void mien__winograd_gradient(const mien__winograd *w, const float *src, const float *dout,
                             float *weights, float *scratch);
#endif
