/* A backend: a const table of functions for one device.
 * Not here: which backend is asked first (dispatch.c), shapes (ops/). */
#ifndef MIEN_BACKEND_H
#define MIEN_BACKEND_H
#include "ops/ops.h"
#include "optim/updates.h"
#include "record.h"
#include "tensor/device.h"

/* cdef:begin */
/* Chooses who serves the CPU device from now on, in this process: "cpu" (oneDNN and own kernels,
 * default; ops it has not fall to "ref") or "ref" (naive loops in double, the judge). What was
 * recorded before walks back where it was computed. Error names the backends there are. */
mien_status mien_backend_use(const char *name);
const char *mien_backend_current(void);
/* One line on the backend: library, version, instruction set; NULL when there is none of the name,
 * and with an error record when MIEN_CPU_ISA (mien_cpu_isa) forbids it. */
const char *mien_backend_describe(const char *name);
/* cdef:end */

typedef struct mien_backend {
    const char *name;
    mien_device device;
    /* One line: library, version, instruction set. */
    const char *(*describe)(void);
    /* May this call run here? NULL: whatever has a function. Called with inputs and out headers. */
    bool (*supports)(const mien_op_call *call, bool backward);
    mien_op_fn forward[MIEN_OP_COUNT];
    mien_op_fn backward[MIEN_OP_COUNT];
    /* Fills out[0] once more, to the same bits, from what forward was given and its hidden outputs:
     * cheap enough to drop out[0] until backward. batch_norm alone may have one: from in[0..2],
     * mean and rstd (in[3..4] have no elements then, in[5] is absent). NULL: keep it. */
    mien_op_fn remake[MIEN_OP_COUNT];
    mien__device memory;     /* memory, copies and queues: tensor/device.h */
    mien__updates updates;   /* of the optimisers: optim/updates.h */
    mien__recorder recorder; /* recorded steps: record.h */
    /* acc += x, same shape, any layouts: gradients that meet. */
    mien_status (*accumulate)(mien_tensor *acc, mien_tensor *x);
} mien_backend;

extern const mien_backend mien__backend_ref; /* backend/ref: complete */
extern const mien_backend mien__backend_cpu; /* backend/cpu: what it makes faster; others NULL */

/* Who runs `call`: in backward who served forward, where that is known, else the chosen backend of
 * the device, when it supports the call; else ref on the CPU. NULL with an error that names op and
 * device. */
const mien_backend *mien__backend_for(const mien_op_call *call, bool backward);
/* The chosen backend of the device; NULL with an error record when the device cannot be used. */
const mien_backend *mien__backend_of(mien_device device);
/* Runs one pass of an op where it is served and books it: the tape and run/run.c go through here.
 */
mien_status mien__op_forward(mien_op_call *call);
mien_status mien__op_backward(mien_op_call *call);
/* Name of the op whose function is running, for errors that arise far from it; NULL: none. */
extern const char *mien__op_running;
/* The passes of the view ops, which need no backend. */
mien_status mien__view_forward(mien_op_call *call);
mien_status mien__view_backward(mien_op_call *call);
/* The part of a plain tensor that the attributes of a narrow name, sharing its elements. */
mien_tensor *mien__narrow_view(mien_tensor *t, const mien_narrow_attr *attr);
/* acc += x, same shape, any layouts: gradients that meet. */
mien_status mien__accumulate(mien_tensor *acc, mien_tensor *x);
#endif
