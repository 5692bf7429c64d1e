/* The walk back from a loss: gradients flow from node to node in reverse order of creation.
 * Not here: derivatives (backend/), recording (node.c), nodes that Lua answers for (walk_lua.c). */
#include "walk.h"

#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/profile.h"
#include "base/allocate.h"
#include "base/assert.h"

/* ---- nodes that gradients have reached ----------------------------------------------------- */

static mien_status heap_push(mien_walk *w, mien_node *node) {
    if (w->count == w->room) {
        size_t room = w->room ? w->room * 2 : 64;
        mien_node **heap = mien__realloc(w->heap, room * sizeof *heap);
        if (!heap) MIEN_FAIL(MIEN_ERR_MEMORY, "backward: no memory for the list of ops");
        w->heap = heap;
        w->room = room;
    }
    mien__node_retain(node);
    node->walk = w;
    size_t at = w->count++;
    for (; at > 0 && w->heap[(at - 1) / 2]->id < node->id; at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = node;
    return MIEN_OK;
}

static mien_node *heap_pop(mien_walk *w) {
    MIEN_ASSERT(w->count > 0 && w->count <= w->room);
    mien_node *top = w->heap[0], *last = w->heap[--w->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= w->count) break;
        if (child + 1 < w->count && w->heap[child + 1]->id > w->heap[child]->id) child++;
        if (w->heap[child]->id < last->id) break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    if (w->count) w->heap[at] = last;
    return top;
}

/* ---- gradients on their way into leaves ---------------------------------------------------- */

static pending *leaf_find(pending *leaves, size_t room, mien_tensor *leaf) {
    size_t at = ((uintptr_t)leaf >> 4) * 0x9E3779B97F4A7C15u >> 32;
    for (at &= room - 1; leaves[at].leaf && leaves[at].leaf != leaf;) at = (at + 1) & (room - 1);
    return &leaves[at];
}

/* The place for the gradient of `leaf`; NULL: no memory. */
static mien_tensor **leaf_slot(mien_walk *w, mien_tensor *leaf) {
    if (2 * (w->n_leaves + 1) > w->leaf_room) {
        size_t room = w->leaf_room ? w->leaf_room * 2 : 64;
        pending *leaves = mien__calloc(room, sizeof *leaves);
        if (!leaves) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "backward: no memory for the list of leaves");
        for (size_t i = 0; i < w->leaf_room; i++)
            if (w->leaves[i].leaf) *leaf_find(leaves, room, w->leaves[i].leaf) = w->leaves[i];
        free(w->leaves);
        w->leaves = leaves;
        w->leaf_room = room;
    }
    pending *p = leaf_find(w->leaves, w->leaf_room, leaf);
    if (!p->leaf) {
        p->leaf = mien_tensor_retain(leaf);
        w->n_leaves++;
    }
    return &p->grad;
}

/* ---- sums of gradients --------------------------------------------------------------------- */

bool mien__walk_owns(const mien_tensor *t) {
    if (t->refs != 1 || t->storage->refs != 1) return false;
    for (int i = 0; !t->block && i < t->ndim; i++)
        if (t->stride[i] == 0 && t->shape[i] > 1) return false;
    return true;
}

static mien_status add_into(mien_tensor *acc, mien_tensor *x) {
    double start = mien__profile_start();
    mien__tensor_read(x);
    mien_status status = mien__accumulate(acc, x);
    mien__profile_work(start, "gradient sums", (double)mien_tensor_count(acc),
                       mien__bytes_of((mien_tensor *[]){acc, acc, x}, 3)); /* acc: both ways */
    return status;
}

mien_status mien__walk_add(mien_tensor **slot, mien_tensor *g) {
    if (!*slot) {
        *slot = g;
        return MIEN_OK;
    }
    if (!mien__walk_owns(*slot) && mien__walk_owns(g)) {
        mien_tensor *swapped = *slot;
        *slot = g;
        g = swapped;
    }
    mien_status status = MIEN_OK;
    if (!mien__walk_owns(*slot)) {
        mien_tensor *copy = mien_tensor_to(*slot, (*slot)->dtype, (*slot)->device);
        if (copy) {
            mien_tensor_release(*slot);
            *slot = copy;
        } else {
            status = mien_error_last()->code;
        }
    }
    if (status == MIEN_OK) status = add_into(*slot, g);
    mien_tensor_release(g);
    return status;
}

mien_tensor **mien__walk_slot(mien_walk *w, const mien_edge *edge) {
    if (edge->leaf) return leaf_slot(w, edge->leaf);
    if (edge->node->walk != w && heap_push(w, edge->node) != MIEN_OK) return NULL;
    return &edge->node->grads[edge->output];
}

/* ---- checks before anything happens -------------------------------------------------------- */

static mien_status check_node(const mien_walk *w, const mien_node *node) {
    if (node->walked)
        MIEN_FAIL(MIEN_ERR_ARGUMENT,
                  "backward: a walk has passed %s before and dropped what it had saved; run "
                  "forward again, or add the losses and walk back once",
                  mien__node_name(node));
    if (node->walk && node->walk != w)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "backward: another walk is under way over the same ops");
    return mien__node_check_saved(node);
}

/* Every op that the walk can reach, checked before the first one runs. */
static mien_status check_reachable(const mien_walk *w, mien_node *root) {
    int64_t stamp = mien__tape_count();
    size_t count = 0, room = 64;
    mien_node **stack = mien__malloc(room * sizeof *stack);
    mien_status status = MIEN_OK;
    if (stack) stack[count++] = root;
    while (stack && count > 0 && status == MIEN_OK) {
        mien_node *node = stack[--count];
        if (node->stamp == stamp) continue;
        node->stamp = stamp;
        status = check_node(w, node);
        if (count + (size_t)node->n_in > room) {
            room = 2 * (count + (size_t)node->n_in);
            mien_node **grown = mien__realloc(stack, room * sizeof *stack);
            if (!grown) free(stack);
            stack = grown;
        }
        for (int i = 0; stack && i < node->n_in; i++)
            if (node->edges[i].node && node->edges[i].node->stamp != stamp)
                stack[count++] = node->edges[i].node;
    }
    if (!stack) MIEN_FAIL(MIEN_ERR_MEMORY, "backward: no memory for the list of ops");
    free(stack);
    return status;
}

/* ---- one node ------------------------------------------------------------------------------ */

/* The gradient of a narrow lands in its part of the whole that is being collected: T steps taken
 * out of a sequence one by one would otherwise fill T whole sequences with zeros. */
static mien_status narrow_into(mien_node *node, mien_tensor **slot, bool *done) {
    *done = *slot && mien__walk_owns(*slot) && !(*slot)->block;
    if (!*done) return MIEN_OK;
    mien_narrow_attr attr;
    memcpy(&attr, node->attr, sizeof attr);
    mien_tensor *part = mien__narrow_view(*slot, &attr);
    if (!part) return mien_error_last()->code;
    mien_status status = add_into(part, node->grads[0]);
    mien_tensor_release(part);
    return status;
}

static mien_status run_node(mien_walk *w, mien_node *node) {
    MIEN_ASSERT_LUA_THREAD();
    MIEN_TRY(mien__node_check_saved(node));
    if (node->op == MIEN_OP_narrow) {
        mien_tensor **slot = mien__walk_slot(w, &node->edges[0]);
        if (!slot) return mien_error_last()->code;
        bool done;
        MIEN_TRY(narrow_into(node, slot, &done));
        if (done) return MIEN_OK;
    }
    mien_op_call call = {.op = (mien_op)node->op, .attr = node->attr, .served = node->served};
    /* Batch norm reads its output for the mask of its ReLU alone. */
    mien_status status = MIEN_OK;
    if (node->remake && ((const mien_batch_norm_attr *)node->attr)->relu)
        status = mien__node_remake(node);
    for (int i = 0; i < node->n_out; i++) {
        call.out[i] = node->out[i];
        call.dout[i] = node->grads[i];
    }
    for (int i = 0; i < node->n_in && status == MIEN_OK; i++) {
        mien_tensor *t = node->in[i];
        if (t && !(t = mien__node_input(node, i))) status = mien_error_last()->code;
        call.in[i] = t;
        call.want[i] = t && (node->edges[i].node || node->edges[i].leaf);
        if (!call.want[i]) continue;
        call.din[i] = mien__tensor_header(t->dtype, t->device, t->ndim, t->shape);
        if (!call.din[i]) status = mien_error_last()->code;
    }
    if (status == MIEN_OK) status = mien__op_backward(&call);
    for (int i = 0; i < node->n_in; i++) {
        if (!call.din[i]) continue;
        mien_tensor **slot = NULL;
        /* A backend that knows a gradient to be zero everywhere may leave its header empty. */
        if (status == MIEN_OK && call.din[i]->storage) {
            slot = mien__walk_slot(w, &node->edges[i]);
            if (!slot) status = mien_error_last()->code;
        }
        if (slot)
            status = mien__walk_add(slot, call.din[i]);
        else
            mien_tensor_release(call.din[i]);
    }
    return status;
}

/* ---- the end: leaves get what was collected for them --------------------------------------- */

/* A gradient that lasts: its own storage and nothing beside it. */
static bool can_last(const mien_tensor *g) {
    size_t bytes = (size_t)mien_tensor_count(g) * mien_dtype_size(g->dtype);
    return mien__walk_owns(g) &&
           (g->block || (mien__tensor_is_contiguous(g) && g->storage->bytes == bytes));
}

/* A copy of g in the layout that `acc` has, so that adding it needs no memory. NULL with an error.
 */
static mien_tensor *laid_like(mien_tensor *g, const mien_tensor *acc) {
    mien_tensor *t = mien__tensor_header(acc->dtype, acc->device, acc->ndim, acc->shape);
    mien_status status = t ? mien__tensor_alloc(t, acc->block) : mien_error_last()->code;
    bool dense =
        (size_t)mien_tensor_count(acc) * mien_dtype_size(acc->dtype) == acc->storage->bytes;
    for (int i = 0; i < acc->ndim; i++) dense = dense && acc->stride[i] != 0;
    if (status == MIEN_OK && !acc->block && dense) /* in whatever order */
        memcpy(t->stride, acc->stride, sizeof t->stride);
    if (status == MIEN_OK) status = mien_tensor_copy(t, g);
    if (status == MIEN_OK) return t;
    mien_tensor_release(t);
    return NULL;
}

static bool same_layout(const mien_tensor *a, const mien_tensor *b) {
    return a->block == b->block && (a->block || !memcmp(a->stride, b->stride, sizeof a->stride));
}

/* All that needs memory comes before the first leaf changes. */
static mien_status deliver(mien_walk *w) {
    for (size_t i = 0; i < w->leaf_room; i++) {
        pending *p = &w->leaves[i];
        mien_tensor *copy = NULL, *acc = p->leaf ? p->leaf->grad : NULL;
        if (!p->grad || (acc ? same_layout(p->grad, acc) : can_last(p->grad))) continue;
        copy = acc ? laid_like(p->grad, acc)
                   : mien_tensor_to(p->grad, p->grad->dtype, p->grad->device);
        if (!copy) return mien_error_last()->code;
        mien_tensor_release(p->grad);
        p->grad = copy;
    }
    for (size_t i = 0; i < w->leaf_room; i++) {
        pending *p = &w->leaves[i];
        if (!p->grad) continue;
        if (p->leaf->grad) {
            MIEN_TRY(add_into(p->leaf->grad, p->grad));
        } else {
            p->leaf->grad = p->grad;
            p->grad = NULL;
        }
    }
    return MIEN_OK;
}

/* ---- the walk ------------------------------------------------------------------------------ */

static mien_tensor *seed_for(mien_tensor *loss, mien_tensor *seed) {
    char a[96], b[96];
    mien__shape_text(loss, a, sizeof a);
    if (!seed) {
        if (mien_tensor_count(loss) != 1)
            MIEN_FAIL_NULL(MIEN_ERR_SHAPE,
                           "backward: the loss is %s, not one number; reduce it or give d/d(loss)",
                           a);
        mien_tensor *one = mien_tensor_new(loss->dtype, loss->device, loss->ndim, loss->shape);
        if (one && mien_tensor_fill(one, 1) != MIEN_OK) {
            mien_tensor_release(one);
            return NULL;
        }
        return one;
    }
    if (mien__tensor_check(seed, "backward, d/d(loss)") != MIEN_OK) return NULL;
    if (!mien__same_shape(seed, loss))
        MIEN_FAIL_NULL(MIEN_ERR_SHAPE, "backward: the loss is %s but d/d(loss) %s", a,
                       mien__shape_text(seed, b, sizeof b));
    if (seed->dtype != loss->dtype || seed->device != loss->device)
        return mien_tensor_to(seed, loss->dtype, loss->device);
    return mien__tensor_alias(seed);
}

mien_walk *mien_walk_new(mien_tensor *loss, mien_tensor *seed) {
    if (mien__tensor_check(loss, "backward") != MIEN_OK) return NULL;
    if (mien__tape_rehearsing())
        MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT,
                       "backward: not inside a function that mien.recompute runs");
    if (!mien_tensor_requires_grad(loss))
        MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT,
                       "backward: nothing that led to the loss wants a gradient, or recording was "
                       "off");
    mien_walk *w = mien__calloc(1, sizeof *w);
    if (!w) MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "backward: no memory");
    mien_edge edge = {.node = loss->node, .output = loss->node_output};
    if (!edge.node) edge.leaf = loss;
    mien_tensor *first = seed_for(loss, seed), **slot = NULL;
    if (first && (!edge.node || check_reachable(w, edge.node) == MIEN_OK))
        slot = mien__walk_slot(w, &edge);
    if (!slot) {
        mien_tensor_release(first);
        mien_walk_free(w);
        return NULL;
    }
    *slot = first;
    return w;
}

/* Leaves a node as it was before the walk. */
static void forget(mien_node *node) {
    node->walk = NULL;
    for (int k = 0; k < node->n_out; k++) {
        mien_tensor_release(node->grads[k]);
        node->grads[k] = NULL;
    }
    mien__node_release(node);
}

void mien_walk_free(mien_walk *w) {
    if (!w) return;
    if (w->waiting) forget(w->waiting);
    for (size_t i = 0; i < w->count; i++) forget(w->heap[i]);
    for (size_t i = 0; i < w->leaf_room; i++) {
        mien_tensor_release(w->leaves[i].leaf);
        mien_tensor_release(w->leaves[i].grad);
    }
    free(w->heap);
    free(w->leaves);
    free(w);
}

int mien_walk_next(mien_walk *w, int64_t *id, mien_tensor **dout, int n_dout) {
    if (w->over) return 0;
    mien_status status = MIEN_OK;
    if (w->failed)
        status = mien__fail(MIEN_ERR_ARGUMENT, __FILE__, __LINE__,
                            "backward: this walk has failed before");
    else if (w->waiting)
        status = mien__fail(
            MIEN_ERR_ARGUMENT, __FILE__, __LINE__, "backward: %s %lld still owes %s",
            w->waiting->op == MIEN_NODE_CUSTOM ? "custom op" : "recomputed function",
            (long long)w->waiting->id,
            w->waiting->op == MIEN_NODE_CUSTOM ? "the gradients of its inputs" : "its outputs");
    while (status == MIEN_OK && w->count > 0) {
        mien_node *node = heap_pop(w);
        if (node->op == MIEN_NODE_RECOMPUTE && n_dout >= 0) {
            w->waiting = node;
            *id = node->id;
            return 2;
        } else if (node->op < 0) {
            status = mien__walk_hand_over(w, node, dout, n_dout);
            if (status == MIEN_OK) {
                *id = node->id;
                return 1;
            }
        } else {
            status = run_node(w, node);
        }
        mien__node_finish(node);
        mien__node_release(node);
    }
    if (status == MIEN_OK) status = deliver(w);
    w->over = status == MIEN_OK;
    w->failed = !w->over;
    return w->over ? 0 : -1;
}

mien_status mien_backward(mien_tensor *loss, mien_tensor *seed) {
    mien_walk *w = mien_walk_new(loss, seed);
    if (!w) return mien_error_last()->code;
    int64_t id;
    mien_status status = mien_walk_next(w, &id, NULL, -1) == 0 ? MIEN_OK : mien_error_last()->code;
    mien_walk_free(w);
    return status;
}
