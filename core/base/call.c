/* What each thread's long calls say of themselves. Not here: who reads it (core/host). */
#include "call.h"
#include "status.h"

static _Thread_local mien__calls here;

mien__calls *mien__calls_here(void) {
    return &here;
}

void mien__call_begin(const char *doing, bool writes) {
    if (here.depth++ > 0) return;
    atomic_store_explicit(&here.writes, writes, memory_order_relaxed);
    atomic_fetch_add_explicit(&here.begun, 1, memory_order_relaxed);
    atomic_store_explicit(&here.doing, doing, memory_order_release);
}

void mien__call_end(void) {
    if (--here.depth == 0) atomic_store_explicit(&here.doing, NULL, memory_order_release);
}
