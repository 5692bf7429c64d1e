/* The gates of a GRU with its reset before the product, a step at a time.
 * Not here: one cell's arithmetic (math/gru.h). */
#include "gru.h"

#include "backend/cuda/math/gru.h"
#include "launch.h"

namespace {

/* Unit k of sequence b at step t: where it is in tensors of states and of gates. */
struct unit {
    int64_t frame, k;
    float *kept; /* r; those of the other gates H further on */
};
__device__ static unit unit_of(const mien__gru_loop &l, int64_t t, int64_t i) {
    int64_t b = i / l.hidden, k = i - b * l.hidden;
    return unit{b * l.steps + t, k, l.reserve + (t * l.batch + b) * 4 * l.hidden + k};
}
/* Place of gate q in [...,n H]. */
__device__ static int64_t gate_at(const mien__gru_loop &l, int64_t row, int n, int q, int64_t k) {
    return (row * n + q) * l.hidden + k;
}

template <typename T>
__global__ void __launch_bounds__(MIEN_THREADS)
    open_kernel(mien__gru_loop l, int64_t t, const float *sums) {
    for (int64_t i = mien_grid_thread(); i < l.batch * l.hidden; i += mien_grid_threads()) {
        unit u = unit_of(l, t, i);
        float a[2];
        for (int q = 0; q < 2; q++)
            a[q] =
                mien_sigmoid(l.gates[gate_at(l, u.frame, 3, q, u.k)] + l.bias[q * l.hidden + u.k] +
                             sums[gate_at(l, i / l.hidden, 2, q, u.k)]);
        u.kept[0] = a[0];
        u.kept[l.hidden] = a[1];
        put(&((T *)l.reset)[i], a[0] * get(((const T *)l.h)[i]));
    }
}

template <typename T>
__global__ void __launch_bounds__(MIEN_THREADS)
    next_kernel(mien__gru_loop l, int64_t t, const float *sums) {
    for (int64_t i = mien_grid_thread(); i < l.batch * l.hidden; i += mien_grid_threads()) {
        unit u = unit_of(l, t, i);
        float product = sums[i] + l.bias[2 * l.hidden + u.k];
        float n = tanhf(l.gates[gate_at(l, u.frame, 3, 2, u.k)] + product);
        u.kept[2 * l.hidden] = n;
        u.kept[3 * l.hidden] = product;
        T *h = (T *)l.h + i;
        put(h, mien_gru_state(u.kept[l.hidden], n, get(*h)));
        ((T *)l.y)[u.frame * l.hidden + u.k] = *h;
    }
}

__device__ static mien_gru_cell cell_of(const mien__gru_loop &l, const unit &u) {
    return mien_gru_cell{u.kept[0], u.kept[l.hidden], u.kept[2 * l.hidden]};
}

template <typename T>
__global__ void __launch_bounds__(MIEN_THREADS)
    next_back_kernel(mien__gru_loop l, int64_t t, const float *sums) {
    for (int64_t i = mien_grid_thread(); i < l.batch * l.hidden; i += mien_grid_threads()) {
        float dh = l.carry[i] + (sums ? sums[i] : 0);
        if (t >= 0) {
            unit u = unit_of(l, t, i);
            int64_t at = u.frame * l.hidden + u.k;
            float da[3];
            if (l.dy) dh += get(((const T *)l.dy)[at]);
            dh = mien_gru_state_back(cell_of(l, u), get(((const T *)l.before)[at]), dh, da);
            for (int q = 1; q < 3; q++) put(&((T *)l.da)[gate_at(l, u.frame, 3, q, u.k)], da[q]);
            put(&((T *)l.open)[gate_at(l, i / l.hidden, 2, 1, u.k)], da[1]);
            put(&((T *)l.candidate)[i], da[2]);
        }
        l.carry[i] = dh;
    }
}

template <typename T>
__global__ void __launch_bounds__(MIEN_THREADS)
    open_back_kernel(mien__gru_loop l, int64_t t, const float *sums) {
    for (int64_t i = mien_grid_thread(); i < l.batch * l.hidden; i += mien_grid_threads()) {
        unit u = unit_of(l, t, i);
        int64_t at = u.frame * l.hidden + u.k;
        float da[3], h = get(((const T *)l.before)[at]);
        mien_gru_cell s = cell_of(l, u);
        l.carry[i] += mien_gru_reset_back(s, h, sums[i], da);
        put(&((T *)l.da)[gate_at(l, u.frame, 3, 0, u.k)], da[0]);
        put(&((T *)l.open)[gate_at(l, i / l.hidden, 2, 0, u.k)], da[0]);
        if (l.gated) put(&((T *)l.gated)[at], s.r * h);
    }
}

typedef void (*step_kernel)(mien__gru_loop l, int64_t t, const float *sums);

mien_status run(step_kernel kernel, const mien__gru_loop *l, int64_t t, const float *sums) {
    MIEN_LAUNCH(kernel, mien__cuda_grid(l->batch * l->hidden, MIEN_THREADS), MIEN_THREADS, 0, *l, t,
                sums);
    return MIEN_OK;
}

} // namespace

mien_status mien__gru_open(const mien__gru_loop *l, int64_t t, const float *sums) {
    MIEN_BY_DTYPE(l->dtype, run(open_kernel<T>, l, t, sums));
}
mien_status mien__gru_next(const mien__gru_loop *l, int64_t t, const float *sums) {
    MIEN_BY_DTYPE(l->dtype, run(next_kernel<T>, l, t, sums));
}
mien_status mien__gru_next_back(const mien__gru_loop *l, int64_t t, const float *sums) {
    MIEN_BY_DTYPE(l->dtype, run(next_back_kernel<T>, l, t, sums));
}
mien_status mien__gru_open_back(const mien__gru_loop *l, int64_t t, const float *sums) {
    MIEN_BY_DTYPE(l->dtype, run(open_back_kernel<T>, l, t, sums));
}
