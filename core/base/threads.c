/* How many threads compute: OpenMP's number.
 * Not here: threads that read (data/loader.c). */
#include "threads.h"

#include <omp.h>

static int default_threads; /* what OpenMP started with: OMP_NUM_THREADS or all cores */

__attribute__((constructor)) static void note_default(void) {
    default_threads = omp_get_max_threads();
}

void mien_threads_set(int n) {
    omp_set_num_threads(n > 0 ? n : default_threads);
}
int mien_threads(void) {
    return omp_get_max_threads();
}
