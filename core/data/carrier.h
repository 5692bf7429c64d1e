/* A batch's way to a GPU: pinned memory that the host fills, and copies from there that run beside
 * the GPU's work. Not here: what a batch holds and when it is wanted (loader.c). */
#ifndef MIEN_CARRIER_H
#define MIEN_CARRIER_H
#include "tensor/device.h"

enum { MIEN_CARRIED = 2 }; /* tensors of a batch that go together */

typedef struct mien__carrier {
    const mien__device *gpu;          /* NULL: not open */
    void *host[MIEN_CARRIED];         /* in one pinned block */
    mien_tensor *there[MIEN_CARRIED]; /* where the copies go; NULL: nowhere yet */
    void *unused;                     /* event: the GPU has done what used that memory before */
    void *copied;                     /* event: the copies are done; NULL: never sent */
    bool sent;
} mien__carrier;

/* Pins room for tensors of at most so many bytes. On error nothing is open. */
mien_status mien__carrier_open(mien__carrier *c, mien_device device,
                               const size_t bytes[MIEN_CARRIED]);
/* Takes new tensors of the GPU as the target. The pool may have given them memory that launched
 * work still reads: the copies will wait for what was launched until now, and for no more. */
mien_status mien__carrier_aim(mien__carrier *c, mien_tensor *const there[MIEN_CARRIED]);
/* Starts the copies to where it aims, once; in any thread. */
mien_status mien__carrier_send(mien__carrier *c);
/* Gives the tensors to the caller: what the GPU is given from now on finds the numbers in them. */
mien_status mien__carrier_take(mien__carrier *c, mien_tensor *there[MIEN_CARRIED]);
/* Waits until the pinned memory may be written again; in any thread. */
mien_status mien__carrier_wait(const mien__carrier *c);
/* Waits for copies that are under way. */
void mien__carrier_close(mien__carrier *c);
#endif
