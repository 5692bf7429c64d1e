/* Ops: what each takes and gives, generated from ops.def.
 * Not here: running one (run/run.h), how a result is computed (backend/). */
#ifndef MIEN_OPS_H
#define MIEN_OPS_H
#include "tensor/tensor.h"

/* cdef:begin */
typedef struct mien_op_info {
    const char *name;
    const char *inputs;     /* "input weight bias?" */
    const char *outputs;    /* "output mean- rstd-" */
    const char *attributes; /* "stride_h=1 kernel_h! ...": `!` has no default */
    const char *saves;
    const char *doc;
    int n_in;      /* most inputs (8 for a list) */
    int n_in_min;  /* inputs that must be there */
    int n_out;     /* all outputs */
    int n_visible; /* those that Lua sees */
    int n_attr;
} mien_op_info;

int mien_op_count(void);
/* NULL when op is not in [0, count). */
const mien_op_info *mien_op_info_at(int op);
/* cdef:end */

#define MIEN_OP_MAX_IN   8
#define MIEN_OP_MAX_OUT  4
#define MIEN_OP_MAX_ATTR 12

typedef enum mien_op {
#define MIEN_OP(name, ...) MIEN_OP_##name,
#include "ops.def"
#undef MIEN_OP
    MIEN_OP_COUNT
} mien_op;

/* mien_<op>_attr: a struct of doubles per op, in the order of ops.def. */
#define A(name, value) double name;
#define MIEN_OP(op, infer, in, out, attributes, ...)                                               \
    typedef struct mien_##op##_attr {                                                              \
        attributes                                                                                 \
    } mien_##op##_attr;
#include "ops.def"
#undef MIEN_OP
#undef A

struct mien_backend;

/* One call of an op, forward or backward: what infer and the backends get.
 *
 * Forward: in[] are given; out[] are headers (shape, dtype, device set by infer) that the backend
 * allocates with mien__tensor_alloc in the layout it likes and fills.
 * Backward: dout[] are the gradients of the outputs (NULL: none flows); for each i with want[i]
 * din[i] is a header of the input's shape that the backend allocates and fills (not adds to).
 * in[] and out[] are then what the op saved; those it did not save are headers without storage,
 * whose `block` still tells the layout that the elements had. Inputs, saved tensors and gradients
 * may come in any strides or layout. A backend never writes into in[] (but running statistics,
 * followed by mien__tensor_touch) or dout[]; din[i] may share storage with dout[]. */
typedef struct mien_op_call {
    mien_op op;
    mien_tensor *in[MIEN_OP_MAX_IN];
    mien_tensor *out[MIEN_OP_MAX_OUT];
    mien_tensor *dout[MIEN_OP_MAX_OUT];
    mien_tensor *din[MIEN_OP_MAX_IN];
    bool want[MIEN_OP_MAX_IN]; /* forward: which inputs a backward would want, when recording */
    const void *attr;          /* mien_<op>_attr */
    bool recording;            /* forward: a backward may follow (hidden outputs are needed) */
    char *implementation;      /* 64 bytes: a backend may say what it chose */
    /* Who served forward; backward goes there again, since hidden outputs may be its own. NULL: not
     * known, or a view. */
    const struct mien_backend *served;
} mien_op_call;

typedef mien_status (*mien_op_fn)(mien_op_call *call);

/* Checks inputs, makes output headers with mien__tensor_header. One per `infer` column. */
mien_status mien__infer_conv2d(mien_op_call *call);
mien_status mien__infer_conv2d_fused(mien_op_call *call);
mien_status mien__infer_conv2d_int8(mien_op_call *call);
mien_status mien__infer_quantise(mien_op_call *call);
mien_status mien__infer_augment(mien_op_call *call);
mien_status mien__infer_batch_norm(mien_op_call *call);
mien_status mien__infer_max_pool2d(mien_op_call *call);
mien_status mien__infer_pool2d(mien_op_call *call);
mien_status mien__infer_global_pool(mien_op_call *call);
mien_status mien__infer_same(mien_op_call *call);
mien_status mien__infer_linear(mien_op_call *call);
mien_status mien__infer_matmul(mien_op_call *call);
mien_status mien__infer_lstm(mien_op_call *call);
mien_status mien__infer_gru(mien_op_call *call);
mien_status mien__infer_cast(mien_op_call *call);
mien_status mien__infer_broadcast(mien_op_call *call);
mien_status mien__infer_reduce(mien_op_call *call);
mien_status mien__infer_view(mien_op_call *call);
mien_status mien__infer_concat(mien_op_call *call);
mien_status mien__infer_loss(mien_op_call *call);
mien_status mien__infer_class_loss(mien_op_call *call);
mien_status mien__infer_softmax_loss(mien_op_call *call);

/* Are a call's numbers of inputs, attributes and visible outputs those of the op, and its inputs
 * there, on one device? */
mien_status mien__op_check(int op, mien_tensor *const *in, int n_in, const double *attr, int n_attr,
                           int n_out);
/* Checks the inputs by the op's rule and makes its output headers. */
mien_status mien__op_infer(mien_op_call *call);
/* The view ops move no elements and are the same on every device (backend/view.c). */
bool mien__op_is_view(mien_op op);
/* Is output i kept from Lua? */
bool mien__op_hides(mien_op op, int i);
/* True when `saves` of the op names its input (output = false) or output i. */
bool mien__op_saves(mien_op op, bool output, int i);
/* Multiplications and additions of a pass, one per element of the larger side where no better
 * formula is known; and bytes of the tensors that it reads and writes, each once. */
double mien__op_flops(const mien_op_call *call, bool backward);
int64_t mien__op_bytes(const mien_op_call *call, bool backward);
/* "weight" for input 1 of conv2d, into a caller's buffer; returns it. */
const char *mien__op_value_name(mien_op op, bool output, int i, char *buffer, size_t size);
#endif
