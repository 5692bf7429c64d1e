/* The loop of LSTM layers whose sizes the own kernel takes, for layer.c.
 * Not here: the kernel (kernels/lstm.cu), which sizes those are (recurrent.c). */
#include "backend/cuda/kernels/lstm.h"

#include "layer.h"

static mien__lstm_loop loop_of(const mien__layer_pass *p) {
    return (mien__lstm_loop){.dtype = p->dtype,
                             .batch = (int)p->batch,
                             .steps = (int)p->steps,
                             .hidden = (int)p->hidden,
                             .weight = mien__cuda_ptr(p->w_hh),
                             .reserve = mien__cuda_ptr(p->call->out[3])};
}

static mien_status lstm_forward(mien__layer_pass *p) {
    mien_op_call *call = p->call;
    mien_status status = MIEN_OK;
    enum { H0, C0, H, C, COUNT };
    mien_tensor *t[COUNT] = {0};
    t[H0] = mien__layer_plain(call->in[4], MIEN_F32, &status);
    t[C0] = mien__layer_plain(call->in[5], MIEN_F32, &status);
    t[H] = mien__layer_vector(MIEN_F32, p->batch * p->hidden, &status);
    t[C] = mien__layer_vector(MIEN_F32, p->batch * p->hidden, &status);
    if (status == MIEN_OK) {
        mien__lstm_loop l = loop_of(p);
        l.gates = mien__cuda_ptr(p->gates);
        l.h0 = mien__cuda_ptr(t[H0]);
        l.c0 = mien__cuda_ptr(t[C0]);
        l.y = mien__cuda_ptr(call->out[0]);
        l.h = mien__cuda_ptr(t[H]);
        l.c = mien__cuda_ptr(t[C]);
        if (!call->recording) l.reserve = NULL;
        status = mien__lstm_loop_forward(&l);
    }
    if (status == MIEN_OK) status = mien__layer_assign(call->out[1], t[H]);
    if (status == MIEN_OK) status = mien__layer_assign(call->out[2], t[C]);
    mien__layer_release(t, COUNT);
    return status;
}

static mien_status lstm_backward(mien__layer_pass *p) {
    mien_op_call *call = p->call;
    mien_status status = MIEN_OK;
    enum { C0, DH, DC, DH0, DC0, COUNT };
    mien_tensor *t[COUNT] = {0};
    t[C0] = mien__layer_plain(call->in[5], MIEN_F32, &status);
    t[DH] = mien__layer_plain(call->dout[1], MIEN_F32, &status);
    t[DC] = mien__layer_plain(call->dout[2], MIEN_F32, &status);
    if (call->want[4]) t[DH0] = mien__layer_vector(MIEN_F32, p->batch * p->hidden, &status);
    if (call->want[5]) t[DC0] = mien__layer_vector(MIEN_F32, p->batch * p->hidden, &status);
    if (status == MIEN_OK) {
        mien__lstm_loop l = loop_of(p);
        l.c0 = mien__cuda_ptr(t[C0]);
        l.dy = mien__cuda_ptr(p->dy);
        l.dh = mien__cuda_ptr(t[DH]);
        l.dc = mien__cuda_ptr(t[DC]);
        l.da = mien__cuda_ptr(p->da);
        l.dh0 = mien__cuda_ptr(t[DH0]);
        l.dc0 = mien__cuda_ptr(t[DC0]);
        status = mien__lstm_loop_backward(&l);
    }
    if (status == MIEN_OK && t[DH0]) status = mien__layer_assign(call->din[4], t[DH0]);
    if (status == MIEN_OK && t[DC0]) status = mien__layer_assign(call->din[5], t[DC0]);
    mien__layer_release(t, COUNT);
    return status;
}

const mien__layer mien__lstm_layer = {.name = "own:lstm",
                                      .gates = 4,
                                      .biases = 1,
                                      .reserve = 3,
                                      .forward = lstm_forward,
                                      .backward = lstm_backward};
