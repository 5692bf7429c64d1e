/* batch_norm with + residual and ReLU, forward and backward, on plain and blocked activations.
 * Not here: the passes over elements (norm_kernels.c). */
#include "lanes.h"
#include "norm_kernels.h"
#include "base/allocate.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>

/* How the work is cut: `groups` of channels (a block, one channel when plain, up to 16 neighbours
 * in [N,C]) times `parts` of the batch. With few groups the batch is cut as well, else threads
 * would idle. */
typedef struct cut {
    int64_t images, groups, elements; /* from one group of an image to the next */
    int64_t image;                    /* elements from one image to the next */
    int64_t channels;
    int block, parts;
    int form;     /* of activations and their gradients: lanes.h */
    double count; /* elements per channel */
} cut;

static cut cut_of(const mien_tensor *t, int block) {
    cut c = {.images = t->shape[0],
             .channels = t->shape[1],
             .block = block         ? block
                      : t->ndim > 2 ? 1
                                    : 16,
             .form = mien__lanes_of(t->dtype)};
    int64_t pixels = 1;
    for (int d = 2; d < t->ndim; d++) pixels *= t->shape[d];
    c.groups = (c.channels + c.block - 1) / c.block;
    c.elements = pixels * c.block;
    c.image = t->ndim > 2 ? c.groups * c.elements : c.channels;
    c.count = (double)(c.images * pixels);
    int threads = mien__cpu_threads();
    if (c.groups % threads != 0 && c.groups < 2 * threads)
        c.parts = (int)mien__min64(c.images, threads);
    if (c.parts < 1) c.parts = 1;
    return c;
}

/* Loads the `block` numbers of a group into all 16 lanes, repeated; channels that are padding get
 * 0. `from` NULL gives 0. */
static void spread(float lanes[16], const float *from, int64_t group, const cut *c) {
    for (int i = 0; i < 16; i++) {
        int64_t channel = group * c->block + i % c->block;
        lanes[i] = from && channel < c->channels ? from[channel] : 0;
    }
}

/* Adds up lanes that hold the same channel; gives the first `block` of them. */
static void fold(double lanes[16], int block) {
    for (int i = block; i < 16; i++) lanes[i % block] += lanes[i];
}

/* The elements of a group in an image, NULL when there are none. */
static void *at(const void *base, const cut *c, int64_t image, int64_t group) {
    return base ? mien__lane_at(c->form, base, image * c->image + group * c->elements) : NULL;
}

/* `images` of them in a row, as the passes walk them: the last group of [N,C] may be smaller. */
static mien__norm_span span_of(const cut *c, int64_t images, int64_t group) {
    return (mien__norm_span){images, c->image,
                             mien__min64(c->elements, c->image - group * c->elements)};
}

/* A value near the mean of each channel, so that sums of (x - shift) lose nothing even when the
 * mean is many standard deviations from 0: the average of up to 16 spread-out samples. */
static void guess_mean(float lanes[16], const void *x, int64_t group, const cut *c) {
    int64_t pixels = c->elements / c->block, all = c->images * pixels;
    int64_t samples = mien__min64(all, 16), step = all / samples;
    float sum[16] = {0};
    for (int64_t s = 0; s < samples; s++) {
        int64_t place = s * step;
        const void *image = at(x, c, place / pixels, group);
        int64_t first = place % pixels * c->block, left = c->image - group * c->elements;
        for (int i = 0; i < mien__min64(c->block, left); i++)
            sum[i] += mien__lane_load(c->form, image, first + i);
    }
    for (int i = 0; i < 16; i++) lanes[i] = sum[i % c->block] / (float)samples;
}

/* ---- forward --------------------------------------------------------------------------------- */

typedef struct pass {
    cut cut;
    const void *x, *residual, *y, *dy;
    void *out, *dres; /* y, or dx and the residual's gradient */
    const float *weight, *bias;
    float *mean, *rstd; /* one per channel; written in training */
    float *dweight, *dbias;
    double *partial; /* [parts][groups][2][16] */
    bool relu, training;
    double eps;
    double *variance; /* [channels], for the running estimate */
} pass;

/* The images of one part: where they start, and how they follow each other. */
static int64_t part_of(const cut *c, int part, int64_t group, mien__norm_span *span) {
    int64_t first, last;
    mien__share(c->images, 1, c->parts, part, &first, &last);
    *span = span_of(c, last - first, group);
    return first;
}

static double *partial_of(const pass *p, int part, int64_t group) {
    return p->partial + ((int64_t)part * p->cut.groups + group) * 32;
}

/* Sums of (x - shift) and its square over the images of one part. */
static void sum_part(const pass *p, int64_t group, int part, const float shift[16]) {
    const cut *c = &p->cut;
    mien__norm_span span;
    int64_t first = part_of(c, part, group, &span);
    double *sums = partial_of(p, part, group);
    memset(sums, 0, 32 * sizeof *sums);
    mien__norm_sums(c->form, &span, at(p->x, c, first, group), shift, sums, sums + 16);
}

/* From the parts' sums to mean and 1/sd. When the guess was far off (more than 30 sd), the squares
 * are summed once more around the mean. */
static void finish_statistics(const pass *p, int64_t group, const float shift[16]) {
    const cut *c = &p->cut;
    double total[32] = {0}, variance[16];
    for (int part = 0; part < c->parts; part++) {
        const double *sums = partial_of(p, part, group);
        for (int i = 0; i < 32; i++) total[i] += sums[i];
    }
    fold(total, c->block);
    fold(total + 16, c->block);
    float mean[16] = {0};
    bool again = false;
    for (int i = 0; i < c->block; i++) {
        double delta = total[i] / c->count;
        mean[i] = (float)(shift[i] + delta);
        variance[i] = total[16 + i] / c->count - delta * delta;
        again |= delta * delta > 900 * fmax(variance[i], 0);
    }
    if (again) {
        double sums[32] = {0};
        for (int i = c->block; i < 16; i++) mean[i] = mean[i % c->block];
        mien__norm_span all = span_of(c, c->images, group);
        mien__norm_sums(c->form, &all, at(p->x, c, 0, group), mean, sums, sums + 16);
        fold(sums, c->block);
        fold(sums + 16, c->block);
        for (int i = 0; i < c->block; i++) {
            double delta = sums[i] / c->count;
            variance[i] = sums[16 + i] / c->count - delta * delta;
        }
    }
    for (int i = 0; i < c->block; i++) {
        int64_t channel = group * c->block + i;
        if (channel >= c->channels) break;
        variance[i] = variance[i] < 0 ? 0 : variance[i]; /* NaN shows */
        p->mean[channel] = mean[i];
        p->variance[channel] = variance[i];
        p->rstd[channel] = (float)(1 / sqrt(variance[i] + p->eps));
    }
}

static void apply_part(const pass *p, int64_t group, int part) {
    const cut *c = &p->cut;
    float mean[16], scale[16], weight[16], bias[16];
    spread(mean, p->mean, group, c);
    spread(scale, p->rstd, group, c);
    spread(weight, p->weight, group, c);
    spread(bias, p->bias, group, c);
    for (int i = 0; i < 16; i++) scale[i] *= weight[i];
    mien__norm_span span;
    int64_t first = part_of(c, part, group, &span);
    mien__norm_apply(c->form, &span, at(p->out, c, first, group), at(p->x, c, first, group),
                     at(p->residual, c, first, group), mean, scale, bias, p->relu);
}

static void forward_kernel(const pass *p) {
    const cut *c = &p->cut;
    if (c->parts == 1) { /* a group's second pass finds it in the cache */
#pragma omp parallel for schedule(static)
        for (int64_t group = 0; group < c->groups; group++) {
            if (p->training) {
                float shift[16];
                guess_mean(shift, p->x, group, c);
                sum_part(p, group, 0, shift);
                finish_statistics(p, group, shift);
            }
            apply_part(p, group, 0);
        }
        return;
    }
    int64_t items = c->groups * c->parts;
#pragma omp parallel
    {
        if (p->training) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < items; i++) {
                float shift[16];
                guess_mean(shift, p->x, i % c->groups, c);
                sum_part(p, i % c->groups, (int)(i / c->groups), shift);
            }
#pragma omp for schedule(static)
            for (int64_t group = 0; group < c->groups; group++) {
                float shift[16];
                guess_mean(shift, p->x, group, c);
                finish_statistics(p, group, shift);
            }
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < items; i++) apply_part(p, i % c->groups, (int)(i / c->groups));
    }
}

/* running = (1 - momentum) running + momentum batch, with the unbiased variance. */
static void update_running(const pass *p, mien_tensor *mean, mien_tensor *var, double momentum) {
    float *m = mien__cpu_f32(mean), *v = mien__cpu_f32(var);
    double unbias = p->cut.count > 1 ? p->cut.count / (p->cut.count - 1) : 1;
    for (int64_t i = 0; i < p->cut.channels; i++) {
        m[i] = (float)((1 - momentum) * m[i] + momentum * p->mean[i]);
        v[i] = (float)((1 - momentum) * v[i] + momentum * unbias * p->variance[i]);
    }
    mien__tensor_touch(mean);
    mien__tensor_touch(var);
}

static double *room_for_sums(const cut *c) {
    return mien__malloc(((size_t)c->parts * (size_t)c->groups * 32 + (size_t)c->channels) *
                        sizeof(double));
}

mien_status mien__cpu_batch_norm_forward(mien_op_call *call) {
    const mien_batch_norm_attr *a = call->attr;
    int block = call->in[0]->block;
    mien_tensor *in[6] = {0}, *out = call->out[0];
    mien_status status = MIEN_ERR_MEMORY;
    pass p = {.cut = cut_of(out, block),
              .relu = a->relu != 0,
              .training = a->training != 0,
              .eps = a->eps};
    if (!(p.partial = room_for_sums(&p.cut))) {
        mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "batch_norm: no memory for sums");
        goto done;
    }
    p.variance = p.partial + p.cut.parts * p.cut.groups * 32;
    for (int i = 0; i < 6; i++)
        if (call->in[i] &&
            mien__failed(in[i] = mien__cpu_as_layout(call->in[i], i == 0 || i == 5 ? block : 0),
                         &status))
            goto done;
    if ((status = mien__tensor_alloc(out, block)) != MIEN_OK) goto done;
    for (int i = 1; i < 3; i++)
        if ((status = mien__tensor_alloc(call->out[i], 0)) != MIEN_OK) goto done;
    p.x = mien__cpu_ptr(in[0]);
    p.weight = mien__cpu_f32(in[1]);
    p.bias = mien__cpu_f32(in[2]);
    p.residual = in[5] ? mien__cpu_ptr(in[5]) : NULL;
    p.out = mien__cpu_ptr(out);
    p.mean = mien__cpu_f32(call->out[1]);
    p.rstd = mien__cpu_f32(call->out[2]);
    if (!p.training) {
        const float *variance = mien__cpu_f32(in[4]);
        memcpy(p.mean, mien__cpu_f32(in[3]), (size_t)p.cut.channels * sizeof(float));
        for (int64_t i = 0; i < p.cut.channels; i++)
            p.rstd[i] = (float)(1 / sqrt((double)variance[i] + a->eps));
    }
    forward_kernel(&p);
    if (p.training) {
        update_running(&p, in[3], in[4], a->momentum);
        for (int i = 3; i < 5 && status == MIEN_OK; i++)
            if (in[i] != call->in[i]) status = mien_tensor_copy(call->in[i], in[i]);
    }
    mien__cpu_set_implementation(call, block ? "own:blocked" : "own:plain");
done:
    for (int i = 0; i < 6; i++) mien_tensor_release(in[i]);
    free(p.partial);
    return status;
}

mien_status mien__cpu_batch_norm_remake(mien_op_call *call) {
    const mien_batch_norm_attr *a = call->attr;
    int block = call->in[0]->block;
    mien_tensor *in[3] = {0};
    mien_status status = MIEN_ERR_MEMORY;
    pass p = {.cut = cut_of(call->out[0], block), .relu = a->relu != 0};
    for (int i = 0; i < 3; i++)
        if (mien__failed(in[i] = mien__cpu_as_layout(call->in[i], i == 0 ? block : 0), &status))
            goto done;
    if ((status = mien__tensor_alloc(call->out[0], block)) != MIEN_OK) goto done;
    p.x = mien__cpu_ptr(in[0]);
    p.weight = mien__cpu_f32(in[1]);
    p.bias = mien__cpu_f32(in[2]);
    p.out = mien__cpu_ptr(call->out[0]);
    p.mean = mien__cpu_f32(call->out[1]);
    p.rstd = mien__cpu_f32(call->out[2]);
    forward_kernel(&p);
done:
    for (int i = 0; i < 3; i++) mien_tensor_release(in[i]);
    return status;
}

/* ---- backward -------------------------------------------------------------------------------- */

static void gradient_sums(const pass *p, int64_t group, int part) {
    const cut *c = &p->cut;
    float mean[16];
    spread(mean, p->mean, group, c);
    mien__norm_span span;
    int64_t first = part_of(c, part, group, &span);
    double *sums = partial_of(p, part, group);
    memset(sums, 0, 32 * sizeof *sums);
    mien__norm_gradient_sums(c->form, &span, at(p->dy, c, first, group), at(p->y, c, first, group),
                             at(p->x, c, first, group), at(p->dres, c, first, group), mean, sums,
                             sums + 16);
}

static void finish_gradient(const pass *p, int64_t group) {
    const cut *c = &p->cut;
    double total[32] = {0};
    for (int part = 0; part < c->parts; part++) {
        const double *sums = partial_of(p, part, group);
        for (int i = 0; i < 32; i++) total[i] += sums[i];
    }
    fold(total, c->block);
    fold(total + 16, c->block);
    for (int i = 0; i < c->block; i++) {
        int64_t channel = group * c->block + i;
        if (channel >= c->channels) break;
        p->dbias[channel] = (float)total[i];
        p->dweight[channel] = (float)(total[16 + i] * p->rstd[channel]);
    }
}

/* dx = w rstd (g - mean(g) - xhat mean(g xhat)), in evaluation w rstd g. */
static void gradient_part(const pass *p, int64_t group, int part) {
    const cut *c = &p->cut;
    float mean[16], rstd[16], scale[16], dbias[16], dweight[16], offset[16], slope[16];
    spread(mean, p->mean, group, c);
    spread(rstd, p->rstd, group, c);
    spread(scale, p->weight, group, c);
    spread(dbias, p->dbias, group, c);
    spread(dweight, p->dweight, group, c);
    for (int i = 0; i < 16; i++) {
        scale[i] *= rstd[i];
        offset[i] = (float)(dbias[i] / c->count);
        slope[i] = (float)(dweight[i] * (double)rstd[i] / c->count);
    }
    mien__norm_span span;
    int64_t first = part_of(c, part, group, &span);
    mien__norm_gradient(c->form, &span, at(p->out, c, first, group),
                        at(p->dres ? p->dres : p->dy, c, first, group),
                        p->dres ? NULL : at(p->y, c, first, group),
                        p->training ? at(p->x, c, first, group) : NULL, mean, scale, offset, slope);
}

static void backward_kernel(const pass *p) {
    const cut *c = &p->cut;
    if (c->parts == 1) {
#pragma omp parallel for schedule(static)
        for (int64_t group = 0; group < c->groups; group++) {
            gradient_sums(p, group, 0);
            finish_gradient(p, group);
            if (p->out) gradient_part(p, group, 0);
        }
        return;
    }
    int64_t items = c->groups * c->parts;
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < items; i++) gradient_sums(p, i % c->groups, (int)(i / c->groups));
#pragma omp for schedule(static)
        for (int64_t group = 0; group < c->groups; group++) finish_gradient(p, group);
        if (p->out) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < items; i++)
                gradient_part(p, i % c->groups, (int)(i / c->groups));
        }
    }
}

mien_status mien__cpu_batch_norm_backward(mien_op_call *call) {
    const mien_batch_norm_attr *a = call->attr;
    int block = call->in[0]->block;
    mien_tensor *x = NULL, *y = NULL, *dy = NULL, *weight = NULL;
    mien_tensor *dweight = NULL, *dbias = NULL;
    mien_status status = MIEN_ERR_MEMORY;
    pass p = {
        .cut = cut_of(call->in[0], block), .relu = a->relu != 0, .training = a->training != 0};
    if (!(p.partial = room_for_sums(&p.cut))) {
        mien__fail(MIEN_ERR_MEMORY, __FILE__, __LINE__, "batch_norm: no memory for sums");
        goto done;
    }
    if (mien__failed(x = mien__cpu_as_layout(call->in[0], block), &status)) goto done;
    if (mien__failed(dy = mien__cpu_as_layout(call->dout[0], block), &status)) goto done;
    if (mien__failed(weight = mien__cpu_as_layout(call->in[1], 0), &status)) goto done;
    if (p.relu && mien__failed(y = mien__cpu_as_layout(call->out[0], block), &status)) goto done;
    if (mien__failed(dweight = mien__cpu_scratch(p.cut.channels), &status)) goto done;
    if (mien__failed(dbias = mien__cpu_scratch(p.cut.channels), &status)) goto done;
    for (int i = 0; i < 6; i++) {
        if (!call->want[i] || (i != 0 && i != 5)) continue;
        if ((status = mien__tensor_alloc(call->din[i], block)) != MIEN_OK) goto done;
    }
    p.x = mien__cpu_ptr(x);
    p.y = y ? mien__cpu_ptr(y) : NULL;
    p.dy = mien__cpu_ptr(dy);
    p.weight = mien__cpu_f32(weight);
    p.mean = mien__cpu_f32(call->out[1]);
    p.rstd = mien__cpu_f32(call->out[2]);
    p.dweight = mien__cpu_f32(dweight);
    p.dbias = mien__cpu_f32(dbias);
    p.out = call->want[0] ? mien__cpu_ptr(call->din[0]) : NULL;
    p.dres = call->want[5] ? mien__cpu_ptr(call->din[5]) : NULL;
    backward_kernel(&p);
    for (int i = 1; i < 3; i++) {
        if (!call->want[i]) continue;
        if ((status = mien__tensor_alloc(call->din[i], 0)) != MIEN_OK) goto done;
        memcpy(mien__cpu_f32(call->din[i]), i == 1 ? p.dweight : p.dbias,
               (size_t)p.cut.channels * sizeof(float));
    }
    status = MIEN_OK;
    mien__cpu_set_implementation(call, block ? "own:blocked" : "own:plain");
done:
    mien_tensor_release(x);
    mien_tensor_release(y);
    mien_tensor_release(dy);
    mien_tensor_release(weight);
    mien_tensor_release(dweight);
    mien_tensor_release(dbias);
    free(p.partial);
    return status;
}
