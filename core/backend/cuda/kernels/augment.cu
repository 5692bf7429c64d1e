/* Stored pictures to network input on the device: resize, crop, mirror, colours, scale.
 * Not here: the draws (data/loader.c), one pixel's arithmetic (math/picture.h). */
#include "backend/cuda/math/picture.h"
#include "kernels.h"
#include "launch.h"

namespace {

struct picture {
    int64_t rows; /* of all crops together */
    int h, w, resize_h, resize_w, height, width;
};

/* A block takes a row of a crop; draws [n,5], scale [2,3]. */
__global__ void __launch_bounds__(MIEN_THREADS)
    augment_kernel(float *out, const uint8_t *frames, const float *draws, const float *scale,
                   picture a) {
    const int64_t area = (int64_t)a.height * a.width;
    for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
        const int64_t frame = row / a.height;
        const int y = (int)(row % a.height);
        const float *draw = draws + frame * 5;
        const int top = mien_offset(draw[0], a.resize_h - a.height);
        const int left = mien_offset(draw[1], a.resize_w - a.width);
        const mien_taps rows = mien_taps_of(top + y, a.h, a.resize_h);
        for (int x = (int)threadIdx.x; x < a.width; x += (int)blockDim.x) {
            const int column = left + (draw[2] != 0 ? a.width - 1 - x : x);
            mien_rgb p = mien_sample(frames + frame * a.h * a.w * 3, a.w, rows,
                                     mien_taps_of(column, a.w, a.resize_w));
            if (draw[3] != 0 || draw[4] != 1) p = mien_colours(p, draw[3], draw[4]);
            float *at = out + frame * 3 * area + (int64_t)y * a.width + x;
            for (int c = 0; c < 3; c++) at[c * area] = p.v[c] * scale[c] + scale[3 + c];
        }
    }
}

static mien_status augment_forward(mien_op_call *call) {
    mien__cuda_set_implementation(call, "own:augment");
    MIEN_TRY(mien__cuda_check());
    const mien_augment_attr *attr = (const mien_augment_attr *)call->attr;
    const int64_t *stored = call->in[0]->shape + call->in[0]->ndim - 3;
    const int height = (int)attr->height, width = (int)attr->width;
    const picture a = {call->in[1]->shape[0] * height, (int)stored[0], (int)stored[1],
                       (int)attr->resize_height,       (int)attr->resize_width, height, width};
    mien_held frames(mien__cuda_as_plain(call->in[0], MIEN_U8));
    mien_held draws(mien__cuda_as_plain(call->in[1], MIEN_F32));
    mien_held scale(mien__cuda_as_plain(call->in[2], MIEN_F32));
    if (frames.failed() || draws.failed() || scale.failed()) return mien_last();
    MIEN_TRY(mien__cuda_alloc(call->out[0]));
    if (a.rows == 0) return MIEN_OK;
    MIEN_LAUNCH(augment_kernel, mien__cuda_grid(a.rows * MIEN_THREADS, MIEN_THREADS), MIEN_THREADS,
                0, (float *)mien__cuda_ptr(call->out[0]),
                frames.data<const uint8_t>(), draws.data<const float>(), scale.data<const float>(),
                a);
    return MIEN_OK;
}

} // namespace

void mien__cuda_part_augment(mien_backend *table) {
    table->forward[MIEN_OP_augment] = augment_forward;
}
