/* What lua/mien/base/ffi.lua compares when it loads the library: do both speak of the same structs?
 * Not here: the number that libmien_cuda.so is compared by (cmake/generate.cmake). */
#ifndef MIEN_ABI_H
#define MIEN_ABI_H
#include <stddef.h>

/* cdef:begin */
/* Number that changes whenever a public struct or prototype changes; ffi.lua compares it. */
int mien_abi_version(void);
/* sizeof a public struct by name ("mien_error"), 0 when the name is unknown; ffi.lua compares it.
 */
size_t mien_struct_size(const char *name);
/* cdef:end */

#define MIEN_ABI_VERSION 1
#endif
