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

#define MIEN_NODE_CUSTOM    (-1)
#define MIEN_NODE_RECOMPUTE (-2)

/* Tensors hold their node, nodes hold the nodes of their inputs: never the other way round, so
 * there are no cycles. What backward reads is held by aliases, which have no node. */
typedef struct mien_node {
    int refs;   /* atomic */
    int op;     /* mien_op, MIEN_NODE_CUSTOM or MIEN_NODE_RECOMPUTE */
    int64_t id; /* order of creation: inputs have smaller ones */
    int n_in, n_out;
    bool walked;            /* a walk has passed; everything below was dropped */
    bool announced;         /* custom: mien_tape_dropped knows */
    struct mien_walk *walk; /* the walk that has put gradients here */
    int64_t stamp;          /* of the last check that has come by */
    struct mien_node *next; /* while many nodes are being let go */
    /* Makes output 0 once more from what the node saved: then neither it nor the ops that read
     * the output keep the elements. NULL: they do. */
    mien_op_fn remake;
    const struct mien_backend *served; /* who ran the op; NULL: a view, or Lua */
    const mien_storage *made;          /* where output 0 was, to compare alone */
    bool overwritten;                  /* output 0 was changed in place before another op read it */
    unsigned remade; /* inputs (bits) whose elements the nodes that made them make again */
    double attr[MIEN_OP_MAX_ATTR];
    mien_edge *edges;        /* n_in */
    mien_tensor **in, **out; /* aliases of what was saved, else headers; NULL: absent */
    uint64_t *versions;      /* n_in + n_out: of the saved storages */
    mien_tensor **grads;     /* n_out: gradients that have arrived */
} mien_node;

/* Gives output 0 its elements again when the node has dropped them; they stay with the node until
 * it is finished. */
mien_status mien__node_remake(mien_node *node);
/* Error when something saved was changed in place meanwhile. */
mien_status mien__node_check_saved(const mien_node *node);
/* What input i was: elements and all. NULL with an error. Borrowed. */
mien_tensor *mien__node_input(mien_node *node, int i);
const char *mien__node_name(const mien_node *node);
/* Lets go of edges and of all that was saved; the walk has no further use for the node. */
void mien__node_finish(mien_node *node);
bool mien__tape_rehearsing(void);
/* A number that no node and no check had before. */
int64_t mien__tape_count(void);
#endif
