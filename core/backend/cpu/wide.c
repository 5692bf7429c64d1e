/* bf16 calls that have no kernel of their own, by way of the f32 pass; runs of bf16 as floats.
 * Not here: the kernels that read bf16 themselves (lanes.h). */
#include "lanes.h"

/* One of the two sides is f32. */
MIEN_INLINE void move(int to_form, int from_form, void *to, const void *from, int64_t n) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        mien__lanes_store(to_form, to, i, mien__lanes_load(from_form, from, i));
    for (; i < n; i++) mien__lane_store(to_form, to, i, mien__lane_load(from_form, from, i));
}

MIEN_INLINE void widen_run(int form, float *to, const void *from, int64_t n) {
    move(MIEN_LANES_F32, form, to, from, n);
}

MIEN_INLINE void narrow_run(int form, void *to, const float *from, int64_t n) {
    move(form, MIEN_LANES_F32, to, from, n);
}

MIEN_KERNEL(static void widen, widen_run, (int form, float *to, const void *from, int64_t n), to,
            from, n)
MIEN_KERNEL(static void narrow, narrow_run, (int form, void *to, const float *from, int64_t n), to,
            from, n)

const float *mien__cpu_read(const mien_tensor *t, int64_t i, int64_t n, float *room) {
    if (t->dtype != MIEN_BF16) return mien__cpu_f32(t) + i;
    widen(mien__lanes_of(t->dtype), room, (const mien__bf16 *)mien__cpu_ptr(t) + i, n);
    return room;
}

float *mien__cpu_write_to(const mien_tensor *t, int64_t i, float *room) {
    return t->dtype == MIEN_BF16 ? room : mien__cpu_f32(t) + i;
}

void mien__cpu_written(const mien_tensor *t, int64_t i, int64_t n, const float *room) {
    if (t->dtype == MIEN_BF16)
        narrow(mien__lanes_of(t->dtype), (mien__bf16 *)mien__cpu_ptr(t) + i, room, n);
}

/* ---- whole calls ----------------------------------------------------------------------------- */

/* Retained: t itself, or an f32 copy of it; a header stays a header. */
static mien_status as_f32(mien_tensor *t, mien_tensor **wide) {
    if (!t) return MIEN_OK;
    if (t->dtype != MIEN_BF16)
        *wide = mien_tensor_retain(t);
    else if (t->storage)
        *wide = mien__cpu_as_dtype(t, t->block, MIEN_F32);
    else
        *wide = mien__tensor_header(MIEN_F32, t->device, t->ndim, t->shape);
    return *wide ? MIEN_OK : mien_error_last()->code;
}

static mien_status round_into(mien_tensor *t, mien_tensor *wide) {
    if (!t || t == wide || t->storage || !wide->storage) return MIEN_OK;
    MIEN_TRY(mien__tensor_alloc(t, wide->block));
    return mien__cpu_copy(t, wide);
}

mien_status mien__cpu_in_f32(mien_op_call *call, mien_op_fn pass) {
    mien_op_call wide = {.op = call->op, .attr = call->attr};
    wide.recording = call->recording;
    wide.implementation = call->implementation;
    memcpy(wide.want, call->want, sizeof wide.want);
    mien_status status = MIEN_OK;
    for (int i = 0; i < MIEN_OP_MAX_IN && status == MIEN_OK; i++) {
        status = as_f32(call->in[i], &wide.in[i]);
        if (status == MIEN_OK) status = as_f32(call->din[i], &wide.din[i]);
    }
    for (int i = 0; i < MIEN_OP_MAX_OUT && status == MIEN_OK; i++) {
        status = as_f32(call->out[i], &wide.out[i]);
        if (status == MIEN_OK) status = as_f32(call->dout[i], &wide.dout[i]);
    }
    if (status == MIEN_OK) status = pass(&wide);
    for (int i = 0; i < MIEN_OP_MAX_OUT && status == MIEN_OK; i++)
        status = round_into(call->out[i], wide.out[i]);
    for (int i = 0; i < MIEN_OP_MAX_IN && status == MIEN_OK; i++)
        status = round_into(call->din[i], wide.din[i]);
    for (int i = 0; i < MIEN_OP_MAX_IN; i++) {
        mien_tensor_release(wide.in[i]);
        mien_tensor_release(wide.din[i]);
    }
    for (int i = 0; i < MIEN_OP_MAX_OUT; i++) {
        mien_tensor_release(wide.out[i]);
        mien_tensor_release(wide.dout[i]);
    }
    mien__cpu_add_implementation(call, "in f32");
    return status;
}

bool mien__cpu_is_half(const mien_op_call *call) {
    return call->in[0]->dtype == MIEN_BF16;
}

bool mien__cpu_f32_parameters(const mien_op_call *call) {
    return (!call->in[1] || call->in[1]->dtype == MIEN_F32) &&
           (!call->in[2] || call->in[2]->dtype == MIEN_F32);
}
