/* Elements: reading, writing, copying between tensors and devices, summaries.
 * Not here: the loops that convert (convert.c), arithmetic (ops/). */
#include "tensor.h"

#include <math.h>
#include <string.h>

#include "base/nan.h"
#include "device.h"

/* ---- one element --------------------------------------------------------------------------- */

void *mien__tensor_data(mien_tensor *t) {
    if (mien__tensor_check(t, "data") != MIEN_OK) return NULL;
    if (t->device != MIEN_DEVICE_CPU)
        MIEN_FAIL_NULL(
            MIEN_ERR_DEVICE,
            "data: the tensor lives on the GPU; t:to\"cpu\" gives a copy that can be read");
    if (mien__tensor_make_plain(t) != MIEN_OK) return NULL;
    mien__storage_drop_packed(t->storage);
    return (char *)t->storage->data + t->offset * (int64_t)mien_dtype_size(t->dtype);
}

void *mien_tensor_data(mien_tensor *t) {
    void *data = mien__tensor_data(t);
    if (!data || mien_tensor_count(t) == 0) return data;
    int64_t span = 1; /* up to the last element, with what lies between those of a view */
    for (int i = 0; i < t->ndim; i++) span += (t->shape[i] - 1) * t->stride[i];
    if (t->dtype == MIEN_F64) mien__canonical_doubles(data, span);
    if (t->dtype == MIEN_F32) mien__canonical_floats(data, span);
    return data;
}

/* A view of the one element at `index`, on the stack: no storage reference is counted. */
static mien_status element_view(mien_tensor *t, const int64_t *index, mien_tensor *view) {
    *view = (mien_tensor){.refs = 1,
                          .dtype = t->dtype,
                          .device = t->device,
                          .offset = t->offset,
                          .storage = t->storage};
    for (int i = 0; i < t->ndim; i++) {
        char shape[96];
        if (index[i] < 0 || index[i] >= t->shape[i])
            MIEN_FAIL(MIEN_ERR_ARGUMENT, "index %lld on dimension %d is outside a tensor of %s",
                      (long long)index[i] + 1, i + 1, mien__shape_text(t, shape, sizeof shape));
        view->offset += index[i] * t->stride[i];
    }
    return MIEN_OK;
}

/* One double as a tensor, for the copies below. */
static mien_tensor scalar_view(mien_storage *storage, double *value) {
    *storage = (mien_storage){.refs = 1, .bytes = 8, .capacity = 8, .data = value};
    return (mien_tensor){.refs = 1, .dtype = MIEN_F64, .storage = storage};
}

mien_status mien_tensor_get(mien_tensor *t, const int64_t *index, double *value) {
    MIEN_TRY(mien__tensor_check(t, "get"));
    MIEN_TRY(mien__tensor_make_plain(t));
    mien_tensor view;
    MIEN_TRY(element_view(t, index, &view));
    mien_storage storage;
    mien_tensor host = scalar_view(&storage, value);
    MIEN_TRY(mien_tensor_copy(&host, &view));
    *value = mien__canonical(*value);
    return MIEN_OK;
}

mien_status mien_tensor_set(mien_tensor *t, const int64_t *index, double value) {
    MIEN_TRY(mien__tensor_check(t, "set"));
    MIEN_TRY(mien__tensor_make_plain(t));
    mien_tensor view;
    MIEN_TRY(element_view(t, index, &view));
    return mien_tensor_fill(&view, value);
}

/* ---- all elements -------------------------------------------------------------------------- */

/* n doubles in row-major order as a contiguous tensor of t's shape. */
static mien_status doubles_view(const mien_tensor *t, const char *who, double *values, int64_t n,
                                mien_storage *storage, mien_tensor *view) {
    MIEN_TRY(mien__tensor_check(t, who));
    if (n != mien_tensor_count(t))
        MIEN_FAIL(MIEN_ERR_SHAPE, "%s: %lld values for a tensor of %lld elements", who,
                  (long long)n, (long long)mien_tensor_count(t));
    *view = scalar_view(storage, values);
    storage->bytes = storage->capacity = (size_t)n * sizeof(double);
    view->ndim = t->ndim;
    int64_t stride = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        view->shape[i] = t->shape[i];
        view->stride[i] = stride;
        stride *= t->shape[i];
    }
    return MIEN_OK;
}

mien_status mien_tensor_read(mien_tensor *t, double *values, int64_t n) {
    mien_storage storage;
    mien_tensor view;
    MIEN_TRY(doubles_view(t, "read", values, n, &storage, &view));
    MIEN_TRY(mien_tensor_copy(&view, t));
    mien__canonical_doubles(values, n);
    return MIEN_OK;
}

mien_status mien_tensor_write(mien_tensor *t, const double *values, int64_t n) {
    mien_storage storage;
    mien_tensor view;
    MIEN_TRY(doubles_view(t, "write", (double *)values, n, &storage, &view));
    return mien_tensor_copy(t, &view);
}

mien_status mien_tensor_fill(mien_tensor *t, double value) {
    MIEN_CALL("filling a tensor");
    MIEN_TRY(mien__tensor_check(t, "fill"));
    const mien__device *d = mien__device_for(t->device);
    return d ? d->fill(t, value) : mien_error_last()->code;
}

/* ---- copies -------------------------------------------------------------------------------- */

static mien_status copy_on_device(mien_tensor *dst, mien_tensor *src) {
    const mien__device *d = mien__device_for(dst->device);
    return d ? d->copy(dst, src) : mien_error_last()->code;
}

static size_t byte_count(const mien_tensor *t) {
    return (size_t)mien_tensor_count(t) * mien_dtype_size(t->dtype);
}

/* Host to device: converted on the host, carried as bytes, spread out on the device. */
static mien_status upload(mien_tensor *dst, mien_tensor *src) {
    const mien__device *d = mien__device_for(dst->device);
    if (!d) return mien_error_last()->code;
    mien_tensor *dense = src->dtype == dst->dtype ? mien__tensor_contiguous(src)
                                                  : mien_tensor_to(src, dst->dtype, src->device);
    if (!dense) return mien_error_last()->code;
    const char *bytes =
        (const char *)dense->storage->data + dense->offset * (int64_t)mien_dtype_size(dense->dtype);
    mien_status status;
    if (mien__tensor_is_contiguous(dst)) {
        status = d->upload(dst, bytes, byte_count(dense));
    } else {
        mien_tensor *there = mien_tensor_new(dst->dtype, dst->device, dst->ndim, dst->shape);
        status = there ? d->upload(there, bytes, byte_count(dense)) : mien_error_last()->code;
        if (status == MIEN_OK) status = copy_on_device(dst, there);
        mien_tensor_release(there);
    }
    mien_tensor_release(dense);
    if (status == MIEN_OK) mien__tensor_touch(dst);
    return status;
}

static mien_status download(mien_tensor *dst, mien_tensor *src) {
    const mien__device *d = mien__device_for(src->device);
    if (!d) return mien_error_last()->code;
    mien_tensor *dense = mien__tensor_contiguous(src);
    mien_tensor *here =
        dense ? mien_tensor_new(src->dtype, dst->device, src->ndim, src->shape) : NULL;
    mien_status status =
        here ? d->download(here->storage->data, dense, byte_count(here)) : mien_error_last()->code;
    if (status == MIEN_OK) status = copy_on_device(dst, here);
    mien_tensor_release(here);
    mien_tensor_release(dense);
    return status;
}

mien_status mien_tensor_copy(mien_tensor *dst, mien_tensor *src) {
    MIEN_CALL("copying a tensor");
    MIEN_TRY(mien__tensor_check(dst, "copy"));
    MIEN_TRY(mien__tensor_check(src, "copy"));
    char a[96], b[96];
    if (!mien__same_shape(dst, src))
        MIEN_FAIL(MIEN_ERR_SHAPE, "copy: a tensor of %s does not fit into one of %s",
                  mien__shape_text(src, a, sizeof a), mien__shape_text(dst, b, sizeof b));
    if (dst->device != src->device)
        return dst->device == MIEN_DEVICE_CPU ? download(dst, src) : upload(dst, src);
    mien__tensor_read(src);
    if (dst->storage != src->storage) return copy_on_device(dst, src);
    /* Views of one storage may overlap. */
    mien_tensor *aside = mien_tensor_new(src->dtype, src->device, src->ndim, src->shape);
    mien_status status = aside ? copy_on_device(aside, src) : mien_error_last()->code;
    if (status == MIEN_OK) status = copy_on_device(dst, aside);
    mien_tensor_release(aside);
    return status;
}

mien_tensor *mien_tensor_to(mien_tensor *t, mien_dtype dtype, mien_device device) {
    if (mien__tensor_check(t, "to") != MIEN_OK) return NULL;
    mien_tensor *copy = mien_tensor_new(dtype, device, t->ndim, t->shape);
    if (copy && mien_tensor_copy(copy, t) != MIEN_OK) {
        mien_tensor_release(copy);
        return NULL;
    }
    return copy;
}

mien_status mien_tensor_move(mien_tensor *t, mien_device device) {
    MIEN_TRY(mien__tensor_check(t, "move"));
    if (t->node)
        MIEN_FAIL(MIEN_ERR_ARGUMENT,
                  "move: the tensor was made by a recorded op; only leaves change their device in "
                  "place, t:to gives a copy there");
    if (t->device == device) return MIEN_OK;
    mien_tensor *there = mien_tensor_to(t, t->dtype, device);
    if (!there) return mien_error_last()->code;
    mien_storage *storage = there->storage;
    there->storage = t->storage;
    t->storage = storage;
    t->device = device;
    t->block = 0;
    t->offset = 0;
    memcpy(t->stride, there->stride, sizeof t->stride);
    mien_tensor_release(t->grad);
    t->grad = NULL;
    mien_tensor_release(there);
    return MIEN_OK;
}

/* ---- summaries ----------------------------------------------------------------------------- */

/* Sums of the finite elements in pieces of fixed size, so that no number of threads changes a bit:
 * each piece keeps its own figures, which are then joined in order. */
typedef struct piece {
    int64_t finite;
    double mean, squares, low, high; /* squares: sum of (x - mean)^2 */
} piece;

enum { PIECE = 4096 };

static piece summarise(const char *elements, mien_dtype dtype, int64_t n) {
    double x[PIECE];
    mien__host_doubles(x, elements, dtype, n);
    piece p = {.low = INFINITY, .high = -INFINITY};
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        p.finite++;
        sum += x[i];
        if (x[i] < p.low) p.low = x[i];
        if (x[i] > p.high) p.high = x[i];
    }
    p.mean = p.finite ? sum / (double)p.finite : 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i])) p.squares += (x[i] - p.mean) * (x[i] - p.mean);
    return p;
}

/* Chan, Golub & LeVeque 1979: moments of two samples joined. */
static void join(piece *a, const piece *b) {
    if (b->finite == 0) return;
    double n = (double)(a->finite + b->finite), delta = b->mean - a->mean;
    a->squares += b->squares + delta * delta * (double)a->finite * (double)b->finite / n;
    a->mean += delta * (double)b->finite / n;
    a->finite += b->finite;
    if (b->low < a->low) a->low = b->low;
    if (b->high > a->high) a->high = b->high;
}

static mien_status moments(mien_tensor *t, const char *who, piece *all) {
    MIEN_TRY(mien__tensor_check(t, who));
    mien_tensor *dense = t->device == MIEN_DEVICE_CPU
                             ? mien__tensor_contiguous(t)
                             : mien_tensor_to(t, t->dtype, MIEN_DEVICE_CPU);
    if (!dense) return mien_error_last()->code;
    int64_t size = (int64_t)mien_dtype_size(t->dtype), n = mien_tensor_count(t);
    const char *elements = (const char *)dense->storage->data + dense->offset * size;
    *all = (piece){.low = INFINITY, .high = -INFINITY};
    enum { TOGETHER = 64 };
    for (int64_t at = 0; at < n; at += TOGETHER * PIECE) {
        piece pieces[TOGETHER];
        int64_t count = (n - at + PIECE - 1) / PIECE;
        if (count > TOGETHER) count = TOGETHER;
#pragma omp parallel for if (count > 4)
        for (int64_t i = 0; i < count; i++) {
            int64_t from = at + i * PIECE, length = n - from < PIECE ? n - from : PIECE;
            pieces[i] = summarise(elements + from * size, t->dtype, length);
        }
        for (int64_t i = 0; i < count; i++) join(all, &pieces[i]);
    }
    mien_tensor_release(dense);
    return MIEN_OK;
}

mien_status mien_tensor_summary(mien_tensor *t, double out[5]) {
    MIEN_CALL("the summary of a tensor");
    piece all;
    MIEN_TRY(moments(t, "summary", &all));
    bool any = all.finite > 0;
    out[0] = any ? all.mean : NAN;
    out[1] = any ? sqrt(all.squares / (double)all.finite) : NAN;
    out[2] = any ? all.low : NAN;
    out[3] = any ? all.high : NAN;
    out[4] = (double)(mien_tensor_count(t) - all.finite);
    return MIEN_OK;
}

mien_status mien_tensor_is_finite(mien_tensor *t, bool *finite) {
    MIEN_CALL("is_finite of a tensor");
    piece all;
    MIEN_TRY(moments(t, "is_finite", &all));
    *finite = all.finite == mien_tensor_count(t);
    return MIEN_OK;
}
