/* Weights [O,I,KH,KW] to and from layouts made of tiles of 16 outputs by 16 inputs.
 * Not here: other layouts, which oneDNN's reorders make (onednn.c). */
#ifndef MIEN_TILES_H
#define MIEN_TILES_H
#include "tensor/half.h"
#include "cpu.h"
#include <oneapi/dnnl/dnnl.h>

/* Taps of a kernel at most; larger ones are rare, and oneDNN's. */
#define MIEN_TILES_TAPS 25

/* A tile holds, for each of the `taps` of a kernel, 16 rows of 16 lanes: a row is an input and a
 * lane an output, or the other way round. In bf16 two rows lie interleaved, lane by lane. */
typedef struct mien__tiles {
    int64_t outputs, inputs; /* tiles in each direction */
    int64_t taps;
    int64_t output_step, input_step; /* elements from tile to tile */
    bool lanes_are_outputs, half;
    bool back; /* from the tiles to OIHW */
} mien__tiles;

/* Describes the layout `md` in *t, if it is one that can be made, or with `back` read, here. */
bool mien__tiles_of(const dnnl_memory_desc_t *md, bool back, mien__tiles *t);
/* Plain f32 weights to tiles, or back: the same bits as oneDNN's. */
void mien__tiles_move(const mien__tiles *t, const void *from, void *to);
#endif
