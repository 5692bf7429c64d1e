/* cuDNN and cuBLASLt as tables of function pointers, found at run time: nothing is linked.
 * Not here: what they are used for (conv*.c, blas.c, recurrent.c). */
#ifndef MIEN_VENDOR_H
#define MIEN_VENDOR_H
#include <cublasLt.h>
#include <cudnn.h>

#include "../../tensor/status.h"

#define MIEN_CUDNN_FUNCTIONS(XX)                                                                   \
    XX(cudnnGetVersion)                                                                            \
    XX(cudnnGetErrorString)                                                                        \
    XX(cudnnGetLastErrorString)                                                                    \
    XX(cudnnGraphVersionCheck)                                                                     \
    XX(cudnnOpsVersionCheck)                                                                       \
    XX(cudnnCnnVersionCheck)                                                                       \
    XX(cudnnAdvVersionCheck)                                                                       \
    XX(cudnnCreate)                                                                                \
    XX(cudnnDestroy)                                                                               \
    XX(cudnnSetStream)                                                                             \
    XX(cudnnBackendCreateDescriptor)                                                               \
    XX(cudnnBackendDestroyDescriptor)                                                              \
    XX(cudnnBackendFinalize)                                                                       \
    XX(cudnnBackendSetAttribute)                                                                   \
    XX(cudnnBackendGetAttribute)                                                                   \
    XX(cudnnBackendExecute)                                                                        \
    XX(cudnnCreateTensorDescriptor)                                                                \
    XX(cudnnDestroyTensorDescriptor)                                                               \
    XX(cudnnSetTensorNdDescriptor)                                                                 \
    XX(cudnnGetTensorNdDescriptor)                                                                 \
    XX(cudnnCreateDropoutDescriptor)                                                               \
    XX(cudnnDestroyDropoutDescriptor)                                                              \
    XX(cudnnSetDropoutDescriptor)                                                                  \
    XX(cudnnCreateRNNDescriptor)                                                                   \
    XX(cudnnDestroyRNNDescriptor)                                                                  \
    XX(cudnnSetRNNDescriptor_v8)                                                                   \
    XX(cudnnCreateRNNDataDescriptor)                                                               \
    XX(cudnnDestroyRNNDataDescriptor)                                                              \
    XX(cudnnSetRNNDataDescriptor)                                                                  \
    XX(cudnnGetRNNTempSpaceSizes)                                                                  \
    XX(cudnnGetRNNWeightSpaceSize)                                                                 \
    XX(cudnnGetRNNWeightParams)                                                                    \
    XX(cudnnRNNForward)                                                                            \
    XX(cudnnRNNBackwardData_v8)                                                                    \
    XX(cudnnRNNBackwardWeights_v8)

#define MIEN_CUBLASLT_FUNCTIONS(XX)                                                                \
    XX(cublasLtGetVersion)                                                                         \
    XX(cublasLtGetCudartVersion)                                                                   \
    XX(cublasLtGetStatusString)                                                                    \
    XX(cublasLtCreate)                                                                             \
    XX(cublasLtDestroy)                                                                            \
    XX(cublasLtMatmul)                                                                             \
    XX(cublasLtMatmulAlgoGetHeuristic)                                                             \
    XX(cublasLtMatmulDescCreate)                                                                   \
    XX(cublasLtMatmulDescDestroy)                                                                  \
    XX(cublasLtMatmulDescSetAttribute)                                                             \
    XX(cublasLtMatrixLayoutCreate)                                                                 \
    XX(cublasLtMatrixLayoutDestroy)                                                                \
    XX(cublasLtMatrixLayoutSetAttribute)                                                           \
    XX(cublasLtMatmulPreferenceCreate)                                                             \
    XX(cublasLtMatmulPreferenceDestroy)                                                            \
    XX(cublasLtMatmulPreferenceSetAttribute)

/* lib->cudnnCreate(...) and so on. */
typedef struct mien__vendor {
#define XX(name) __typeof__(&name) name;
    MIEN_CUDNN_FUNCTIONS(XX) MIEN_CUBLASLT_FUNCTIONS(XX)
#undef XX
} mien__vendor;
extern mien__vendor mien__vendor_table;

/* Finds and opens both libraries, once: cuDNN from MIEN_CUDNN_DIR, the loader's own folders, or a
 * Python wheel; all its parts from one folder, since parts of two versions do not work together.
 * Needs no GPU. Errors say what was looked for, and where. */
mien_status mien__vendor_open(void);
int mien__vendor_cudnn_version(void); /* 91900 for 9.19.0; 0: not open */
int mien__vendor_cublaslt_version(void);
const char *mien__vendor_cudnn_path(void); /* "" */
const char *mien__vendor_cublaslt_path(void);

/* MIEN_OK, or an error that names the call and says what the library said. */
mien_status mien__cudnn_check(cudnnStatus_t status, const char *what, const char *file, int line);
mien_status mien__cublas_check(cublasStatus_t status, const char *what, const char *file, int line);
/* cuDNN's handle on the backend's stream, which one thread may use at a time: every call that takes
 * it lies between these two. On failure nothing is locked. */
mien_status mien__cudnn_lock(cudnnHandle_t *handle);
void mien__cudnn_unlock(void);
#define MIEN_CUDNN(call)                                                                           \
    MIEN_TRY(mien__cudnn_check(mien__vendor_table.call, #call, __FILE__, __LINE__))
#define MIEN_CUBLASLT(call)                                                                        \
    MIEN_TRY(mien__cublas_check(mien__vendor_table.call, #call, __FILE__, __LINE__))
#endif
