/* Gradients of a convolution's weights as matrix products over pixels, one for each tap.
 * Not here: oneDNN's way (conv.c asks mien__wgrad_plan first). */
#ifndef MIEN_WGRAD_H
#define MIEN_WGRAD_H
#include "conv_plan.h"

typedef struct mien__wgrad {
    mien__conv_case c;
    int64_t inputs, outputs, taps; /* channels in blocks of 16 */
    bool half;
    int threads;
    const char *name; /* of this implementation, for profiles */
} mien__wgrad;

/* Describes the pass in *g if it is one that goes faster this way. Both maps have to lie in blocks
 * of 16 channels then. */
bool mien__wgrad_plan(const mien__conv_case *c, mien__wgrad *g);
/* Bytes of scratch memory that a run needs. */
int64_t mien__wgrad_scratch(const mien__wgrad *g);
/* weights [O,I,KH,KW] = the gradient. */
void mien__wgrad_run(const mien__wgrad *g, const void *src, const void *dout, float *weights,
                     void *scratch);
#endif
