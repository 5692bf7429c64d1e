/* Recording a step as a CUDA graph and launching it.
 * Not here: whose memory a step uses and which numbers it is fed (run/capture.c), pinned memory
 * (input.c).
 *
 * A capture on this backend's one stream. What a recorded step must not do is asked for where it
 * would be done (mien__not_recorded), so that the error names it; mode ThreadLocal makes CUDA
 * refuse what slips through, but not what threads that read batches do. */
#include "backend/record.h"

#include <stdlib.h>

#include "cuda.h"

typedef struct made {
    cudaGraphExec_t step;
    cudaEvent_t done; /* of the last launch */
} made;

static mien_status record(void *to, const void *from, size_t bytes) {
    cudaStream_t stream = mien__cuda_context.stream;
    MIEN_TRY(mien__cuda_check());
    MIEN_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    cudaError_t error = cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream);
    if (error == cudaSuccess) return MIEN_OK;
    cudaGraph_t graph = NULL;
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess) cudaGraphDestroy(graph);
    return mien__cuda_fail(error, "cudaMemcpyAsync into a capture", __FILE__, __LINE__);
}

static void forget(void *data) {
    made *m = data;
    if (m->done) cudaEventDestroy(m->done);
    if (m->step) cudaGraphExecDestroy(m->step); /* CUDA waits for a launch that is under way */
    free(m);
}

static mien_status make(cudaGraph_t graph, made *m) {
    MIEN_CUDA(cudaEventCreateWithFlags(&m->done, cudaEventDisableTiming));
    MIEN_CUDA(cudaGraphInstantiate(&m->step, graph, 0));
    MIEN_CUDA(cudaGraphUpload(m->step, mien__cuda_context.stream));
    return MIEN_OK;
}

static mien_status recorded(bool keep, void **out) {
    cudaGraph_t graph = NULL;
    cudaError_t error = cudaStreamEndCapture(mien__cuda_context.stream, &graph);
    mien_status status = MIEN_OK;
    if (error != cudaSuccess && keep) {
        status = mien__cuda_fail(error, "cudaStreamEndCapture", __FILE__, __LINE__);
    } else if (error != cudaSuccess) {
        cudaGetLastError(); /* what went wrong was told where it did */
    } else if (keep) {
        made *m = calloc(1, sizeof *m);
        status = m ? make(graph, m)
                   : mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "capture: no memory");
        if (status == MIEN_OK)
            *out = m;
        else if (m)
            forget(m);
    }
    if (graph) cudaGraphDestroy(graph);
    return status;
}

static mien_status replay(void *data) {
    made *m = data;
    MIEN_TRY(mien__cuda_check());
    MIEN_CUDA(cudaGraphLaunch(m->step, mien__cuda_context.stream));
    MIEN_CUDA(cudaEventRecord(m->done, mien__cuda_context.stream));
    return MIEN_OK;
}

static mien_status settle(void *data) {
    made *m = data;
    MIEN_TRY(mien__cuda_check());
    MIEN_CUDA(cudaEventSynchronize(m->done));
    return MIEN_OK;
}

void mien__cuda_part_capture(mien_backend *table) {
    table->recorder = (mien__recorder){
        .begin = record, .end = recorded, .replay = replay, .wait = settle, .free = forget};
}
