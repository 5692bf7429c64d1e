/* Clocks, and waiting by them.
 * Not here: a device's own clock (backend/discovery.h). */
#ifndef MIEN_CLOCK_H
#define MIEN_CLOCK_H

/* cdef:begin */
/* Seconds since 1970 and a monotonic clock. */
double mien_time_now(void);
double mien_time_monotonic(void);
/* Waits that many seconds, less when a signal comes. */
void mien_time_sleep(double seconds);
/* cdef:end */
#endif
