/* Tensors: a refcounted view (shape, strides, dtype) over a refcounted, pooled storage.
 * Not here: arithmetic (ops/) and gradients (autograd/). */
#ifndef MIEN_TENSOR_H
#define MIEN_TENSOR_H
#include "base/status.h"

/* cdef:begin */
typedef enum mien_dtype {
    MIEN_F32 = 0,
    MIEN_BF16,
    MIEN_F16,
    MIEN_F64,
    MIEN_U8,
    MIEN_I32,
    MIEN_I64,
    MIEN_I8
} mien_dtype;

typedef enum mien_device { MIEN_DEVICE_CPU = 0, MIEN_DEVICE_CUDA } mien_device;

typedef struct mien_tensor mien_tensor;

typedef struct mien_memory_stats {
    int64_t live_bytes;   /* in tensors that somebody holds */
    int64_t pooled_bytes; /* kept for the next step */
    int64_t peak_bytes;   /* highest live_bytes since the last reset */
    int64_t live_storages;
} mien_memory_stats;

/* A new tensor with unset elements, contiguous; the caller owns one reference.
 * ndim 0 is a scalar. NULL: more than 6 dimensions, a negative size, or out of memory. */
mien_tensor *mien_tensor_new(mien_dtype dtype, mien_device device, int ndim, const int64_t *shape);
mien_tensor *mien_tensor_retain(mien_tensor *t);
/* Gives one reference back; NULL is allowed. The finaliser of Lua's handles. */
void mien_tensor_release(mien_tensor *t);
/* Lets go of the elements now; the handle stays and every later use of it is an error that says
 * so. What the tape has saved for backward is not affected. */
void mien_tensor_free(mien_tensor *t);
bool mien_tensor_is_freed(const mien_tensor *t);

int mien_tensor_ndim(const mien_tensor *t);
/* Size and stride (in elements) of a 0-based dimension. */
int64_t mien_tensor_size(const mien_tensor *t, int dim);
int64_t mien_tensor_stride(const mien_tensor *t, int dim);
int64_t mien_tensor_count(const mien_tensor *t);
mien_dtype mien_tensor_dtype(const mien_tensor *t);
mien_device mien_tensor_device(const mien_tensor *t);
const char *mien_dtype_name(mien_dtype dtype);
size_t mien_dtype_size(mien_dtype dtype);
const char *mien_tensor_name(const mien_tensor *t);
void mien_tensor_set_name(mien_tensor *t, const char *name);
/* Elements per channel block when a backend keeps the tensor in a layout of its own, else 0. */
int mien_tensor_block(const mien_tensor *t);

/* Address of element 0 on the host; brings the tensor into the plain strided layout first, and
 * drops a backend's packed copies: reading and writing are fine until the next op that uses t. Ask
 * anew after each: through an address that was kept, backward and packed copies see no write, an op
 * may have moved the elements to another layout, and a freed tensor's are somebody else's.
 * NaNs in f32 and f64 lose their payloads here, as everywhere on the way to Lua (nan.h).
 * NULL with an error when it was freed or lives on another device. */
void *mien_tensor_data(mien_tensor *t);
/* Element at 0-based `index` (ndim numbers) as a double. */
mien_status mien_tensor_get(mien_tensor *t, const int64_t *index, double *value);
mien_status mien_tensor_set(mien_tensor *t, const int64_t *index, double value);
/* Copies all elements in row-major order to or from doubles; n must equal the count. */
mien_status mien_tensor_read(mien_tensor *t, double *values, int64_t n);
mien_status mien_tensor_write(mien_tensor *t, const double *values, int64_t n);
mien_status mien_tensor_fill(mien_tensor *t, double value);
/* dst gets src's elements, converted between dtypes, strides and layouts; shapes must be equal.
 * f32 to bf16/f16 rounds to nearest even; to an integer truncates and saturates, NaN gives 0. */
mien_status mien_tensor_copy(mien_tensor *dst, mien_tensor *src);
/* A new tensor of the same elements in another dtype or device (a copy, also when nothing
 * changes). Without gradient history. */
mien_tensor *mien_tensor_to(mien_tensor *t, mien_dtype dtype, mien_device device);
/* Brings the elements to another device in place: whoever holds t (a module, an optimiser) has it
 * there. Other views of its elements stay where they are; a gradient is dropped. Error: t was made
 * by a recorded op. */
mien_status mien_tensor_move(mien_tensor *t, mien_device device);
/* A view without gradient history that shares the elements. */
mien_tensor *mien_tensor_detach(mien_tensor *t);
/* mean, standard deviation (1/n), minimum, maximum and number of non-finite elements. */
mien_status mien_tensor_summary(mien_tensor *t, double out[5]);
/* `*finite` tells whether every element is. */
mien_status mien_tensor_is_finite(mien_tensor *t, bool *finite);

void mien_memory(mien_device device, mien_memory_stats *stats);
void mien_memory_reset_peak(mien_device device);
/* Gives pooled pages back to the system. */
void mien_memory_trim(mien_device device);
/* cdef:end */

/* ---- inside ---------------------------------------------------------------------------------- */

#define MIEN_MAX_DIMS 6

/* Where storages get their bytes from, see storage.c. */
typedef struct mien__pool mien__pool;

typedef struct mien_storage {
    int refs; /* atomic */
    mien_device device;
    size_t bytes;     /* of the request */
    size_t capacity;  /* what the pool gave */
    void *data;       /* 64-byte aligned */
    mien__pool *pool; /* where it came from; NULL: lent by somebody else, see below */
    void (*give_back)(void *data, size_t bytes); /* of what was lent */
    int captures;                                /* of the references: those of captures */
    uint64_t version; /* counts writes: caches of derived layouts and the tape compare it */
    void *packed;     /* a backend's re-laid-out copy of these weights (see cpu/pack.h); here and
                         not in the tensor, so that what the tape saved finds it as well */
    void (*packed_release)(void *packed);
} mien_storage;

/* A storage with one reference and unset bytes from the device's pool. NULL: no memory. */
mien_storage *mien__storage_new(mien_device device, size_t bytes);
mien_storage *mien__storage_in(mien__pool *pool, size_t bytes);
/* A storage over host memory that is somebody else's, such as a mapped file; the last reference
 * gives it back. It may be written to. NULL: no memory; then it was given back. */
mien_storage *mien__storage_lent(void *data, size_t bytes,
                                 void (*give_back)(void *data, size_t bytes));
/* A pool whose blocks nobody else gets. It keeps them until its last owner has released it; those
 * that are in use then go with their storages. While it has several owners, a request may take any
 * block that is large enough: what they do takes turns, with the same sizes or smaller ones. */
mien__pool *mien__pool_new(mien_device device);
mien__pool *mien__pool_retain(mien__pool *pool);
void mien__pool_release(mien__pool *pool); /* NULL is allowed */
/* New storages of a device come from `pool` from now on, NULL: from the common one; gives what it
 * was. */
mien__pool *mien__pool_use(mien_device device, mien__pool *pool);
mien_storage *mien__storage_retain(mien_storage *storage);
void mien__storage_release(mien_storage *storage); /* NULL is allowed */
void mien__storage_drop_packed(mien_storage *storage);
/* Host memory, 64-byte aligned, large blocks on huge pages; no pooling. */
void *mien__host_alloc(size_t bytes);
void mien__host_free(void *data, size_t bytes);

struct mien_node;

struct mien_tensor {
    int refs; /* atomic */
    mien_dtype dtype;
    mien_device device;
    int ndim;
    int64_t shape[MIEN_MAX_DIMS];
    int64_t stride[MIEN_MAX_DIMS]; /* elements; meaningless while block > 0 */
    int64_t offset;                /* elements */
    int block; /* 0: plain. 8 or 16: nC[HW]{block}c, 4-d, channels padded up with zeros to a
                  multiple of block, offset 0, the whole storage */
    mien_storage *storage; /* NULL: not allocated yet (inside an op) or freed */
    bool requires_grad;
    mien_tensor *grad;      /* leaf tensors: accumulated gradient */
    struct mien_node *node; /* tensors made by an op on the tape: who made it */
    int node_output;        /* which output of that op */
    bool rehearsed;         /* made in a rehearsal (autograd.h) from what wants a gradient */
    char *name;
};

/* Error that names `who` when t is NULL or was freed. */
mien_status mien__tensor_check(const mien_tensor *t, const char *who);
/* mien_tensor_data for C, which may see any NaN. */
void *mien__tensor_data(mien_tensor *t);
/* A header without storage: what ops hand to a backend, which allocates it. */
mien_tensor *mien__tensor_header(mien_dtype dtype, mien_device device, int ndim,
                                 const int64_t *shape);
/* Gives a header storage: plain contiguous (block 0) or blocked. Poisons it with NaN in debug. */
mien_status mien__tensor_alloc(mien_tensor *t, int block);
/* Another header over the same storage, same strides; no gradient history. NULL: no memory. */
mien_tensor *mien__tensor_alias(mien_tensor *t);
/* Makes a header of t's shape that has no elements such a one. */
void mien__tensor_share(mien_tensor *header, const mien_tensor *t);
bool mien__tensor_is_contiguous(const mien_tensor *t);
/* Brings t into the plain layout in place (other views of the storage keep theirs). */
mien_status mien__tensor_make_plain(mien_tensor *t);
/* A retained tensor with the same elements that is plain and contiguous: t itself when it is. */
mien_tensor *mien__tensor_contiguous(mien_tensor *t);
/* Call after writing elements, so that packed copies are made anew. */
void mien__tensor_touch(mien_tensor *t);
/* What the layers above are told of tensors. */
typedef struct mien__tensor_hooks {
    /* A tensor lets go of its node; set by autograd. */
    void (*release_node)(struct mien_node *node);
    /* While a step is recorded (run/capture.c), else NULL: each write (mien__tensor_touch) to a
     * GPU's tensor, and each read (mien__tensor_read) of one by ops and copies. */
    void (*watch)(mien_storage *storage, bool written);
} mien__tensor_hooks;
extern mien__tensor_hooks mien__hooks;
static inline void mien__tensor_read(const mien_tensor *t) {
    if (mien__hooks.watch && t && t->storage && t->device == MIEN_DEVICE_CUDA)
        mien__hooks.watch(t->storage, false);
}
/* Elements between any two host layouts and dtypes, same shape; one value everywhere. Both serve
 * every backend table of the CPU; the public functions check, these do not. */
mien_status mien__host_copy(mien_tensor *dst, mien_tensor *src);
mien_status mien__host_fill(mien_tensor *t, double value);
/* Zeroes the channels of a blocked host tensor that only pad its last block. */
void mien__host_zero_padding(mien_tensor *t);
/* n elements that lie side by side on the host, to doubles. */
void mien__host_doubles(double *dst, const void *src, mien_dtype dtype, int64_t n);
static inline bool mien__dtype_is_float(mien_dtype dtype) {
    return dtype <= MIEN_F64;
}
static inline bool mien__same_shape(const mien_tensor *a, const mien_tensor *b) {
    bool same = a->ndim == b->ndim;
    for (int i = 0; same && i < a->ndim; i++) same = a->shape[i] == b->shape[i];
    return same;
}
/* The same shape, dtype and device. */
static inline bool mien__same_kind(const mien_tensor *a, const mien_tensor *b) {
    return mien__same_shape(a, b) && a->dtype == b->dtype && a->device == b->device;
}
/* Bytes of the elements of n tensors; NULLs and those without elements have none. */
int64_t mien__bytes_of(mien_tensor *const *tensors, int n);
/* "[2,150,2048]" into a caller's buffer; returns it. */
const char *mien__shape_text(const mien_tensor *t, char *buffer, size_t size);
#endif
