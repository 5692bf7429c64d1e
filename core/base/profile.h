/* Booking of what ran and how long it took. An op is known here by its number and name alone.
 * Not here: its arithmetic and bytes (ops/work.c), printing (lua/mien/device/profile.lua). */
#ifndef MIEN_PROFILE_H
#define MIEN_PROFILE_H
#include <stdbool.h>
#include <stdint.h>

/* cdef:begin */
/* Figures of an op since the last reset, whatever implementations it took; times only while
 * profiling is on. */
typedef struct mien_op_profile {
    int64_t calls;
    double seconds;
    double gflop;            /* multiplications and additions; see ops/work.c */
    int64_t bytes;           /* of tensors read and written, each once a call */
    char implementation[64]; /* the last one chosen, e.g. "jit:avx512_core" or "ref" */
} mien_op_profile;
void mien_profile_enable(bool on);
void mien_profile_reset(void);
/* Figures of op's forward (backward = false) or backward pass. */
void mien_profile_at(int op, bool backward, mien_op_profile *profile);
/* What was done while profiling was on: one entry per op, direction, backend and implementation,
 * and one per kind of work beside ops ("adam", "gradient sums"). */
typedef struct mien_profile_entry {
    const char *name;
    const char *backend; /* "cpu", "ref", "view"; "" beside ops */
    bool backward;
    bool is_op;
    mien_op_profile figures;
} mien_profile_entry;
/* Entry i from 0; false beyond the last. */
bool mien_profile_entry_at(int i, mien_profile_entry *entry);
/* cdef:end */

enum { MIEN__PROFILE_OPS = 128 }; /* numbers of ops are below this */

/* The time now while profiling is on, else 0; what the booking functions want as `start`. */
double mien__profile_start(void);
/* Books one pass of op number `op`. Without a start it counts the call, and nothing more. */
void mien__profile_op(double start, int op, const char *name, bool backward, const char *backend,
                      const char *implementation, double flop, int64_t bytes);
/* Books work beside ops under a name that lasts (a literal). */
void mien__profile_work(double start, const char *name, double flop, int64_t bytes);
#endif
