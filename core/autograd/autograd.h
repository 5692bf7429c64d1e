/* The tape: which op made which tensor, and the walk back.
 * Not here: the derivative of any op (the backends hold forward and backward side by side). */
#ifndef MIEN_AUTOGRAD_H
#define MIEN_AUTOGRAD_H
#include "../ops/ops.h"

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
 * recording off) from `inputs`; the node's gradients are pulled by mien_backward_next. */
mien_status mien_tape_custom(mien_tensor *const *inputs, int n_inputs, mien_tensor *const *outputs,
                             int n_outputs, int64_t *id);
/* Pull-style walk for losses above custom ops: like mien_backward, but stops at each custom node.
 * Start with `loss`; then call with loss NULL. Returns 1 when custom node *id wants its gradients
 * (dout[i] new references, NULL where none flows; give mien_backward_give the input gradients),
 * 0 when the walk is over, -1 on an error. */
int mien_backward_next(mien_tensor *loss, mien_tensor *seed, int64_t *id, mien_tensor **dout,
                       int n_dout);
mien_status mien_backward_give(int64_t id, mien_tensor *const *din, int n_din);
/* cdef:end */

struct mien_node;
/* Called by mien_op_run: records `call` when an input wants a gradient. */
mien_status mien__tape_record(const mien_op_call *call, int n_in, int n_out);
void mien__node_retain(struct mien_node *node);
void mien__node_release(struct mien_node *node);
#endif
