/* What a node saved: was it changed since, and outputs that are made again instead of kept.
 * Not here: which outputs those are (node.c), ops that Lua runs again (walk.c). */
#include <stdio.h>

#include "backend/backend.h"
#include "node.h"
#include "base/profile.h"

const char *mien__node_name(const mien_node *node) {
    if (node->op == MIEN_NODE_CUSTOM) return "a custom op";
    if (node->op == MIEN_NODE_RECOMPUTE) return "a recomputed function";
    return mien_op_info_at(node->op)->name;
}

static mien_status was_changed(const mien_node *node, bool output, int i) {
    char name[64] = "";
    if (node->op >= 0)
        mien__op_value_name((mien_op)node->op, output, i, name, sizeof name);
    else
        snprintf(name, sizeof name, "%d", i + 1);
    MIEN_FAIL(MIEN_ERR_ARGUMENT,
              "backward: %s '%s' of %s was changed in place after the op had run, and its "
              "backward needs the elements as they were; change a clone, or change it after "
              "backward",
              output ? "output" : "input", name, mien__node_name(node));
}

mien_status mien__node_check_saved(const mien_node *node) {
    if (node->overwritten) return was_changed(node, true, 0);
    for (int i = 0; i < node->n_in + node->n_out; i++) {
        bool output = i >= node->n_in;
        const mien_tensor *t = output ? node->out[i - node->n_in] : node->in[i];
        if (t && t->storage && t->storage->version != node->versions[i])
            return was_changed(node, output, output ? i - node->n_in : i);
    }
    return MIEN_OK;
}

mien_status mien__node_remake(mien_node *node) {
    const mien_tensor *was = node->out[0];
    if (was->storage) return MIEN_OK;
    MIEN_TRY(mien__node_check_saved(node));
    mien_op_call call = {.op = (mien_op)node->op, .attr = node->attr, .recording = true};
    for (int i = 1; i < node->n_out; i++) call.out[i] = node->out[i];
    mien_tensor *made = mien__tensor_header(was->dtype, was->device, was->ndim, was->shape);
    if (!made) return mien_error_last()->code;
    call.out[0] = made;
    mien_status status = MIEN_OK;
    for (int i = 0; i < node->n_in && status == MIEN_OK; i++)
        if (node->in[i] && !(call.in[i] = mien__node_input(node, i)))
            status = mien_error_last()->code;
    double start = mien__profile_start();
    if (status == MIEN_OK) status = node->remake(&call);
    if (status != MIEN_OK) {
        mien_tensor_release(made);
        return status;
    }
    mien__profile_work(start, "batch_norm again", 2 * (double)mien_tensor_count(made),
                       mien__bytes_of((mien_tensor *[]){call.in[0], made}, 2));
    mien_tensor_release(node->out[0]);
    node->out[0] = made;
    node->versions[node->n_in] = made->storage->version;
    return MIEN_OK;
}

mien_tensor *mien__node_input(mien_node *node, int i) {
    if (!(node->remade >> i & 1u)) return node->in[i];
    mien_node *maker = node->edges[i].node;
    return mien__node_remake(maker) == MIEN_OK ? maker->out[0] : NULL;
}
