/* Nodes that a walk cannot pass by itself: custom ops and functions that Lua runs again.
 * Not here: the walk (walk.c), what Lua does about them (tensor/grad.lua, tensor/recompute.lua). */
#include <string.h>

#include "walk.h"

/* ---- custom ops ---------------------------------------------------------------------------- */

mien_status mien__walk_hand_over(mien_walk *w, mien_node *node, mien_tensor **dout, int n_dout) {
    if (n_dout < node->n_out)
        MIEN_FAIL(MIEN_ERR_ARGUMENT,
                  "backward: custom op %lld has %d outputs and the caller takes %d gradients; "
                  "losses above custom ops are walked with mien_walk_next",
                  (long long)node->id, node->n_out, n_dout);
    for (int i = 0; i < node->n_out; i++) {
        mien_tensor *g = node->grads[i];
        if (g && !mien__walk_owns(g)) {
            g = mien_tensor_to(g, g->dtype, g->device);
            if (!g) return mien_error_last()->code;
            mien_tensor_release(node->grads[i]);
            node->grads[i] = g;
        }
    }
    memset(dout, 0, (size_t)n_dout * sizeof *dout);
    memcpy(dout, node->grads, (size_t)node->n_out * sizeof *dout);
    memset(node->grads, 0, (size_t)node->n_out * sizeof *dout);
    w->waiting = node;
    return MIEN_OK;
}

/* The node that waited has passed its gradients on, or failed to. */
static mien_status answered(mien_walk *w, mien_status status) {
    mien_node *node = w->waiting;
    w->waiting = NULL;
    w->failed = status != MIEN_OK;
    mien__node_finish(node);
    mien__node_release(node);
    return status;
}

mien_status mien_walk_give(mien_walk *w, mien_tensor *const *din, int n_din) {
    mien_node *node = w->waiting;
    if (!node || node->op != MIEN_NODE_CUSTOM)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "backward: no custom op waits for gradients");
    if (n_din != node->n_in)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "backward: custom op %lld has %d inputs, %d gradients given",
                  (long long)node->id, node->n_in, n_din);
    for (int i = 0; i < n_din; i++) {
        const mien_tensor *t = node->in[i], *g = din[i];
        if (!g) continue;
        MIEN_TRY(mien__tensor_check(g, "backward of a custom op"));
        char a[96], b[96];
        if (!mien__same_kind(g, t))
            MIEN_FAIL(MIEN_ERR_SHAPE,
                      "backward: custom op %lld gives %s%s as the gradient of input %d, %s%s",
                      (long long)node->id, mien_dtype_name(g->dtype),
                      mien__shape_text(g, a, sizeof a), i + 1, mien_dtype_name(t->dtype),
                      mien__shape_text(t, b, sizeof b));
    }
    mien_status status = MIEN_OK;
    for (int i = 0; i < n_din && status == MIEN_OK; i++) {
        const mien_edge *edge = &node->edges[i];
        if (!din[i] || !(edge->node || edge->leaf)) continue;
        mien_tensor **slot = mien__walk_slot(w, edge);
        status = slot ? mien__walk_add(slot, mien_tensor_retain(din[i])) : mien_error_last()->code;
    }
    return answered(w, status);
}

/* ---- through ops that are run again -------------------------------------------------------- */

mien_status mien_walk_inputs(mien_walk *w, mien_tensor **in, int n_in) {
    mien_node *node = w->waiting;
    if (!node || node->op != MIEN_NODE_RECOMPUTE || n_in != node->n_in)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "backward: no recomputed node of %d inputs waits", n_in);
    MIEN_TRY(mien__node_check_saved(node));
    for (int i = 0; i < n_in; i++) {
        const mien_edge *edge = &node->edges[i];
        mien_tensor *saved = mien__node_input(node, i);
        in[i] = !saved       ? NULL
                : edge->leaf ? mien_tensor_retain(edge->leaf)
                             : mien__tensor_alias(saved);
        if (!in[i]) {
            while (i > 0) mien_tensor_release(in[--i]);
            return mien_error_last()->code;
        }
        if (!edge->node) continue;
        mien__node_retain(edge->node);
        in[i]->node = edge->node;
        in[i]->node_output = edge->output;
    }
    return MIEN_OK;
}

static mien_status check_same(const mien_tensor *was, const mien_tensor *is, int i) {
    char a[96], b[96];
    if (!mien__same_kind(is, was))
        MIEN_FAIL(MIEN_ERR_SHAPE,
                  "recompute: output %d was %s%s and is %s%s the second time; the function must do "
                  "the same both times",
                  i + 1, mien_dtype_name(was->dtype), mien__shape_text(was, a, sizeof a),
                  mien_dtype_name(is->dtype), mien__shape_text(is, b, sizeof b));
    return MIEN_OK;
}

/* The ops that were run again are newer than all others, so they are walked next, and gradients
 * meet in the order in which they would have met had everything been recorded at first. */
mien_status mien_walk_through(mien_walk *w, mien_tensor *const *outputs, int n) {
    mien_node *node = w->waiting;
    if (!node || node->op != MIEN_NODE_RECOMPUTE)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "backward: no recomputed node waits");
    if (n != node->n_out)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "recompute: %d outputs the second time, %d at first", n,
                  node->n_out);
    for (int i = 0; i < n; i++) {
        MIEN_TRY(mien__tensor_check(outputs[i], "recompute, output"));
        MIEN_TRY(check_same(node->out[i], outputs[i], i));
    }
    mien_status status = MIEN_OK;
    for (int i = 0; i < n && status == MIEN_OK; i++) {
        mien_tensor *t = outputs[i];
        if (!node->grads[i] || !t->node) continue;
        mien_edge edge = {.node = t->node, .output = t->node_output};
        mien_tensor **slot = mien__walk_slot(w, &edge);
        if (slot) {
            status = mien__walk_add(slot, node->grads[i]);
            node->grads[i] = NULL;
        } else {
            status = mien_error_last()->code;
        }
    }
    return answered(w, status);
}
