/* Devices: which there are, what the GPU's libraries are, and settings of their arithmetic.
 * Not here: the libraries themselves (backend/cuda), moving tensors (tensor/). */
#ifndef MIEN_DISCOVERY_H
#define MIEN_DISCOVERY_H
#include "tensor/tensor.h"

/* cdef:begin */
/* What a GPU needs to be used, as found on this machine. */
typedef struct mien_cuda_info {
    int devices;      /* GPUs that can be used; 0: `missing` says why */
    int built;        /* 1: libmien_cuda.so is there and opens */
    int driver;       /* CUDA version of the driver, 13000 for 13.0; 0: no driver */
    int runtime;      /* CUDA version that libmien_cuda.so was built with */
    int arch;         /* 90 for compute capability 9.0 */
    int cudnn;        /* 91900 for 9.19.0; 0: not found */
    int cublaslt;     /* 130000 for 13.0.0; 0: not found */
    int nccl;         /* 22703 for 2.27.3; 0: not found, and not needed */
    int64_t memory;   /* bytes of the first GPU */
    char device[128]; /* its name */
    char cudnn_path[512];
    char cublaslt_path[512];
    char nccl_path[512];
    char missing[768]; /* what is missing and what to do about it; empty: nothing */
} mien_cuda_info;

/* Looks for the GPU and its libraries; never an error. */
void mien_cuda_info_get(mien_cuda_info *info);
/* Number of usable devices of a kind; 0 with an error record that tells what is missing. */
int mien_device_count(mien_device device);
/* "cpu", "cuda" (an error that names what is missing when no GPU can be used), or "auto": a GPU
 * when one can be used, else the CPU. */
mien_status mien_device_choose(const char *name, mien_device *device);
/* Waits until a device has done all it was given: errors of launched work appear here. */
mien_status mien_device_synchronize(mien_device device);
/* A stopwatch that waits for nothing: a mark is where the work that a device was given so far ends.
 * There are MIEN_DEVICE_MARKS of them, from 0 on; a mark that is set again forgets its earlier
 * place. */
enum { MIEN_DEVICE_MARKS = 256 };
mien_status mien_device_mark(mien_device device, int mark);
/* Seconds of the device's own clock from one mark to a later one; waits until it has come there. */
mien_status mien_device_between(mien_device device, int from, int to, double *seconds);

/* May f32 convolutions and matrix products on a GPU round their inputs to TF32? Off at first. */
void mien_tf32_set(bool on);
bool mien_tf32(void);
/* The same bits on every run, on a GPU too, at some cost in speed? On at first. */
void mien_deterministic_set(bool on);
bool mien_deterministic(void);
/* Time the convolution engines of a GPU for each new shape, and keep the fastest in a cache folder
 * on disk? Off at first: then cuDNN's first proposal runs. Runs that share the folder choose alike.
 */
void mien_autotune_set(bool on);
bool mien_autotune(void);
/* cdef:end */

/* What libmien_cuda.so gives; opened by discovery.c, nobody links it. `open` fails with an error
 * record when no GPU can be used. abi: MIEN_PLUGIN_ABI, a number made of the text of the headers it
 * was built with (plugin_abi.h, by cmake/generate.cmake). */
struct mien_backend;
typedef struct mien__cuda_plugin {
    unsigned abi;
    const struct mien_backend *(*open)(void);
    void (*info)(mien_cuda_info *info);
    mien_status (*synchronize)(void);
    mien_status (*mark)(int mark); /* 0 .. MIEN_DEVICE_MARKS - 1 */
    mien_status (*between)(int from, int to, double *seconds);
} mien__cuda_plugin;
#define MIEN_PLUGIN_SYMBOL "mien__cuda_plugin_table"

/* The GPU's backend, opened at the first call; NULL with an error record that tells why. */
const struct mien_backend *mien__cuda_backend(void);
#endif
