/* Gives the fake GPU ops and copies beside them: see fake_gpu_ops.c, fake_gpu_aside.c.
 * Not here: its memory (fake_gpu.c). */
#ifndef MIEN_FAKE_GPU_OPS_H
#define MIEN_FAKE_GPU_OPS_H
#include "backend/backend.h"

/* Every op and update of the reference, for tensors of the fake device; and captures of them. */
void fake_gpu_serve(mien_backend *table);
/* Pinned memory, and a second queue whose copies are done as late as they may be. */
void fake_gpu_serve_aside(mien_backend *table);
/* Work uses this block now: copies that it was to wait for are done before. */
void fake_gpu_note_use(const void *block);
/* Of fake_gpu.c: the host's address of a place in its memory, of a block that work uses now, the
 * number of that use, and whether the GPU still works. */
void *fake_gpu_host(const void *device);
void *fake_gpu_use(const void *block);
uint64_t *fake_gpu_last_use(const void *block);
mien_status fake_gpu_alive(void);
/* Launches so far; what replays do is not counted. */
extern size_t fake_gpu_launches;
#endif
