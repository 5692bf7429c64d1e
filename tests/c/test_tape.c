/* The tape: what is recorded, the order of the walk, sums of gradients, what is kept and dropped,
 * refusals, custom nodes. Not here: derivatives of single ops (tests/backend). */
#include "mien_test.h"

static mien_tensor *add(mien_tensor *a, mien_tensor *b) {
    return test_op(MIEN_OP_add, a, b, 0, NULL);
}
static mien_tensor *mul(mien_tensor *a, mien_tensor *b) {
    return test_op(MIEN_OP_mul, a, b, 0, NULL);
}
static mien_tensor *scaled(mien_tensor *a, double factor) {
    return test_op(MIEN_OP_affine, a, NULL, ATTR(factor, 0, 1));
}

static void drop(mien_tensor *t) {
    mien_tensor_release(t);
}

#define assert_grad(t, ...)                                                                        \
    do {                                                                                           \
        mien_tensor *test_grad = mien_tensor_grad(t);                                              \
        assert_non_null(test_grad);                                                                \
        assert_elements(test_grad, 1e-6, __VA_ARGS__);                                             \
        mien_tensor_release(test_grad);                                                            \
    } while (0)

/* ---- recording ----------------------------------------------------------------------------- */

static void only_what_needs_a_gradient_is_recorded(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 1, 1), *x = test_range(SHAPE(2), 3, 1);
    mien_tensor *plain = add(x, x), *wanted = add(w, x);
    assert_false(mien_tensor_requires_grad(plain));
    assert_true(mien_tensor_requires_grad(wanted));
    assert_true(mien_grad_enable(false));
    mien_tensor *quiet = add(w, x);
    assert_false(mien_tensor_requires_grad(quiet));
    assert_false(mien_grad_enable(true));
    mien_tensor *detached = mien_tensor_detach(wanted);
    assert_false(mien_tensor_requires_grad(detached));
    assert_error(mien_tensor_set_requires_grad(wanted, true), MIEN_ERR_ARGUMENT, "detach");
    assert_error(mien_backward(quiet, NULL), MIEN_ERR_ARGUMENT, "recording was off");
    mien_tensor *ints = test_tensor(MIEN_I64, SHAPE(2));
    assert_error(mien_tensor_set_requires_grad(ints, true), MIEN_ERR_DTYPE, "i64");
    drop(ints), drop(detached), drop(quiet), drop(wanted), drop(plain), drop(x), drop(w);
}

static void a_chain_gives_the_product_of_its_derivatives(void **state) {
    mien_tensor *w = test_parameter(SHAPE(3), 1, 1), *x = test_range(SHAPE(3), 2, 2);
    mien_tensor *y = mul(w, x), *z = mul(y, y), *loss = test_sum(z);
    assert_ok(mien_backward(loss, NULL)); /* d/dw sum (wx)^2 = 2 w x^2 */
    assert_grad(w, 2 * 1 * 4, 2 * 2 * 16, 2 * 3 * 36);
    assert_null(mien_tensor_grad(x));
    drop(loss), drop(z), drop(y), drop(x), drop(w);
}

static void a_seed_takes_the_place_of_ones(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 1, 1), *y = scaled(w, 3);
    mien_tensor *seed = test_range(SHAPE(2), 10, 10), *wrong = test_range(SHAPE(3), 0, 1);
    assert_error(mien_backward(y, NULL), MIEN_ERR_SHAPE, "not one number");
    assert_error(mien_backward(y, wrong), MIEN_ERR_SHAPE, "the loss is [2] but d/d(loss) [3]");
    assert_ok(mien_backward(y, seed));
    assert_grad(w, 30, 60);
    assert_elements(seed, 0, 10, 20);
    drop(wrong), drop(seed), drop(y), drop(w);
}

static void a_leaf_can_be_the_loss(void **state) {
    mien_tensor *w = test_parameter(SHAPE(1), 5, 0);
    assert_ok(mien_backward(w, NULL));
    assert_grad(w, 1);
    drop(w);
}

/* ---- sums ---------------------------------------------------------------------------------- */

static void gradients_that_meet_are_added_in_every_shape_of_graph(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 1, 1);
    mien_tensor *a = scaled(w, 2), *b = scaled(a, 3), *c = add(a, b), *d = add(c, a),
                *e = add(d, w);
    mien_tensor *loss = test_sum(e); /* w (2 + 6 + 2 + 1) */
    assert_ok(mien_backward(loss, NULL));
    assert_grad(w, 11, 11);
    drop(loss), drop(e), drop(d), drop(c), drop(b), drop(a), drop(w);
}

static void one_tensor_twice_in_one_op_counts_twice(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 3, 1), *y = mul(w, w), *loss = test_sum(y);
    assert_ok(mien_backward(loss, NULL));
    assert_grad(w, 6, 8);
    drop(loss), drop(y), drop(w);
}

static void two_walks_add_to_the_same_gradient_in_place(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 1, 1), *held = NULL;
    for (int i = 1; i <= 3; i++) {
        mien_tensor *y = scaled(w, i), *loss = test_sum(y);
        assert_ok(mien_backward(loss, NULL));
        if (i == 1) held = mien_tensor_grad(w);
        drop(loss), drop(y);
    }
    assert_elements(held, 0, 6, 6); /* the handle of the first walk sees the sum */
    assert_ok(mien_tensor_set_grad(w, NULL));
    assert_null(mien_tensor_grad(w));
    assert_elements(held, 0, 6, 6);
    drop(held), drop(w);
}

static void a_freed_gradient_handle_leaves_the_gradient(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 1, 1), *loss = test_sum(w);
    assert_ok(mien_backward(loss, NULL));
    mien_tensor *grad = mien_tensor_grad(w);
    mien_tensor_free(grad);
    assert_grad(w, 1, 1);
    drop(grad), drop(loss), drop(w);
}

static void a_gradient_never_shares_elements_with_the_seed_or_another(void **state) {
    mien_tensor *v = test_parameter(SHAPE(2), 1, 1), *w = test_parameter(SHAPE(2), 1, 1);
    mien_tensor *y = add(v, w), *seed = test_range(SHAPE(2), 1, 1);
    assert_ok(mien_backward(y, seed));
    mien_tensor *gv = mien_tensor_grad(v), *gw = mien_tensor_grad(w);
    assert_ptr_not_equal(gv->storage, gw->storage);
    assert_ptr_not_equal(gv->storage, seed->storage);
    assert_ok(mien_tensor_fill(seed, 100));
    assert_ok(mien_tensor_fill(gv, 50));
    assert_grad(w, 1, 2);
    drop(gw), drop(gv), drop(seed), drop(y), drop(w), drop(v);
}

static void a_repeated_step_needs_no_memory_beyond_the_first(void **state) {
    mien_tensor *w = test_parameter(SHAPE(300, 1000), 1, 0);
    int64_t held = 0;
    for (int i = 0; i < 4; i++) {
        mien_tensor *y = mul(w, w), *loss = test_sum(y);
        assert_ok(mien_backward(loss, NULL));
        drop(loss), drop(y);
        assert_ok(mien_tensor_set_grad(w, NULL));
        mien_memory_stats stats;
        mien_memory(MIEN_DEVICE_CPU, &stats);
        if (i == 1) held = stats.live_bytes + stats.pooled_bytes;
        if (i > 1) assert_int_equal(stats.live_bytes + stats.pooled_bytes, held);
    }
    drop(w);
}

static void set_grad_wants_the_tensors_own_shape(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 1, 1), *g = test_range(SHAPE(3), 1, 1);
    assert_error(mien_tensor_set_grad(w, g), MIEN_ERR_SHAPE, "f32[3], the tensor f32[2]");
    drop(g);
    g = test_range(SHAPE(2), 7, 1);
    assert_ok(mien_tensor_set_grad(w, g));
    assert_grad(w, 7, 8);
    drop(g), drop(w);
}

/* ---- views --------------------------------------------------------------------------------- */

static void gradients_flow_through_views(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2, 1, 3), 0, 1);
    mien_tensor *turned = test_op(MIEN_OP_permute, w, NULL, ATTR(1, 2, 0, 3, 4, 5)); /* [1,3,2] */
    mien_tensor *part = test_op(MIEN_OP_narrow, turned, NULL, ATTR(1, 1, 2));        /* [1,2,2] */
    mien_tensor *flat = test_op(MIEN_OP_reshape, part, NULL, ATTR(1, 4, 1, 1, 1, 1, 1));
    mien_tensor *factor = test_range(SHAPE(4), 1, 1), *y = mul(flat, factor), *loss = test_sum(y);
    assert_elements(flat, 0, 1, 4, 2, 5);
    assert_ok(mien_backward(loss, NULL));
    assert_grad(w, 0, 1, 3, 0, 2, 4);
    drop(loss), drop(y), drop(factor), drop(flat), drop(part), drop(turned), drop(w);
}

static void steps_taken_out_one_by_one_collect_in_one_gradient(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2, 4), 1, 1), *whole = scaled(w, 1), *total = NULL;
    for (int t = 0; t < 4; t++) {
        mien_tensor *step = test_op(MIEN_OP_narrow, whole, NULL, ATTR(1, t, 1));
        mien_tensor *term = scaled(step, t + 1), *sum = total ? add(total, term) : scaled(term, 1);
        drop(step), drop(term), drop(total);
        total = sum;
    }
    mien_tensor *loss = test_sum(total);
    drop(total), drop(whole);
    assert_ok(mien_backward(loss, NULL));
    assert_grad(w, 1, 2, 3, 4, 1, 2, 3, 4);
    drop(loss), drop(w);
}

/* ---- what is kept, what is dropped --------------------------------------------------------- */

static void freeing_a_handle_does_not_hurt_backward(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 2, 1), *x = test_range(SHAPE(2), 5, 1);
    mien_tensor *y = mul(w, x), *z = test_op(MIEN_OP_exp, y, NULL, 0, NULL), *loss = test_sum(z);
    double wanted[2] = {5 * exp(10), 6 * exp(18)};
    mien_tensor_free(x);
    mien_tensor_free(y);
    mien_tensor_free(z);
    assert_ok(mien_backward(loss, NULL));
    mien_tensor *grad = mien_tensor_grad(w);
    assert_true(fabs(test_element(grad, 0) / wanted[0] - 1) < 1e-5);
    assert_true(fabs(test_element(grad, 1) / wanted[1] - 1) < 1e-5);
    drop(grad), drop(loss), drop(z), drop(y), drop(x), drop(w);
}

static void only_declared_tensors_keep_their_elements(void **state) {
    enum { N = 100000 };
    mien_tensor *w = test_parameter(SHAPE(N), 0, 1e-5);
    int64_t before = test_live_bytes();
    mien_tensor *a = scaled(w, 2), *b = scaled(a, 2); /* affine saves nothing */
    drop(a);
    assert_true(test_live_bytes() - before < 2 * N * 4);
    mien_tensor *c = test_op(MIEN_OP_exp, b, NULL, 0, NULL); /* exp saves its output */
    drop(b);
    mien_tensor *d = scaled(c, 2);
    drop(c);
    assert_true(test_live_bytes() - before >= 2 * N * 4);
    assert_true(test_live_bytes() - before < 3 * N * 4);
    mien_tensor *loss = test_sum(d);
    drop(d);
    assert_ok(mien_backward(loss, NULL));
    assert_true(test_live_bytes() - before < 2 * N * 4); /* the gradient; c is gone */
    drop(loss), drop(w);
}

static void nothing_leaks_whether_walked_or_not(void **state) {
    mien_tensor *w = test_parameter(SHAPE(64), 1, 0.1);
    int64_t before = test_live_bytes();
    for (int walk = 0; walk < 2; walk++) {
        mien_tensor *y = mul(w, w), *z = test_op(MIEN_OP_tanh, y, NULL, 0, NULL);
        mien_tensor *s = add(z, y), *loss = test_sum(s);
        if (walk) assert_ok(mien_backward(loss, NULL));
        drop(loss), drop(s), drop(z), drop(y);
        assert_ok(mien_tensor_set_grad(w, NULL));
        assert_int_equal(test_live_bytes(), before);
    }
    drop(w);
}

static void a_chain_of_100000_ops_is_walked_and_dropped_without_recursion(void **state) {
    for (int walk = 0; walk < 2; walk++) {
        mien_tensor *w = test_parameter(SHAPE(1), 1, 0), *t = scaled(w, 1);
        for (int i = 0; i < 100000; i++) {
            mien_tensor *next = scaled(t, 1);
            drop(t);
            t = next;
        }
        if (walk) {
            assert_ok(mien_backward(t, NULL));
            assert_grad(w, 1);
        }
        drop(t), drop(w);
    }
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void a_second_walk_over_the_same_ops_is_refused(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 1, 1), *y = mul(w, w);
    mien_tensor *loss = test_sum(y), *other = scaled(loss, 2);
    assert_ok(mien_backward(loss, NULL));
    assert_error(mien_backward(loss, NULL), MIEN_ERR_ARGUMENT, "a walk has passed sum before");
    assert_error(mien_backward(other, NULL), MIEN_ERR_ARGUMENT, "run forward again");
    assert_grad(w, 2, 4);
    drop(other), drop(loss), drop(y), drop(w);
}

static void a_saved_tensor_changed_in_place_is_noticed_before_anything_happens(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 1, 1), *x = test_range(SHAPE(2), 1, 1);
    mien_tensor *y = mul(w, x), *z = scaled(y, 3), *loss = test_sum(z);
    assert_ok(mien_tensor_fill(z, 0)); /* affine and sum save nothing: allowed */
    assert_ok(mien_tensor_set(x, (int64_t[]){0}, 9));
    assert_error(mien_backward(loss, NULL), MIEN_ERR_ARGUMENT, "input 'b' of mul was changed");
    assert_null(mien_tensor_grad(w));
    drop(loss), drop(z), drop(y), drop(x), drop(w);
}

static void a_change_through_a_view_is_noticed_too(void **state) {
    mien_tensor *w = test_parameter(SHAPE(4), 1, 1), *y = test_op(MIEN_OP_exp, w, NULL, 0, NULL);
    mien_tensor *loss = test_sum(y), *same = mien_tensor_detach(y);
    mien_tensor *part = test_op(MIEN_OP_narrow, same, NULL, ATTR(0, 1, 1));
    assert_ok(mien_tensor_fill(part, 0));
    assert_error(mien_backward(loss, NULL), MIEN_ERR_ARGUMENT, "output 'output' of exp");
    drop(part), drop(same), drop(loss), drop(y), drop(w);
}

static void an_interrupted_walk_changes_no_gradient(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 1, 1), *y = mul(w, w), *loss = test_sum(y);
    mien_interrupt_request();
    assert_error(mien_backward(loss, NULL), MIEN_ERR_INTERRUPTED, "backward of sum");
    mien_interrupt_clear();
    assert_null(mien_tensor_grad(w));
    drop(loss), drop(y), drop(w);
}

static void a_failing_op_leaks_nothing(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2, 3), 1, 1), *x = test_range(SHAPE(4, 4), 1, 1), *out;
    int64_t before = test_live_bytes();
    mien_tensor *in[2] = {w, x};
    assert_int_equal(mien_op_run(MIEN_OP_add, in, 2, NULL, 0, &out, 1), MIEN_ERR_SHAPE);
    assert_int_equal(mien_op_run(MIEN_OP_matmul, in, 2, NULL, 0, &out, 1), MIEN_ERR_SHAPE);
    assert_int_equal(test_live_bytes(), before);
    drop(w), drop(x);
}

/* ---- custom nodes -------------------------------------------------------------------------- */

/* square(x) with recording off, and its node. */
static mien_tensor *custom_square(mien_tensor *x, int64_t *id) {
    bool was = mien_grad_enable(false);
    mien_tensor *y = mul(x, x);
    mien_grad_enable(was);
    assert_ok(mien_tape_custom(&x, 1, &y, 1, id));
    return y;
}

/* The gradient of custom_square at x, given to the walk. */
static void answer_square(mien_walk *walk, mien_tensor *x, mien_tensor *dout) {
    mien_tensor *plain = mien_tensor_detach(x), *twice = scaled(plain, 2), *din = mul(dout, twice);
    assert_ok(mien_walk_give(walk, &din, 1));
    drop(din), drop(twice), drop(plain);
}

static void a_custom_node_may_sit_anywhere(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 3, 1), *x = scaled(w, 2); /* 6, 8 */
    int64_t first, second, id;
    mien_tensor *y = custom_square(x, &first), *z = custom_square(y, &second), *loss = test_sum(z);
    assert_true(first > 0 && second > first);
    mien_tensor *dout;
    mien_walk *walk = mien_walk_new(loss, NULL);
    assert_non_null(walk);
    assert_int_equal(mien_walk_next(walk, &id, &dout, 1), 1);
    assert_int_equal(id, second);
    answer_square(walk, y, dout);
    drop(dout);
    assert_int_equal(mien_walk_next(walk, &id, &dout, 1), 1);
    assert_int_equal(id, first);
    answer_square(walk, x, dout);
    drop(dout);
    assert_null(mien_tensor_grad(w)); /* leaves get theirs at the end */
    assert_int_equal(mien_walk_next(walk, &id, &dout, 1), 0);
    assert_int_equal(mien_walk_next(walk, &id, &dout, 1), 0);
    mien_walk_free(walk);
    assert_grad(w, 4 * 27 * 16, 4 * 64 * 16); /* d/dw (2w)^4 */
    drop(loss), drop(z), drop(y), drop(x), drop(w);
}

static void a_custom_node_owes_its_gradients_in_the_right_shape(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 3, 1);
    int64_t id, told;
    mien_tensor *y = custom_square(w, &id), *loss = test_sum(y), *dout, *more;
    mien_walk *walk = mien_walk_new(loss, NULL);
    assert_int_equal(mien_walk_next(walk, &told, &dout, 1), 1);
    assert_int_equal(mien_walk_next(walk, &told, &more, 1), -1);
    assert_non_null(strstr(mien_error_last()->message, "still owes"));
    mien_walk_free(walk);
    drop(dout), drop(loss);
    loss = test_sum(y); /* the custom node was not passed: another walk may come */
    walk = mien_walk_new(loss, NULL);
    assert_int_equal(mien_walk_next(walk, &told, &dout, 1), 1);
    mien_tensor *wrong = test_range(SHAPE(3), 1, 1), *none = NULL;
    assert_error(mien_walk_give(walk, &wrong, 1), MIEN_ERR_SHAPE,
                 "f32[3] as the gradient of input 1");
    assert_error(mien_walk_give(walk, &wrong, 0), MIEN_ERR_ARGUMENT, "1 inputs, 0 gradients");
    assert_ok(mien_walk_give(walk, &none, 1));
    assert_error(mien_walk_give(walk, &none, 1), MIEN_ERR_ARGUMENT, "no custom op waits");
    assert_int_equal(mien_walk_next(walk, &told, &more, 1), 0);
    mien_walk_free(walk);
    assert_null(mien_tensor_grad(w)); /* none flowed */
    drop(wrong), drop(dout), drop(loss), drop(y), drop(w);
}

static void what_a_custom_node_gives_is_never_written_to(void **state) {
    mien_tensor *w = test_parameter(SHAPE(4), 1, 1), *x = scaled(w, 1);
    mien_tensor *part = test_op(MIEN_OP_narrow, x, NULL, ATTR(0, 1, 2));
    mien_tensor *y = test_range(SHAPE(1), 1, 0), *dout;
    int64_t id;
    assert_ok(mien_tape_custom((mien_tensor *[]){x, part, w}, 3, &y, 1, &id));
    mien_walk *walk = mien_walk_new(y, NULL);
    assert_int_equal(mien_walk_next(walk, &id, &dout, 1), 1);
    mien_tensor *whole = test_range(SHAPE(4), 10, 0), *half = test_range(SHAPE(2), 5, 0);
    assert_ok(mien_walk_give(walk, (mien_tensor *[]){whole, half, whole}, 3));
    assert_int_equal(mien_walk_next(walk, &id, &dout, 1), 0);
    mien_walk_free(walk);
    assert_grad(w, 20, 25, 25, 20);
    assert_elements(whole, 0, 10, 10, 10, 10);
    drop(half), drop(whole), drop(dout), drop(y), drop(part), drop(x), drop(w);
}

static void a_walk_that_fails_half_way_changes_no_gradient(void **state) {
    mien_tensor *v = test_parameter(SHAPE(2), 1, 1), *w = test_parameter(SHAPE(2), 1, 1);
    int64_t id;
    mien_tensor *x = scaled(w, 2), *y = custom_square(x, &id), *z = mul(y, v), *loss = test_sum(z);
    mien_tensor *dout, *none;
    mien_walk *walk = mien_walk_new(loss, NULL);
    assert_int_equal(mien_walk_next(walk, &id, &dout, 1), 1); /* v's part is known by now */
    answer_square(walk, x, dout);
    mien_interrupt_request();
    assert_int_equal(mien_walk_next(walk, &id, &none, 1), -1);
    assert_int_equal(mien_error_last()->code, MIEN_ERR_INTERRUPTED);
    mien_interrupt_clear();
    assert_int_equal(mien_walk_next(walk, &id, &none, 1), -1);
    mien_walk_free(walk);
    assert_null(mien_tensor_grad(v));
    assert_null(mien_tensor_grad(w));
    drop(dout), drop(loss), drop(z), drop(y), drop(x), drop(w), drop(v);
}

/* Recomputation: the node's inner graph is made anew and walked while the outer walk waits. */
static void a_walk_may_run_inside_another(void **state) {
    mien_tensor *w = test_parameter(SHAPE(2), 3, 1), *x = test_parameter(SHAPE(2), 1, 1);
    int64_t id;
    mien_grad_enable(false);
    mien_tensor *y = mul(w, x);
    mien_grad_enable(true);
    assert_ok(mien_tape_custom((mien_tensor *[]){x, w}, 2, &y, 1, &id));
    mien_tensor *z = mul(y, x), *loss = test_sum(z), *dout;
    mien_walk *walk = mien_walk_new(loss, NULL);
    assert_int_equal(mien_walk_next(walk, &id, &dout, 1), 1);
    mien_tensor *input = mien_tensor_detach(x);
    assert_ok(mien_tensor_set_requires_grad(input, true));
    mien_tensor *again = mul(w, input);
    assert_ok(mien_backward(again, dout));
    mien_tensor *din[2] = {mien_tensor_grad(input), NULL};
    assert_ok(mien_walk_give(walk, din, 2));
    assert_int_equal(mien_walk_next(walk, &id, &dout, 1), 0);
    mien_walk_free(walk);
    assert_grad(w, 1, 4);     /* x^2 */
    assert_grad(x, 6, 4 * 4); /* 2 w x */
    drop(din[0]), drop(again), drop(input), drop(dout), drop(loss), drop(z), drop(y), drop(x),
        drop(w);
}

static void lua_hears_of_custom_nodes_that_are_gone(void **state) {
    mien_tensor *w = test_parameter(SHAPE(1), 3, 1), *x = test_range(SHAPE(1), 1, 1);
    int64_t id, gone, none;
    while (mien_tape_dropped(&gone)) continue;
    mien_tensor *y = custom_square(w, &id), *z = custom_square(x, &none);
    assert_int_equal(none, 0); /* nothing wants a gradient: not recorded */
    assert_false(mien_tensor_requires_grad(z));
    assert_false(mien_tape_dropped(&gone));
    drop(y);
    assert_true(mien_tape_dropped(&gone));
    assert_int_equal(gone, id);
    assert_false(mien_tape_dropped(&gone));
    mien_tensor *same = w;
    assert_error(mien_tape_custom(&w, 1, &same, 1, &id), MIEN_ERR_ARGUMENT, "on the tape already");
    assert_error(mien_tape_custom(&x, 1, &x, 1, &id), MIEN_ERR_ARGUMENT, "is input 1 itself");
    assert_false(mien_tape_dropped(&gone));
    drop(z), drop(x), drop(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_needs_a_gradient_is_recorded),
        cmocka_unit_test(a_chain_gives_the_product_of_its_derivatives),
        cmocka_unit_test(a_seed_takes_the_place_of_ones),
        cmocka_unit_test(a_leaf_can_be_the_loss),
        cmocka_unit_test(gradients_that_meet_are_added_in_every_shape_of_graph),
        cmocka_unit_test(one_tensor_twice_in_one_op_counts_twice),
        cmocka_unit_test(two_walks_add_to_the_same_gradient_in_place),
        cmocka_unit_test(a_freed_gradient_handle_leaves_the_gradient),
        cmocka_unit_test(a_gradient_never_shares_elements_with_the_seed_or_another),
        cmocka_unit_test(a_repeated_step_needs_no_memory_beyond_the_first),
        cmocka_unit_test(set_grad_wants_the_tensors_own_shape),
        cmocka_unit_test(gradients_flow_through_views),
        cmocka_unit_test(steps_taken_out_one_by_one_collect_in_one_gradient),
        cmocka_unit_test(freeing_a_handle_does_not_hurt_backward),
        cmocka_unit_test(only_declared_tensors_keep_their_elements),
        cmocka_unit_test(nothing_leaks_whether_walked_or_not),
        cmocka_unit_test(a_chain_of_100000_ops_is_walked_and_dropped_without_recursion),
        cmocka_unit_test(a_second_walk_over_the_same_ops_is_refused),
        cmocka_unit_test(a_saved_tensor_changed_in_place_is_noticed_before_anything_happens),
        cmocka_unit_test(a_change_through_a_view_is_noticed_too),
        cmocka_unit_test(an_interrupted_walk_changes_no_gradient),
        cmocka_unit_test(a_failing_op_leaks_nothing),
        cmocka_unit_test(a_custom_node_may_sit_anywhere),
        cmocka_unit_test(a_custom_node_owes_its_gradients_in_the_right_shape),
        cmocka_unit_test(what_a_custom_node_gives_is_never_written_to),
        cmocka_unit_test(a_walk_that_fails_half_way_changes_no_gradient),
        cmocka_unit_test(a_walk_may_run_inside_another),
        cmocka_unit_test(lua_hears_of_custom_nodes_that_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
