/* The profile: calls, time, arithmetic and bytes of each op by implementation, and of the rest.
 * Not here: who books (backend/dispatch.c), how much an op does (ops/work.c). */
#include "profile.h"

#include <pthread.h>
#include <string.h>

#include "clock.h"

/* An op takes a handful of implementations; what comes when all entries are taken joins the last.
 */
#define ENTRIES 256

static mien_op_profile ops[MIEN__PROFILE_OPS][2];
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
    if (op < 0 || op >= MIEN__PROFILE_OPS) return;
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

void mien__profile_op(double start, int op, const char *name, bool backward, const char *backend,
                      const char *implementation, double flop, int64_t bytes) {
    double seconds = start > 0 ? mien_time_monotonic() - start : 0;
    pthread_mutex_lock(&lock);
    mien_op_profile *p = &ops[op][backward];
    memcpy(p->implementation, implementation, sizeof p->implementation);
    book(p, seconds, flop, bytes);
    if (start > 0)
        book(&entry_for(name, backend, backward, true, implementation)->figures, seconds, flop,
             bytes);
    pthread_mutex_unlock(&lock);
}

void mien__profile_work(double start, const char *name, double flop, int64_t bytes) {
    if (!(start > 0)) return;
    double seconds = mien_time_monotonic() - start;
    pthread_mutex_lock(&lock);
    book(&entry_for(name, "", false, false, "")->figures, seconds, flop, bytes);
    pthread_mutex_unlock(&lock);
}
