/* One LSTM layer over whole sequences: what the gates do at each step, forward and backward.
 * Not here: the loop over time, recurrent products, products over all frames (recurrent.c).
 * Equations: Hochreiter & Schmidhuber 1997 with forget gates (Gers et al. 2000). */
#include "recurrent.h"

typedef struct lstm {
    mien__rnn r;
    mien__rnn_part weights;
    const float *bias;              /* [4H] */
    float *gates;                   /* [B,T,4H]: W x; backward: before the non-linearities */
    float *output;                  /* [B,T,H] */
    float *reserve;                 /* [T,B,5H] */
    const float *h_first, *c_first; /* [B,H] */
    const float *doutput;           /* [B,T,H] or NULL */
    const float *dh_last;           /* [B,H] or NULL */
    float *dh_first;                /* [B,H] or NULL */
    float *dc;                      /* [B,H]: gradient of the running cell state */
} lstm;

static inline float *kept_at(const lstm *l, int64_t t, int64_t b) {
    return l->reserve + (t * l->r.batch + b) * 5 * l->r.hidden;
}

/* ---- forward --------------------------------------------------------------------------------- */

/* Step t for the hidden units [u, u + n) of sequence b; sums: U h. */
static inline __attribute__((always_inline)) void cell(const lstm *l, int64_t t, int64_t b,
                                                       int64_t u, int64_t n, const float *sums) {
    int64_t H = l->r.hidden, frame = b * l->r.steps + t;
    const float *a = l->gates + frame * 4 * H + u, *bias = l->bias + u;
    const float *before = t ? kept_at(l, t - 1, b) + 4 * H : l->c_first + b * H;
    v16 sum[4];
    for (int g = 0; g < 4; g++)
        sum[g] = mien__v16_load(a + g * H, n) + mien__v16_load(bias + g * H, n) +
                 mien__v16_load(sums + g * 16, 16);
    v16 i = mien__v16_logistic(sum[0]), f = mien__v16_logistic(sum[1]);
    v16 g = mien__v16_tanh(sum[2]), o = mien__v16_logistic(sum[3]);
    v16 c = f * mien__v16_load(before + u, n) + i * g;
    float *kept = kept_at(l, t, b) + u;
    mien__v16_store(l->output + frame * H + u, o * mien__v16_tanh(c), n);
    mien__v16_store(kept, i, n);
    mien__v16_store(kept + H, f, n);
    mien__v16_store(kept + 2 * H, g, n);
    mien__v16_store(kept + 3 * H, o, n);
    mien__v16_store(kept + 4 * H, c, n);
}

MIEN_CLONES(void, forward_step, (const void *layer, int64_t t, int64_t first, int64_t last),
            (layer, t, first, last)) {
    const lstm *l = layer;
    int64_t T = l->r.steps, H = l->r.hidden, B = l->r.batch;
    const float *h = t ? l->output + (t - 1) * H : l->h_first;
    int64_t h_step = t ? T * H : H;
    for (int64_t block = first; block < last; block++)
        for (int64_t b = 0; b < B; b += MIEN_RNN_ROWS) {
            float sums[MIEN_RNN_ROWS * 4 * 16];
            int rows = (int)mien__min64(MIEN_RNN_ROWS, B - b);
            mien__rnn_product(sums, &l->r, &l->weights, block, h + b * h_step, h_step, rows);
            for (int row = 0; row < rows; row++)
                cell(l, t, b + row, block * 16, mien__min64(16, H - block * 16), sums + row * 64);
        }
}

static mien_status lstm_steps_forward(lstm *l) {
    mien__rnn *r = &l->r;
    mien_op_call *call = r->call;
    int64_t state = r->batch * r->hidden;
    float *h, *c;
    MIEN_TRY(mien__rnn_pack(r, &l->weights));
    MIEN_TRY(mien__rnn_read(r, call->in[3], &l->bias));
    MIEN_TRY(mien__rnn_read_or_zeros(r, call->in[4], state, &l->h_first));
    MIEN_TRY(mien__rnn_read_or_zeros(r, call->in[5], state, &l->c_first));
    MIEN_TRY(mien__rnn_room(r, r->batch * r->steps * r->wide, &l->gates));
    MIEN_TRY(mien__rnn_write(r, call->out[0], &l->output));
    MIEN_TRY(mien__rnn_write(r, call->out[1], &h));
    MIEN_TRY(mien__rnn_write(r, call->out[2], &c));
    MIEN_TRY(mien__rnn_write(r, call->out[3], &l->reserve));
    MIEN_TRY(mien__rnn_input(r, l->gates));
    mien__rnn_run(r, l, 0, r->steps - 1, (const mien__rnn_phase[]){forward_step}, 1);
    mien__rnn_last(r, l->output, h);
    for (int64_t b = 0; b < r->batch; b++)
        memcpy(c + b * r->hidden, kept_at(l, r->steps - 1, b) + 4 * r->hidden,
               (size_t)r->hidden * sizeof *c);
    return MIEN_OK;
}

mien_status mien__cpu_lstm_forward(mien_op_call *call) {
    if (mien__cpu_is_half(call) && !mien__cpu_has_bf16())
        return mien__cpu_in_f32(call, mien__cpu_lstm_forward);
    lstm l = {.r = mien__rnn_begin(call, 4), .weights = {.gates = 4, .group = 1}};
    mien_status status = lstm_steps_forward(&l);
    mien__cpu_set_implementation(call, "own:packed");
    return mien__rnn_end(&l.r, status);
}

/* ---- backward -------------------------------------------------------------------------------- */

/* From the gradient of h after step t to those before the non-linearities. */
static inline __attribute__((always_inline)) void cell_back(const lstm *l, int64_t t, int64_t b,
                                                            int64_t u, int64_t n, v16 dh) {
    int64_t H = l->r.hidden, frame = b * l->r.steps + t;
    const float *kept = kept_at(l, t, b) + u;
    const float *before = t ? kept_at(l, t - 1, b) + 4 * H : l->c_first + b * H;
    v16 i = mien__v16_load(kept, n), f = mien__v16_load(kept + H, n);
    v16 g = mien__v16_load(kept + 2 * H, n), o = mien__v16_load(kept + 3 * H, n);
    v16 tanh_c = mien__v16_tanh(mien__v16_load(kept + 4 * H, n));
    if (l->doutput) dh += mien__v16_load(l->doutput + frame * H + u, n);
    v16 dc = mien__v16_load(l->dc + b * H + u, n) + dh * o * (1.0f - tanh_c * tanh_c);
    float *d = l->gates + frame * 4 * H + u;
    mien__v16_store(d, dc * g * i * (1.0f - i), n);
    mien__v16_store(d + H, dc * mien__v16_load(before + u, n) * f * (1.0f - f), n);
    mien__v16_store(d + 2 * H, dc * i * (1.0f - g * g), n);
    mien__v16_store(d + 3 * H, dh * tanh_c * o * (1.0f - o), n);
    mien__v16_store(l->dc + b * H + u, dc * f, n);
}

/* The gradient of h after step t from those of step t + 1, and then on through the gates; step -1
 * ends with the gradient of the state given at the start. */
MIEN_CLONES(void, backward_step, (const void *layer, int64_t t, int64_t first, int64_t last),
            (layer, t, first, last)) {
    const lstm *l = layer;
    int64_t T = l->r.steps, H = l->r.hidden, B = l->r.batch, group = l->weights.group;
    for (int64_t block = first; block < last; block += group)
        for (int64_t b0 = 0; b0 < B; b0 += MIEN_RNN_ROWS) {
            float sums[MIEN_RNN_ROWS * MIEN_RNN_COLUMNS * 16];
            int rows = (int)mien__min64(MIEN_RNN_ROWS, B - b0);
            int columns = (int)mien__min64(group, last - block);
            if (t + 1 < T)
                mien__rnn_product(sums, &l->r, &l->weights, block,
                                  l->gates + (b0 * T + t + 1) * 4 * H, T * 4 * H, rows);
            for (int i = 0; i < rows * columns; i++) {
                int64_t b = b0 + i / columns, u = (block + i % columns) * 16;
                int64_t n = mien__min64(16, H - u);
                v16 dh = {0};
                if (t + 1 < T)
                    dh = mien__v16_load(sums + i * 16, 16);
                else if (l->dh_last)
                    dh = mien__v16_load(l->dh_last + b * H + u, n);
                if (t >= 0)
                    cell_back(l, t, b, u, n, dh);
                else
                    mien__v16_store(l->dh_first + b * H + u, dh, n);
            }
        }
}

static mien_status lstm_steps_backward(lstm *l) {
    mien__rnn *r = &l->r;
    mien_op_call *call = r->call;
    int64_t state = r->batch * r->hidden;
    const float *output, *reserve, *dc_last, *states;
    const void *factor;
    float *dc_first;
    MIEN_TRY(mien__rnn_pack(r, &l->weights));
    MIEN_TRY(mien__rnn_read_or_zeros(r, call->in[4], state, &l->h_first));
    MIEN_TRY(mien__rnn_read_or_zeros(r, call->in[5], state, &l->c_first));
    MIEN_TRY(mien__rnn_read(r, call->out[0], &output));
    MIEN_TRY(mien__rnn_read(r, call->out[3], &reserve));
    MIEN_TRY(mien__rnn_read(r, call->dout[0], &l->doutput));
    MIEN_TRY(mien__rnn_read(r, call->dout[1], &l->dh_last));
    MIEN_TRY(mien__rnn_read_or_zeros(r, call->dout[2], state, &dc_last));
    MIEN_TRY(mien__rnn_room(r, r->batch * r->steps * r->wide, &l->gates));
    MIEN_TRY(mien__rnn_room(r, state, &l->dc));
    MIEN_TRY(mien__rnn_write(r, mien__rnn_gradient(r, 4), &l->dh_first));
    MIEN_TRY(mien__rnn_write(r, mien__rnn_gradient(r, 5), &dc_first));
    l->reserve = (float *)reserve;
    memcpy(l->dc, dc_last, (size_t)state * sizeof *l->dc);
    mien__rnn_run(r, l, r->steps - 1, l->dh_first ? -1 : 0,
                  (const mien__rnn_phase[]){backward_step}, 1);
    if (dc_first) memcpy(dc_first, l->dc, (size_t)state * sizeof *dc_first);
    MIEN_TRY(mien__rnn_factor(r, r->wide, l->gates, &factor));
    MIEN_TRY(mien__rnn_input_back(r, l->gates, factor));
    if (!mien__rnn_gradient(r, 2)) return MIEN_OK;
    MIEN_TRY(mien__tensor_alloc(call->din[2], 0));
    MIEN_TRY(mien__rnn_states(r, output, l->h_first, &states));
    return mien__rnn_weights_back(r, 0, r->wide, factor, states);
}

mien_status mien__cpu_lstm_backward(mien_op_call *call) {
    if (mien__cpu_is_half(call) && !mien__cpu_has_bf16())
        return mien__cpu_in_f32(call, mien__cpu_lstm_backward);
    lstm l = {.r = mien__rnn_begin(call, 4)};
    l.weights = (mien__rnn_part){.gates = 4, .group = l.r.group, .back = true};
    mien_status status = lstm_steps_backward(&l);
    mien__cpu_set_implementation(call, "own:packed");
    return mien__rnn_end(&l.r, status);
}
