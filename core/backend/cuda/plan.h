/* Convolutions as cuDNN execution plans: a description in, a plan that can run out.
 * Not here: tensors (conv.c); cuDNN's types, so that tests need no header of it. */
#ifndef MIEN_PLAN_H
#define MIEN_PLAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mien__cudnn_conv_use {
    MIEN_CUDNN_CONV_FORWARD,         /* y = conv(x, w) */
    MIEN_CUDNN_CONV_FUSED,           /* y = relu?(conv(x, w) + bias + residual?) */
    MIEN_CUDNN_CONV_DATA_GRADIENT,   /* dx from dy, w */
    MIEN_CUDNN_CONV_WEIGHT_GRADIENT, /* dw from x, dy */
} mien__cudnn_conv_use;

/* What a plan depends on; compared byte by byte, so all of it is 64 bits wide. All maps are NHWC,
 * weights KRSC, of one dtype (f32, bf16, f16); sums are in f32; bias is f32. */
typedef struct mien__cudnn_conv_case {
    int64_t use, dtype;
    int64_t n, c, h, w, k, r, s, oh, ow;
    int64_t stride_h, stride_w, top, left, bottom, right;
    int64_t residual, relu;
    int64_t tf32, deterministic;
    int64_t compile; /* may the engine's code be compiled when it is planned? about a second each */
} mien__cudnn_conv_case;

/* A plan's tensors, by role. The ones that a use does not have stay NULL. */
typedef struct mien__cudnn_conv_data {
    void *x, *w, *y, *bias, *residual;
} mien__cudnn_conv_data;

/* Runs a case on the context's stream: finds or makes its plan, which stays in a bounded cache, and
 * takes the workspace from the pool. `name` (64 bytes, may be NULL) gets the engine chosen.
 * MIEN_ERR_UNSUPPORTED: cuDNN has no engine for it. Pointers are multiples of 16. */
mien_status mien__cudnn_conv_run(const mien__cudnn_conv_case *c, const mien__cudnn_conv_data *data,
                                 char *name);

/* What cuDNN would do on a device described by JSON, without one: for tests. */
typedef struct mien__cudnn_conv_support {
    int configurations; /* that pass the filters */
    int finalised;      /* 1: the first one that can be finalised was */
    int at_run_time;    /* 1: only engines whose code is compiled when planned (needs a driver) */
    int reloads;        /* 1: the plan was written as text and read again, as the cache does */
    int64_t workspace;
    char engine[64];
} mien__cudnn_conv_support;
mien_status mien__cudnn_conv_probe(const char *device_json, const mien__cudnn_conv_case *c,
                                   mien__cudnn_conv_support *support);

#ifdef __cplusplus
}
#endif
#endif
