/* Clocks, and waiting by them.
 * Not here: a device's own clock (backend/discovery.c). */
#include "clock.h"

#include <time.h>

#include "status.h"

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double mien_time_now(void) {
    return seconds(CLOCK_REALTIME);
}

double mien_time_monotonic(void) {
    return seconds(CLOCK_MONOTONIC);
}

void mien_time_sleep(double seconds) {
    MIEN_CALL("waiting");
    time_t whole = (time_t)seconds;
    nanosleep(&(struct timespec){whole, (long)((seconds - (double)whole) * 1e9)}, NULL);
}
