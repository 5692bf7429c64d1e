/* One GRU layer over whole sequences, in both forms (Cho et al. 2014; reset after the product as in
 * cuDNN): what the gates do at each step. Not here: the loop over time, recurrent products,
 * products over all frames (recurrent.c), the LSTM (lstm.c). */
#include "recurrent.h"

typedef struct gru {
    mien__rnn r;
    bool after;                  /* reset_after */
    mien__rnn_part all;          /* r, z, n when reset_after, else r, z */
    mien__rnn_part candidate;    /* n; unused when reset_after */
    const float *bias, *bias_hh; /* [3H] */
    float *gates;                /* [B,T,3H]: W x; backward: before the non-linearities */
    float *output;               /* [B,T,H] */
    float *reserve;              /* [T,B,4H]: r, z, n, U h + c of the candidate */
    float *side;                 /* [B,H]: r h; backward: the part of dh that skips the product */
    const float *h_first;        /* [B,H] */
    const float *states;         /* backward: [B,T,H], the state each step started from */
    float *recurrent;            /* backward: [B,T,3H], gradients of U h + bias_hh (r, z, n) */
    const float *doutput;        /* backward: [B,T,H] or NULL */
    const float *dh_last;        /* backward: [B,H] or NULL */
    float *dh_first;             /* backward: [B,H] or NULL */
} gru;

static gru begin(mien_op_call *call, bool back) {
    gru l = {.r = mien__rnn_begin(call, 3)};
    l.after = ((const mien_gru_attr *)call->attr)->reset_after != 0;
    l.all = (mien__rnn_part){0, l.after ? 3 : 2, back ? l.r.group : 1, back, NULL};
    l.candidate = (mien__rnn_part){2, 1, l.r.group, back, NULL};
    return l;
}

static mien_status pack(gru *l) {
    MIEN_TRY(mien__rnn_pack(&l->r, &l->all));
    return l->after ? MIEN_OK : mien__rnn_pack(&l->r, &l->candidate);
}

/* Hidden units [u, u + n) of sequence b at step t. */
typedef struct place {
    int64_t b, u, n, frame; /* frame: b * T + t */
    float *kept;            /* reserve */
} place;

static inline place place_of(const gru *l, int64_t t, int64_t b, int64_t block) {
    int64_t H = l->r.hidden, u = block * 16;
    return (place){b, u, mien__min64(16, H - u), b * l->r.steps + t,
                   l->reserve + (t * l->r.batch + b) * 4 * H + u};
}

/* ---- forward --------------------------------------------------------------------------------- */

/* The state that step t starts from, for sequence b. */
static inline const float *state_at(const gru *l, int64_t t, int64_t b) {
    int64_t H = l->r.hidden;
    return t ? l->output + (b * l->r.steps + t - 1) * H : l->h_first + b * H;
}

/* r and z; u: U h + c of the candidate, when the reset comes after the product. */
static inline __attribute__((always_inline)) void open_gates(const gru *l, int64_t t, place p,
                                                             const float *sums) {
    int64_t H = l->r.hidden;
    const float *a = l->gates + p.frame * 3 * H + p.u;
    v16 s[2];
    for (int g = 0; g < 2; g++)
        s[g] = mien__v16_load(a + g * H, p.n) + mien__v16_load(l->bias + g * H + p.u, p.n) +
               mien__v16_load(sums + g * 16, 16) + mien__v16_load(l->bias_hh + g * H + p.u, p.n);
    v16 r = mien__v16_logistic(s[0]);
    mien__v16_store(p.kept, r, p.n);
    mien__v16_store(p.kept + H, mien__v16_logistic(s[1]), p.n);
    if (!l->after)
        mien__v16_store(l->side + p.b * H + p.u, r * mien__v16_load(state_at(l, t, p.b) + p.u, p.n),
                        p.n);
}

/* The candidate from its recurrent sums, and the new state. */
static inline __attribute__((always_inline)) void next_state(const gru *l, int64_t t, place p,
                                                             const float *sums) {
    int64_t H = l->r.hidden, n_at = 2 * H + p.u;
    v16 u = mien__v16_load(sums, 16) + mien__v16_load(l->bias_hh + n_at, p.n);
    mien__v16_store(p.kept + 3 * H, u, p.n);
    if (l->after) u *= mien__v16_load(p.kept, p.n);
    v16 n = mien__v16_tanh(mien__v16_load(l->gates + p.frame * 3 * H + n_at, p.n) +
                           mien__v16_load(l->bias + n_at, p.n) + u);
    v16 h = mien__v16_load(state_at(l, t, p.b) + p.u, p.n);
    mien__v16_store(p.kept + 2 * H, n, p.n);
    mien__v16_store(l->output + p.frame * H + p.u, n + mien__v16_load(p.kept + H, p.n) * (h - n),
                    p.n);
}

MIEN_CLONES(void, gates_step, (const void *layer, int64_t t, int64_t first, int64_t last),
            (layer, t, first, last)) {
    const gru *l = layer;
    int64_t B = l->r.batch, h_step = t ? l->r.steps * l->r.hidden : l->r.hidden;
    for (int64_t block = first; block < last; block++)
        for (int64_t b = 0; b < B; b += MIEN_RNN_ROWS) {
            float sums[MIEN_RNN_ROWS * 3 * 16];
            int rows = (int)mien__min64(MIEN_RNN_ROWS, B - b);
            int gates =
                mien__rnn_product(sums, &l->r, &l->all, block, state_at(l, t, b), h_step, rows);
            for (int row = 0; row < rows; row++) {
                const float *s = sums + row * gates * 16;
                place p = place_of(l, t, b + row, block);
                open_gates(l, t, p, s);
                if (l->after) next_state(l, t, p, s + 32);
            }
        }
}

/* The second half of a step when the reset comes before the product. */
MIEN_CLONES(void, candidate_step, (const void *layer, int64_t t, int64_t first, int64_t last),
            (layer, t, first, last)) {
    const gru *l = layer;
    int64_t H = l->r.hidden, B = l->r.batch;
    for (int64_t block = first; block < last; block += l->r.group)
        for (int64_t b = 0; b < B; b += MIEN_RNN_ROWS) {
            float sums[MIEN_RNN_ROWS * MIEN_RNN_COLUMNS * 16];
            int rows = (int)mien__min64(MIEN_RNN_ROWS, B - b);
            int columns =
                mien__rnn_product(sums, &l->r, &l->candidate, block, l->side + b * H, H, rows);
            for (int i = 0; i < rows * columns; i++)
                next_state(l, t, place_of(l, t, b + i / columns, block + i % columns),
                           sums + i * 16);
        }
}

static mien_status gru_steps_forward(gru *l) {
    mien__rnn *r = &l->r;
    mien_op_call *call = r->call;
    int64_t state = r->batch * r->hidden;
    float *h;
    MIEN_TRY(pack(l));
    MIEN_TRY(mien__rnn_read(r, call->in[3], &l->bias));
    MIEN_TRY(mien__rnn_read(r, call->in[4], &l->bias_hh));
    MIEN_TRY(mien__rnn_read_or_zeros(r, call->in[5], state, &l->h_first));
    MIEN_TRY(mien__rnn_room(r, r->batch * r->steps * r->wide, &l->gates));
    MIEN_TRY(mien__rnn_room(r, state, &l->side));
    MIEN_TRY(mien__rnn_write(r, call->out[0], &l->output));
    MIEN_TRY(mien__rnn_write(r, call->out[1], &h));
    MIEN_TRY(mien__rnn_write(r, call->out[2], &l->reserve));
    MIEN_TRY(mien__rnn_input(r, l->gates));
    mien__rnn_run(r, l, 0, r->steps - 1, (const mien__rnn_phase[]){gates_step, candidate_step},
                  l->after ? 1 : 2);
    mien__rnn_last(r, l->output, h);
    return MIEN_OK;
}

mien_status mien__cpu_gru_forward(mien_op_call *call) {
    if (mien__cpu_is_half(call) && !mien__cpu_has_bf16())
        return mien__cpu_in_f32(call, mien__cpu_gru_forward);
    gru l = begin(call, false);
    mien_status status = gru_steps_forward(&l);
    mien__cpu_set_implementation(call, "own:packed");
    return mien__rnn_end(&l.r, status);
}

/* ---- backward -------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void both(const gru *l, place p, int gate, v16 d) {
    int64_t at = (p.frame * 3 + gate) * l->r.hidden + p.u;
    mien__v16_store(l->gates + at, d, p.n);
    mien__v16_store(l->recurrent + at, d, p.n);
}

/* From the gradient of the state after step t to those before the non-linearities: z and n, and
 * when reset after the product also r. */
static inline __attribute__((always_inline)) void cell_back(const gru *l, place p, v16 dh) {
    int64_t H = l->r.hidden, at = p.frame * H + p.u;
    v16 r = mien__v16_load(p.kept, p.n), z = mien__v16_load(p.kept + H, p.n);
    v16 n = mien__v16_load(p.kept + 2 * H, p.n), h = mien__v16_load(l->states + at, p.n);
    if (l->doutput) dh += mien__v16_load(l->doutput + at, p.n);
    v16 dn = dh * (1.0f - z) * (1.0f - n * n);
    both(l, p, 1, dh * (h - n) * z * (1.0f - z));
    both(l, p, 2, dn);
    mien__v16_store(l->side + p.b * H + p.u, dh * z, p.n);
    if (!l->after) return;
    mien__v16_store(l->recurrent + (p.frame * 3 + 2) * H + p.u, dn * r, p.n);
    both(l, p, 0, dn * mien__v16_load(p.kept + 3 * H, p.n) * r * (1.0f - r));
}

/* The gradient of the state after step t from those of step t + 1, and then on through the gates;
 * step -1 ends with the gradient of the state given at the start. */
MIEN_CLONES(void, backward_step, (const void *layer, int64_t t, int64_t first, int64_t last),
            (layer, t, first, last)) {
    const gru *l = layer;
    int64_t T = l->r.steps, H = l->r.hidden, B = l->r.batch, group = l->r.group;
    for (int64_t block = first; block < last; block += group)
        for (int64_t b0 = 0; b0 < B; b0 += MIEN_RNN_ROWS) {
            float sums[MIEN_RNN_ROWS * MIEN_RNN_COLUMNS * 16];
            int rows = (int)mien__min64(MIEN_RNN_ROWS, B - b0);
            int columns = (int)mien__min64(group, last - block);
            if (t + 1 < T)
                mien__rnn_product(sums, &l->r, &l->all, block,
                                  l->recurrent + (b0 * T + t + 1) * 3 * H, T * 3 * H, rows);
            for (int i = 0; i < rows * columns; i++) {
                place p = place_of(l, t < 0 ? 0 : t, b0 + i / columns, block + i % columns);
                int64_t at = p.b * H + p.u;
                v16 dh = {0};
                if (t + 1 < T)
                    dh = mien__v16_load(sums + i * 16, 16) + mien__v16_load(l->side + at, p.n);
                else if (l->dh_last)
                    dh = mien__v16_load(l->dh_last + at, p.n);
                if (t >= 0)
                    cell_back(l, p, dh);
                else
                    mien__v16_store(l->dh_first + at, dh, p.n);
            }
        }
}

/* Reset before the product: d(r h) gives dr and another part of dh. */
MIEN_CLONES(void, reset_step, (const void *layer, int64_t t, int64_t first, int64_t last),
            (layer, t, first, last)) {
    const gru *l = layer;
    int64_t T = l->r.steps, H = l->r.hidden, B = l->r.batch;
    if (t < 0) return;
    for (int64_t block = first; block < last; block += l->r.group)
        for (int64_t b = 0; b < B; b += MIEN_RNN_ROWS) {
            float sums[MIEN_RNN_ROWS * MIEN_RNN_COLUMNS * 16];
            int rows = (int)mien__min64(MIEN_RNN_ROWS, B - b);
            int columns =
                mien__rnn_product(sums, &l->r, &l->candidate, block,
                                  l->recurrent + ((b * T + t) * 3 + 2) * H, T * 3 * H, rows);
            for (int i = 0; i < rows * columns; i++) {
                place p = place_of(l, t, b + i / columns, block + i % columns);
                v16 drh = mien__v16_load(sums + i * 16, 16), r = mien__v16_load(p.kept, p.n);
                float *skip = l->side + p.b * H + p.u;
                v16 h = mien__v16_load(l->states + p.frame * H + p.u, p.n);
                both(l, p, 0, drh * h * r * (1.0f - r));
                mien__v16_store(skip, mien__v16_load(skip, p.n) + drh * r, p.n);
            }
        }
}

/* r times the state each step started from: what U multiplied for the candidate. */
static mien_status reset_states(gru *l, const float **states) {
    int64_t H = l->r.hidden;
    float *to;
    MIEN_TRY(mien__rnn_room(&l->r, l->r.batch * l->r.steps * H, &to));
    for (int64_t b = 0; b < l->r.batch; b++)
        for (int64_t t = 0; t < l->r.steps; t++) {
            place p = place_of(l, t, b, 0);
            for (int64_t i = 0; i < H; i++)
                to[p.frame * H + i] = l->states[p.frame * H + i] * p.kept[i];
        }
    *states = to;
    return MIEN_OK;
}

static mien_status recurrent_weights(gru *l) {
    mien__rnn *r = &l->r;
    int64_t H = r->hidden;
    const float *reset;
    const void *gates;
    if (!mien__rnn_gradient(r, 2)) return MIEN_OK;
    MIEN_TRY(mien__tensor_alloc(r->call->din[2], 0));
    MIEN_TRY(mien__rnn_factor(r, r->wide, l->recurrent, &gates));
    if (l->after) return mien__rnn_weights_back(r, 0, 3 * H, gates, l->states);
    MIEN_TRY(mien__rnn_weights_back(r, 0, 2 * H, gates, l->states));
    MIEN_TRY(reset_states(l, &reset));
    return mien__rnn_weights_back(r, 2 * H, H, gates, reset);
}

static mien_status gru_steps_backward(gru *l) {
    mien__rnn *r = &l->r;
    mien_op_call *call = r->call;
    int64_t state = r->batch * r->hidden, frames = r->batch * r->steps;
    const float *output, *reserve;
    const void *factor;
    float *db;
    MIEN_TRY(pack(l));
    MIEN_TRY(mien__rnn_read_or_zeros(r, call->in[5], state, &l->h_first));
    MIEN_TRY(mien__rnn_read(r, call->out[0], &output));
    MIEN_TRY(mien__rnn_read(r, call->out[2], &reserve));
    MIEN_TRY(mien__rnn_states(r, output, l->h_first, &l->states));
    MIEN_TRY(mien__rnn_read(r, call->dout[0], &l->doutput));
    MIEN_TRY(mien__rnn_read(r, call->dout[1], &l->dh_last));
    MIEN_TRY(mien__rnn_room(r, frames * r->wide, &l->gates));
    MIEN_TRY(mien__rnn_room(r, frames * r->wide, &l->recurrent));
    MIEN_TRY(mien__rnn_room(r, state, &l->side));
    MIEN_TRY(mien__rnn_write(r, mien__rnn_gradient(r, 4), &db));
    MIEN_TRY(mien__rnn_write(r, mien__rnn_gradient(r, 5), &l->dh_first));
    l->reserve = (float *)reserve;
    mien__rnn_run(r, l, r->steps - 1, l->dh_first ? -1 : 0,
                  (const mien__rnn_phase[]){backward_step, reset_step}, l->after ? 1 : 2);
    MIEN_TRY(mien__rnn_factor(r, r->wide, l->gates, &factor));
    MIEN_TRY(mien__rnn_input_back(r, l->gates, factor));
    if (db) mien__cpu_sum_rows(db, l->recurrent, frames, r->wide);
    return recurrent_weights(l);
}

mien_status mien__cpu_gru_backward(mien_op_call *call) {
    if (mien__cpu_is_half(call) && !mien__cpu_has_bf16())
        return mien__cpu_in_f32(call, mien__cpu_gru_backward);
    gru l = begin(call, true);
    mien_status status = gru_steps_backward(&l);
    mien__cpu_set_implementation(call, "own:packed");
    return mien__rnn_end(&l.r, status);
}
