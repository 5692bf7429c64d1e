/* cuDNN and cuBLASLt as tables of function pointers, found at run time: nothing is linked.
 * Not here: what they are used for (conv.c, blas.c, cudnn_rnn.c). */
#ifndef MIEN_VENDOR_H
#define MIEN_VENDOR_H
#include <cublasLt.h>
#include <cudnn.h>

#include "base/status.h"

/* mien__vendor_table.cudnnCreate(...) and so on. */
typedef struct mien__vendor {
#define CUDNN_ASKED(name) __typeof__(&name) name;
#define CUDNN(name)       __typeof__(&name) name;
#define CUBLASLT(name)    __typeof__(&name) name;
#include "vendor.def"
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
/* NCCL's version, 22703 for 2.27.3, and its file; 0: not found. It is opened to be asked, and
 * closed again: it serves several GPUs, and this backend uses one. */
int mien__vendor_nccl(char *path, size_t size);
/* Deterministic mode: an error when the environment lets cuDNN's RNNs add in any order. */
mien_status mien__vendor_orderly(void);

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
