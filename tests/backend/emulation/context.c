/* The context, errors and copies that the emulated kernels meet instead of a GPU's.
 * Not here: fibres (emulation.cpp), the layouts' rules, which are the backend's own memory.c. */
#include "backend/cuda/convert.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/layer.h"

/* Few processors, so that loops over the grid take several turns. */
mien__cuda mien__cuda_context = {.arch = 90, .multiprocs = 1, .shared_most = 227 << 10};

mien_status mien__cuda_fail(cudaError_t error, const char *what, const char *file, int line) {
    MIEN_FAIL(MIEN_ERR_VENDOR, "emulation: %s gave %d", what, error);
}
mien_status mien__cuda_check(void) {
    return MIEN_OK;
}
void mien__cuda_set_implementation(mien_op_call *call, const char *implementation) {}
bool mien__cuda_tf32(void) {
    return false;
}
bool mien__cuda_deterministic(void) {
    return true;
}

mien_status mien__cuda_copy(mien_tensor *dst, mien_tensor *src) {
    MIEN_TRY(mien__host_copy(dst, src));
    mien__tensor_touch(dst);
    return MIEN_OK;
}
mien_status mien__cuda_fill(mien_tensor *t, double value) {
    return mien__host_fill(t, value);
}

/* cuDNN's layers: the reference's, or what a test has put here. */
mien_op_fn mien_emulation_rnn_forward, mien_emulation_rnn_backward;

mien_status mien__cudnn_rnn_forward(mien_op_call *call) {
    mien_op_fn there = mien_emulation_rnn_forward;
    return (there ? there : mien__backend_ref.forward[call->op])(call);
}
mien_status mien__cudnn_rnn_backward(mien_op_call *call) {
    mien_op_fn there = mien_emulation_rnn_backward;
    return (there ? there : mien__backend_ref.backward[call->op])(call);
}
