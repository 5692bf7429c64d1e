/* sum, mean and max over one dimension or all.
 * Not here: softmax (softmax.c), the losses (loss.c). */
#include "cpu.h"
#include <math.h>
#include <stdlib.h>

/* Columns that one item of work takes side by side, and the elements after which a line is cut. */
enum { TILE = 64, PART = 65536 };

/* ---- one item -------------------------------------------------------------------------------- */

/* Sums of `width` columns of `rows` rows, in double; the rows lie `inner` apart. */
MIEN_CLONES(void, sum_part,
            (double *restrict y, const float *restrict x, int64_t rows, int64_t inner,
             int64_t width),
            (y, x, rows, inner, width)) {
    if (inner == 1) {
        double lanes[16] = {0}, total = 0;
        int64_t i = 0;
        for (; i + 16 <= rows; i += 16)
            for (int k = 0; k < 16; k++) lanes[k] += x[i + k];
        for (; i < rows; i++) total += x[i];
        for (int k = 0; k < 16; k++) total += lanes[k];
        *y = total;
        return;
    }
    double part[TILE] = {0};
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < width; j++) part[j] += x[i * inner + j];
    memcpy(y, part, (size_t)width * sizeof *y);
}

/* The same with the largest. */
MIEN_CLONES(void, max_part,
            (double *restrict y, const float *restrict x, int64_t rows, int64_t inner,
             int64_t width),
            (y, x, rows, inner, width)) {
    if (inner == 1) {
        *y = mien__largest(x, rows);
        return;
    }
    float most[TILE];
    for (int j = 0; j < TILE; j++) most[j] = -INFINITY;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < width; j++) most[j] = mien__larger(most[j], x[i * inner + j]);
    for (int64_t j = 0; j < width; j++) y[j] = most[j];
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* How the work is cut, by sizes alone: tiles of columns, and parts of lines that are long. */
typedef struct cut {
    int64_t tiles, rows, parts, items;
} cut;

static cut cut_of(mien__lines l) {
    int64_t width = mien__min64(TILE, l.inner);
    cut c = {.tiles = (l.inner + TILE - 1) / TILE, .rows = PART / width};
    c.parts = (l.length + c.rows - 1) / c.rows;
    c.items = l.outer * c.tiles * c.parts;
    return c;
}

mien__lines mien__lines_of(const mien_tensor *t, int dim) {
    mien__lines l = {1, dim < 0 ? mien_tensor_count(t) : t->shape[dim], 1};
    for (int i = 0; i < dim; i++) l.outer *= t->shape[i];
    for (int i = dim + 1; dim >= 0 && i < t->ndim; i++) l.inner *= t->shape[i];
    return l;
}

/* What the parts of a line make together goes to y. */
static void finish(mien_op op, float *y, const double *part, mien__lines l, const cut *c,
                   double divisor) {
    for (int64_t i = 0; i < l.outer * l.inner; i++) {
        int64_t first = i / l.inner * c->parts * l.inner + i % l.inner;
        double total = part[first];
        for (int64_t p = 1; p < c->parts; p++) {
            double next = part[first + p * l.inner];
            total = op == MIEN_OP_max ? mien__larger((float)total, (float)next) : total + next;
        }
        y[i] = (float)(total / divisor);
    }
}

mien_status mien__reduce(mien_op op, float *y, const float *x, mien__lines l, double divisor) {
    cut c = cut_of(l);
    double *part = NULL; /* [outer, parts, inner] */
    if (c.parts > 1 && !(part = malloc((size_t)(l.outer * c.parts * l.inner) * sizeof *part)))
        MIEN_FAIL(MIEN_ERR_MEMORY, "%s: no memory for sums", mien_op_info_at(op)->name);
#pragma omp parallel for schedule(static) if (l.outer * l.length * l.inner > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < c.items; i++) {
        int64_t line = i / c.tiles, column = i % c.tiles * TILE, o = line / c.parts;
        int64_t first = line % c.parts * c.rows, rows = mien__min64(c.rows, l.length - first);
        int64_t width = mien__min64(TILE, l.inner - column);
        double sums[TILE], *to = part ? part + line * l.inner + column : sums;
        const float *from = x + (o * l.length + first) * l.inner + column;
        if (op == MIEN_OP_max)
            max_part(to, from, rows, l.inner, width);
        else
            sum_part(to, from, rows, l.inner, width);
        for (int64_t j = 0; j < width && !part; j++)
            y[o * l.inner + column + j] = (float)(sums[j] / divisor); // cppcheck-suppress uninitvar
    }
    if (part) finish(op, y, part, l, &c, divisor);
    free(part);
    return MIEN_OK;
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* sum, mean and max have the same attributes in the same order. */
static int dim_of(const mien_op_call *call) {
    return (int)((const mien_sum_attr *)call->attr)->dim;
}

mien_status mien__cpu_reduce_forward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_reduce_forward);
    int dim = dim_of(call);
    /* In a sum over all elements the zeros that pad channels do no harm. */
    int block = dim < 0 && call->op != MIEN_OP_max ? call->in[0]->block : 0;
    mien_tensor *in = mien__cpu_as_layout(call->in[0], block), *out = call->out[0];
    if (!in) return mien_error_last()->code;
    mien__lines l = mien__lines_of(in, dim);
    double divisor = call->op == MIEN_OP_mean ? (double)l.length : 1;
    if (block) l.length = mien__cpu_floats(in, block);
    mien_status status = mien__tensor_alloc(out, 0);
    if (status == MIEN_OK)
        status = mien__reduce(call->op, mien__cpu_f32(out), mien__cpu_f32(in), l, divisor);
    mien_tensor_release(in);
    return status;
}

MIEN_CLONES(void, scale_run, (float *restrict y, const float *x, float factor, int64_t n),
            (y, x, factor, n)) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * factor;
}

/* Each element of a line gets the line's gradient, of a mean a share of it. */
static void spread_gradient(float *dx, const float *dy, mien__lines l, float factor) {
    enum { PIECE = 2048 };
    mien__spread s = {.from = dy};
    mien__spread_add(&s, l.outer, l.inner);
    mien__spread_add(&s, l.length, 0);
    mien__spread_add(&s, l.inner, 1);
    if (s.ndim == 0) s.size[s.ndim++] = 1;
    int64_t n = l.outer * l.length * l.inner;
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < n; i += PIECE) {
        float room[PIECE];
        int64_t m = mien__min64(PIECE, n - i);
        scale_run(dx + i, mien__spread_read(&s, i, m, room), factor, m);
    }
}

/* The first element that equals the maximum y, or is NaN as y is, of `width` lines side by side. */
MIEN_CLONES(void, find_first,
            (int64_t * at, const float *x, const float *y, int64_t length, int64_t inner,
             int64_t width),
            (at, x, y, length, inner, width)) {
    for (int64_t i = length - 1; i >= 0; i--)
        for (int64_t j = 0; j < width; j++) {
            float v = x[i * inner + j];
            at[j] = (v == y[j]) | ((v != v) & (y[j] != y[j])) ? i : at[j];
        }
}

/* The first largest element of a line gets its gradient, the others 0. */
static void max_gradient(float *dx, const float *dy, const float *x, const float *y,
                         mien__lines l) {
    int64_t tiles = (l.inner + TILE - 1) / TILE, n = l.outer * l.length * l.inner;
#pragma omp parallel for schedule(static) if (n > MIEN_PARALLEL_FLOATS)
    for (int64_t i = 0; i < l.outer * tiles; i++) {
        int64_t column = i % tiles * TILE, width = mien__min64(TILE, l.inner - column);
        int64_t line = i / tiles * l.length * l.inner + column, to = i / tiles * l.inner + column;
        int64_t at[TILE] = {0};
        find_first(at, x + line, y + to, l.length, l.inner, width);
        for (int64_t k = 0; k < l.length; k++)
            memset(dx + line + k * l.inner, 0, (size_t)width * sizeof *dx);
        for (int64_t j = 0; j < width; j++) dx[line + at[j] * l.inner + j] = dy[to + j];
    }
}

mien_status mien__cpu_reduce_backward(mien_op_call *call) {
    if (mien__cpu_is_half(call)) return mien__cpu_in_f32(call, mien__cpu_reduce_backward);
    bool max = call->op == MIEN_OP_max;
    mien_tensor *dout = mien__cpu_as_layout(call->dout[0], 0), *din = call->din[0];
    mien_tensor *x = max ? mien__cpu_as_layout(call->in[0], 0) : NULL;
    mien_tensor *y = max ? mien__cpu_as_layout(call->out[0], 0) : NULL;
    mien_status status = dout && (!max || (x && y)) ? MIEN_OK : mien_error_last()->code;
    if (status == MIEN_OK) status = mien__tensor_alloc(din, 0);
    if (status == MIEN_OK) {
        mien__lines l = mien__lines_of(din, dim_of(call));
        float factor = call->op == MIEN_OP_mean ? 1.0f / (float)l.length : 1;
        float *dx = mien__cpu_f32(din);
        const float *dy = mien__cpu_f32(dout);
        if (max)
            max_gradient(dx, dy, mien__cpu_f32(x), mien__cpu_f32(y), l);
        else
            spread_gradient(dx, dy, l, factor);
    }
    mien_tensor_release(dout);
    mien_tensor_release(x);
    mien_tensor_release(y);
    return status;
}
