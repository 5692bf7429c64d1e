/* Broadcasting: a tensor read as if it were as large as another one, and sums over what it repeats.
 * Not here: what is done with the elements (pointwise.c, reduce.c). */
#include "cpu.h"

void mien__spread_add(mien__spread *s, int64_t size, int64_t step) {
    if (size == 1) return;
    int last = s->ndim - 1;
    if (s->ndim > 0 && s->step[last] == step * size) { /* one walk through both */
        s->size[last] *= size;
        s->step[last] = step;
        return;
    }
    s->size[s->ndim] = size;
    s->step[s->ndim++] = step;
}

mien__spread mien__spread_of(const mien_tensor *t, const mien_tensor *full) {
    mien__spread s = {.from = mien__cpu_f32(t)};
    int64_t step = mien_tensor_count(t);
    for (int d = 0; d < full->ndim; d++) {
        int own = d - (full->ndim - t->ndim);
        bool repeats = own < 0 || t->shape[own] == 1;
        if (!repeats) step /= t->shape[own];
        mien__spread_add(&s, full->shape[d], repeats ? 0 : step);
    }
    if (s.ndim == 0) s.size[s.ndim++] = 1;
    return s;
}

MIEN_CLONES(void, repeat, (float *to, float value, int64_t n), (to, value, n)) {
    for (int64_t i = 0; i < n; i++) to[i] = value;
}

const float *mien__spread_read(const mien__spread *s, int64_t i, int64_t n, float *room) {
    int last = s->ndim - 1;
    int64_t inner = s->size[last], column = i % inner, row = i / inner;
    int64_t at[MIEN_MAX_DIMS] = {0};
    const float *from = s->from;
    for (int d = last - 1; d >= 0; d--) {
        at[d] = row % s->size[d];
        row /= s->size[d];
        from += at[d] * s->step[d];
    }
    if (s->step[last] && column + n <= inner) return from + column;
    for (float *to = room;;) {
        int64_t m = mien__min64(n, inner - column);
        if (s->step[last])
            memcpy(to, from + column, (size_t)m * sizeof *to);
        else
            repeat(to, *from, m);
        to += m;
        n -= m;
        if (n == 0) return room;
        column = 0;
        int d = last - 1; /* the next row: like the wheels of a counter */
        for (from += s->step[d]; ++at[d] == s->size[d]; from += s->step[d]) {
            from -= s->size[d] * s->step[d];
            at[d--] = 0;
        }
    }
}

/* Each run of dimensions that t repeats is summed in a pass of its own, the outermost first. */
mien_status mien__spread_sum(mien_tensor *t, mien_tensor *full, double divisor) {
    bool repeats[MIEN_MAX_DIMS];
    int64_t size[MIEN_MAX_DIMS];
    for (int d = 0; d < full->ndim; d++) {
        int own = d - (full->ndim - t->ndim);
        size[d] = full->shape[d];
        repeats[d] = size[d] != 1 && (own < 0 || t->shape[own] != size[d]);
    }
    MIEN_TRY(mien__tensor_alloc(t, 0));
    mien_tensor *sums = mien_tensor_retain(full);
    mien_status status = MIEN_OK;
    int64_t outer = 1;
    for (int d = 0; d < full->ndim && status == MIEN_OK;) {
        if (!repeats[d]) {
            outer *= size[d++];
            continue;
        }
        int64_t length = 1, inner = 1, rest = 1;
        while (d < full->ndim && repeats[d]) length *= size[d++];
        for (int k = d; k < full->ndim; k++) {
            inner *= size[k];
            if (repeats[k]) rest *= size[k];
        }
        bool ends = rest == 1;
        mien_tensor *next = ends ? mien_tensor_retain(t) : mien__cpu_scratch(outer * inner);
        if (!next) status = mien_error_last()->code;
        if (status == MIEN_OK)
            status = mien__reduce(MIEN_OP_sum, mien__cpu_f32(next), mien__cpu_f32(sums),
                                  (mien__lines){outer, length, inner}, ends ? divisor : 1);
        mien_tensor_release(sums);
        sums = next;
        if (ends) break;
    }
    mien_tensor_release(sums);
    return status;
}
