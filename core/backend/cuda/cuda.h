/* Inside the CUDA backend: context, errors, memory, launches, and how a part enters the table.
 * Not here: cuDNN and cuBLASLt (vendor.h, blas.h), any kernel.
 *
 * For C and for CUDA C++. One device, one stream: work is ordered by the stream, so memory that
 * goes back to the pool after a launch may be handed out at once. Copies of input alone have a
 * stream of their own, and fences that hold it to that order (input.c). */
#ifndef MIEN_CUDA_H
#define MIEN_CUDA_H
#include <cuda_runtime.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "backend/backend.h"
#include "backend/record.h"

/* ---- the context ----------------------------------------------------------------------------- */

typedef struct mien__cuda {
    int ordinal;
    int arch;        /* 90 for sm_90 */
    int multiprocs;  /* streaming multiprocessors */
    int shared_most; /* bytes of shared memory that a block may opt in to */
    size_t memory;
    char name[128];
    cudaStream_t stream; /* all work of this backend */
    cudaStream_t aside;  /* copies from pinned memory beside it: input.c */
} mien__cuda;

/* The context; set up when the backend is opened, before any function of the table can be called.
 */
extern mien__cuda mien__cuda_context;

/* ---- errors ---------------------------------------------------------------------------------- */

/* Records what a CUDA call answered and gives the status: out of memory (the call may be tried
 * again), no device, or a sticky error, after which every further call says "restart". */
mien_status mien__cuda_fail(cudaError_t error, const char *what, const char *file, int line);
/* MIEN_ERR_VENDOR once a sticky error was seen, else MIEN_OK. */
mien_status mien__cuda_check(void);

/* `MIEN_CUDA(cudaMemcpyAsync(...));` in a function that returns mien_status. */
#define MIEN_CUDA(call)                                                                            \
    do {                                                                                           \
        cudaError_t mien_cuda_error = (call);                                                      \
        if (mien_cuda_error != cudaSuccess)                                                        \
            return mien__cuda_fail(mien_cuda_error, #call, __FILE__, __LINE__);                    \
    } while (0)
/* After `kernel<<<grid, block, shared, mien__cuda_context.stream>>>(...)`: was it accepted? */
#define MIEN_LAUNCHED(kernel)                                                                      \
    do {                                                                                           \
        cudaError_t mien_cuda_error = cudaGetLastError();                                          \
        if (mien_cuda_error != cudaSuccess)                                                        \
            return mien__cuda_fail(mien_cuda_error, kernel, __FILE__, __LINE__);                   \
    } while (0)

/* ---- memory ---------------------------------------------------------------------------------- */

/* Address of element 0, whatever the strides. Device tensors have block 0, always. */
static inline void *mien__cuda_ptr(const mien_tensor *t) {
    return t ? (char *)t->storage->data + (size_t)t->offset * mien_dtype_size(t->dtype) : NULL;
}

/* Scratch is a storage: `mien_storage *s = mien__cuda_scratch(bytes)`, use s->data, release it
 * right after the last launch that uses it. NULL with an error record: no memory. */
static inline mien_storage *mien__cuda_scratch(size_t bytes) {
    return mien__storage_new(MIEN_DEVICE_CUDA, bytes);
}

/* Layouts: maps [N,C,H,W] are kept channels-last (NHWC): plain strided tensors whose strides are
 * H*W*C, 1, W*C, C. Everything else is row-major. What comes in may have any strides. */
bool mien__cuda_is_nhwc(const mien_tensor *t); /* 4-d and dense in that order */
/* Do the elements lie without gaps or repeats, in whatever order of dimensions? Then element-wise
 * kernels run over the n elements from mien__cuda_ptr on, if all tensors share their strides. */
bool mien__cuda_is_dense(const mien_tensor *t);
bool mien__cuda_same_strides(const mien_tensor *a, const mien_tensor *b); /* and shapes */
/* Storage for a header: row-major; NHWC; dense in the order of `model`'s strides when that has the
 * same shape and is dense, else row-major. */
mien_status mien__cuda_alloc(mien_tensor *t);
mien_status mien__cuda_alloc_nhwc(mien_tensor *t);
mien_status mien__cuda_alloc_like(mien_tensor *t, const mien_tensor *model);
/* A retained tensor with t's elements, in `dtype`, dense and row-major / NHWC / with the strides of
 * `model` (same shape): t itself when it is already. NULL with an error record. */
mien_tensor *mien__cuda_as_plain(mien_tensor *t, mien_dtype dtype);
mien_tensor *mien__cuda_as_nhwc(mien_tensor *t, mien_dtype dtype);
mien_tensor *mien__cuda_as_like(mien_tensor *t, const mien_tensor *model, mien_dtype dtype);
/* A plain device tensor of n elements of a dtype, for intermediate results. */
mien_tensor *mien__cuda_vector(mien_dtype dtype, int64_t n);

/* Bytes of the device to the host, after all that was launched before; waits. */
mien_status mien__cuda_read(void *dst, const void *src, size_t bytes);
/* Elements between any strides and dtypes (the same shape), on the stream. */
mien_status mien__cuda_copy(mien_tensor *dst, mien_tensor *src);

/* ---- launches -------------------------------------------------------------------------------- */

/* Blocks of `threads` for n items in a grid-stride loop: enough to fill the device, no more. */
static inline unsigned mien__cuda_grid(int64_t n, int threads) {
    int64_t blocks = (n + threads - 1) / threads,
            most = (int64_t)mien__cuda_context.multiprocs * 32;
    if (blocks > most) blocks = most;
    return blocks > 0 ? (unsigned)blocks : 1u;
}

/* "own:warp4" as the implementation shown in profiles. */
void mien__cuda_set_implementation(mien_op_call *call, const char *implementation);

/* ---- settings -------------------------------------------------------------------------------- */

/* f32 matrix products and convolutions may round their inputs to TF32 (10 bits). */
bool mien__cuda_tf32(void);
/* Only algorithms that give the same bits on every run. Own kernels always do. */
bool mien__cuda_deterministic(void);

/* ---- parts ----------------------------------------------------------------------------------- */

/* A part is a file with `void mien__cuda_part_NAME(mien_backend *table)`, which sets the entries
 * that it serves: table->forward[MIEN_OP_relu] = ... . parts.def lists the parts, one row each:
 * MIEN_CUDA_PART(NAME). They are called once, before the first use; no two set the same entry and
 * none reads one, so their order is nothing. What one part serves only for some calls, it says
 * through mien__cuda_supports_NAME where parts.def has MIEN_CUDA_PART_IF(NAME): `bool
 * mien__cuda_supports_NAME(const mien_op_call *call, bool backward)` is asked for every call, and
 * says true for ops that are not its own. */
#define MIEN_CUDA_PART(name) void mien__cuda_part_##name(mien_backend *table);
#define MIEN_CUDA_PART_IF(name)                                                                    \
    MIEN_CUDA_PART(name) bool mien__cuda_supports_##name(const mien_op_call *call, bool backward);
#include "parts.def"
#undef MIEN_CUDA_PART
#undef MIEN_CUDA_PART_IF

#ifdef __cplusplus
}
#endif
#endif
