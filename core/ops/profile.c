/* The profile: calls, time, arithmetic and bytes of each op by implementation, and of the rest.
 * Not here: how ops run (run.c), printing (lua/mien/device/profile.lua). */
#include "profile.h"

#include "../store/store.h"

#include <pthread.h>
#include <string.h>

/* An op takes a handful of implementations; what comes when all entries are taken joins the last.
 */
#define ENTRIES 256

static mien_op_profile ops[MIEN_OP_COUNT][2];
static mien_profile_entry entries[ENTRIES];
static int n_entries;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile bool profiling;

void mien_profile_enable(bool on) {
    profiling = on;
}

void mien_profile_reset(void) {
    pthread_mutex_lock(&lock);
    memset(ops, 0, sizeof ops);
    n_entries = 0;
    pthread_mutex_unlock(&lock);
}

void mien_profile_at(int op, bool backward, mien_op_profile *profile) {
    *profile = (mien_op_profile){0};
    if (op < 0 || op >= MIEN_OP_COUNT) return;
    pthread_mutex_lock(&lock);
    *profile = ops[op][backward];
    pthread_mutex_unlock(&lock);
}

bool mien_profile_entry_at(int i, mien_profile_entry *entry) {
    pthread_mutex_lock(&lock);
    bool there = i >= 0 && i < n_entries;
    if (there) *entry = entries[i];
    pthread_mutex_unlock(&lock);
    return there;
}

/* ---- arithmetic and bytes ------------------------------------------------------------------ */

static double count_of(const mien_tensor *t) {
    return t ? (double)mien_tensor_count(t) : 0;
}

/* Multiplications and additions of a pass of a layer with weights: a forward pass is one matrix
 * product, and so is each gradient that is wanted; biases, gates and sums are left out. */
static double product_flops(const mien_op_call *call, bool backward, double forward) {
    return backward ? forward * (call->want[0] + call->want[1]) : forward;
}

/* The gradient of the state goes through every step in any case. */
static double recurrent_flops(const mien_op_call *call, bool backward) {
    const mien_tensor *in = call->in[0];
    double steps = 2 * (double)in->shape[0] * (double)in->shape[1];
    double input = steps * count_of(call->in[1]), state = steps * count_of(call->in[2]);
    if (!backward) return input + state;
    return input * (call->want[0] + call->want[1]) + state * (1 + call->want[2]);
}

/* One per element of the larger side where no better formula is known. */
static double flops(const mien_op_call *call, bool backward) {
    const mien_tensor *out = call->out[0], *in = call->in[0], *weight = call->in[1];
    switch (call->op) {
    case MIEN_OP_conv2d:
    case MIEN_OP_conv2d_fused:
    case MIEN_OP_conv2d_int8:
    case MIEN_OP_linear:
        if (!weight->shape[0]) return 0;
        return product_flops(call, backward,
                             2 * count_of(out) * count_of(weight) / (double)weight->shape[0]);
    case MIEN_OP_matmul:
        return product_flops(call, backward, 2 * count_of(out) * (double)in->shape[in->ndim - 1]);
    case MIEN_OP_lstm:
    case MIEN_OP_gru:
        return recurrent_flops(call, backward);
    case MIEN_OP_reshape:
    case MIEN_OP_permute:
    case MIEN_OP_narrow:
    case MIEN_OP_concat:
    case MIEN_OP_cast:
        return 0;
    default:
        return count_of(out) > count_of(in) ? count_of(out) : count_of(in);
    }
}

/* Headers of what an op did not save are not read. */
static int64_t bytes_of(mien_tensor *const *list, int n) {
    int64_t bytes = 0;
    for (int i = 0; i < n; i++)
        if (list[i] && list[i]->storage)
            bytes += mien_tensor_count(list[i]) * (int64_t)mien_dtype_size(list[i]->dtype);
    return bytes;
}

static int64_t bytes_moved(const mien_op_call *call, bool backward) {
    if (mien__op_is_view(call->op)) return 0;
    int64_t bytes = bytes_of(call->in, MIEN_OP_MAX_IN) + bytes_of(call->out, MIEN_OP_MAX_OUT);
    if (backward)
        bytes += bytes_of(call->din, MIEN_OP_MAX_IN) + bytes_of(call->dout, MIEN_OP_MAX_OUT);
    return bytes;
}

/* ---- booking ------------------------------------------------------------------------------- */

double mien__profile_start(void) {
    return profiling ? mien_time_monotonic() : 0;
}

static mien_profile_entry *entry_for(const char *name, const char *backend, bool backward,
                                     bool is_op, const char *implementation) {
    for (int i = 0; i < n_entries; i++) {
        mien_profile_entry *e = &entries[i];
        if (e->name == name && e->backward == backward && strcmp(e->backend, backend) == 0 &&
            strcmp(e->figures.implementation, implementation) == 0)
            return e;
    }
    if (n_entries == ENTRIES) return &entries[ENTRIES - 1];
    mien_profile_entry *e = &entries[n_entries++];
    *e = (mien_profile_entry){
        .name = name, .backend = backend, .backward = backward, .is_op = is_op};
    strncpy(e->figures.implementation, implementation, sizeof e->figures.implementation - 1);
    return e;
}

static void book(mien_op_profile *p, double seconds, double flop, int64_t bytes) {
    p->calls++;
    p->seconds += seconds;
    p->gflop += 1e-9 * flop;
    p->bytes += bytes;
}

void mien__profile_op(double start, const mien_op_call *call, bool backward, const char *backend,
                      const char *implementation) {
    double seconds = start > 0 ? mien_time_monotonic() - start : 0, flop = 0;
    int64_t bytes = 0;
    if (start > 0) {
        flop = flops(call, backward);
        bytes = bytes_moved(call, backward);
    }
    pthread_mutex_lock(&lock);
    mien_op_profile *p = &ops[call->op][backward];
    memcpy(p->implementation, implementation, sizeof p->implementation);
    book(p, seconds, flop, bytes);
    if (start > 0)
        book(&entry_for(mien_op_info_at(call->op)->name, backend, backward, true, implementation)
                  ->figures,
             seconds, flop, bytes);
    pthread_mutex_unlock(&lock);
}

void mien__profile_work(double start, const char *name, double flop, mien_tensor *const *tensors,
                        int n) {
    if (!(start > 0)) return;
    double seconds = mien_time_monotonic() - start;
    pthread_mutex_lock(&lock);
    book(&entry_for(name, "", false, false, "")->figures, seconds, flop, bytes_of(tensors, n));
    pthread_mutex_unlock(&lock);
}
