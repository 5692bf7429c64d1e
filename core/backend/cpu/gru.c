/* One GRU layer over whole sequences, in both forms (Cho et al. 2014; reset after the product as in
 * cuDNN). Not here: the product with the recurrent weights (recurrent.c), the LSTM (lstm.c). */
#include "onednn.h"
#include "recurrent.h"
#include <omp.h>

typedef struct gru {
    int64_t batch, steps, input, hidden;
    bool after;             /* reset_after */
    const float *all;       /* packed: r, z, n when reset_after, else r, z */
    const float *candidate; /* packed: n; unused when reset_after */
    const float *bias_hh;   /* [3H] */
    float *gates;           /* [B,T,3H]: W x + bias_ih; backward: their gradients */
    float *recurrent;       /* backward: [B,T,3H], gradients of U h + bias_hh (r, z, n) */
    float *output;          /* [B,T,H]; backward: the gradient that flows into it, or NULL */
    float *reserve;         /* [T,B,4H]: r, z, n, U h + c of the candidate */
    float *h[2];            /* forward: [B,H], this step's and the next's */
    float *reset;           /* [B,H]: r h; backward: the part of dh that skips the product */
    const float *states;    /* backward: [B,T,H], the state each step started from */
    float *dh;              /* backward: [B,H] */
} gru;

static gru sizes(const mien_op_call *call) {
    const mien_tensor *x = call->in[0];
    return (gru){.batch = x->shape[0],
                 .steps = x->shape[1],
                 .input = x->shape[2],
                 .hidden = call->in[2]->shape[1],
                 .after = ((const mien_gru_attr *)call->attr)->reset_after != 0};
}

static void set_rows(float *to, const float *from, int64_t n) {
    if (from)
        memcpy(to, from, (size_t)n * sizeof *to);
    else
        memset(to, 0, (size_t)n * sizeof *to);
}

/* One block of hidden units: where it starts and how many it has. */
typedef struct units {
    int64_t block, first, count;
} units;

static inline units units_of(const gru *l, int64_t block) {
    return (units){block, block * 16, mien__min64(16, l->hidden - block * 16)};
}

static inline float *kept_at(const gru *l, int64_t t, int64_t b) {
    return l->reserve + (t * l->batch + b) * 4 * l->hidden;
}

/* ---- forward ----------------------------------------------------------------------------------
 */

/* r and z (and, when reset after, U h + c of the candidate). */
MIEN_CLONES static void open_gates(const gru *l, int64_t t, int64_t block) {
    int64_t H = l->hidden;
    units w = units_of(l, block);
    int gates = l->after ? 3 : 2;
    for (int64_t b0 = 0; b0 < l->batch; b0 += MIEN_RNN_ROWS) {
        float sums[MIEN_RNN_ROWS * 3 * 16];
        int rows = (int)mien__min64(MIEN_RNN_ROWS, l->batch - b0);
        const float *h = l->h[t & 1] + b0 * H;
        mien__rnn_product(sums, l->all + block * H * gates * 16, h, H, 0, H, gates, rows);
        for (int row = 0; row < rows; row++) {
            int64_t b = b0 + row;
            const float *a = l->gates + (b * l->steps + t) * 3 * H + w.first;
            const float *s = sums + row * gates * 16, *bias = l->bias_hh + w.first;
            float *kept = kept_at(l, t, b) + w.first;
            v16 r = mien__v16_logistic(mien__v16_load(a, w.count) + mien__v16_load(s, 16) +
                                       mien__v16_load(bias, w.count));
            v16 z = mien__v16_logistic(mien__v16_load(a + H, w.count) + mien__v16_load(s + 16, 16) +
                                       mien__v16_load(bias + H, w.count));
            mien__v16_store(kept, r, w.count);
            mien__v16_store(kept + H, z, w.count);
            if (l->after)
                mien__v16_store(kept + 3 * H,
                                mien__v16_load(s + 32, 16) + mien__v16_load(bias + 2 * H, w.count),
                                w.count);
            else
                mien__v16_store(l->reset + b * H + w.first,
                                r * mien__v16_load(h + row * H + w.first, w.count), w.count);
        }
    }
}

/* The candidate's U (r h) + c, when the reset comes before the product. */
MIEN_CLONES static void look_back(const gru *l, int64_t t, int64_t block) {
    int64_t H = l->hidden;
    units w = units_of(l, block);
    for (int64_t b = 0; b < l->batch; b += MIEN_RNN_ROWS) {
        float sums[MIEN_RNN_ROWS * 16];
        int rows = (int)mien__min64(MIEN_RNN_ROWS, l->batch - b);
        mien__rnn_product(sums, l->candidate + block * H * 16, l->reset + b * H, H, 0, H, 1, rows);
        for (int row = 0; row < rows; row++)
            mien__v16_store(kept_at(l, t, b + row) + 3 * H + w.first,
                            mien__v16_load(sums + row * 16, 16) +
                                mien__v16_load(l->bias_hh + 2 * H + w.first, w.count),
                            w.count);
    }
}

MIEN_CLONES static void next_state(const gru *l, int64_t t, int64_t block) {
    int64_t H = l->hidden;
    units w = units_of(l, block);
    for (int64_t b = 0; b < l->batch; b++) {
        float *kept = kept_at(l, t, b) + w.first;
        v16 a = mien__v16_load(l->gates + (b * l->steps + t) * 3 * H + 2 * H + w.first, w.count);
        v16 u = mien__v16_load(kept + 3 * H, w.count), z = mien__v16_load(kept + H, w.count);
        if (l->after) u *= mien__v16_load(kept, w.count);
        v16 n = mien__v16_tanh(a + u);
        v16 h = mien__v16_load(l->h[t & 1] + b * H + w.first, w.count);
        h = n + z * (h - n);
        mien__v16_store(kept + 2 * H, n, w.count);
        mien__v16_store(l->h[(t + 1) & 1] + b * H + w.first, h, w.count);
        mien__v16_store(l->output + (b * l->steps + t) * H + w.first, h, w.count);
    }
}

static void forward_loop(const gru *l) {
    int threads = mien__rnn_threads(l->hidden, l->batch);
#pragma omp parallel num_threads(threads)
    {
        int64_t first, last;
        mien__share(mien__rnn_blocks(l->hidden), 1, omp_get_num_threads(), omp_get_thread_num(),
                    &first, &last);
        for (int64_t t = 0; t < l->steps; t++) {
            for (int64_t block = first; block < last; block++) open_gates(l, t, block);
            if (!l->after) {
#pragma omp barrier
                for (int64_t block = first; block < last; block++) look_back(l, t, block);
            }
            for (int64_t block = first; block < last; block++) next_state(l, t, block);
#pragma omp barrier
        }
    }
}

mien_status mien__cpu_gru_forward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_gru_forward);
    gru l = sizes(call);
    int64_t B = l.batch, T = l.steps, H = l.hidden;
    mien_tensor *in[6] = {0}, *gates = NULL, *state = NULL, *all = NULL, *candidate = NULL;
    mien_status status = MIEN_ERR_MEMORY;
    for (int i = 0; i < 6; i++)
        if (call->in[i] && !(in[i] = mien__cpu_as(call->in[i], 0))) goto done;
    if (!(gates = mien__cpu_scratch(B * T * 3 * H))) goto done;
    if (!(state = mien__cpu_scratch(3 * B * H))) goto done;
    const float *weight = mien__cpu_f32(in[2]);
    if (!(all = mien__rnn_pack(weight, H, 0, l.after ? 3 : 2))) goto done;
    if (!l.after && !(candidate = mien__rnn_pack(weight, H, 2, 1))) goto done;
    for (int i = 0; i < 3; i++)
        if ((status = mien__tensor_alloc(call->out[i], 0)) != MIEN_OK) goto done;
    l.all = mien__cpu_f32(all);
    l.candidate = candidate ? mien__cpu_f32(candidate) : NULL;
    l.bias_hh = mien__cpu_f32(in[4]);
    l.gates = mien__cpu_f32(gates);
    l.output = mien__cpu_f32(call->out[0]);
    l.reserve = mien__cpu_f32(call->out[2]);
    l.h[0] = mien__cpu_f32(state), l.h[1] = l.h[0] + B * H, l.reset = l.h[1] + B * H;
    set_rows(l.h[0], in[5] ? mien__cpu_f32(in[5]) : NULL, B * H);
    for (int64_t row = 0; row < B * T; row++)
        set_rows(l.gates + row * 3 * H, mien__cpu_f32(in[3]), 3 * H);
    status = mien__sgemm(false, true, B * T, 3 * H, l.input, mien__cpu_f32(in[0]), l.input,
                         mien__cpu_f32(in[1]), l.input, 1, l.gates, 3 * H);
    if (status != MIEN_OK) goto done;
    forward_loop(&l);
    set_rows(mien__cpu_f32(call->out[1]), l.h[T & 1], B * H);
    mien__cpu_says(call, "own:packed");
done:
    for (int i = 0; i < 6; i++) mien_tensor_release(in[i]);
    mien_tensor_release(gates);
    mien_tensor_release(state);
    mien_tensor_release(all);
    mien_tensor_release(candidate);
    return status;
}

/* ---- backward ---------------------------------------------------------------------------------
 */

/* From dh of this step to the gradients before the non-linearities: z and n, and when reset after
 * the product also r. */
MIEN_CLONES static void gradient_block(const gru *l, int64_t t, int64_t block) {
    int64_t H = l->hidden;
    units w = units_of(l, block);
    for (int64_t b = 0; b < l->batch; b++) {
        int64_t row = b * l->steps + t;
        const float *kept = kept_at(l, t, b) + w.first;
        v16 r = mien__v16_load(kept, w.count), z = mien__v16_load(kept + H, w.count);
        v16 n = mien__v16_load(kept + 2 * H, w.count), u = mien__v16_load(kept + 3 * H, w.count);
        v16 h = mien__v16_load(l->states + row * H + w.first, w.count);
        v16 dh = mien__v16_load(l->dh + b * H + w.first, w.count);
        if (l->output) dh += mien__v16_load(l->output + row * H + w.first, w.count);
        v16 dn = dh * (1.0f - z) * (1.0f - n * n), dz = dh * (h - n) * z * (1.0f - z);
        float *d = l->gates + row * 3 * H + w.first, *e = l->recurrent + row * 3 * H + w.first;
        mien__v16_store(d + H, dz, w.count);
        mien__v16_store(e + H, dz, w.count);
        mien__v16_store(d + 2 * H, dn, w.count);
        mien__v16_store(e + 2 * H, dn, w.count);
        mien__v16_store(l->reset + b * H + w.first, dh * z, w.count);
        if (!l->after) continue;
        v16 dr = dn * u * r * (1.0f - r);
        mien__v16_store(e + 2 * H, dn * r, w.count);
        mien__v16_store(d, dr, w.count);
        mien__v16_store(e, dr, w.count);
    }
}

/* Reset before the product: d(r h) gives dr and another part of dh. */
MIEN_CLONES static void reset_block(const gru *l, int64_t t, int64_t block) {
    int64_t H = l->hidden, step = l->steps * 3 * H;
    units w = units_of(l, block);
    for (int64_t b0 = 0; b0 < l->batch; b0 += MIEN_RNN_ROWS) {
        float sums[MIEN_RNN_ROWS * 16];
        int rows = (int)mien__min64(MIEN_RNN_ROWS, l->batch - b0);
        mien__rnn_product(sums, l->candidate + block * H * 16,
                          l->recurrent + b0 * step + t * 3 * H + 2 * H, step, 0, H, 1, rows);
        for (int i = 0; i < rows; i++) {
            int64_t b = b0 + i, row = b * l->steps + t;
            v16 drh = mien__v16_load(sums + i * 16, 16);
            v16 r = mien__v16_load(kept_at(l, t, b) + w.first, w.count);
            v16 dr = drh * mien__v16_load(l->states + row * H + w.first, w.count) * r * (1.0f - r);
            float *skip = l->reset + b * H + w.first;
            mien__v16_store(l->gates + row * 3 * H + w.first, dr, w.count);
            mien__v16_store(l->recurrent + row * 3 * H + w.first, dr, w.count);
            mien__v16_store(skip, mien__v16_load(skip, w.count) + drh * r, w.count);
        }
    }
}

MIEN_CLONES static void return_block(const gru *l, int64_t t, int64_t block) {
    int64_t H = l->hidden, step = l->steps * 3 * H;
    units w = units_of(l, block);
    int gates = l->after ? 3 : 2;
    for (int64_t b = 0; b < l->batch; b += MIEN_RNN_ROWS) {
        float sums[MIEN_RNN_ROWS * 3 * 16];
        int rows = (int)mien__min64(MIEN_RNN_ROWS, l->batch - b);
        mien__rnn_product(sums, l->all + block * H * gates * 16,
                          l->recurrent + b * step + t * 3 * H, step, H, H, gates, rows);
        for (int row = 0; row < rows; row++) {
            const float *s = sums + row * gates * 16;
            v16 dh = mien__v16_load(l->reset + (b + row) * H + w.first, w.count) +
                     mien__v16_load(s, 16) + mien__v16_load(s + 16, 16);
            if (l->after) dh += mien__v16_load(s + 32, 16);
            mien__v16_store(l->dh + (b + row) * H + w.first, dh, w.count);
        }
    }
}

static void backward_loop(const gru *l) {
    int threads = mien__rnn_threads(l->hidden, l->batch);
#pragma omp parallel num_threads(threads)
    {
        int64_t first, last;
        mien__share(mien__rnn_blocks(l->hidden), 1, omp_get_num_threads(), omp_get_thread_num(),
                    &first, &last);
        for (int64_t t = l->steps - 1; t >= 0; t--) {
            for (int64_t block = first; block < last; block++) gradient_block(l, t, block);
#pragma omp barrier
            if (!l->after) {
                for (int64_t block = first; block < last; block++) reset_block(l, t, block);
#pragma omp barrier
            }
            for (int64_t block = first; block < last; block++) return_block(l, t, block);
        }
    }
}

/* r times the state each step started from: what U multiplied for the candidate. */
static void reset_states(float *to, const gru *l) {
    int64_t H = l->hidden;
    for (int64_t b = 0; b < l->batch; b++)
        for (int64_t t = 0; t < l->steps; t++)
            for (int64_t i = 0; i < H; i++) {
                int64_t at = (b * l->steps + t) * H + i;
                to[at] = l->states[at] * kept_at(l, t, b)[i];
            }
}

static mien_status products(mien_op_call *call, const gru *l, const float *x, const float *w_ih) {
    int64_t rows = l->batch * l->steps, H = l->hidden, wide = 3 * H;
    if (call->want[0])
        MIEN_TRY(mien__sgemm(false, false, rows, l->input, wide, l->gates, wide, w_ih, l->input, 0,
                             mien__cpu_f32(call->din[0]), l->input));
    if (call->want[1])
        MIEN_TRY(mien__sgemm(true, false, wide, l->input, rows, l->gates, wide, x, l->input, 0,
                             mien__cpu_f32(call->din[1]), l->input));
    if (call->want[2]) {
        float *dw = mien__cpu_f32(call->din[2]);
        int64_t first = l->after ? wide : 2 * H; /* rows of U that multiplied the state itself */
        MIEN_TRY(
            mien__sgemm(true, false, first, H, rows, l->recurrent, wide, l->states, H, 0, dw, H));
        if (!l->after) {
            mien_tensor *reset = mien__cpu_scratch(rows * H);
            if (!reset) return MIEN_ERR_MEMORY;
            reset_states(mien__cpu_f32(reset), l);
            mien_status status = mien__sgemm(true, false, H, H, rows, l->recurrent + 2 * H, wide,
                                             mien__cpu_f32(reset), H, 0, dw + 2 * H * H, H);
            mien_tensor_release(reset);
            MIEN_TRY(status);
        }
    }
    if (call->want[3]) mien__cpu_sum_rows(mien__cpu_f32(call->din[3]), l->gates, rows, wide);
    if (call->want[4]) mien__cpu_sum_rows(mien__cpu_f32(call->din[4]), l->recurrent, rows, wide);
    return MIEN_OK;
}

static void shifted_states(float *to, const float *output, const float *h_first, const gru *l) {
    int64_t H = l->hidden;
    for (int64_t b = 0; b < l->batch; b++) {
        set_rows(to + b * l->steps * H, h_first ? h_first + b * H : NULL, H);
        set_rows(to + (b * l->steps + 1) * H, output + b * l->steps * H, (l->steps - 1) * H);
    }
}

mien_status mien__cpu_gru_backward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_gru_backward);
    gru l = sizes(call);
    int64_t B = l.batch, T = l.steps, H = l.hidden;
    mien_tensor *in[6] = {0}, *dout[2] = {0}, *output = NULL, *reserve = NULL;
    mien_tensor *work = NULL, *state = NULL, *all = NULL, *candidate = NULL;
    mien_status status = MIEN_ERR_MEMORY;
    for (int i = 0; i < 6; i++)
        if (i != 3 && i != 4 && call->in[i] && !(in[i] = mien__cpu_as(call->in[i], 0))) goto done;
    for (int i = 0; i < 2; i++)
        if (call->dout[i] && !(dout[i] = mien__cpu_as(call->dout[i], 0))) goto done;
    if (!(output = mien__cpu_as(call->out[0], 0))) goto done;
    if (!(reserve = mien__cpu_as(call->out[2], 0))) goto done;
    if (!(work = mien__cpu_scratch(B * T * 7 * H))) goto done;
    if (!(state = mien__cpu_scratch(2 * B * H))) goto done;
    const float *weight = mien__cpu_f32(in[2]);
    if (!(all = mien__rnn_pack_transposed(weight, H, 0, l.after ? 3 : 2))) goto done;
    if (!l.after && !(candidate = mien__rnn_pack_transposed(weight, H, 2, 1))) goto done;
    for (int i = 0; i < 6; i++)
        if (call->want[i] && (status = mien__tensor_alloc(call->din[i], 0)) != MIEN_OK) goto done;
    l.all = mien__cpu_f32(all);
    l.candidate = candidate ? mien__cpu_f32(candidate) : NULL;
    l.gates = mien__cpu_f32(work), l.recurrent = l.gates + B * T * 3 * H;
    float *states = l.recurrent + B * T * 3 * H;
    l.states = states;
    l.output = dout[0] ? mien__cpu_f32(dout[0]) : NULL;
    l.reserve = mien__cpu_f32(reserve);
    l.dh = mien__cpu_f32(state), l.reset = l.dh + B * H;
    set_rows(l.dh, dout[1] ? mien__cpu_f32(dout[1]) : NULL, B * H);
    shifted_states(states, mien__cpu_f32(output), in[5] ? mien__cpu_f32(in[5]) : NULL, &l);
    backward_loop(&l);
    status = products(call, &l, mien__cpu_f32(in[0]), mien__cpu_f32(in[1]));
    if (call->want[5]) set_rows(mien__cpu_f32(call->din[5]), l.dh, B * H);
    mien__cpu_says(call, "own:packed");
done:
    for (int i = 0; i < 6; i++) mien_tensor_release(in[i]);
    for (int i = 0; i < 2; i++) mien_tensor_release(dout[i]);
    mien_tensor_release(output);
    mien_tensor_release(reserve);
    mien_tensor_release(work);
    mien_tensor_release(state);
    mien_tensor_release(all);
    mien_tensor_release(candidate);
    return status;
}
