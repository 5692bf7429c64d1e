/* The way of a pass to whom it is served by: the choice of the backend, the call, the booking.
 * Not here: which backends there are (registry.c), results (ref/, cpu/, cuda/). */
#include <string.h>

#include "backend.h"
#include "base/assert.h"
#include "base/profile.h"
#include "discovery.h"
#include "record.h"

_Static_assert((int)MIEN_OP_COUNT <= (int)MIEN__PROFILE_OPS, "the profile has a row for each op");

/* ---- who serves ------------------------------------------------------------------------------ */

static bool serves(const mien_backend *b, const mien_op_call *call, bool backward) {
    mien_op_fn fn = backward ? b->backward[call->op] : b->forward[call->op];
    return fn && (!b->supports || b->supports(call, backward));
}

static mien_device device_of(const mien_op_call *call) {
    for (int i = 0; i < MIEN_OP_MAX_IN; i++)
        if (call->in[i]) return call->in[i]->device;
    return MIEN_DEVICE_CPU;
}

const mien_backend *mien__backend_for(const mien_op_call *call, bool backward) {
    mien_device device = device_of(call);
    const mien_backend *b = backward && call->served ? call->served : mien__backend_of(device);
    if (!b) return NULL;
    if (serves(b, call, backward)) return b;
    if (device == MIEN_DEVICE_CPU && serves(&mien__backend_ref, call, backward))
        return &mien__backend_ref;
    MIEN_FAIL_NULL(MIEN_ERR_UNSUPPORTED, "%s has no %s for these inputs on device %s",
                   mien_op_info_at(call->op)->name, backward ? "backward pass" : "implementation",
                   mien__device_name(device));
}

/* ---- one pass -------------------------------------------------------------------------------- */

const char *mien__op_running;

/* Says once what of the CPU's is left to its slow reference, where it was not chosen: each op of
 * f32 or bf16, the other floats as a whole. */
static void tell_slow(const mien_op_call *call, bool backward, const char *backend) {
    enum { LARGE = 1000000 };
    if (strcmp(backend, "ref") != 0 || strcmp(mien_backend_current(), "ref") == 0) return;
    int64_t most = 0;
    for (int i = 0; i < MIEN_OP_MAX_IN; i++)
        if (call->in[i] && mien_tensor_count(call->in[i]) > most)
            most = mien_tensor_count(call->in[i]);
    if (most < LARGE) return;
    const char *rule = "one thread, in doubles, for tensors of a million elements and more; "
                       "docs/performance.md lists what does";
    mien_dtype dtype = call->in[0]->dtype;
    if (dtype == MIEN_F16 || dtype == MIEN_F64)
        mien__notice("%s on the CPU runs in its slow reference: %s", mien_dtype_name(dtype), rule);
    else
        mien__notice("%s%s of these inputs runs in the CPU's slow reference: %s",
                     backward ? "backward of " : "", mien_op_info_at(call->op)->name, rule);
}

/* Runs fn and books it. */
static mien_status timed(mien_op_fn fn, mien_op_call *call, bool backward, const char *backend) {
    const mien_op_info *info = mien_op_info_at(call->op);
    MIEN_CALL(info->name);
    tell_slow(call, backward, backend);
    char implementation[64];
    strncpy(implementation, backend, sizeof implementation - 1);
    implementation[sizeof implementation - 1] = '\0';
    call->implementation = implementation;
    double start = mien__profile_start();
    MIEN_ASSERT_LUA_THREAD();
    MIEN_ASSERT(!mien__op_running);
    mien__op_running = info->name;
    for (int i = 0; i < info->n_in; i++) mien__tensor_read(call->in[i]);
    for (int i = 0; backward && i < info->n_out; i++) {
        mien__tensor_read(call->out[i]);
        mien__tensor_read(call->dout[i]);
    }
    mien_status status = fn(call);
    mien__op_running = NULL;
    /* A GPU has only been told what to do by now. */
    if (start > 0 && status == MIEN_OK && call->in[0] && !mien__recording())
        status = mien_device_synchronize(call->in[0]->device);
    call->implementation = NULL;
    if (status == MIEN_OK)
        mien__profile_op(start, call->op, info->name, backward, backend, implementation,
                         start > 0 ? mien__op_flops(call, backward) : 0,
                         start > 0 ? mien__op_bytes(call, backward) : 0);
    return status;
}

/* Runs one pass where the choice has put it. Its library may find no kernel for the shape when it
 * looks closer, before anything has happened: then ref serves, and that is said. */
static mien_status serve(mien_op_call *call, bool backward) {
    const mien_backend *b = mien__backend_for(call, backward);
    if (!backward) call->served = b;
    if (!b) return mien_error_last()->code;
    mien_status status =
        timed(backward ? b->backward[call->op] : b->forward[call->op], call, backward, b->name);
    const mien_backend *ref = &mien__backend_ref;
    if (status != MIEN_ERR_UNSUPPORTED || b == ref || b->device != MIEN_DEVICE_CPU) return status;
    mien__notice("%s: the reference's loops serve it, slowly", mien_error_last()->message);
    if (!backward) call->served = ref;
    return timed(backward ? ref->backward[call->op] : ref->forward[call->op], call, backward,
                 ref->name);
}

mien_status mien__op_forward(mien_op_call *call) {
    if (mien__op_is_view(call->op)) return timed(mien__view_forward, call, false, "view");
    return serve(call, false);
}

mien_status mien__op_backward(mien_op_call *call) {
    if (mien_interrupt_requested())
        MIEN_FAIL(MIEN_ERR_INTERRUPTED, "backward of %s: stopped on request",
                  mien_op_info_at(call->op)->name);
    if (mien__op_is_view(call->op)) return timed(mien__view_backward, call, true, "view");
    return serve(call, true);
}

mien_status mien__accumulate(mien_tensor *acc, mien_tensor *x) {
    const mien_backend *b = mien__backend_of(acc->device);
    if (!b) return mien_error_last()->code;
    if (!b->accumulate)
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "device %s does not add gradients",
                  mien__device_name(acc->device));
    return b->accumulate(acc, x);
}
