/* The context of the CUDA backend: device, stream, errors, and the table that the parts fill.
 * Not here: finding the libraries (vendor.c), memory (memory.c). */
#include "cuda.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/record.h"
#include "backend/discovery.h"
#include "plugin_abi.h"
#include "vendor.h"

mien__cuda mien__cuda_context;
static char lost[256]; /* the sticky error, once there was one */

/* ---- errors -------------------------------------------------------------------------------- */

/* No driver (35, 34 with the toolkit's stub of it), or a driver without a GPU (100). */
static bool means_no_gpu(cudaError_t error) {
    return error == cudaErrorInsufficientDriver || error == cudaErrorStubLibrary ||
           error == cudaErrorNoDevice;
}

/* Errors after which the context is of no more use: every later call answers the same. */
static bool is_sticky(cudaError_t error) {
    switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorDevicesUnavailable:
    case cudaErrorUnknown:
        return true;
    default:
        return false;
    }
}

mien_status mien__cuda_check(void) {
    if (!lost[0]) return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_VENDOR,
              "cuda: the GPU's context is lost since an earlier error (%s); restart, with "
              "CUDA_LAUNCH_BLOCKING=1 to see which call it was",
              lost);
}

mien_status mien__cuda_fail(cudaError_t error, const char *what, const char *file, int line) {
    if (means_no_gpu(error)) {
        mien__fail(MIEN_ERR_DEVICE, file, line,
                   error == cudaErrorNoDevice
                       ? "cuda: the driver finds no GPU; see `mien doctor`"
                       : "cuda: there is no NVIDIA driver, or it is too old for CUDA %d.%d; see "
                         "`mien doctor`",
                   CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    } else if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* not sticky: the next call starts afresh */
        mien__fail(MIEN_ERR_MEMORY, file, line, "cuda: the GPU's memory is full");
    } else if (is_sticky(error)) {
        if (!lost[0]) snprintf(lost, sizeof lost, "%s: %s", cudaGetErrorName(error), what);
        mien__fail(MIEN_ERR_VENDOR, file, line,
                   "cuda: an operation on the GPU failed and its context is lost; restart");
    } else {
        cudaGetLastError();
        mien__fail(MIEN_ERR_VENDOR, file, line, "cuda: a call was refused");
    }
    mien__fail_cause("%s (%d) from %s", cudaGetErrorString(error), (int)error, what);
    return mien_error_last()->code;
}

/* ---- cuDNN's handle ------------------------------------------------------------------------ */

static pthread_mutex_t cudnn_lock = PTHREAD_MUTEX_INITIALIZER;
static cudnnHandle_t cudnn_handle;

static mien_status make_handle(void) {
    if (cudnn_handle) return MIEN_OK;
    MIEN_CUDNN(cudnnCreate(&cudnn_handle));
    MIEN_CUDNN(cudnnSetStream(cudnn_handle, mien__cuda_context.stream));
    return MIEN_OK;
}

mien_status mien__cudnn_lock(cudnnHandle_t *handle) {
    pthread_mutex_lock(&cudnn_lock);
    mien_status status = make_handle();
    if (status != MIEN_OK) pthread_mutex_unlock(&cudnn_lock);
    *handle = cudnn_handle;
    return status;
}

void mien__cudnn_unlock(void) {
    pthread_mutex_unlock(&cudnn_lock);
}

/* ---- the table ----------------------------------------------------------------------------- */

static const char *describe(void) {
    static char line[256];
    const mien__cuda *c = &mien__cuda_context;
    snprintf(line, sizeof line, "cuda: %s (sm_%d, %.0f GiB), cuDNN %d.%d.%d, own kernels", c->name,
             c->arch, (double)c->memory / 0x1p30, mien__vendor_cudnn_version() / 10000,
             mien__vendor_cudnn_version() / 100 % 100, mien__vendor_cudnn_version() % 100);
    return line;
}

static bool supports(const mien_op_call *call, bool backward) {
#define MIEN_CUDA_PART(name)
#define MIEN_CUDA_PART_IF(name)                                                                    \
    if (!mien__cuda_supports_##name(call, backward)) return false;
#include "parts.def"
#undef MIEN_CUDA_PART
#undef MIEN_CUDA_PART_IF
    return true;
}

static void fill_table(mien_backend *table) {
    table->name = "cuda";
    table->device = MIEN_DEVICE_CUDA;
    table->describe = describe;
    table->supports = supports;
#define MIEN_CUDA_PART(name)    mien__cuda_part_##name(table);
#define MIEN_CUDA_PART_IF(name) mien__cuda_part_##name(table);
#include "parts.def"
#undef MIEN_CUDA_PART
#undef MIEN_CUDA_PART_IF
}

/* ---- opening ------------------------------------------------------------------------------- */

static mien_status set_up(void) {
    mien__cuda *c = &mien__cuda_context;
    int count = 0, major = 0, minor = 0;
    MIEN_CUDA(cudaGetDeviceCount(&count));
    if (count == 0)
        return mien__cuda_fail(cudaErrorNoDevice, "cudaGetDeviceCount", __FILE__, __LINE__);
    MIEN_CUDA(cudaSetDevice(0));
    struct cudaDeviceProp properties;
    MIEN_CUDA(cudaGetDeviceProperties(&properties, 0));
    MIEN_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    MIEN_CUDA(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0));
    snprintf(c->name, sizeof c->name, "%.127s", properties.name);
    c->memory = properties.totalGlobalMem;
    c->multiprocs = properties.multiProcessorCount;
    c->shared_most = (int)properties.sharedMemPerBlockOptin;
    c->arch = major * 10 + minor;
    if (c->arch < 80)
        MIEN_FAIL(MIEN_ERR_DEVICE,
                  "cuda: %s has compute capability %d.%d; 8.0 (Ampere) or newer is needed", c->name,
                  major, minor);
    MIEN_TRY(mien__vendor_open());
    if (!c->stream) MIEN_CUDA(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking));
    if (!c->aside) MIEN_CUDA(cudaStreamCreateWithFlags(&c->aside, cudaStreamNonBlocking));
    return MIEN_OK;
}

/* To be called under discovery.c's lock. */
static const mien_backend *open_backend(void) {
    static mien_backend table;
    if (set_up() != MIEN_OK) return NULL;
    fill_table(&table);
    return &table;
}

static mien_status synchronize(void) {
    MIEN_TRY(mien__cuda_check());
    MIEN_TRY(mien__not_recorded("it waits for the GPU"));
    MIEN_CUDA(cudaStreamSynchronize(mien__cuda_context.stream));
    return MIEN_OK;
}

/* ---- the GPU's clock ---------------------------------------------------------------------- */

static cudaEvent_t marks[MIEN_DEVICE_MARKS]; /* made at their first use; NULL: never set */

static mien_status set_mark(int mark) {
    MIEN_TRY(mien__cuda_check());
    if (!marks[mark]) MIEN_CUDA(cudaEventCreate(&marks[mark]));
    MIEN_CUDA(cudaEventRecord(marks[mark], mien__cuda_context.stream));
    return MIEN_OK;
}

static mien_status between_marks(int from, int to, double *seconds) {
    float ms = 0;
    if (!marks[from] || !marks[to])
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "mark %d on the device's clock was never set",
                  marks[from] ? to : from);
    MIEN_TRY(mien__cuda_check());
    MIEN_CUDA(cudaEventSynchronize(marks[to]));
    MIEN_CUDA(cudaEventElapsedTime(&ms, marks[from], marks[to]));
    *seconds = 1e-3 * (double)ms;
    return MIEN_OK;
}

/* ---- what there is ------------------------------------------------------------------------- */

static void note(mien_cuda_info *info, const char *text) {
    size_t used = strlen(info->missing);
    snprintf(info->missing + used, sizeof info->missing - used, "%s%s", used ? "; " : "", text);
}

static void describe_device(mien_cuda_info *info) {
    int count = 0, major = 0, minor = 0;
    cudaDriverGetVersion(&info->driver);
    cudaRuntimeGetVersion(&info->runtime);
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0) {
        cudaGetLastError();
        if (error == cudaSuccess) error = cudaErrorNoDevice;
        mien__cuda_fail(error, "cudaGetDeviceCount", __FILE__, __LINE__);
        note(info, info->driver == 0 ? "no NVIDIA driver: install the driver of your GPU"
                                     : mien_error_last()->message);
        return;
    }
    struct cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess) return;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    snprintf(info->device, sizeof info->device, "%.127s", properties.name);
    info->memory = (int64_t)properties.totalGlobalMem;
    info->arch = major * 10 + minor;
    info->devices = count;
}

static void get_info(mien_cuda_info *info) {
    describe_device(info);
    if (mien__vendor_open() != MIEN_OK) {
        note(info, mien_error_last()->message);
        info->devices = 0;
    }
    info->cudnn = mien__vendor_cudnn_version();
    info->cublaslt = mien__vendor_cublaslt_version();
    snprintf(info->cudnn_path, sizeof info->cudnn_path, "%s", mien__vendor_cudnn_path());
    snprintf(info->cublaslt_path, sizeof info->cublaslt_path, "%s", mien__vendor_cublaslt_path());
    info->nccl = mien__vendor_nccl(info->nccl_path, sizeof info->nccl_path);
}

const mien__cuda_plugin mien__cuda_plugin_table = {
    .abi = MIEN_PLUGIN_ABI,
    .open = open_backend,
    .info = get_info,
    .synchronize = synchronize,
    .mark = set_mark,
    .between = between_marks,
};

bool mien__cuda_tf32(void) {
    return mien_tf32();
}
bool mien__cuda_deterministic(void) {
    return mien_deterministic();
}
void mien__cuda_set_implementation(mien_op_call *call, const char *implementation) {
    if (call->implementation) snprintf(call->implementation, 64, "%s", implementation);
}
