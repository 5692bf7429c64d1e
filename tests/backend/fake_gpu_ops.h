/* Gives the fake GPU ops: see fake_gpu_ops.c.
 * Not here: its memory (fake_gpu.c). */
#ifndef MIEN_FAKE_GPU_OPS_H
#define MIEN_FAKE_GPU_OPS_H
#include "backend/backend.h"

/* Every op and update of the reference, for tensors of the fake device. */
void fake_gpu_serve(mien_backend *table);
#endif
