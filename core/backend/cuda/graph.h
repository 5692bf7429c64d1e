/* cuDNN's backend descriptors in fewer words, and the operation graph of a convolution.
 * Not here: which engine runs a graph (plan.c). */
#ifndef MIEN_GRAPH_H
#define MIEN_GRAPH_H
#include "plan.h"
#include "vendor.h"

typedef cudnnBackendDescriptor_t mien__descriptor;

/* A new descriptor; NULL with an error record. */
mien__descriptor mien__descriptor_new(cudnnBackendDescriptorType_t type);
void mien__descriptor_free(mien__descriptor d); /* NULL is allowed */
mien_status mien__descriptor_set(mien__descriptor d, cudnnBackendAttributeName_t name,
                                 cudnnBackendAttributeType_t type, int64_t count,
                                 const void *values);
mien_status mien__descriptor_finalize(mien__descriptor d);

/* Numbers of the tensors in every graph. */
enum { MIEN_UID_X = 1, MIEN_UID_W, MIEN_UID_Y, MIEN_UID_BIAS, MIEN_UID_RESIDUAL };

/* All descriptors that a graph is made of, freed together. */
typedef struct mien__graph {
    mien__descriptor made[32];
    int count;
    mien__descriptor graph; /* one of them */
} mien__graph;
/* handle NULL: for a device that is only described. */
mien_status mien__graph_build(mien__graph *g, const mien__cudnn_conv_case *c, cudnnHandle_t handle);
void mien__graph_free(mien__graph *g);
#endif
