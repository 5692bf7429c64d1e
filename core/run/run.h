/* The one way to run an op.
 * Not here: which ops there are (ops/ops.h), the walk back (autograd/autograd.h). */
#ifndef MIEN_RUN_H
#define MIEN_RUN_H
#include "ops/ops.h"

/* cdef:begin */
/* Runs an op on the device of its inputs. in: n_in tensors, absent optional ones NULL. attr: all
 * n_attr numbers in the order of ops.def. out: gets n_visible new references. On failure nothing
 * has happened. Recorded on the tape when recording is on and an input wants a gradient. */
mien_status mien_op_run(int op, mien_tensor *const *in, int n_in, const double *attr, int n_attr,
                        mien_tensor **out, int n_out);
/* Who would run this call forward: "cpu", "ref", "cuda", or "view"; NULL with an error when nobody
 * can. Nothing is run and nothing recorded. */
const char *mien_op_server(int op, mien_tensor *const *in, int n_in, const double *attr,
                           int n_attr);
/* cdef:end */
#endif
