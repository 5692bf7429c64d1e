/* The tape: which op made which tensor, and the walk back.
 * Not here: the derivative of any op (the backends hold forward and backward side by side). */
#ifndef MIEN_AUTOGRAD_H
#define MIEN_AUTOGRAD_H
#include "ops/ops.h"

/* cdef:begin */
/* Recording is on by default and per thread; returns what it was. */
bool mien_grad_enable(bool on);
bool mien_grad_enabled(void);
/* Marks a leaf (a parameter) whose gradient is wanted. Error: t was made by a recorded op. */
mien_status mien_tensor_set_requires_grad(mien_tensor *t, bool on);
/* True for such leaves and for what recorded ops made from them. */
bool mien_tensor_requires_grad(const mien_tensor *t);
/* The accumulated gradient of a leaf as a new reference, or NULL when there is none (no error). */
mien_tensor *mien_tensor_grad(mien_tensor *t);
/* Sets the gradient of a leaf (same shape and dtype); NULL drops it. */
mien_status mien_tensor_set_grad(mien_tensor *t, mien_tensor *grad);
/* Walks back from `loss` and adds to the gradient of every leaf; what each op saved is dropped
 * on the way, so a second walk over the same ops is an error. `seed` is d/d(loss), NULL means
 * ones (then loss must hold one element). */
mien_status mien_backward(mien_tensor *loss, mien_tensor *seed);
/* An op written in Lua: records a node that makes `outputs` (plain results of Lua code run with
 * recording off) from `inputs`, and gives its number; 0 when recording is off or no input wants a
 * gradient (then nothing is recorded). A walk stops at it and asks for its input gradients. */
mien_status mien_tape_custom(mien_tensor *const *inputs, int n_inputs, mien_tensor *const *outputs,
                             int n_outputs, int64_t *id);
/* Recomputation, for mien.recompute. During a rehearsal ops run to the same bits as recorded ones,
 * but nothing is recorded: what they make is only marked as wanting a gradient. Returns what it
 * was; per thread. */
bool mien_tape_rehearse(bool on);
/* Records one node that stands for the ops of a rehearsal that made `outputs` from `inputs`, and
 * gives its number; 0 when none of the outputs wants a gradient. It keeps the inputs' elements. A
 * walk stops at it and asks for the outputs once more (mien_walk_through). */
mien_status mien_tape_recompute(mien_tensor *const *inputs, int n_inputs,
                                mien_tensor *const *outputs, int n_outputs, int64_t *id);
/* Batch norm's outputs are dropped after the forward pass and made again in backward where that is
 * cheap; on = true keeps them: when backward follows at once, and to compare. Returns what it was;
 * per thread. */
bool mien_tape_keep_all(bool on);
/* True for leaves that want a gradient, false for what ops made. */
bool mien_tensor_is_leaf(const mien_tensor *t);
/* Numbers of custom nodes that are gone (walked or dropped), each given once, so that Lua can let
 * go of what it kept for them; false when there is none. */
bool mien_tape_dropped(int64_t *id);
/* mien_backward in steps, for losses above custom nodes. Walks may be nested: a custom node's
 * gradient may be found by another walk. Leaves get their gradients when `next` has returned 0;
 * a walk freed before has changed no gradient. NULL with an error: see mien_backward. */
typedef struct mien_walk mien_walk;
mien_walk *mien_walk_new(mien_tensor *loss, mien_tensor *seed);
/* 2: recomputed node *id wants its outputs again: get its inputs by mien_walk_inputs, run the same
 * code with recording on, answer with mien_walk_through before the next call.
 * 1: custom node *id wants its gradients: dout[i] are new references for its outputs, NULL where
 * none flows and beyond them; n_dout is the room in dout, fewer than there are outputs is an
 * error. Answer with mien_walk_give before the next call. 0: over. -1: an error. */
int mien_walk_next(mien_walk *walk, int64_t *id, mien_tensor **dout, int n_dout);
/* Gradients of the custom node's inputs, in their shapes; NULL where none flows. */
mien_status mien_walk_give(mien_walk *walk, mien_tensor *const *din, int n_din);
/* The inputs of the recomputed node as they were, n_in new references. Their gradients flow on to
 * what made them; a leaf is the leaf itself. */
mien_status mien_walk_inputs(mien_walk *walk, mien_tensor **in, int n_in);
/* The outputs of the recomputed node, made again: the walk goes on through what made them. */
mien_status mien_walk_through(mien_walk *walk, mien_tensor *const *outputs, int n_outputs);
void mien_walk_free(mien_walk *walk);
/* cdef:end */

struct mien_node;
/* Called by mien_op_run when an input wants a gradient: `begin` before the op runs takes all memory
 * that recording needs (*node stays NULL in a rehearsal), `end` after it has run cannot fail. */
mien_status mien__tape_begin(const mien_op_call *call, int n_in, int n_out,
                             struct mien_node **node);
void mien__tape_end(struct mien_node *node, const mien_op_call *call, int n_out);
void mien__node_retain(struct mien_node *node);
void mien__node_release(struct mien_node *node);
#endif
