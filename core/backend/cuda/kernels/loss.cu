/* The losses: read as f32, summed in double, in an order that does not change.
 * Not here: metrics over whole partitions (affect/). */
#include "backend/cuda/math/pointwise.h"
#include "kernels.h"
#include "launch.h"

#include <stdlib.h>

namespace {

enum { BLOCKS_MOST = 256 };

/* ---- sums of a loss -------------------------------------------------------------------------- */

struct term {
    double loss, weight;
};

/* partial [gridDim.x] */
template <typename F>
__global__ void __launch_bounds__(MIEN_THREADS) terms_kernel(term *partial, int64_t n, F f) {
    term sum = {0, 0};
    for (int64_t i = mien_grid_thread(); i < n; i += mien_grid_threads()) {
        term t = f(i);
        sum.loss += t.loss;
        sum.weight += t.weight;
    }
    sum.loss = mien_block_sum(sum.loss);
    sum.weight = mien_block_sum(sum.weight);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/* One block. weight (NULL: not wanted) gets the sum of weights. */
__global__ void __launch_bounds__(MIEN_THREADS)
    mean_kernel(float *loss, double *weight, const term *partial, int n) {
    int i = (int)threadIdx.x;
    double sum = mien_block_sum(i < n ? partial[i].loss : 0.0);
    double weights = mien_block_sum(i < n ? partial[i].weight : 0.0);
    if (i > 0) return;
    if (loss) *loss = (float)(sum / weights);
    if (weight) *weight = weights;
}

template <typename F>
static mien_status weighted_mean(float *loss, double *weight, int64_t n, F f) {
    int64_t blocks = (n + MIEN_THREADS - 1) / MIEN_THREADS;
    if (blocks > BLOCKS_MOST) blocks = BLOCKS_MOST;
    mien_scratch partial((size_t)blocks * sizeof(term));
    if (partial.failed()) return mien_last();
    MIEN_LAUNCH(terms_kernel<F>, (unsigned)blocks, MIEN_THREADS, 0, partial.at<term>(), n, f);
    MIEN_LAUNCH(mean_kernel, 1, MIEN_THREADS, 0, loss, weight, partial.at<term>(), (int)blocks);
    return MIEN_OK;
}

/* ---- a call's tensors as plain f32 ----------------------------------------------------------- */

struct operands {
    mien_held a, b, weight, dloss;
    bool failed;
    operands(mien_op_call *call, mien_dtype target)
        : a(mien__cuda_as_plain(call->in[0], MIEN_F32)),
          b(mien__cuda_as_plain(call->in[1], target)),
          weight(call->in[2] ? mien__cuda_as_plain(call->in[2], MIEN_F32) : NULL),
          dloss(call->dout[0] ? mien__cuda_as_plain(call->dout[0], MIEN_F32) : NULL) {
        failed = a.failed() || b.failed() || (call->in[2] && weight.failed()) ||
                 (call->dout[0] && dloss.failed());
    }
    const float *weights() const { return weight.t ? weight.data<float>() : NULL; }
};

/* The gradient of input i as plain f32: its own storage, or a copy that goes there at the end. */
struct gradient {
    mien_tensor *din;
    mien_held made;
    float *at;
    gradient() : din(NULL), at(NULL) {}
    mien_status start(mien_op_call *call, int i) {
        if (!call->want[i]) return MIEN_OK;
        din = call->din[i];
        MIEN_TRY(mien__cuda_alloc(din));
        made.take(din->dtype == MIEN_F32
                      ? mien_tensor_retain(din)
                      : mien_tensor_new(MIEN_F32, MIEN_DEVICE_CUDA, din->ndim, din->shape));
        if (made.failed()) return mien_last();
        at = made.data<float>();
        return MIEN_OK;
    }
    mien_status finish() { return din && made.t != din ? mien__cuda_copy(din, made.t) : MIEN_OK; }
};

template <typename F>
__global__ void __launch_bounds__(MIEN_THREADS)
    gradients_kernel(float *da, float *db, int64_t n, F f) {
    for (int64_t i = mien_grid_thread(); i < n; i += mien_grid_threads()) {
        float a, b;
        f(i, &a, &b);
        if (da) da[i] = a;
        if (db) db[i] = b;
    }
}

template <typename F> static mien_status run_gradients(mien_op_call *call, int64_t n, F f) {
    gradient a, b;
    MIEN_TRY(a.start(call, 0));
    MIEN_TRY(b.start(call, 1));
    MIEN_LAUNCH(gradients_kernel<F>, mien__cuda_grid(n, MIEN_THREADS), MIEN_THREADS, 0, a.at, b.at,
                n, f);
    MIEN_TRY(a.finish());
    return b.finish();
}

static float *loss_of(mien_op_call *call) {
    return (float *)mien__cuda_ptr(call->out[0]);
}

/* ---- mean squared error ---------------------------------------------------------------------- */

struct mse {
    const float *x, *y, *dloss;
    int64_t n;
    MIEN_HD term operator()(int64_t i) const {
        double d = (double)x[i] - y[i];
        return term{d * d, 1};
    }
    MIEN_HD void operator()(int64_t i, float *dx, float *dy) const {
        *dx = (float)(*dloss * 2.0 * ((double)x[i] - y[i]) / (double)n);
        *dy = -*dx;
    }
};

static mien_status mse_run(mien_op_call *call, bool backward) {
    mien__cuda_set_implementation(call, "own:loss");
    MIEN_TRY(mien__cuda_check());
    operands o(call, MIEN_F32);
    if (o.failed) return mien_last();
    int64_t n = mien_tensor_count(call->in[0]);
    mse f = {o.a.data<float>(), o.b.data<float>(), backward ? o.dloss.data<float>() : NULL, n};
    if (backward) return run_gradients(call, n, f);
    MIEN_TRY(mien__cuda_alloc(call->out[0]));
    return weighted_mean(loss_of(call), NULL, n, f);
}
static mien_status mse_forward(mien_op_call *call) {
    return mse_run(call, false);
}
static mien_status mse_backward(mien_op_call *call) {
    return mse_run(call, true);
}

/* ---- sigmoid cross-entropy ------------------------------------------------------------------- */

struct sigmoid_ce {
    const float *x, *z, *weight, *dloss;
    int64_t n, classes;
    MIEN_HD double weight_of(int64_t i) const { return weight ? weight[i % classes] : 1; }
    MIEN_HD term operator()(int64_t i) const {
        double v = x[i], most = v > 0 ? v : 0;
        if (v != v) most = v;
        return term{weight_of(i) * (most - v * z[i] + log1p(exp(-fabs(v)))), 1};
    }
    MIEN_HD void operator()(int64_t i, float *dx, float *dz) const {
        double factor = *dloss * weight_of(i) / (double)n;
        *dx = (float)(factor * ((double)mien_sigmoid(x[i]) - z[i]));
        *dz = (float)(-factor * x[i]);
    }
};

static mien_status sigmoid_run(mien_op_call *call, bool backward) {
    mien__cuda_set_implementation(call, "own:loss");
    MIEN_TRY(mien__cuda_check());
    operands o(call, MIEN_F32);
    if (o.failed) return mien_last();
    const mien_tensor *x = call->in[0];
    int64_t n = mien_tensor_count(x);
    sigmoid_ce f = {o.a.data<float>(),
                    o.b.data<float>(),
                    o.weights(),
                    backward ? o.dloss.data<float>() : NULL,
                    n,
                    x->shape[x->ndim - 1]};
    if (backward) return run_gradients(call, n, f);
    MIEN_TRY(mien__cuda_alloc(call->out[0]));
    return weighted_mean(loss_of(call), NULL, n, f);
}
static mien_status sigmoid_forward(mien_op_call *call) {
    return sigmoid_run(call, false);
}
static mien_status sigmoid_backward(mien_op_call *call) {
    return sigmoid_run(call, true);
}

/* ---- softmax cross-entropy ------------------------------------------------------------------- */

struct softmax_ce {
    const float *x, *weight, *dloss;
    const double *weights; /* their sum */
    const int64_t *target;
    int64_t classes, first; /* how many, and the number of the first one */
    int *bad;               /* becomes 1 when a target is no class */
    MIEN_HD int64_t class_of(int64_t row) const { return target[row] - first; }
    MIEN_HD bool valid(int64_t row) const { return class_of(row) >= 0 && class_of(row) < classes; }
    MIEN_HD double weight_of(int64_t row) const { return weight ? weight[class_of(row)] : 1; }
    /* Log of the sum of exp over one row. */
    MIEN_HD double level(int64_t row) const {
        const float *at = x + row * classes;
        float most = at[0];
        double sum = 0;
        for (int64_t c = 1; c < classes; c++) most = at[c] > most ? at[c] : most;
        for (int64_t c = 0; c < classes; c++) sum += exp((double)at[c] - most);
        return most + log(sum);
    }
    MIEN_HD term operator()(int64_t row) const {
        if (!valid(row)) { /* a replayed step looks at its loss alone */
            *bad = 1;
            return term{NAN, 0};
        }
        double w = weight_of(row);
        return term{w * (level(row) - x[row * classes + class_of(row)]), w};
    }
};

__global__ void __launch_bounds__(MIEN_THREADS)
    softmax_back_kernel(float *dx, int64_t rows, softmax_ce f) {
    for (int64_t row = mien_grid_thread(); row < rows; row += mien_grid_threads()) {
        double all = f.level(row);
        double factor = f.valid(row) ? *f.dloss * f.weight_of(row) / *f.weights : 0;
        for (int64_t c = 0; c < f.classes; c++) {
            int64_t i = row * f.classes + c;
            dx[i] =
                f.valid(row) ? (float)(factor * (exp(f.x[i] - all) - (c == f.class_of(row)))) : 0;
        }
    }
}

/* The error that tells which target it is. */
static mien_status complain(const operands &o, int64_t rows, int64_t first, int64_t classes) {
    int64_t *target = (int64_t *)malloc((size_t)rows * sizeof *target), row = 0;
    if (!target) MIEN_FAIL(MIEN_ERR_MEMORY, "softmax_cross_entropy: no memory for the targets");
    mien_status status =
        mien__cuda_read(target, o.b.data<int64_t>(), (size_t)rows * sizeof *target);
    while (status == MIEN_OK && row < rows - 1 && target[row] >= first &&
           target[row] < first + classes)
        row++;
    int64_t found = target[row];
    free(target);
    MIEN_TRY(status);
    MIEN_FAIL(MIEN_ERR_ARGUMENT,
              "softmax_cross_entropy: target of row %lld is %lld but the %lld classes of logits "
              "are %lld to %lld",
              (long long)row + 1, (long long)found, (long long)classes, (long long)first,
              (long long)(first + classes - 1));
}

/* While a step is recorded nothing can be read back: its loss becomes NaN. */
static mien_status check_targets(const operands &o, const softmax_ce &f, int64_t rows) {
    int found = 0;
    if (mien__recording()) return MIEN_OK;
    MIEN_TRY(mien__cuda_read(&found, f.bad, sizeof found));
    return found ? complain(o, rows, f.first, f.classes) : MIEN_OK;
}

static mien_status softmax_run(mien_op_call *call, bool backward) {
    mien__cuda_set_implementation(call, "own:loss");
    MIEN_TRY(mien__cuda_check());
    if (backward && (call->want[1] || call->want[2]))
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "softmax_cross_entropy: only logits have a gradient");
    operands o(call, MIEN_I64);
    mien_scratch space(2 * sizeof(double)); /* the sum of weights, then `bad` */
    if (o.failed || space.failed()) return mien_last();
    const mien_tensor *x = call->in[0];
    int64_t classes = x->shape[x->ndim - 1], rows = mien_tensor_count(x) / classes;
    const mien_softmax_cross_entropy_attr *a = (const mien_softmax_cross_entropy_attr *)call->attr;
    int *bad = space.at<int>(2);
    softmax_ce f = {o.a.data<float>(),
                    o.weights(),
                    backward ? o.dloss.data<float>() : NULL,
                    space.at<double>(),
                    o.b.data<int64_t>(),
                    classes,
                    (int64_t)a->first,
                    bad};
    if (!backward) {
        MIEN_TRY(mien__cuda_alloc(call->out[0]));
        MIEN_CUDA(cudaMemsetAsync(bad, 0, sizeof *bad, mien__cuda_context.stream));
        MIEN_TRY(weighted_mean(loss_of(call), NULL, rows, f));
        return check_targets(o, f, rows);
    }
    MIEN_TRY(weighted_mean(NULL, space.at<double>(), rows, f));
    gradient dx;
    MIEN_TRY(dx.start(call, 0));
    MIEN_LAUNCH(softmax_back_kernel, mien__cuda_grid(rows, MIEN_THREADS), MIEN_THREADS, 0, dx.at,
                rows, f);
    return dx.finish();
}
static mien_status softmax_forward(mien_op_call *call) {
    return softmax_run(call, false);
}
static mien_status softmax_backward(mien_op_call *call) {
    return softmax_run(call, true);
}

} // namespace

void mien__cuda_part_loss(mien_backend *table) {
    table->forward[MIEN_OP_mse_loss] = mse_forward;
    table->backward[MIEN_OP_mse_loss] = mse_backward;
    table->forward[MIEN_OP_sigmoid_cross_entropy] = sigmoid_forward;
    table->backward[MIEN_OP_sigmoid_cross_entropy] = sigmoid_backward;
    table->forward[MIEN_OP_softmax_cross_entropy] = softmax_forward;
    table->backward[MIEN_OP_softmax_cross_entropy] = softmax_backward;
}
