/* Inference in whole numbers: quantise, and conv2d_int8 on tensor cores.
 * Not here: pooling of u8 and i8 (pool.cu, reduce.cu). */
#include "backend/cuda/math/whole.h"
#include "backend/cuda/weights.h"
#include "kernels.h"
#include "map.h"
#include "mma.h"

namespace {

/* ---- quantise -------------------------------------------------------------------------------- */

static mien_status quantise(mien_op_call *call) {
    const mien_quantise_attr *a = (const mien_quantise_attr *)call->attr;
    mien_tensor *y = call->out[0], *x = call->in[0];
    mien_quantise_fn f = {a->scale, a->is_signed != 0};
    mien__cuda_set_implementation(call, "own:map");
    MIEN_TRY(mien__cuda_check());
    MIEN_TRY(y->ndim == 4 ? mien__cuda_alloc_nhwc(y) : mien__cuda_alloc_like(y, x));
    if (mien_tensor_count(y) == 0) return MIEN_OK;
    if (f.is_signed) MIEN_BY_DTYPE(x->dtype, (mien_run_map<int8_t, T, 1>(y, &x, f)));
    MIEN_BY_DTYPE(x->dtype, (mien_run_map<uint8_t, T, 1>(y, &x, f)));
}

/* ---- convolution ----------------------------------------------------------------------------- */

/* A block makes PIXELS x FILTERS outputs, DEPTH neighbours of their sums at a time, which lie in
 * PACKS packs of 16 channels. Its warps stand WARPS_UP to a column; each has 32 pixels and 16
 * filters: 2 x 2 products of 16 x 8. */
enum { PIXELS = 64, FILTERS = 64, PACKS = 4, WARPS_UP = 2, WARP_PIXELS = 32, WARP_FILTERS = 16 };
typedef mien_pack<uint32_t, 4> pack; /* 16 channels */

/* x [n,h,w,packs], weight [filters,r,s,packs] in packs; pixels: n oh ow. */
struct conv {
    int64_t pixels, filters;
    int tiles;        /* of filters */
    int packs, depth; /* of a place of x; of a filter */
    int h, w, oh, ow, s, stride_h, stride_w, top, left;
};

/* What a thread brings: pack `tid % PACKS` of each DEPTH, of one pixel and one filter. */
struct source {
    int64_t picture, filter; /* n h; -1: beyond the last one */
    int y, x;                /* of the window's first place */
};

__device__ static source source_of(const conv &p, int64_t pixel, int64_t filter) {
    source f = {-1, filter < p.filters ? filter : -1, 0, 0};
    if (pixel >= p.pixels) return f;
    int64_t row = pixel / p.ow, n = row / p.oh;
    f.picture = n * p.h;
    f.y = (int)(row - n * p.oh) * p.stride_h - p.top;
    f.x = (int)(pixel - row * p.ow) * p.stride_w - p.left;
    return f;
}

/* Packs at place d of the depth; zeros where there is nothing. */
__device__ static void bring(const conv &p, const source &f, const pack *x, const pack *weight,
                             int d, pack *a, pack *b) {
    *a = *b = pack{};
    if (d >= p.depth) return;
    int tap = d / p.packs, r = tap / p.s, y = f.y + r, column = f.x + tap - r * p.s;
    bool inside = f.picture >= 0 && y >= 0 && y < p.h && column >= 0 && column < p.w;
    if (inside) *a = x[((f.picture + y) * p.w + column) * p.packs + d - tap * p.packs];
    if (f.filter >= 0) *b = weight[f.filter * p.depth + d];
}

/* Which neighbours a lane takes from its pack does not matter to a sum, as long as a and b agree:
 * so each takes a whole pack, words 0 and 1 for the first product, 2 and 3 for the second. */
template <bool IsSigned>
__device__ static void multiply(int32_t sum[2][2][4], const pack *pixels, const pack *filters,
                                int lane) {
    pack a[2][2], b[2]; /* a: tile, upper or lower half of its rows */
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int half = 0; half < 2; half++)
            a[i][half] = pixels[(i * 16 + half * 8) * PACKS + lane];
        b[i] = filters[i * 8 * PACKS + lane];
    }
#pragma unroll
    for (int k = 0; k < 4; k += 2)
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                uint32_t left[4] = {a[i][0].v[k], a[i][1].v[k], a[i][0].v[k + 1], a[i][1].v[k + 1]};
                mien_mma<IsSigned>(sum[i][j], left, b[j].v + k);
            }
}

/* T: of x; O: of y; R: of the residual (NULL: none). y and residual are [pixels,filters]. */
template <typename T, typename O, typename R>
__global__ void __launch_bounds__(MIEN_THREADS)
    conv_kernel(O *y, const pack *x, const pack *weight, const float *bias, const float *scale,
                const R *residual, conv p, mien_rescale rescale) {
    __shared__ pack pixels[PIXELS * PACKS], filters[FILTERS * PACKS];
    const int thread = (int)threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int64_t tile = blockIdx.x / (unsigned)p.tiles;
    const int64_t first_pixel = tile * PIXELS;
    const int64_t first_filter = (blockIdx.x - tile * p.tiles) * FILTERS;
    const int up = warp % WARPS_UP * WARP_PIXELS, across = warp / WARPS_UP * WARP_FILTERS;
    const source from = source_of(p, first_pixel + thread / PACKS, first_filter + thread / PACKS);
    int32_t sum[2][2][4] = {};
    pack a, b;
    bring(p, from, x, weight, thread % PACKS, &a, &b);
    for (int d = 0; d < p.depth; d += PACKS) {
        __syncthreads(); /* the last packs were read */
        pixels[thread] = a;
        filters[thread] = b;
        __syncthreads();
        bring(p, from, x, weight, d + PACKS + thread % PACKS, &a, &b);
        multiply<(T)-1 < 0>(sum, pixels + up * PACKS, filters + across * PACKS, lane);
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            for (int q = 0; q < 4; q++) {
                int64_t pixel = first_pixel + up + i * 16 + q / 2 * 8 + lane / 4;
                int64_t k = first_filter + across + j * 8 + lane % 4 * 2 + q % 2;
                if (pixel >= p.pixels || k >= p.filters) continue;
                int64_t at = pixel * p.filters + k;
                put(&y[at],
                    rescale(sum[i][j][q], bias[k], scale[k], residual ? get(residual[at]) : 0));
            }
}

/* Everything arranged. */
struct parts {
    mien_tensor *x, *weight, *bias, *scale, *residual;
};

template <typename T, typename O, typename R>
static mien_status int8_run(mien_tensor *y, const parts &t, const conv &p, unsigned blocks,
                       mien_rescale rescale) {
    MIEN_LAUNCH((conv_kernel<T, O, R>), blocks, MIEN_THREADS, 0, (O *)mien__cuda_ptr(y),
                (const pack *)mien__cuda_ptr(t.x), (const pack *)mien__cuda_ptr(t.weight),
                (const float *)mien__cuda_ptr(t.bias), (const float *)mien__cuda_ptr(t.scale),
                (const R *)mien__cuda_ptr(t.residual), p, rescale);
    return MIEN_OK;
}

template <typename T, typename O>
static mien_status by_residual(mien_tensor *y, const parts &t, const conv &p, unsigned blocks,
                               mien_rescale rescale) {
    if (t.residual && t.residual->dtype == MIEN_I8)
        return int8_run<T, O, int8_t>(y, t, p, blocks, rescale);
    return int8_run<T, O, uint8_t>(y, t, p, blocks, rescale);
}

template <typename T>
static mien_status by_output(mien_tensor *y, const parts &t, const conv &p, unsigned blocks,
                             mien_rescale rescale) {
    if (rescale.is_signed) return by_residual<T, int8_t>(y, t, p, blocks, rescale);
    return by_residual<T, uint8_t>(y, t, p, blocks, rescale);
}

/* Sums of so many products are below 2^31. */
enum { DEPTH_MOST = INT32_MAX / (255 * 128) };

static mien_status conv_forward(mien_op_call *call) {
    const mien_conv2d_int8_attr *a = (const mien_conv2d_int8_attr *)call->attr;
    const int64_t *in = call->in[0]->shape, *w = call->in[1]->shape;
    mien_tensor *y = call->out[0];
    mien__cuda_set_implementation(call, "own:mma");
    MIEN_TRY(mien__cuda_check());
    if (in[1] * w[2] * w[3] > DEPTH_MOST)
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED,
                  "conv2d_int8: a filter of %lld weights on device cuda, where at most %d have "
                  "sums within 32 bits",
                  (long long)(in[1] * w[2] * w[3]), (int)DEPTH_MOST);
    const int64_t channels = (in[1] + 15) / 16 * 16;
    mien_held x(mien__cuda_as_channels_last(call->in[0], call->in[0]->dtype, channels));
    mien_held weight(mien__cuda_weight(call->in[1], MIEN_I8, channels));
    mien_held bias(mien__cuda_as_plain(call->in[2], MIEN_F32));
    mien_held scale(mien__cuda_as_plain(call->in[3], MIEN_F32)), residual;
    if (call->in[4]) residual.take(mien__cuda_as_channels_last(call->in[4], call->in[4]->dtype, 0));
    if (x.failed() || weight.failed() || bias.failed() || scale.failed() ||
        (call->in[4] && residual.failed()))
        return mien_last();
    MIEN_TRY(mien__cuda_alloc_nhwc(y));
    conv p = {};
    p.pixels = y->shape[0] * y->shape[2] * y->shape[3], p.filters = w[0];
    if (p.pixels * p.filters == 0) return MIEN_OK;
    p.packs = (int)(channels / 16), p.depth = (int)(w[2] * w[3]) * p.packs, p.s = (int)w[3];
    p.h = (int)in[2], p.w = (int)in[3], p.oh = (int)y->shape[2], p.ow = (int)y->shape[3];
    p.stride_h = (int)a->stride_h, p.stride_w = (int)a->stride_w;
    p.top = (int)a->pad_top, p.left = (int)a->pad_left;
    p.tiles = (int)((p.filters + FILTERS - 1) / FILTERS);
    int64_t blocks = (p.pixels + PIXELS - 1) / PIXELS * p.tiles;
    if (blocks > INT32_MAX)
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "conv2d_int8: %lld outputs at once on device cuda",
                  (long long)mien_tensor_count(y));
    const parts t = {x.t, weight.t, bias.t, scale.t, residual.t};
    const mien_rescale rescale = {a->residual_scale, a->relu != 0, a->is_signed != 0};
    if (x.t->dtype == MIEN_I8) return by_output<int8_t>(y, t, p, (unsigned)blocks, rescale);
    return by_output<uint8_t>(y, t, p, (unsigned)blocks, rescale);
}

} // namespace

void mien__cuda_part_int8(mien_backend *table) {
    table->forward[MIEN_OP_quantise] = quantise;
    table->forward[MIEN_OP_conv2d_int8] = conv_forward;
}
