/* How far two results of one operation are apart.
 * Not here: what is compared, and what is near enough (tune.c, recurrent.c). */
#include <math.h>

#include "kernels.h"
#include "launch.h"

namespace {

enum { BLOCKS_MOST = 1024 };

/* partial [blocks][2]: sums of (found - right)^2 and of right^2. */
template <typename T>
__global__ void __launch_bounds__(MIEN_THREADS)
    apart_kernel(double *partial, const T *found, const T *right, int64_t n) {
    double apart = 0, whole = 0;
    for (int64_t i = mien_grid_thread(); i < n; i += mien_grid_threads()) {
        double a = get(found[i]), b = get(right[i]);
        apart += (a - b) * (a - b);
        whole += b * b;
    }
    apart = mien_block_sum(apart);
    whole = mien_block_sum(whole);
    if (threadIdx.x != 0) return;
    partial[2 * blockIdx.x] = apart;
    partial[2 * blockIdx.x + 1] = whole;
}

template <typename T>
static mien_status launch(double *partial, unsigned blocks, const void *found, const void *right,
                          int64_t n) {
    MIEN_LAUNCH(apart_kernel<T>, blocks, MIEN_THREADS, 0, partial, (const T *)found,
                (const T *)right, n);
    return MIEN_OK;
}

static mien_status by_dtype(double *partial, unsigned blocks, const void *found, const void *right,
                            mien_dtype dtype, int64_t n) {
    MIEN_BY_DTYPE(dtype, launch<T>(partial, blocks, found, right, n));
}

} // namespace

mien_status mien__cuda_distance(const void *found, const void *right, mien_dtype dtype, int64_t n,
                                double *relative) {
    double sums[BLOCKS_MOST][2], apart = 0, whole = 0;
    unsigned blocks = mien__cuda_grid(n, MIEN_THREADS);
    if (blocks > BLOCKS_MOST) blocks = BLOCKS_MOST;
    mien_scratch partial(blocks * sizeof sums[0]);
    if (partial.failed()) return mien_last();
    MIEN_TRY(by_dtype(partial.at<double>(), blocks, found, right, dtype, n));
    MIEN_TRY(mien__cuda_read(sums, partial.at<double>(), blocks * sizeof sums[0]));
    for (unsigned i = 0; i < blocks; i++) {
        apart += sums[i][0];
        whole += sums[i][1];
    }
    *relative = apart == 0 ? 0 : sqrt(apart / whole);
    return MIEN_OK;
}
