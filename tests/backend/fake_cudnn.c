/* A libcudnn.so.9 that is none: of the version and with the disagreement that the build asks for.
 * Not here: anything of cuDNN. test_device.c points MIEN_CUDNN_DIR at it. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* What the environment said when this was opened; for the test. */
char fake_cudnn_saw[64];
__attribute__((constructor)) static void look(void) {
    const char *value = getenv("CUBLAS_WORKSPACE_CONFIG");
    snprintf(fake_cudnn_saw, sizeof fake_cudnn_saw, "%s", value ? value : "");
}

size_t cudnnGetVersion(void) {
    return FAKE_CUDNN_VERSION;
}

/* The parts' checks answer what FAKE_CUDNN_CHECK says: 0 fine, 1004 another version. */
int cudnnGraphVersionCheck(void) {
    return 0;
}
int cudnnOpsVersionCheck(void) {
    return FAKE_CUDNN_CHECK;
}
int cudnnCnnVersionCheck(void) {
    return 0;
}
int cudnnAdvVersionCheck(void) {
    return 0;
}

#define CUDNN(name)                                                                                \
    int name(void) {                                                                               \
        return 1;                                                                                  \
    }
#define CUDNN_ASKED(name)
#define CUBLASLT(name)
#include "backend/cuda/vendor.def"
