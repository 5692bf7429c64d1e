/* Named, counter-based random streams: Philox4x32-10 (Salmon et al. 2011).
 * Not here: which distribution initialises which layer (lua/mien/nn/initialisers). */
#ifndef MIEN_RNG_H
#define MIEN_RNG_H
#include "philox.h"
#include "tensor.h"

/* cdef:begin */
/* The whole state of a stream: saving it and setting it back continues with the same bits. */
typedef struct mien_rng {
    uint64_t seed;
    uint64_t stream;  /* hash of the stream's name: "init", "shuffle", "augment", "dropout" */
    uint64_t counter; /* blocks of four 32-bit words used so far */
} mien_rng;

/* Starts stream `name` of `seed` at its beginning. */
void mien_rng_start(mien_rng *rng, uint64_t seed, const char *name);
/* One double, uniform in [0,1) with 53 bits; one standard normal (Box-Muller, cosine half). */
double mien_rng_uniform(mien_rng *rng);
double mien_rng_normal(mien_rng *rng);
/* An integer in [0, n), unbiased. */
int64_t mien_rng_below(mien_rng *rng, int64_t n);
/* Fisher-Yates shuffle of n 64-bit numbers. */
void mien_rng_shuffle(mien_rng *rng, int64_t *values, int64_t n);
/* Fills a tensor with low + (high-low) * uniform, or mean + sd * normal; same bits for any
 * number of threads. */
mien_status mien_rng_fill_uniform(mien_rng *rng, mien_tensor *t, double low, double high);
mien_status mien_rng_fill_normal(mien_rng *rng, mien_tensor *t, double mean, double sd);
/* cdef:end */
#endif
