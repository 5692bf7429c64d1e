/* Pinned host memory, and copies from it that run beside the GPU's work.
 * Not here: whose batches they bring and in which order (data/carrier.c).
 *
 * A second stream, as one stream would hold each copy back until the step before it is done. Other
 * threads call this while a step is captured: its mode is ThreadLocal, and a fence of the work is
 * only set between steps, so nothing here becomes part of a graph. */
#include "cuda.h"

static void *pin(size_t bytes) {
    void *data = NULL;
    if (mien__cuda_check() != MIEN_OK || mien__not_recorded("it wants pinned memory") != MIEN_OK)
        return NULL;
    cudaError_t error = cudaHostAlloc(&data, bytes, cudaHostAllocDefault);
    if (error == cudaSuccess) return data;
    mien__cuda_fail(error, "cudaHostAlloc", __FILE__, __LINE__);
    return NULL;
}

static void unpin(void *data) {
    if (cudaFreeHost(data) != cudaSuccess) cudaGetLastError();
}

static cudaStream_t queue(bool aside) {
    return aside ? mien__cuda_context.aside : mien__cuda_context.stream;
}

static mien_status bring(mien_tensor *dst, const void *src, size_t bytes) {
    MIEN_TRY(mien__cuda_check());
    if (bytes == 0) return MIEN_OK;
    MIEN_CUDA(cudaMemcpyAsync(mien__cuda_ptr(dst), src, bytes, cudaMemcpyHostToDevice,
                              mien__cuda_context.aside));
    return MIEN_OK;
}

static mien_status fence(void **fence, bool aside) {
    cudaEvent_t event = *fence;
    MIEN_TRY(mien__cuda_check());
    if (!event) MIEN_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    *fence = event;
    MIEN_CUDA(cudaEventRecord(event, queue(aside)));
    return MIEN_OK;
}

static mien_status after(void *fence, bool aside) {
    MIEN_TRY(mien__cuda_check());
    MIEN_CUDA(cudaStreamWaitEvent(queue(aside), fence, 0));
    return MIEN_OK;
}

static mien_status reached(void *fence) {
    MIEN_TRY(mien__cuda_check());
    MIEN_CUDA(cudaEventSynchronize(fence));
    return MIEN_OK;
}

static void unfence(void *fence) {
    if (fence && cudaEventDestroy(fence) != cudaSuccess) cudaGetLastError();
}

void mien__cuda_part_input(mien_backend *table) {
    mien__device *memory = &table->memory;
    memory->pin = pin;
    memory->unpin = unpin;
    memory->upload_aside = bring;
    memory->event_record = fence;
    memory->event_wait = after;
    memory->event_synchronize = reached;
    memory->event_free = unfence;
}
