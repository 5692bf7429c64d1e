/* A walk under way: what walk.c and walk_lua.c share.
 * Not here: the public functions (autograd.h). */
#ifndef MIEN_WALK_H
#define MIEN_WALK_H
#include "node.h"

/* A gradient on its way into a leaf. Leaves get theirs when the whole walk has succeeded. */
typedef struct pending {
    mien_tensor *leaf, *grad;
} pending;

struct mien_walk {
    mien_node **heap; /* retained nodes that gradients have reached, the newest on top */
    size_t count, room;
    pending *leaves; /* open addressing by leaf, room a power of two */
    size_t n_leaves, leaf_room;
    mien_node *waiting; /* the node that Lua owes an answer for */
    bool over, failed;
};

/* May the walk write into t? Not when anybody else can see the elements, or when one element
 * stands for many. */
bool mien__walk_owns(const mien_tensor *t);
/* Where the gradient along an edge is collected; puts the node into the heap when it is the first
 * to arrive. NULL with an error. */
mien_tensor **mien__walk_slot(mien_walk *w, const mien_edge *edge);
/* Adds g, whose reference is taken, to what is in the slot. The first to arrive is just kept. */
mien_status mien__walk_add(mien_tensor **slot, mien_tensor *g);
/* Hands the gradients that reached a custom node to the caller, who owns them from then on. */
mien_status mien__walk_hand_over(mien_walk *w, mien_node *node, mien_tensor **dout, int n_dout);
#endif
