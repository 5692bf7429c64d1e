/* One LSTM layer over whole sequences: one product for all inputs, then a loop over time in which
 * each thread owns some hidden units. Not here: the product with the recurrent weights
 * (recurrent.c). Equations: Hochreiter & Schmidhuber 1997 with forget gates (Gers et al. 2000). */
#include "onednn.h"
#include "recurrent.h"
#include <omp.h>

typedef struct lstm {
    int64_t batch, steps, input, hidden;
    const float *packed;
    float *gates;         /* [B,T,4H]: W x + bias; backward: gradients before the non-linearities */
    float *output;        /* [B,T,H]; backward: the gradient that flows into it, or NULL */
    float *reserve;       /* [T,B,5H] */
    float *h[2];          /* [B,H] each: this step's and the next's; backward: h[0] is dh */
    float *c;             /* [B,H]: the running cell state; backward: its gradient */
    const float *c_first; /* [B,H] or NULL */
} lstm;

static lstm sizes(const mien_op_call *call) {
    const mien_tensor *x = call->in[0];
    return (lstm){.batch = x->shape[0],
                  .steps = x->shape[1],
                  .input = x->shape[2],
                  .hidden = call->in[2]->shape[1]};
}

/* Step t for hidden units [16 block, ...), rows b0 ... of the batch. */
MIEN_CLONES static void forward_block(const lstm *l, int64_t t, int64_t block, int64_t b0,
                                      int rows) {
    int64_t H = l->hidden, u = block * 16, n = mien__min64(16, H - u);
    float sums[MIEN_RNN_ROWS * 4 * 16];
    mien__rnn_product(sums, l->packed + block * H * 64, l->h[t & 1] + b0 * H, H, 0, H, 4, rows);
    for (int r = 0; r < rows; r++) {
        int64_t b = b0 + r;
        const float *a = l->gates + (b * l->steps + t) * 4 * H + u;
        const float *s = sums + r * 64;
        v16 i = mien__v16_logistic(mien__v16_load(a, n) + mien__v16_load(s, 16));
        v16 f = mien__v16_logistic(mien__v16_load(a + H, n) + mien__v16_load(s + 16, 16));
        v16 g = mien__v16_tanh(mien__v16_load(a + 2 * H, n) + mien__v16_load(s + 32, 16));
        v16 o = mien__v16_logistic(mien__v16_load(a + 3 * H, n) + mien__v16_load(s + 48, 16));
        v16 c = f * mien__v16_load(l->c + b * H + u, n) + i * g;
        v16 h = o * mien__v16_tanh(c);
        mien__v16_store(l->c + b * H + u, c, n);
        mien__v16_store(l->h[(t + 1) & 1] + b * H + u, h, n);
        mien__v16_store(l->output + (b * l->steps + t) * H + u, h, n);
        if (!l->reserve) continue;
        float *kept = l->reserve + (t * l->batch + b) * 5 * H + u;
        mien__v16_store(kept, i, n);
        mien__v16_store(kept + H, f, n);
        mien__v16_store(kept + 2 * H, g, n);
        mien__v16_store(kept + 3 * H, o, n);
        mien__v16_store(kept + 4 * H, c, n);
    }
}

static void forward_loop(const lstm *l) {
    int threads = mien__rnn_threads(l->hidden, l->batch);
#pragma omp parallel num_threads(threads)
    {
        int64_t first, last;
        mien__share(mien__rnn_blocks(l->hidden), 1, omp_get_num_threads(), omp_get_thread_num(),
                    &first, &last);
        for (int64_t t = 0; t < l->steps; t++) {
            for (int64_t block = first; block < last; block++)
                for (int64_t b = 0; b < l->batch; b += MIEN_RNN_ROWS)
                    forward_block(l, t, block, b, (int)mien__min64(MIEN_RNN_ROWS, l->batch - b));
#pragma omp barrier
        }
    }
}

static void set_rows(float *to, const float *from, int64_t n) {
    if (from)
        memcpy(to, from, (size_t)n * sizeof *to);
    else
        memset(to, 0, (size_t)n * sizeof *to);
}

mien_status mien__cpu_lstm_forward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_lstm_forward);
    lstm l = sizes(call);
    int64_t B = l.batch, T = l.steps, H = l.hidden;
    mien_tensor *in[6] = {0}, *gates = NULL, *state = NULL, *packed = NULL;
    mien_status status = MIEN_ERR_MEMORY;
    for (int i = 0; i < 6; i++)
        if (call->in[i] && !(in[i] = mien__cpu_as(call->in[i], 0))) goto done;
    if (!(gates = mien__cpu_scratch(B * T * 4 * H))) goto done;
    if (!(state = mien__cpu_scratch(3 * B * H))) goto done;
    if (!(packed = mien__rnn_pack(mien__cpu_f32(in[2]), H, 0, 4))) goto done;
    for (int i = 0; i < 4; i++)
        if ((status = mien__tensor_alloc(call->out[i], 0)) != MIEN_OK) goto done;
    l.packed = mien__cpu_f32(packed);
    l.gates = mien__cpu_f32(gates);
    l.output = mien__cpu_f32(call->out[0]);
    l.reserve = mien__cpu_f32(call->out[3]);
    l.h[0] = mien__cpu_f32(state), l.h[1] = l.h[0] + B * H, l.c = l.h[1] + B * H;
    set_rows(l.h[0], in[4] ? mien__cpu_f32(in[4]) : NULL, B * H);
    set_rows(l.c, in[5] ? mien__cpu_f32(in[5]) : NULL, B * H);
    for (int64_t row = 0; row < B * T; row++)
        memcpy(l.gates + row * 4 * H, mien__cpu_f32(in[3]), (size_t)(4 * H) * sizeof(float));
    status = mien__sgemm(false, true, B * T, 4 * H, l.input, mien__cpu_f32(in[0]), l.input,
                         mien__cpu_f32(in[1]), l.input, 1, l.gates, 4 * H);
    if (status != MIEN_OK) goto done;
    forward_loop(&l);
    set_rows(mien__cpu_f32(call->out[1]), l.h[T & 1], B * H);
    set_rows(mien__cpu_f32(call->out[2]), l.c, B * H);
    mien__cpu_says(call, "own:packed");
done:
    for (int i = 0; i < 6; i++) mien_tensor_release(in[i]);
    mien_tensor_release(gates);
    mien_tensor_release(state);
    mien_tensor_release(packed);
    return status;
}

/* ---- backward ---------------------------------------------------------------------------------
 */

MIEN_CLONES static void gradient_block(const lstm *l, int64_t t, int64_t block) {
    int64_t H = l->hidden, u = block * 16, n = mien__min64(16, H - u);
    for (int64_t b = 0; b < l->batch; b++) {
        const float *kept = l->reserve + (t * l->batch + b) * 5 * H + u;
        v16 i = mien__v16_load(kept, n), f = mien__v16_load(kept + H, n);
        v16 g = mien__v16_load(kept + 2 * H, n), o = mien__v16_load(kept + 3 * H, n);
        v16 tanh_c = mien__v16_tanh(mien__v16_load(kept + 4 * H, n)), before = {0};
        if (t > 0)
            before = mien__v16_load(kept + 4 * H - l->batch * 5 * H, n);
        else if (l->c_first)
            before = mien__v16_load(l->c_first + b * H + u, n);
        v16 dh = mien__v16_load(l->h[0] + b * H + u, n);
        if (l->output) dh += mien__v16_load(l->output + (b * l->steps + t) * H + u, n);
        v16 dc = mien__v16_load(l->c + b * H + u, n) + dh * o * (1.0f - tanh_c * tanh_c);
        float *d = l->gates + (b * l->steps + t) * 4 * H + u;
        mien__v16_store(d, dc * g * i * (1.0f - i), n);
        mien__v16_store(d + H, dc * before * f * (1.0f - f), n);
        mien__v16_store(d + 2 * H, dc * i * (1.0f - g * g), n);
        mien__v16_store(d + 3 * H, dh * tanh_c * o * (1.0f - o), n);
        mien__v16_store(l->c + b * H + u, dc * f, n);
    }
}

/* dh of the step before, for the units of this block. */
MIEN_CLONES static void return_block(const lstm *l, int64_t t, int64_t block) {
    int64_t H = l->hidden, u = block * 16, n = mien__min64(16, H - u), row = l->steps * 4 * H;
    for (int64_t b = 0; b < l->batch; b += MIEN_RNN_ROWS) {
        float sums[MIEN_RNN_ROWS * 4 * 16];
        int rows = (int)mien__min64(MIEN_RNN_ROWS, l->batch - b);
        mien__rnn_product(sums, l->packed + block * H * 64, l->gates + b * row + t * 4 * H, row, H,
                          H, 4, rows);
        for (int r = 0; r < rows; r++) {
            const float *s = sums + r * 64;
            v16 dh = (mien__v16_load(s, 16) + mien__v16_load(s + 16, 16)) +
                     (mien__v16_load(s + 32, 16) + mien__v16_load(s + 48, 16));
            mien__v16_store(l->h[0] + (b + r) * H + u, dh, n);
        }
    }
}

static void backward_loop(const lstm *l) {
    int threads = mien__rnn_threads(l->hidden, l->batch);
#pragma omp parallel num_threads(threads)
    {
        int64_t first, last;
        mien__share(mien__rnn_blocks(l->hidden), 1, omp_get_num_threads(), omp_get_thread_num(),
                    &first, &last);
        for (int64_t t = l->steps - 1; t >= 0; t--) {
            for (int64_t block = first; block < last; block++) gradient_block(l, t, block);
#pragma omp barrier
            for (int64_t block = first; block < last; block++) return_block(l, t, block);
        }
    }
}

/* [B,T,H]: the hidden state that each step started from. */
static void shifted_states(float *to, const float *output, const float *h_first, const lstm *l) {
    int64_t H = l->hidden;
    for (int64_t b = 0; b < l->batch; b++) {
        set_rows(to + b * l->steps * H, h_first ? h_first + b * H : NULL, H);
        memcpy(to + (b * l->steps + 1) * H, output + b * l->steps * H,
               (size_t)((l->steps - 1) * H) * sizeof *to);
    }
}

static mien_status products(mien_op_call *call, const lstm *l, const float *x, const float *w_ih,
                            const float *before) {
    int64_t rows = l->batch * l->steps, wide = 4 * l->hidden;
    if (call->want[0])
        MIEN_TRY(mien__sgemm(false, false, rows, l->input, wide, l->gates, wide, w_ih, l->input, 0,
                             mien__cpu_f32(call->din[0]), l->input));
    if (call->want[1])
        MIEN_TRY(mien__sgemm(true, false, wide, l->input, rows, l->gates, wide, x, l->input, 0,
                             mien__cpu_f32(call->din[1]), l->input));
    if (call->want[2])
        MIEN_TRY(mien__sgemm(true, false, wide, l->hidden, rows, l->gates, wide, before, l->hidden,
                             0, mien__cpu_f32(call->din[2]), l->hidden));
    if (call->want[3]) mien__cpu_sum_rows(mien__cpu_f32(call->din[3]), l->gates, rows, wide);
    return MIEN_OK;
}

mien_status mien__cpu_lstm_backward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_lstm_backward);
    lstm l = sizes(call);
    int64_t B = l.batch, T = l.steps, H = l.hidden;
    mien_tensor *in[6] = {0}, *dout[3] = {0}, *output = NULL, *reserve = NULL;
    mien_tensor *gates = NULL, *state = NULL, *packed = NULL, *before = NULL;
    mien_status status = MIEN_ERR_MEMORY;
    for (int i = 0; i < 6; i++)
        if (i != 3 && call->in[i] && !(in[i] = mien__cpu_as(call->in[i], 0))) goto done;
    for (int i = 0; i < 3; i++)
        if (call->dout[i] && !(dout[i] = mien__cpu_as(call->dout[i], 0))) goto done;
    if (!(output = mien__cpu_as(call->out[0], 0))) goto done;
    if (!(reserve = mien__cpu_as(call->out[3], 0))) goto done;
    if (!(gates = mien__cpu_scratch(B * T * 4 * H))) goto done;
    if (!(before = mien__cpu_scratch(B * T * H))) goto done;
    if (!(state = mien__cpu_scratch(2 * B * H))) goto done;
    if (!(packed = mien__rnn_pack_transposed(mien__cpu_f32(in[2]), H, 0, 4))) goto done;
    for (int i = 0; i < 6; i++)
        if (call->want[i] && (status = mien__tensor_alloc(call->din[i], 0)) != MIEN_OK) goto done;
    l.packed = mien__cpu_f32(packed);
    l.gates = mien__cpu_f32(gates);
    l.output = dout[0] ? mien__cpu_f32(dout[0]) : NULL;
    l.reserve = mien__cpu_f32(reserve);
    l.h[0] = mien__cpu_f32(state), l.c = l.h[0] + B * H;
    l.c_first = in[5] ? mien__cpu_f32(in[5]) : NULL;
    set_rows(l.h[0], dout[1] ? mien__cpu_f32(dout[1]) : NULL, B * H);
    set_rows(l.c, dout[2] ? mien__cpu_f32(dout[2]) : NULL, B * H);
    backward_loop(&l);
    shifted_states(mien__cpu_f32(before), mien__cpu_f32(output),
                   in[4] ? mien__cpu_f32(in[4]) : NULL, &l);
    status = products(call, &l, mien__cpu_f32(in[0]), mien__cpu_f32(in[1]), mien__cpu_f32(before));
    if (call->want[4]) set_rows(mien__cpu_f32(call->din[4]), l.h[0], B * H);
    if (call->want[5]) set_rows(mien__cpu_f32(call->din[5]), l.c, B * H);
    mien__cpu_says(call, "own:packed");
done:
    for (int i = 0; i < 6; i++) mien_tensor_release(in[i]);
    for (int i = 0; i < 3; i++) mien_tensor_release(dout[i]);
    mien_tensor_release(output);
    mien_tensor_release(reserve);
    mien_tensor_release(gates);
    mien_tensor_release(before);
    mien_tensor_release(state);
    mien_tensor_release(packed);
    return status;
}
