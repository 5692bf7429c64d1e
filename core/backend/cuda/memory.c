/* Memory of the GPU: allocation for the pool, transfers, and tensors in the layouts that ops want.
 * Not here: the pool (tensor/storage.c), conversion kernels (convert.cu). */
#include "backend/record.h"
#include "convert.h"
#include "cuda.h"

#include <string.h>

static void *device_alloc(size_t bytes) {
    void *data = NULL;
    if (mien__cuda_check() != MIEN_OK || mien__not_recorded("it wants more memory") != MIEN_OK)
        return NULL;
    cudaError_t error = cudaMalloc(&data, bytes);
    if (error == cudaSuccess) return data;
    mien__cuda_fail(error, "cudaMalloc", __FILE__, __LINE__);
    return NULL;
}

/* Waits for the device: nothing that still runs can use the block. A lost context frees nothing. */
static void device_free(void *data, size_t bytes) {
    (void)bytes;
    if (cudaFree(data) != cudaSuccess) cudaGetLastError();
}

/* Pageable host memory is copied aside before the call returns, so `src` may change at once. */
static mien_status upload(mien_tensor *dst, const void *src, size_t bytes) {
    MIEN_TRY(mien__cuda_check());
    MIEN_TRY(mien__not_recorded("it brings numbers of the host to the GPU"));
    if (bytes == 0) return MIEN_OK;
    MIEN_CUDA(cudaMemcpyAsync(mien__cuda_ptr(dst), src, bytes, cudaMemcpyHostToDevice,
                              mien__cuda_context.stream));
    return MIEN_OK;
}

mien_status mien__cuda_read(void *dst, const void *src, size_t bytes) {
    MIEN_TRY(mien__cuda_check());
    MIEN_TRY(mien__not_recorded("it reads a number back from the GPU"));
    if (bytes > 0)
        MIEN_CUDA(
            cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToHost, mien__cuda_context.stream));
    MIEN_CUDA(cudaStreamSynchronize(mien__cuda_context.stream));
    return MIEN_OK;
}

static mien_status download(void *dst, mien_tensor *src, size_t bytes) {
    return mien__cuda_read(dst, mien__cuda_ptr(src), bytes);
}

void mien__cuda_part_memory(mien_backend *table) {
    mien__device *memory = &table->memory;
    memory->alloc = device_alloc;
    memory->free = device_free;
    memory->upload = upload;
    memory->download = download;
    memory->copy = mien__cuda_copy;
    memory->fill = mien__cuda_fill;
}

/* ---- layouts --------------------------------------------------------------------------------- */

static void nhwc_strides(const mien_tensor *t, int64_t stride[4]) {
    stride[1] = 1;
    stride[3] = t->shape[1];
    stride[2] = t->shape[3] * stride[3];
    stride[0] = t->shape[2] * stride[2];
}

static bool has_strides(const mien_tensor *t, const int64_t *stride) {
    for (int i = 0; i < t->ndim; i++)
        if (t->shape[i] > 1 && t->stride[i] != stride[i]) return false;
    return true;
}

bool mien__cuda_is_nhwc(const mien_tensor *t) {
    int64_t stride[4];
    if (t->ndim != 4) return false;
    nhwc_strides(t, stride);
    return has_strides(t, stride);
}

bool mien__cuda_is_dense(const mien_tensor *t) {
    /* Sorted by stride, each dimension starts where those before it end. */
    int order[MIEN_MAX_DIMS], n = 0;
    for (int i = 0; i < t->ndim; i++) {
        if (t->shape[i] == 0) return true;
        if (t->shape[i] == 1) continue;
        int at = n++;
        for (; at > 0 && t->stride[order[at - 1]] > t->stride[i]; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    int64_t stride = 1;
    for (int i = 0; i < n; i++) {
        if (t->stride[order[i]] != stride) return false;
        stride *= t->shape[order[i]];
    }
    return true;
}

bool mien__cuda_same_strides(const mien_tensor *a, const mien_tensor *b) {
    if (!mien__same_shape(a, b)) return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->shape[i] > 1 && a->stride[i] != b->stride[i]) return false;
    return true;
}

mien_status mien__cuda_alloc(mien_tensor *t) {
    return mien__tensor_alloc(t, 0);
}

mien_status mien__cuda_alloc_nhwc(mien_tensor *t) {
    MIEN_TRY(mien__tensor_alloc(t, 0));
    nhwc_strides(t, t->stride);
    return MIEN_OK;
}

mien_status mien__cuda_alloc_like(mien_tensor *t, const mien_tensor *model) {
    bool same = t->ndim == model->ndim;
    for (int i = 0; same && i < t->ndim; i++) same = t->shape[i] == model->shape[i];
    int64_t stride[MIEN_MAX_DIMS]; /* model may be t itself */
    memcpy(stride, model->stride, sizeof stride);
    bool dense = same && mien__cuda_is_dense(model);
    MIEN_TRY(mien__tensor_alloc(t, 0));
    if (dense) memcpy(t->stride, stride, sizeof stride);
    return MIEN_OK;
}

/* A new tensor of t's shape in `dtype` with these strides (NULL: row-major) and t's elements. */
static mien_tensor *converted(mien_tensor *t, mien_dtype dtype, const int64_t *stride) {
    mien_tensor *copy = mien_tensor_new(dtype, MIEN_DEVICE_CUDA, t->ndim, t->shape);
    if (!copy) return NULL;
    if (stride) memcpy(copy->stride, stride, (size_t)t->ndim * sizeof *stride);
    if (mien__cuda_copy(copy, t) == MIEN_OK) return copy;
    mien_tensor_release(copy);
    return NULL;
}

mien_tensor *mien__cuda_as_plain(mien_tensor *t, mien_dtype dtype) {
    if (t->dtype == dtype && mien__tensor_is_contiguous(t)) return mien_tensor_retain(t);
    return converted(t, dtype, NULL);
}

mien_tensor *mien__cuda_as_nhwc(mien_tensor *t, mien_dtype dtype) {
    int64_t stride[4];
    if (t->dtype == dtype && mien__cuda_is_nhwc(t)) return mien_tensor_retain(t);
    nhwc_strides(t, stride);
    return converted(t, dtype, stride);
}

mien_tensor *mien__cuda_as_like(mien_tensor *t, const mien_tensor *model, mien_dtype dtype) {
    if (!mien__cuda_is_dense(model)) return mien__cuda_as_plain(t, dtype);
    if (t->dtype == dtype && mien__cuda_same_strides(t, model)) return mien_tensor_retain(t);
    return converted(t, dtype, model->stride);
}

mien_tensor *mien__cuda_vector(mien_dtype dtype, int64_t n) {
    return mien_tensor_new(dtype, MIEN_DEVICE_CUDA, 1, &n);
}
