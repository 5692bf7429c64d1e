/* Max and average pooling over channels-last maps.
 * Not here: the mean over a whole map (reduce.cu). */
#include "backend/cuda/math/window.h"
#include "kernels.h"
#include "launch.h"

namespace {

/* Thread i: V channels from `c` on of place (h, w) of map n. */
struct spot {
    int64_t n, h, w, c;
};
template <int V>
__device__ static spot spot_of(int64_t i, int64_t channels, int64_t width, int64_t height) {
    int64_t packs = channels / V, place = i / packs, row = place / width;
    return spot{row / height, row % height, place % width, (i - place * packs) * V};
}
template <typename T, int V>
__device__ static const mien_pack<T, V> &pack_from(const T *x, int64_t i) {
    return *(const mien_pack<T, V> *)(x + i);
}
template <typename T, int V>
__device__ static void pack_to(T *x, int64_t i, const mien_pack<T, V> &pack) {
    *(mien_pack<T, V> *)(x + i) = pack;
}

/* ---- what a window becomes ------------------------------------------------------------------- */

/* index: place in the plane of the first largest element; a NaN is larger than everything. */
template <typename T, int V> struct maximum {
    int32_t *index; /* NULL: not wanted */
    float best[V];
    mien_pack<int32_t, V> at;
    bool any;
    __device__ void start() { any = false; }
    __device__ void add(const mien_pack<T, V> &in, int64_t place) {
#pragma unroll
        for (int v = 0; v < V; v++) {
            float value = get(in.v[v]);
            bool wins = !any || (best[v] == best[v] && !(value <= best[v]));
            best[v] = wins ? value : best[v];
            at.v[v] = wins ? (int32_t)place : at.v[v];
        }
        any = true;
    }
    __device__ float result(int v, float) const {
        return any ? best[v] : 0;
    }
    __device__ void finish(int64_t i) const {
        if (index) pack_to<int32_t, V>(index, i, any ? at : mien_pack<int32_t, V>{});
    }
};

template <typename T, int V> struct average {
    float sum[V];
    __device__ void start() {
#pragma unroll
        for (int v = 0; v < V; v++) sum[v] = 0;
    }
    __device__ void add(const mien_pack<T, V> &in, int64_t) {
#pragma unroll
        for (int v = 0; v < V; v++) sum[v] += get(in.v[v]);
    }
    __device__ float result(int v, float cells) const {
        return sum[v] / cells;
    }
    __device__ void finish(int64_t) const {}
};

template <typename T, int V, typename Kind>
__global__ void __launch_bounds__(MIEN_THREADS)
    forward_kernel(T *y, const T *x, mien_pool p, int64_t count, Kind kind) {
    for (int64_t i = mien_grid_thread(); i < count; i += mien_grid_threads()) {
        spot s = spot_of<V>(i, p.c, p.ow, p.oh);
        mien_span rows = mien_window(s.h, p.kernel_h, p.stride_h, p.top, p.h);
        mien_span columns = mien_window(s.w, p.kernel_w, p.stride_w, p.left, p.w);
        kind.start();
        for (int64_t h = rows.low; h < rows.high; h++)
            for (int64_t w = columns.low; w < columns.high; w++)
                kind.add(pack_from<T, V>(x, ((s.n * p.h + h) * p.w + w) * p.c + s.c), h * p.w + w);
        mien_pack<T, V> out;
#pragma unroll
        for (int v = 0; v < V; v++) put(&out.v[v], kind.result(v, mien_cells(rows, columns)));
        pack_to<T, V>(y, i * V, out);
        kind.finish(i * V);
    }
}

/* ---- what a window gives back to its places -------------------------------------------------- */

template <int V> struct to_largest {
    const int32_t *index;
    __device__ mien_pack<int32_t, V> window(const mien_pool &, int64_t, int64_t, int64_t i) const {
        return pack_from<int32_t, V>(index, i);
    }
    __device__ float share(float d, const mien_pack<int32_t, V> &at, int v, int32_t own) const {
        return at.v[v] == own ? d : 0;
    }
};

template <int V> struct to_all {
    __device__ float window(const mien_pool &p, int64_t h, int64_t w, int64_t) const {
        return mien_cells(mien_window(h, p.kernel_h, p.stride_h, p.top, p.h),
                          mien_window(w, p.kernel_w, p.stride_w, p.left, p.w));
    }
    __device__ float share(float d, float cells, int, int32_t) const { return d / cells; }
};

/* Every place asks the windows that hold it: no two threads add to one sum. */
template <typename T, int V, typename Kind>
__global__ void __launch_bounds__(MIEN_THREADS)
    backward_kernel(T *dx, const T *dy, mien_pool p, int64_t count, Kind kind) {
    for (int64_t i = mien_grid_thread(); i < count; i += mien_grid_threads()) {
        spot s = spot_of<V>(i, p.c, p.w, p.h);
        mien_span rows = mien_readers(s.h, p.kernel_h, p.stride_h, p.top, p.oh);
        mien_span columns = mien_readers(s.w, p.kernel_w, p.stride_w, p.left, p.ow);
        int32_t own = (int32_t)(s.h * p.w + s.w);
        float sum[V] = {};
        for (int64_t h = rows.low; h < rows.high; h++)
            for (int64_t w = columns.low; w < columns.high; w++) {
                int64_t from = ((s.n * p.oh + h) * p.ow + w) * p.c + s.c;
                auto window = kind.window(p, h, w, from);
                mien_pack<T, V> d = pack_from<T, V>(dy, from);
#pragma unroll
                for (int v = 0; v < V; v++) sum[v] += kind.share(get(d.v[v]), window, v, own);
            }
        mien_pack<T, V> out;
#pragma unroll
        for (int v = 0; v < V; v++) put(&out.v[v], sum[v]);
        pack_to<T, V>(dx, i * V, out);
    }
}

/* ---- launching ------------------------------------------------------------------------------- */

/* The pools have the same attributes in the same order. */
static mien_pool pool_of(const mien_op_call *call, const mien_tensor *x, const mien_tensor *y) {
    const mien_max_pool2d_attr *a = (const mien_max_pool2d_attr *)call->attr;
    return mien_pool{x->shape[0],      x->shape[1],      x->shape[2],      x->shape[3],
                     y->shape[2],      y->shape[3],      (int)a->kernel_h, (int)a->kernel_w,
                     (int)a->stride_h, (int)a->stride_w, (int)a->pad_top,  (int)a->pad_left};
}

/* index: of the maximum only. */
template <typename T, int V>
static mien_status run_forward(T *y, int32_t *index, const T *x, const mien_pool &p, bool max) {
    int64_t count = p.n * p.oh * p.ow * (p.c / V);
    unsigned grid = mien__cuda_grid(count, MIEN_THREADS);
    if (count == 0) return MIEN_OK;
    if (max)
        MIEN_LAUNCH((forward_kernel<T, V, maximum<T, V>>), grid, MIEN_THREADS, 0, y, x, p, count,
                    maximum<T, V>{index});
    else
        MIEN_LAUNCH((forward_kernel<T, V, average<T, V>>), grid, MIEN_THREADS, 0, y, x, p, count,
                    average<T, V>{});
    return MIEN_OK;
}

template <typename T, int V>
static mien_status run_backward(T *dx, const int32_t *index, const T *dy, const mien_pool &p) {
    int64_t count = p.n * p.h * p.w * (p.c / V);
    unsigned grid = mien__cuda_grid(count, MIEN_THREADS);
    if (count == 0) return MIEN_OK;
    if (index)
        MIEN_LAUNCH((backward_kernel<T, V, to_largest<V>>), grid, MIEN_THREADS, 0, dx, dy, p, count,
                    to_largest<V>{index});
    else
        MIEN_LAUNCH((backward_kernel<T, V, to_all<V>>), grid, MIEN_THREADS, 0, dx, dy, p, count,
                    to_all<V>{});
    return MIEN_OK;
}

/* Four channels a thread: 4 to 16 bytes of a map, 16 of the index. */
static bool by_four(const mien_pool &p, const void *a, const void *b, const void *c) {
    return p.c % 4 == 0 && mien_aligned(a) && mien_aligned(b) && mien_aligned(c);
}

template <typename T>
static mien_status pick_forward(void *y, int32_t *index, const void *x, const mien_pool &p,
                                bool max) {
    if (by_four(p, y, index, x)) return run_forward<T, 4>((T *)y, index, (const T *)x, p, max);
    return run_forward<T, 1>((T *)y, index, (const T *)x, p, max);
}
template <typename T>
static mien_status pick_backward(void *dx, const int32_t *index, const void *dy,
                                 const mien_pool &p) {
    if (by_four(p, dx, index, dy)) return run_backward<T, 4>((T *)dx, index, (const T *)dy, p);
    return run_backward<T, 1>((T *)dx, index, (const T *)dy, p);
}

static mien_status pool_forward(mien_op_call *call) {
    bool max = call->op == MIEN_OP_max_pool2d;
    mien_tensor *y = call->out[0];
    mien__cuda_set_implementation(call, "own:pool");
    MIEN_TRY(mien__cuda_check());
    mien_held x(mien__cuda_as_nhwc(call->in[0], y->dtype));
    if (x.failed()) return mien_last();
    MIEN_TRY(mien__cuda_alloc_nhwc(y));
    if (max) MIEN_TRY(mien__cuda_alloc_nhwc(call->out[1]));
    int32_t *index = max ? (int32_t *)mien__cuda_ptr(call->out[1]) : NULL;
    void *to = mien__cuda_ptr(y);
    const mien_pool p = pool_of(call, x.t, y);
    if (y->dtype == MIEN_U8) return pick_forward<uint8_t>(to, index, x.data<void>(), p, max);
    if (y->dtype == MIEN_I8) return pick_forward<int8_t>(to, index, x.data<void>(), p, max);
    MIEN_BY_DTYPE(y->dtype, pick_forward<T>(to, index, x.data<void>(), p, max));
}

static mien_status pool_backward(mien_op_call *call) {
    mien_tensor *dx = call->din[0];
    bool max = call->op == MIEN_OP_max_pool2d;
    mien__cuda_set_implementation(call, "own:pool");
    MIEN_TRY(mien__cuda_check());
    mien_held dy(mien__cuda_as_nhwc(call->dout[0], dx->dtype));
    mien_held index(max ? mien__cuda_as_nhwc(call->out[1], MIEN_I32) : NULL);
    if (dy.failed() || (max && index.failed())) return mien_last();
    MIEN_TRY(mien__cuda_alloc_nhwc(dx));
    MIEN_BY_DTYPE(dx->dtype,
                  pick_backward<T>(mien__cuda_ptr(dx), max ? index.data<int32_t>() : NULL,
                                   dy.data<void>(), pool_of(call, dx, dy.t)));
}

} // namespace

void mien__cuda_part_pool(mien_backend *table) {
    table->forward[MIEN_OP_max_pool2d] = table->forward[MIEN_OP_avg_pool2d] = pool_forward;
    table->backward[MIEN_OP_max_pool2d] = table->backward[MIEN_OP_avg_pool2d] = pool_backward;
}
