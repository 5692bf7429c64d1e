/* Recording: makes a node for each op that ran, and lets go of nodes.
 * Not here: the walk back (walk.c), gradients of leaves (leaf.c). */
#include "node.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/allocate.h"
#include "base/assert.h"

static _Thread_local bool recording_off, rehearsing, keeping_all;

bool mien_grad_enable(bool on) {
    bool was = !recording_off;
    recording_off = !on;
    return was;
}

bool mien_grad_enabled(void) {
    return !recording_off;
}

bool mien_tape_rehearse(bool on) {
    bool was = rehearsing;
    rehearsing = on;
    return was;
}

bool mien__tape_rehearsing(void) {
    return rehearsing;
}

bool mien_tape_keep_all(bool on) {
    bool was = keeping_all;
    keeping_all = on;
    return was;
}

int64_t mien__tape_count(void) {
    static int64_t count;
    return __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
}

/* ---- custom nodes that are gone ------------------------------------------------------------ */

static struct {
    pthread_mutex_t lock;
    int64_t *ids;
    size_t count, room;
} dropped = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void announce(mien_node *node) {
    if (node->op >= 0 || node->announced) return;
    node->announced = true;
    pthread_mutex_lock(&dropped.lock);
    if (dropped.count == dropped.room) {
        size_t room = dropped.room ? dropped.room * 2 : 64;
        int64_t *ids = mien__realloc(dropped.ids, room * sizeof *ids);
        if (ids) {
            dropped.ids = ids;
            dropped.room = room;
        }
    }
    if (dropped.count < dropped.room) dropped.ids[dropped.count++] = node->id;
    pthread_mutex_unlock(&dropped.lock);
}

bool mien_tape_dropped(int64_t *id) {
    pthread_mutex_lock(&dropped.lock);
    bool any = dropped.count > 0;
    if (any) *id = dropped.ids[--dropped.count];
    pthread_mutex_unlock(&dropped.lock);
    return any;
}

/* ---- life of a node ------------------------------------------------------------------------ */

static mien_node *node_new(int op, int n_in, int n_out) {
    size_t in = (size_t)n_in, out = (size_t)n_out;
    size_t bytes = sizeof(mien_node) + in * sizeof(mien_edge) +
                   (in + 2 * out) * sizeof(mien_tensor *) + (in + out) * sizeof(uint64_t);
    mien_node *node = mien__calloc(1, bytes);
    if (!node) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "no memory for a node of the tape");
    node->refs = 1;
    node->op = op;
    node->id = mien__tape_count();
    node->n_in = n_in;
    node->n_out = n_out;
    node->edges = (mien_edge *)(node + 1);
    node->versions = (uint64_t *)(node->edges + in);
    node->in = (mien_tensor **)(node->versions + in + out);
    node->out = node->in + in;
    node->grads = node->out + out;
    return node;
}

void mien__node_retain(mien_node *node) {
    if (node) __atomic_fetch_add(&node->refs, 1, __ATOMIC_RELAXED);
}

/* Drops one reference; a node without any goes in front of the list. */
static mien_node *unref(mien_node *node, mien_node *list) {
    MIEN_ASSERT(!node || __atomic_load_n(&node->refs, __ATOMIC_RELAXED) > 0);
    if (!node || __atomic_sub_fetch(&node->refs, 1, __ATOMIC_ACQ_REL) > 0) return list;
    node->next = list;
    return node;
}

/* Empties a node; nodes of inputs that nobody holds any more join the list. */
static mien_node *empty(mien_node *node, mien_node *list) {
    announce(node);
    for (int i = 0; i < node->n_in; i++) {
        mien_tensor_release(node->in[i]);
        mien_tensor_release(node->edges[i].leaf);
        list = unref(node->edges[i].node, list);
        node->in[i] = NULL;
        node->edges[i] = (mien_edge){0};
    }
    for (int i = 0; i < node->n_out; i++) {
        mien_tensor_release(node->out[i]);
        mien_tensor_release(node->grads[i]);
        node->out[i] = node->grads[i] = NULL;
    }
    return list;
}

/* A loop, not a recursion: a chain of 10,000 ops must not use 10,000 stack frames. */
static void drain(mien_node *list) {
    while (list) {
        mien_node *node = list;
        list = empty(node, node->next);
        free(node);
    }
}

void mien__node_release(mien_node *node) {
    drain(unref(node, NULL));
}

__attribute__((constructor)) static void hook(void) {
    mien__hooks.release_node = mien__node_release;
}

void mien__node_finish(mien_node *node) {
    node->walked = true;
    node->walk = NULL;
    drain(empty(node, NULL));
}

/* ---- recording ----------------------------------------------------------------------------- */

/* Headers for what backward will see, so that nothing can fail once an op has run. */
static mien_status make_headers(mien_tensor **kept, mien_tensor *const *tensors, int n) {
    for (int i = 0; i < n; i++) {
        const mien_tensor *t = tensors[i];
        if (!t) continue;
        kept[i] = mien__tensor_header(t->dtype, t->device, t->ndim, t->shape);
        if (!kept[i]) return mien_error_last()->code;
    }
    return MIEN_OK;
}

/* What backward will see of t: its elements when it reads them, else shape and layout only. */
static void keep(mien_tensor *kept, const mien_tensor *t, bool elements, uint64_t *version) {
    if (elements) mien__tensor_share(kept, t);
    kept->block = t->block;
    *version = t->storage ? t->storage->version : 0;
}

/* Does the node that made t make its elements again? Not when somebody has brought t into another
 * layout meanwhile. When t was changed in place since, the node learns of it. */
static bool is_remade(const mien_tensor *t) {
    mien_node *maker = t->node;
    if (!maker || !maker->remake || t->node_output != 0 || t->storage != maker->made) return false;
    if (t->storage->version != maker->versions[maker->n_in]) maker->overwritten = true;
    return !maker->overwritten;
}

static bool saves_input(const mien_node *node, int i) {
    if (node->op >= 0) return mien__op_saves((mien_op)node->op, false, i);
    return node->op == MIEN_NODE_RECOMPUTE;
}

static void keep_inputs(mien_node *node, mien_tensor *const *in) {
    for (int i = 0; i < node->n_in; i++) {
        mien_tensor *t = in[i];
        if (!t) continue;
        bool remade = is_remade(t) && i < 32, elements = saves_input(node, i);
        if (remade && elements) node->remade |= 1u << i;
        keep(node->in[i], t, elements && !remade, &node->versions[i]);
        if (t->node) {
            mien__node_retain(t->node);
            node->edges[i].node = t->node;
            node->edges[i].output = t->node_output;
        } else if (t->requires_grad) {
            node->edges[i].leaf = mien_tensor_retain(t);
        }
    }
}

static void keep_outputs(mien_node *node, mien_tensor *const *out) {
    for (int i = 0; i < node->n_out; i++) {
        if (!out[i]) continue;
        bool elements = node->op >= 0 && mien__op_saves((mien_op)node->op, true, i);
        if (i == 0 && node->remake) {
            elements = false;
            node->made = out[0]->storage;
        }
        keep(node->out[i], out[i], elements, &node->versions[node->n_in + i]);
        if (!mien__dtype_is_float(out[i]->dtype)) continue;
        mien__node_retain(node);
        out[i]->node = node;
        out[i]->node_output = i;
    }
}

/* How to make output 0 again. A batch norm that added a residual cannot: it has not saved it. */
static mien_op_fn remake_for(const mien_op_call *call) {
    if (keeping_all || call->op != MIEN_OP_batch_norm || call->in[5]) return NULL;
    return call->served ? call->served->remake[call->op] : NULL;
}

/* In a rehearsal: marks what wants a gradient. */
static void mark(mien_tensor *const *out, int n_out) {
    for (int i = 0; i < n_out; i++)
        if (out[i] && mien__dtype_is_float(out[i]->dtype)) out[i]->rehearsed = true;
}

/* A node with all its headers; NULL with an error. */
static mien_node *begin(int op, mien_tensor *const *in, int n_in, mien_tensor *const *out,
                        int n_out) {
    mien_node *node = node_new(op, n_in, n_out);
    if (!node) return NULL;
    if (make_headers(node->in, in, n_in) == MIEN_OK &&
        make_headers(node->out, out, n_out) == MIEN_OK)
        return node;
    node->announced = true; /* nobody was given its number */
    mien__node_release(node);
    return NULL;
}

mien_status mien__tape_begin(const mien_op_call *call, int n_in, int n_out, mien_node **node) {
    if (rehearsing) return MIEN_OK;
    *node = begin(call->op, call->in, n_in, call->out, n_out);
    return *node ? MIEN_OK : mien_error_last()->code;
}

void mien__tape_end(mien_node *node, const mien_op_call *call, int n_out) {
    if (!node) {
        mark(call->out, n_out);
        return;
    }
    MIEN_ASSERT_LUA_THREAD();
    node->served = call->served;
    node->remake = remake_for(call);
    memcpy(node->attr, call->attr, (size_t)mien_op_info_at(call->op)->n_attr * sizeof(double));
    keep_inputs(node, call->in);
    keep_outputs(node, call->out);
}

/* A node that Lua answers for. */
static mien_status record_lua(int kind, mien_tensor *const *inputs, int n_inputs,
                              mien_tensor *const *outputs, int n_outputs, int64_t *id) {
    mien_node *node = begin(kind, inputs, n_inputs, outputs, n_outputs);
    if (!node) return mien_error_last()->code;
    keep_inputs(node, inputs);
    keep_outputs(node, outputs);
    *id = node->id;
    mien__node_release(node);
    return MIEN_OK;
}

mien_status mien_tape_custom(mien_tensor *const *inputs, int n_inputs, mien_tensor *const *outputs,
                             int n_outputs, int64_t *id) {
    *id = 0;
    bool wanted = false;
    for (int i = 0; i < n_inputs; i++) {
        MIEN_TRY(mien__tensor_check(inputs[i], "custom op, input"));
        wanted = wanted || mien_tensor_requires_grad(inputs[i]);
    }
    for (int i = 0; i < n_outputs; i++) {
        MIEN_TRY(mien__tensor_check(outputs[i], "custom op, output"));
        if (mien_tensor_requires_grad(outputs[i]))
            MIEN_FAIL(MIEN_ERR_ARGUMENT,
                      "custom op: output %d is on the tape already; compute it with recording off",
                      i + 1);
        for (int k = 0; k < n_inputs; k++)
            if (outputs[i] == inputs[k])
                MIEN_FAIL(MIEN_ERR_ARGUMENT,
                          "custom op: output %d is input %d itself; give a copy or t:detach()",
                          i + 1, k + 1);
    }
    if (!wanted || !mien_grad_enabled()) return MIEN_OK;
    if (rehearsing) {
        mark(outputs, n_outputs);
        return MIEN_OK;
    }
    return record_lua(MIEN_NODE_CUSTOM, inputs, n_inputs, outputs, n_outputs, id);
}

mien_status mien_tape_recompute(mien_tensor *const *inputs, int n_inputs,
                                mien_tensor *const *outputs, int n_outputs, int64_t *id) {
    *id = 0;
    bool wanted = false;
    for (int i = 0; i < n_inputs; i++) MIEN_TRY(mien__tensor_check(inputs[i], "recompute, input"));
    for (int i = 0; i < n_outputs; i++) {
        MIEN_TRY(mien__tensor_check(outputs[i], "recompute, output"));
        bool given = outputs[i]->node || outputs[i]->requires_grad;
        for (int k = 0; k < n_inputs; k++) given = given || outputs[i] == inputs[k];
        if (given)
            MIEN_FAIL(MIEN_ERR_ARGUMENT,
                      "recompute: output %d was not made by the function; return a copy of it",
                      i + 1);
        wanted = wanted || outputs[i]->rehearsed;
    }
    if (rehearsing) return MIEN_OK; /* a rehearsal inside another: the outer node stands for all */
    for (int i = 0; i < n_outputs; i++) outputs[i]->rehearsed = false;
    if (!wanted || !mien_grad_enabled()) return MIEN_OK;
    return record_lua(MIEN_NODE_RECOMPUTE, inputs, n_inputs, outputs, n_outputs, id);
}
