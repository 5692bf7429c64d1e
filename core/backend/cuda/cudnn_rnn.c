/* LSTM and GRU layers through cuDNN's RNN functions.
 * Not here: which layers come here (recurrent.c), those whose loop is our own (layer.c).
 *
 * cuDNN's cells are those of ops.def: LSTM with gates in the order input, forget, new memory,
 * output; GRU with reset, update, new memory and two biases, h' = (1 - z) n + z h. `reserve` holds
 * what cuDNN keeps for backward, in a form of its own; it is at least as large as ops.def says. */
#include <limits.h>
#include <string.h>

#include "convert.h"
#include "layer.h"
#include "weights.h"
#include "vendor.h"

/* A layer as both passes see it: tensors by meaning; of biases an LSTM has one, a GRU two. */
typedef struct layer {
    bool lstm;
    int gates;
    int64_t batch, steps, d, h;
    mien_dtype dtype; /* of activations; weights and biases are converted to it */
    mien_tensor *weight_ih, *weight_hh, *bias_ih, *bias_hh; /* borrowed */
    cudnnRNNDescriptor_t rnn;
    cudnnDropoutDescriptor_t dropout;
    cudnnRNNDataDescriptor_t x, y;
    cudnnTensorDescriptor_t state, matrix, vector;
    size_t weight_bytes, work_bytes, reserve_bytes;
    cudnnHandle_t handle; /* locked while the layer is open */
    bool locked;
} layer;

static layer layer_of(const mien_op_call *call) {
    bool lstm = call->op == MIEN_OP_lstm;
    const mien_tensor *x = call->in[0];
    return (layer){.lstm = lstm,
                   .gates = lstm ? 4 : 3,
                   .batch = x->shape[0],
                   .steps = x->shape[1],
                   .d = x->shape[2],
                   .h = call->in[2]->shape[1],
                   .dtype = x->dtype,
                   .weight_ih = call->in[1],
                   .weight_hh = call->in[2],
                   .bias_ih = call->in[3],
                   .bias_hh = lstm ? NULL : call->in[4]};
}

static int h0_at(const layer *l) {
    return l->lstm ? 4 : 5;
}

static cudnnDataType_t data_type(mien_dtype dtype) {
    return dtype == MIEN_BF16  ? CUDNN_DATA_BFLOAT16
           : dtype == MIEN_F16 ? CUDNN_DATA_HALF
                               : CUDNN_DATA_FLOAT;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static void layer_close(layer *l) {
    const mien__vendor *v = &mien__vendor_table;
    if (l->rnn) v->cudnnDestroyRNNDescriptor(l->rnn);
    if (l->dropout) v->cudnnDestroyDropoutDescriptor(l->dropout);
    if (l->x) v->cudnnDestroyRNNDataDescriptor(l->x);
    if (l->y) v->cudnnDestroyRNNDataDescriptor(l->y);
    if (l->state) v->cudnnDestroyTensorDescriptor(l->state);
    if (l->matrix) v->cudnnDestroyTensorDescriptor(l->matrix);
    if (l->vector) v->cudnnDestroyTensorDescriptor(l->vector);
    if (l->locked) mien__cudnn_unlock();
}

/* [B,T,size], every sequence T long. */
static mien_status sequence(cudnnRNNDataDescriptor_t *d, const layer *l, int64_t size) {
    int lengths[1024], *all = lengths;
    mien_storage *room = NULL;
    if (l->batch > 1024) {
        room = mien__storage_new(MIEN_DEVICE_CPU, (size_t)l->batch * sizeof(int));
        if (!room) return mien_error_last()->code;
        all = room->data;
    }
    for (int64_t i = 0; i < l->batch; i++) all[i] = (int)l->steps;
    double zero = 0; /* as wide as any dtype */
    cudnnStatus_t status = mien__vendor_table.cudnnCreateRNNDataDescriptor(d);
    if (status == CUDNN_STATUS_SUCCESS)
        status = mien__vendor_table.cudnnSetRNNDataDescriptor(
            *d, data_type(l->dtype), CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED, (int)l->steps,
            (int)l->batch, (int)size, all, &zero);
    mien__storage_release(room);
    return mien__cudnn_check(status, "cudnnSetRNNDataDescriptor", __FILE__, __LINE__);
}

static mien_status layer_open(layer *l, bool training) {
    MIEN_TRY(mien__cuda_check());
    if (l->batch > INT_MAX || l->steps > INT_MAX || l->d > INT_MAX || l->h > INT_MAX)
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "cuda: a recurrent layer with sizes beyond 2^31");
    if (mien__cuda_deterministic()) MIEN_TRY(mien__vendor_orderly());
    MIEN_TRY(mien__cudnn_lock(&l->handle));
    l->locked = true;
    cudnnMathType_t math = l->dtype != MIEN_F32 ? CUDNN_TENSOR_OP_MATH
                           : mien__cuda_tf32()  ? CUDNN_DEFAULT_MATH
                                                : CUDNN_FMA_MATH;
    int dim[3] = {1, (int)l->batch, (int)l->h}, stride[3] = {dim[1] * dim[2], dim[2], 1};
    cudnnForwardMode_t mode = training ? CUDNN_FWD_MODE_TRAINING : CUDNN_FWD_MODE_INFERENCE;
    MIEN_CUDNN(cudnnCreateDropoutDescriptor(&l->dropout));
    MIEN_CUDNN(cudnnSetDropoutDescriptor(l->dropout, l->handle, 0, NULL, 0, 0));
    MIEN_CUDNN(cudnnCreateRNNDescriptor(&l->rnn));
    MIEN_CUDNN(cudnnSetRNNDescriptor_v8(
        l->rnn, CUDNN_RNN_ALGO_STANDARD, l->lstm ? CUDNN_LSTM : CUDNN_GRU,
        l->lstm ? CUDNN_RNN_SINGLE_INP_BIAS : CUDNN_RNN_DOUBLE_BIAS, CUDNN_UNIDIRECTIONAL,
        CUDNN_LINEAR_INPUT, data_type(l->dtype), CUDNN_DATA_FLOAT, math, (int32_t)l->d,
        (int32_t)l->h, (int32_t)l->h, 1, l->dropout, CUDNN_RNN_PADDED_IO_ENABLED));
    MIEN_TRY(sequence(&l->x, l, l->d));
    MIEN_TRY(sequence(&l->y, l, l->h));
    MIEN_CUDNN(cudnnCreateTensorDescriptor(&l->state));
    MIEN_CUDNN(cudnnSetTensorNdDescriptor(l->state, data_type(l->dtype), 3, dim, stride));
    MIEN_CUDNN(cudnnCreateTensorDescriptor(&l->matrix));
    MIEN_CUDNN(cudnnCreateTensorDescriptor(&l->vector));
    MIEN_CUDNN(cudnnGetRNNWeightSpaceSize(l->handle, l->rnn, &l->weight_bytes));
    MIEN_CUDNN(cudnnGetRNNTempSpaceSizes(l->handle, l->rnn, mode, l->x, &l->work_bytes,
                                         &l->reserve_bytes));
    return MIEN_OK;
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Rows [gate*H, (gate+1)*H) of a stacked parameter and where cuDNN keeps them in `space`. */
typedef mien_status (*move)(const layer *l, mien_tensor *stacked, int gate, void *in_space);

/* Visits every gate of every parameter; a parameter that is NULL is left out. */
static mien_status each_gate(const layer *l, void *space, mien_tensor *const parameters[4],
                             move visit) {
    for (int side = 0; side < 2; side++) /* input's, then state's */
        for (int gate = 0; gate < l->gates; gate++) {
            void *matrix = NULL, *bias = NULL;
            MIEN_CUDNN(cudnnGetRNNWeightParams(l->handle, l->rnn, 0, l->weight_bytes, space,
                                               side * l->gates + gate, l->matrix, &matrix,
                                               l->vector, &bias));
            if (parameters[side] && matrix) MIEN_TRY(visit(l, parameters[side], gate, matrix));
            if (parameters[2 + side] && bias) MIEN_TRY(visit(l, parameters[2 + side], gate, bias));
        }
    return MIEN_OK;
}

static int64_t gate_count(const layer *l, const mien_tensor *stacked) {
    return mien_tensor_count(stacked) / l->gates;
}

static char *gate_at(const layer *l, mien_tensor *stacked, int gate) {
    size_t bytes = (size_t)gate_count(l, stacked) * mien_dtype_size(stacked->dtype);
    return (char *)mien__cuda_ptr(stacked) + (size_t)gate * bytes;
}

static mien_status to_space(const layer *l, mien_tensor *stacked, int gate, void *in_space) {
    return mien__cuda_convert(in_space, l->dtype, gate_at(l, stacked, gate), stacked->dtype,
                              gate_count(l, stacked));
}

static mien_status from_space(const layer *l, mien_tensor *stacked, int gate, void *in_space) {
    return mien__cuda_convert(gate_at(l, stacked, gate), stacked->dtype, in_space, l->dtype,
                              gate_count(l, stacked));
}

/* The weight space with the layer's parameters; NULL with an error record. In backward there is no
 * bias but the GRU's bias_hh, which r's gradient takes part in: the places of others stay unset. */
static mien_storage *packed_weights(const layer *l) {
    mien_tensor *given[4] = {l->weight_ih, l->weight_hh, l->bias_ih, l->bias_hh}, *plain[4] = {0};
    mien_storage *space = mien__cuda_scratch(l->weight_bytes);
    mien_status status = space ? MIEN_OK : mien_error_last()->code;
    for (int i = 0; i < 4 && status == MIEN_OK; i++)
        if (given[i] && given[i]->storage &&
            !(plain[i] = mien__cuda_as_plain(given[i], given[i]->dtype)))
            status = mien_error_last()->code;
    if (status == MIEN_OK) status = each_gate(l, space->data, plain, to_space);
    for (int i = 0; i < 4; i++) mien_tensor_release(plain[i]);
    if (status == MIEN_OK) return space;
    mien__storage_release(space);
    return NULL;
}

/* ---- forward --------------------------------------------------------------------------------- */

/* `reserve` as ops.def shapes it, over what cuDNN needs. */
static mien_status alloc_reserve(const layer *l, mien_tensor *reserve) {
    size_t bytes = (size_t)mien_tensor_count(reserve) * mien_dtype_size(reserve->dtype);
    if (bytes < l->reserve_bytes) bytes = l->reserve_bytes;
    mien_storage *storage = mien__storage_new(MIEN_DEVICE_CUDA, bytes);
    if (!storage) return mien_error_last()->code;
    mien__storage_release(reserve->storage);
    reserve->storage = storage;
    return MIEN_OK;
}

static void *data_of(const mien_storage *s) {
    return s ? s->data : NULL;
}

/* x, h0, c0: dense and in the layer's dtype. */
static mien_status rnn_forward(layer *l, mien_op_call *call, mien_tensor *x, mien_tensor *h0,
                               mien_tensor *c0, mien_storage *weights, mien_storage *work) {
    mien_tensor *c = l->lstm ? call->out[2] : NULL, *reserve = call->out[l->lstm ? 3 : 2];
    for (int i = 0; i < (l->lstm ? 3 : 2); i++) MIEN_TRY(mien__cuda_alloc(call->out[i]));
    MIEN_TRY(alloc_reserve(l, reserve));
    MIEN_CUDNN(cudnnRNNForward(
        l->handle, l->rnn, call->recording ? CUDNN_FWD_MODE_TRAINING : CUDNN_FWD_MODE_INFERENCE,
        NULL, l->x, mien__cuda_ptr(x), l->y, mien__cuda_ptr(call->out[0]), l->state,
        mien__cuda_ptr(h0), mien__cuda_ptr(call->out[1]), l->state, mien__cuda_ptr(c0),
        mien__cuda_ptr(c), l->weight_bytes, weights->data, l->work_bytes, data_of(work),
        call->recording ? l->reserve_bytes : 0, call->recording ? reserve->storage->data : NULL));
    return MIEN_OK;
}

static mien_storage *scratch(size_t bytes, mien_status *status) {
    if (bytes == 0 || *status != MIEN_OK) return NULL;
    mien_storage *s = mien__cuda_scratch(bytes);
    if (!s) *status = mien_error_last()->code;
    return s;
}

mien_status mien__cudnn_rnn_forward(mien_op_call *call) {
    layer l = layer_of(call);
    if (l.batch == 0) return mien__layer_zeros(call->out, MIEN_OP_MAX_OUT);
    if (l.d == 0)
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "%s: input without features on device cuda",
                  mien_op_info_at(call->op)->name);
    mien_status status = layer_open(&l, call->recording);
    mien_tensor *x = mien__layer_plain(call->in[0], l.dtype, &status);
    mien_tensor *h0 = mien__layer_plain(call->in[h0_at(&l)], l.dtype, &status);
    mien_tensor *c0 = l.lstm ? mien__layer_plain(call->in[5], l.dtype, &status) : NULL;
    mien_storage *weights = status == MIEN_OK ? packed_weights(&l) : NULL;
    if (status == MIEN_OK && !weights) status = mien_error_last()->code;
    mien_storage *work = scratch(l.work_bytes, &status);
    if (status == MIEN_OK) status = rnn_forward(&l, call, x, h0, c0, weights, work);
    mien__cuda_set_implementation(call, "cudnn:rnn");
    layer_close(&l);
    mien_tensor_release(x);
    mien_tensor_release(h0);
    mien_tensor_release(c0);
    mien__storage_release(weights);
    mien__storage_release(work);
    return status;
}

/* ---- backward -------------------------------------------------------------------------------- */

/* What backward reads and writes, dense and in the layer's dtype; absent ones NULL. */
typedef struct backward_data {
    mien_tensor *x, *y, *h0, *c0, *dy, *dh, *dc, *dx, *dh0, *dc0;
    mien_storage *weights, *dweights, *work;
} backward_data;

static void let_go(backward_data *b) {
    mien_tensor *tensors[] = {b->x, b->y, b->h0, b->c0, b->dy, b->dh, b->dc, b->dx, b->dh0, b->dc0};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) mien_tensor_release(tensors[i]);
    mien__storage_release(b->weights);
    mien__storage_release(b->dweights);
    mien__storage_release(b->work);
}

static mien_tensor *fresh(const mien_tensor *like, mien_dtype dtype, mien_status *status) {
    if (*status != MIEN_OK) return NULL;
    mien_tensor *t = mien_tensor_new(dtype, MIEN_DEVICE_CUDA, like->ndim, like->shape);
    if (!t) *status = mien_error_last()->code;
    return t;
}

static mien_status gather(layer *l, mien_op_call *call, backward_data *b) {
    mien_status status = MIEN_OK;
    int h0 = h0_at(l);
    b->x = mien__layer_plain(call->in[0], l->dtype, &status);
    b->y = mien__layer_plain(call->out[0], l->dtype, &status);
    b->h0 = mien__layer_plain(call->in[h0], l->dtype, &status);
    b->dh = mien__layer_plain(call->dout[1], l->dtype, &status);
    if (l->lstm) {
        b->c0 = mien__layer_plain(call->in[5], l->dtype, &status);
        b->dc = mien__layer_plain(call->dout[2], l->dtype, &status);
    }
    if (call->dout[0]) {
        b->dy = mien__layer_plain(call->dout[0], l->dtype, &status);
    } else { /* cuDNN wants one */
        b->dy = fresh(call->out[0], l->dtype, &status);
        if (b->dy) status = mien__cuda_fill(b->dy, 0);
    }
    b->dx = fresh(call->in[0], l->dtype, &status);
    if (call->want[h0]) b->dh0 = fresh(call->din[h0], l->dtype, &status);
    if (l->lstm && call->want[5]) b->dc0 = fresh(call->din[5], l->dtype, &status);
    if (status == MIEN_OK && !(b->weights = packed_weights(l))) status = mien_error_last()->code;
    b->work = scratch(l->work_bytes, &status);
    return status;
}

static bool wants_parameters(const layer *l, const mien_op_call *call) {
    for (int i = 1; i < h0_at(l); i++)
        if (call->want[i]) return true;
    return false;
}

/* After the data's gradients, which leave in `reserve` what this needs. */
static mien_status parameter_gradients(layer *l, mien_op_call *call, backward_data *b,
                                       void *reserve) {
    mien_status status = MIEN_OK;
    b->dweights = scratch(l->weight_bytes, &status);
    MIEN_TRY(status);
    MIEN_CUDA(cudaMemsetAsync(b->dweights->data, 0, l->weight_bytes, mien__cuda_context.stream));
    MIEN_CUDNN(cudnnRNNBackwardWeights_v8(
        l->handle, l->rnn, CUDNN_WGRAD_MODE_ADD, NULL, l->x, mien__cuda_ptr(b->x), l->state,
        mien__cuda_ptr(b->h0), l->y, mien__cuda_ptr(b->y), l->weight_bytes, b->dweights->data,
        l->work_bytes, data_of(b->work), l->reserve_bytes, reserve));
    mien_tensor *into[4] = {0};
    int n = h0_at(l) - 1;
    for (int i = 0; i < n; i++) {
        if (!call->want[1 + i]) continue;
        into[i] = call->din[1 + i];
        MIEN_TRY(mien__cuda_alloc(into[i]));
    }
    return each_gate(l, b->dweights->data, into, from_space);
}

static mien_status rnn_backward(layer *l, mien_op_call *call, backward_data *b) {
    MIEN_TRY(gather(l, call, b));
    mien_tensor *reserve = call->out[l->lstm ? 3 : 2];
    void *kept = mien__cuda_ptr(reserve);
    if (reserve->storage->bytes < l->reserve_bytes)
        MIEN_FAIL(MIEN_ERR_INTERNAL, "%s: the reserve on device cuda was not made there",
                  mien_op_info_at(call->op)->name);
    MIEN_CUDNN(cudnnRNNBackwardData_v8(
        l->handle, l->rnn, NULL, l->y, mien__cuda_ptr(b->y), mien__cuda_ptr(b->dy), l->x,
        mien__cuda_ptr(b->dx), l->state, mien__cuda_ptr(b->h0), mien__cuda_ptr(b->dh),
        mien__cuda_ptr(b->dh0), l->state, mien__cuda_ptr(b->c0), mien__cuda_ptr(b->dc),
        mien__cuda_ptr(b->dc0), l->weight_bytes, b->weights->data, l->work_bytes, data_of(b->work),
        l->reserve_bytes, kept));
    if (wants_parameters(l, call)) MIEN_TRY(parameter_gradients(l, call, b, kept));
    if (call->want[0]) MIEN_TRY(mien__cuda_assign(call->din[0], b->dx, false));
    if (b->dh0) MIEN_TRY(mien__cuda_assign(call->din[h0_at(l)], b->dh0, false));
    if (b->dc0) MIEN_TRY(mien__cuda_assign(call->din[5], b->dc0, false));
    return MIEN_OK;
}

mien_status mien__cudnn_rnn_backward(mien_op_call *call) {
    layer l = layer_of(call);
    if (l.batch == 0) return mien__layer_zeros(call->din, MIEN_OP_MAX_IN);
    backward_data b = {0};
    mien_status status = layer_open(&l, true);
    if (status == MIEN_OK) status = rnn_backward(&l, call, &b);
    mien__cuda_set_implementation(call, "cudnn:rnn");
    layer_close(&l);
    let_go(&b);
    return status;
}
