/* Gives the fake GPU ops: see fake_gpu_ops.c.
 * Not here: its memory (fake_gpu.c). */
#ifndef MIEN_FAKE_GPU_OPS_H
#define MIEN_FAKE_GPU_OPS_H
#include "backend/backend.h"

/* Every op and update of the reference, for tensors of the fake device; and captures of them. */
void fake_gpu_serve(mien_backend *table);
/* Of fake_gpu.c: the host's address of a place in its memory, and whether it still works. */
void *fake_gpu_host(const void *device);
mien_status fake_gpu_alive(void);
/* Launches so far; what replays do is not counted. */
extern size_t fake_gpu_launches;
#endif
