/* How many threads compute.
 * Not here: threads that read (data/loader.c). */
#ifndef MIEN_THREADS_H
#define MIEN_THREADS_H

/* cdef:begin */
/* Number of threads the CPU backend uses; 0 sets the default (all cores). */
void mien_threads_set(int n);
int mien_threads(void);
/* cdef:end */
#endif
