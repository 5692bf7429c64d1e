/* Shape rules of what is done to pictures before a network sees them.
 * Not here: pictures in files and the loader (data/). */
#include "infer.h"

mien_status mien__infer_augment(mien_op_call *call) {
    const mien_augment_attr *a = call->attr;
    const int64_t most = 32767;
    MIEN_TRY(mien__want_dtypes(call, 0, MIEN_U8, MIEN_U8));
    MIEN_TRY(mien__want_dtypes(call, 1, MIEN_F32, MIEN_F64));
    MIEN_TRY(mien__want_dtypes(call, 2, MIEN_F32, MIEN_F64));
    MIEN_TRY(mien__want_ndim(call, 0, 3, MIEN_MAX_DIMS, "[...,h,w,3]"));
    MIEN_TRY(mien__want_whole(call, &a->resize_height, 1, most));
    MIEN_TRY(mien__want_whole(call, &a->resize_width, 1, most));
    MIEN_TRY(mien__want_whole(call, &a->height, 1, (int64_t)a->resize_height));
    MIEN_TRY(mien__want_whole(call, &a->width, 1, (int64_t)a->resize_width));
    const mien_tensor *frames = call->in[0];
    const int lead = frames->ndim - 3;
    char text[128];
    const int64_t *picture = frames->shape + lead;
    if (picture[0] < 1 || picture[1] < 1 || picture[2] != 3)
        MIEN_FAIL(MIEN_ERR_SHAPE,
                  "augment: frames is %s but must be [...,h,w,3] with h and w from 1",
                  mien__shape_text(frames, text, sizeof text));
    int64_t shape[MIEN_MAX_DIMS], n = 1;
    for (int d = 0; d < lead; d++) n *= shape[d] = frames->shape[d];
    shape[lead] = 3;
    shape[lead + 1] = (int64_t)a->height;
    shape[lead + 2] = (int64_t)a->width;
    MIEN_TRY(mien__want_shape(call, 1, 2, (int64_t[]){n, 5}, "[n,5] with n frames"));
    MIEN_TRY(mien__want_shape(call, 2, 2, (int64_t[]){2, 3}, "[2,3]"));
    return mien__make_output(call, 0, call->in[2]->dtype, frames->ndim, shape);
}
