/* The sizes of the public structs. It includes every layer, and none includes it.
 * Not here: the structs. */
#include "abi.h"

#include <string.h>

#include "affect/affect.h"
#include "backend/discovery.h"
#include "base/profile.h"
#include "data/loader.h"
#include "data/stream.h"
#include "ops/ops.h"
#include "optim/optim.h"
#include "tensor/rng.h"

int mien_abi_version(void) {
    return MIEN_ABI_VERSION;
}

size_t mien_struct_size(const char *name) {
#define SIZE(type)                                                                                 \
    { #type, sizeof(type) }
    static const struct {
        const char *name;
        size_t size;
    } sizes[] = {
        SIZE(mien_error),   SIZE(mien_memory_stats),  SIZE(mien_rng),
        SIZE(mien_op_info), SIZE(mien_op_profile),    SIZE(mien_adam),
        SIZE(mien_sgd),     SIZE(mien_loader_config), SIZE(mien_video_info),
        SIZE(mien_moments), SIZE(mien_cuda_info),     SIZE(mien_stream_frame),
    };
#undef SIZE
    for (size_t i = 0; name && i < sizeof sizes / sizeof sizes[0]; i++)
        if (strcmp(sizes[i].name, name) == 0) return sizes[i].size;
    return 0;
}
