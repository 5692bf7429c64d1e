/* Libraries that lie beside libmien.so and are opened at their first use.
 * Not here: what is asked of them (backend/discovery.c, data/plugin.c). */
#ifndef MIEN_BESIDE_H
#define MIEN_BESIDE_H
#include <stddef.h>

/* dlopen's handle of a library in the folder of libmien.so; NULL: `why` says what kept it. */
void *mien__library_beside(const char *name, char *why, size_t size);
/* The same of one at a path. */
void *mien__library_at(const char *path, char *why, size_t size);
#endif
