/* Sums, means and maxima over some of a tensor's dimensions; concatenation's copies are in shape.cu.
 * Not here: losses (loss.cu), channel statistics (norm.cu). */
#include "backend/cuda/convert.h"
#include "kernels.h"
#include "map.h"

namespace {

/* ---- how a tensor is reduced --------------------------------------------------------------------- */

/* kept: strides of the result and of x; reduced: strides of x. */
struct plan {
    mien_walk<2> kept;
    mien_walk<1> reduced;
    int64_t results, each;
};

/* One result's element k: where it is in out, where its first element is in x. */
struct place {
    int64_t out, x;
};
__device__ static place place_of(const plan &p, int64_t k) {
    int64_t at[2];
    mien_walk_at(p.kept, k, at);
    return place{at[0], at[1]};
}
__device__ static int64_t offset_of(const plan &p, int64_t j) {
    int64_t at[1];
    mien_walk_at(p.reduced, j, at);
    return at[0];
}

static bool is_reduced(const mien_tensor *out, const mien_tensor *x, int d) {
    int own = d - (x->ndim - out->ndim);
    return own < 0 || (out->shape[own] == 1 && x->shape[d] != 1);
}

/* logical: reduced elements are numbered in row-major order, else as they lie in memory. */
static plan plan_of(const mien_tensor *out, const mien_tensor *x, bool logical) {
    plan p = {};
    p.results = p.each = 1;
    int order[MIEN_MAX_DIMS], n = mien_memory_order(x, order);
    for (int i = 0; i < n; i++) {
        int d = logical ? n - 1 - i : order[i];
        if (is_reduced(out, x, d)) {
            mien_walk_add(&p.reduced, x->shape[d], &x->stride[d]);
            p.each *= x->shape[d];
        } else {
            int64_t stride[2] = {mien_stride_in(out, x, d), x->stride[d]};
            mien_walk_add(&p.kept, x->shape[d], stride);
            p.results *= x->shape[d];
        }
    }
    return p;
}

/* Results per block: neighbours in memory go to neighbouring threads. */
static int width_of(const plan &p) {
    if (p.results < 32 || p.kept.n == 0) return 1;
    return p.reduced.n == 0 || p.kept.stride[1][0] < p.reduced.stride[0][0] ? 32 : 1;
}

/* ---- sums ---------------------------------------------------------------------------------------- */

/* Sum over a column of the block [height][width] of threads; valid in the first row. */
__device__ static float column_sum(float sum, int width) {
    __shared__ float part[MIEN_THREADS];
    int at = (int)threadIdx.x;
    __syncthreads();
    part[at] = sum;
    __syncthreads();
    for (int step = MIEN_THREADS / 2; step >= width; step /= 2) {
        if (at < step) part[at] += part[at + step];
        __syncthreads();
    }
    return part[at];
}

/* Block x has `width` results, block y a share of what each sums. partial [gridDim.y][results] when
 * there are several shares. */
template <typename T, typename O>
__global__ void __launch_bounds__(MIEN_THREADS)
    sum_kernel(O *out, float *partial, const T *x, plan p, int width, int64_t share, float factor) {
    int column = (int)threadIdx.x % width, row = (int)threadIdx.x / width;
    int height = MIEN_THREADS / width;
    int64_t first = blockIdx.y * share, last = first + share < p.each ? first + share : p.each;
    for (int64_t block = blockIdx.x; block * width < p.results; block += gridDim.x) {
        int64_t k = block * width + column;
        float sum = 0;
        place at = {0, 0};
        if (k < p.results) {
            at = place_of(p, k);
            for (int64_t j = first + row; j < last; j += height)
                sum += get(x[at.x + offset_of(p, j)]);
        }
        sum = column_sum(sum, width);
        if (row > 0 || k >= p.results) continue;
        if (partial)
            partial[blockIdx.y * p.results + k] = sum;
        else
            put(&out[at.out], sum * factor);
    }
}

template <typename O>
__global__ void total_kernel(O *out, const float *partial, plan p, int shares, float factor) {
    for (int64_t k = mien_grid_thread(); k < p.results; k += mien_grid_threads()) {
        float sum = 0;
        for (int i = 0; i < shares; i++) sum += partial[i * p.results + k];
        put(&out[place_of(p, k).out], sum * factor);
    }
}

template <typename T, typename O>
static mien_status run_sum(mien_tensor *out, mien_tensor *x, const plan &p, float factor) {
    int width = width_of(p);
    int64_t blocks = (p.results + width - 1) / width, height = MIEN_THREADS / width;
    /* Few results of many elements: several blocks for each, 8 elements a thread at least. */
    int64_t shares = mien__cuda_context.multiprocs * 4 / blocks, most = p.each / (height * 8);
    shares = shares > most ? most : shares;
    shares = shares < 1 ? 1 : shares > 256 ? 256 : shares;
    int64_t share = (p.each + shares - 1) / shares;
    unsigned columns = (unsigned)(blocks < (1 << 20) ? blocks : 1 << 20);
    mien_scratch partial(shares > 1 ? (size_t)(shares * p.results) * sizeof(float) : 1);
    if (partial.failed()) return mien_last();
    O *to = (O *)mien__cuda_ptr(out);
    MIEN_LAUNCH((sum_kernel<T, O>), dim3(columns, (unsigned)shares), MIEN_THREADS, 0, to,
                shares > 1 ? partial.at<float>() : NULL, (const T *)mien__cuda_ptr(x), p, width,
                share, factor);
    if (shares > 1)
        MIEN_LAUNCH(total_kernel<O>, mien__cuda_grid(p.results, MIEN_THREADS), MIEN_THREADS, 0, to,
                    partial.at<float>(), p, (int)shares, factor);
    return MIEN_OK;
}

template <typename From>
static mien_status sum_from(mien_tensor *out, mien_tensor *x, const plan &p, float factor) {
    if (out->dtype == x->dtype) return run_sum<From, From>(out, x, p, factor);
    MIEN_BY_DTYPE(out->dtype, (run_sum<From, T>(out, x, p, factor)));
}

} // namespace

mien_status mien__cuda_sum_to(mien_tensor *out, mien_tensor *x, double factor) {
    MIEN_TRY(mien__cuda_check());
    plan p = plan_of(out, x, false);
    if (p.results == 0) return MIEN_OK;
    if (p.each == 0) return mien__cuda_fill(out, 0);
    if (x->dtype == MIEN_U8) return run_sum<uint8_t, float>(out, x, p, (float)factor);
    if (x->dtype == MIEN_I8) return run_sum<int8_t, float>(out, x, p, (float)factor);
    MIEN_BY_DTYPE(x->dtype, sum_from<T>(out, x, p, (float)factor));
}

namespace {

/* ---- sum, mean ------------------------------------------------------------------------------------ */

static int64_t reduced_count(const mien_op_call *call) {
    const mien_sum_attr *a = (const mien_sum_attr *)call->attr; /* all three have the same */
    const mien_tensor *x = call->in[0];
    return a->dim < 0 ? mien_tensor_count(x) : x->shape[(int)a->dim];
}

/* A header over t's elements with the shape that keeps reduced dimensions as 1; strides of all
 * dimensions of `x`. */
static mien_tensor *kept_view(const mien_op_call *call, mien_tensor *t, const mien_tensor *x) {
    const mien_sum_attr *a = (const mien_sum_attr *)call->attr;
    mien_tensor *view = mien__tensor_alias(t);
    if (!view) return NULL;
    view->ndim = x->ndim;
    for (int d = 0; d < x->ndim; d++) {
        bool gone = a->dim < 0 || d == (int)a->dim;
        int own = a->keep || (a->dim >= 0 && d < (int)a->dim) ? d : d - 1;
        view->shape[d] = gone ? 1 : x->shape[d];
        view->stride[d] = gone ? 0 : t->stride[own];
    }
    return view;
}

static mien_status sum_forward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:reduce");
    MIEN_TRY(mien__cuda_alloc(call->out[0]));
    mien_held view(kept_view(call, call->out[0], call->in[0]));
    if (view.failed()) return mien_last();
    double factor = call->op == MIEN_OP_mean ? 1 / (double)reduced_count(call) : 1;
    if (reduced_count(call) == 0) return mien__cuda_fill(call->out[0], factor == 1 ? 0 : NAN);
    return mien__cuda_sum_to(view.t, call->in[0], factor);
}

struct scaled_fn {
    float factor;
    MIEN_HD float operator()(const float *x) const { return x[0] * factor; }
};

static mien_status sum_backward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:reduce");
    mien_tensor *dx = call->din[0];
    MIEN_TRY(mien__cuda_alloc(dx));
    mien_held view(kept_view(call, call->dout[0], dx));
    if (view.failed()) return mien_last();
    double factor = call->op == MIEN_OP_mean ? 1 / (double)reduced_count(call) : 1;
    return mien_map<1>(dx, &view.t, scaled_fn{(float)factor});
}

/* ---- maximum -------------------------------------------------------------------------------------- */

/* The first largest element; a NaN is larger than everything. */
struct best {
    float value;
    int64_t at; /* -1: none yet */
};
__device__ static bool beats(best a, best b) {
    if (a.at < 0 || b.at < 0) return b.at < 0;
    bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan || b_nan) return a_nan && (!b_nan || a.at < b.at);
    return a.value > b.value || (a.value == b.value && a.at < b.at);
}

/* A block per result. out (forward): the maximum; dx (backward, zeros): dy at its place. */
template <typename T>
__global__ void __launch_bounds__(MIEN_THREADS)
    max_kernel(T *out, const T *x, T *dx, const T *dy, plan p) {
    __shared__ best part[MIEN_THREADS];
    int at = (int)threadIdx.x;
    for (int64_t k = blockIdx.x; k < p.results; k += gridDim.x) {
        place here = place_of(p, k);
        best own = {0, -1};
        for (int64_t j = at; j < p.each; j += MIEN_THREADS) {
            best next = {get(x[here.x + offset_of(p, j)]), j};
            if (beats(next, own)) own = next;
        }
        part[at] = own;
        __syncthreads();
        for (int step = MIEN_THREADS / 2; step > 0; step /= 2) {
            if (at < step && beats(part[at + step], part[at])) part[at] = part[at + step];
            __syncthreads();
        }
        if (at == 0 && out) put(&out[here.out], part[0].value);
        if (at == 0 && dx) dx[here.x + offset_of(p, part[0].at)] = dy[here.out];
        __syncthreads();
    }
}

template <typename T>
static mien_status run_max(T *out, const T *x, T *dx, const T *dy, const plan &p) {
    unsigned grid = (unsigned)(p.results < (1 << 20) ? p.results : 1 << 20);
    MIEN_LAUNCH(max_kernel<T>, grid, MIEN_THREADS, 0, out, x, dx, dy, p);
    return MIEN_OK;
}

template <typename T> static mien_status max_out(mien_op_call *call, mien_tensor *x, plan p) {
    return run_max<T>((T *)mien__cuda_ptr(call->out[0]), (const T *)mien__cuda_ptr(x), NULL, NULL,
                      p);
}
template <typename T>
static mien_status max_back(mien_op_call *call, mien_tensor *x, mien_tensor *dy, plan p) {
    return run_max<T>(NULL, (const T *)mien__cuda_ptr(x), (T *)mien__cuda_ptr(call->din[0]),
                      (const T *)mien__cuda_ptr(dy), p);
}

/* x becomes row-major: ties are settled in that order, and dx gets the same places. */
static mien_status max_forward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:reduce");
    MIEN_TRY(mien__cuda_check());
    mien_tensor *out = call->out[0];
    MIEN_TRY(mien__cuda_alloc(out));
    mien_held x(mien__cuda_as_plain(call->in[0], out->dtype)), view;
    if (x.failed()) return mien_last();
    view.take(kept_view(call, out, x.t));
    if (view.failed()) return mien_last();
    plan p = plan_of(view.t, x.t, true);
    if (p.results == 0) return MIEN_OK;
    MIEN_BY_DTYPE(out->dtype, max_out<T>(call, x.t, p));
}

static mien_status max_backward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:reduce");
    MIEN_TRY(mien__cuda_check());
    mien_tensor *dx = call->din[0];
    MIEN_TRY(mien__cuda_alloc(dx));
    MIEN_TRY(mien__cuda_fill(dx, 0));
    mien_held x(mien__cuda_as_plain(call->in[0], dx->dtype)), view;
    mien_held dy(mien__cuda_as_plain(call->dout[0], dx->dtype));
    if (x.failed() || dy.failed()) return mien_last();
    view.take(kept_view(call, dy.t, x.t));
    if (view.failed()) return mien_last();
    plan p = plan_of(view.t, x.t, true);
    if (p.results == 0) return MIEN_OK;
    MIEN_BY_DTYPE(dx->dtype, max_back<T>(call, x.t, dy.t, p));
}

/* ---- mean over maps -------------------------------------------------------------------------------- */

/* [N,C,H,W] to [N,C], with a view of the result as [N,C,1,1]. */
static mien_tensor *map_view(mien_tensor *t) {
    mien_tensor *view = mien__tensor_alias(t);
    if (!view) return NULL;
    view->ndim = 4;
    view->shape[2] = view->shape[3] = 1;
    view->stride[2] = view->stride[3] = 0;
    return view;
}

static mien_status global_pool_forward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:reduce");
    const mien_tensor *x = call->in[0];
    MIEN_TRY(mien__cuda_alloc(call->out[0]));
    mien_held view(map_view(call->out[0]));
    if (view.failed()) return mien_last();
    return mien__cuda_sum_to(view.t, call->in[0], 1 / (double)(x->shape[2] * x->shape[3]));
}

static mien_status global_pool_backward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:reduce");
    mien_tensor *dx = call->din[0];
    MIEN_TRY(mien__cuda_alloc_nhwc(dx));
    mien_held view(map_view(call->dout[0]));
    if (view.failed()) return mien_last();
    float factor = (float)(1 / (double)(dx->shape[2] * dx->shape[3]));
    return mien_map<1>(dx, &view.t, scaled_fn{factor});
}

} // namespace

void mien__cuda_part_reduce(mien_backend *table) {
    table->forward[MIEN_OP_sum] = table->forward[MIEN_OP_mean] = sum_forward;
    table->backward[MIEN_OP_sum] = table->backward[MIEN_OP_mean] = sum_backward;
    table->forward[MIEN_OP_max] = max_forward;
    table->backward[MIEN_OP_max] = max_backward;
    table->forward[MIEN_OP_global_avg_pool] = global_pool_forward;
    table->backward[MIEN_OP_global_avg_pool] = global_pool_backward;
}
