/* Philox4x32-10 and what is drawn from it: one block of the counter per draw.
 * Not here: which layer gets which distribution (lua/mien/nn/initialisers), dropout (backend/). */
#include "rng.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"

/* ---- single draws -------------------------------------------------------------------------- */

/* 53 bits in [0,1) from two words. */
static double u53(uint32_t high, uint32_t low) {
    return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

static double uniform_at(const mien_rng *rng, uint64_t counter) {
    uint32_t w[4];
    mien__philox(rng->seed, rng->stream, counter, w);
    return u53(w[0], w[1]);
}

/* Box & Muller 1958, the cosine half only: a draw stays a pure function of the counter. */
static double normal_at(const mien_rng *rng, uint64_t counter) {
    uint32_t w[4];
    mien__philox(rng->seed, rng->stream, counter, w);
    double radius = sqrt(-2.0 * log(1.0 - u53(w[0], w[1])));
    return radius * cos(6.283185307179586476925 * u53(w[2], w[3]));
}

void mien_rng_start(mien_rng *rng, uint64_t seed, const char *name) {
    uint64_t stream = mien__hash(MIEN_HASH_START, name, name ? strlen(name) : 0);
    *rng = (mien_rng){.seed = seed, .stream = stream, .counter = 0};
}

double mien_rng_uniform(mien_rng *rng) {
    return uniform_at(rng, rng->counter++);
}
double mien_rng_normal(mien_rng *rng) {
    return normal_at(rng, rng->counter++);
}

int64_t mien_rng_below(mien_rng *rng, int64_t n) {
    if (n <= 1) return 0;
    /* Of 2^64 values the first (2^64 mod n) would be too many. */
    uint64_t range = (uint64_t)n, surplus = (0 - range) % range;
    for (;;) {
        uint32_t w[4];
        mien__philox(rng->seed, rng->stream, rng->counter++, w);
        uint64_t value = (uint64_t)w[0] << 32 | w[1];
        if (value >= surplus) return (int64_t)(value % range);
    }
}

void mien_rng_shuffle(mien_rng *rng, int64_t *values, int64_t n) {
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = mien_rng_below(rng, i + 1);
        int64_t swapped = values[i];
        values[i] = values[j];
        values[j] = swapped;
    }
}

/* ---- whole tensors: element i is the draw at counter + i, whoever computes it -------------- */

typedef double (*draw_fn)(const mien_rng *rng, uint64_t counter);

/* The largest number below `end` that the dtype has. */
static double last_before(double end, mien_dtype dtype) {
    if (dtype == MIEN_F64) return nextafter(end, -INFINITY);
    float near = (float)end;
    return near < end ? near : nextafterf(near, -INFINITY);
}

/* Values are shift + factor * draw; rounding may bring one to `end`, to which the range is open
 * (NAN: none). */
static mien_status fill(mien_rng *rng, mien_tensor *t, draw_fn draw, double shift, double factor,
                        double end) {
    MIEN_CALL("drawing random numbers");
    if (mien_tensor_is_freed(t)) MIEN_FAIL(MIEN_ERR_MEMORY, "random fill: the tensor was freed");
    if (t->dtype != MIEN_F32 && t->dtype != MIEN_F64)
        MIEN_FAIL(MIEN_ERR_DTYPE, "random fill: the tensor is %s, f32 or f64 is needed",
                  mien_dtype_name(t->dtype));
    int64_t n = mien_tensor_count(t);
    mien_tensor *plain = t;
    if (t->block || t->device != MIEN_DEVICE_CPU || !mien__tensor_is_contiguous(t)) {
        plain = mien_tensor_new(t->dtype, MIEN_DEVICE_CPU, t->ndim, t->shape);
        if (!plain) return mien_error_last()->code;
    }
    float *f = (float *)plain->storage->data + plain->offset;
    double *d = (double *)plain->storage->data + plain->offset;
    bool narrow = t->dtype == MIEN_F32;
    double last = last_before(end, t->dtype);
#pragma omp parallel for if (n > 4096)
    for (int64_t i = 0; i < n; i++) {
        double value = shift + factor * draw(rng, rng->counter + (uint64_t)i);
        if (narrow) value = (float)value;
        if (value >= end) value = last;
        if (narrow)
            f[i] = (float)value;
        else
            d[i] = value;
    }
    if (plain == t) {
        mien__tensor_touch(t);
    } else {
        mien_status status = mien_tensor_copy(t, plain);
        mien_tensor_release(plain);
        MIEN_TRY(status);
    }
    rng->counter += (uint64_t)n;
    return MIEN_OK;
}

mien_status mien_rng_fill_uniform(mien_rng *rng, mien_tensor *t, double low, double high) {
    return fill(rng, t, uniform_at, low, high - low, high > low ? high : NAN);
}

mien_status mien_rng_fill_normal(mien_rng *rng, mien_tensor *t, double mean, double sd) {
    return fill(rng, t, normal_at, mean, sd, NAN);
}
