/* Leaves: which tensors want a gradient, and the gradients they have.
 * Not here: how gradients get there (walk.c). */
#include "autograd.h"

mien_status mien_tensor_set_requires_grad(mien_tensor *t, bool on) {
    MIEN_TRY(mien__tensor_check(t, "requires_grad"));
    if (t->node)
        MIEN_FAIL(MIEN_ERR_ARGUMENT,
                  "requires_grad: the tensor was made by a recorded op; t:detach() gives a leaf");
    if (on && !mien__dtype_is_float(t->dtype))
        MIEN_FAIL(MIEN_ERR_DTYPE, "requires_grad: a tensor of %s has no gradient",
                  mien_dtype_name(t->dtype));
    t->requires_grad = on;
    return MIEN_OK;
}

bool mien_tensor_is_leaf(const mien_tensor *t) {
    return t->requires_grad;
}

bool mien_tensor_requires_grad(const mien_tensor *t) {
    return t->requires_grad || t->node || t->rehearsed;
}

/* An alias: a caller who frees it does not take the leaf's gradient away. */
mien_tensor *mien_tensor_grad(mien_tensor *t) {
    if (!t->grad || mien__tensor_make_plain(t->grad) != MIEN_OK) return NULL;
    return mien__tensor_alias(t->grad);
}

mien_status mien_tensor_set_grad(mien_tensor *t, mien_tensor *grad) {
    mien_tensor *alias = NULL;
    if (grad) {
        MIEN_TRY(mien__tensor_check(grad, "set_grad"));
        char a[96], b[96];
        if (!mien__same_kind(grad, t))
            MIEN_FAIL(MIEN_ERR_SHAPE, "set_grad: the gradient is %s%s, the tensor %s%s",
                      mien_dtype_name(grad->dtype), mien__shape_text(grad, a, sizeof a),
                      mien_dtype_name(t->dtype), mien__shape_text(t, b, sizeof b));
        if (t->node)
            MIEN_FAIL(MIEN_ERR_ARGUMENT,
                      "set_grad: the tensor was made by a recorded op; only leaves keep gradients");
        alias = mien_tensor_detach(grad);
        if (!alias) return mien_error_last()->code;
    }
    mien_tensor_release(t->grad);
    t->grad = alias;
    return MIEN_OK;
}
