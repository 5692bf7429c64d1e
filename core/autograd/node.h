/* A node of the tape: one recorded op, what it saved, and where its gradients go.
 * Not here: the public functions (autograd.h). */
#ifndef MIEN_NODE_H
#define MIEN_NODE_H
#include "autograd.h"

/* Where the gradient of an input goes: to an output of the node that made it, or into a leaf;
 * neither: nobody wants it. */
typedef struct mien_edge {
    struct mien_node *node;
    int output;
    mien_tensor *leaf;
} mien_edge;

#define MIEN_NODE_CUSTOM (-1)

/* Tensors hold their node, nodes hold the nodes of their inputs: never the other way round, so
 * there are no cycles. What backward reads is held by aliases, which have no node. */
typedef struct mien_node {
    int refs;   /* atomic */
    int op;     /* mien_op or MIEN_NODE_CUSTOM */
    int64_t id; /* order of creation: inputs have smaller ones */
    int n_in, n_out;
    bool walked;            /* a walk has passed; everything below was dropped */
    bool announced;         /* custom: mien_tape_dropped knows */
    struct mien_walk *walk; /* the walk that has put gradients here */
    int64_t stamp;          /* of the last check that has come by */
    struct mien_node *next; /* while many nodes are being let go */
    double attr[MIEN_OP_MAX_ATTR];
    mien_edge *edges;        /* n_in */
    mien_tensor **in, **out; /* aliases of what was saved, else headers; NULL: absent */
    uint64_t *versions;      /* n_in + n_out: of the saved storages */
    mien_tensor **grads;     /* n_out: gradients that have arrived */
} mien_node;

/* Lets go of edges and of all that was saved; the walk has no further use for the node. */
void mien__node_finish(mien_node *node);
/* A number that no node and no check had before. */
int64_t mien__tape_count(void);
#endif
