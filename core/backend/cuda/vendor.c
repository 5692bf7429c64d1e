/* Finds cuDNN and cuBLASLt and opens them.
 * Not here: any use of them (conv.c, blas.c, cudnn_rnn.c), the driver and the GPU (context.c). */
#define _GNU_SOURCE /* dlinfo, RTLD_DI_LINKMAP */
#include "vendor.h"

#include "cuda.h"

#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

mien__vendor mien__vendor_table;
static void *cudnn, *cublaslt;
static char cudnn_path[PATH_MAX], cublaslt_path[PATH_MAX];
static int cudnn_version, cublaslt_version;

/* ---- places ---------------------------------------------------------------------------------- */

/* Where Python's wheels put libraries: folders below each prefix, with any Python version. */
static const char *const wheel_folders[] = {
    "lib/python3*/site-packages/nvidia/%s/lib", "lib64/python3*/site-packages/nvidia/%s/lib",
    "lib/python3*/dist-packages/nvidia/%s/lib", "local/lib/python3*/dist-packages/nvidia/%s/lib",
    "site-packages/nvidia/%s/lib"};

/* The prefix of the python3 that PATH finds first, links not followed: a virtual environment's. */
static bool python_on_path(char *prefix) {
    const char *path = getenv("PATH");
    for (const char *at = path; at && *at; at += strcspn(at, ":"), at += *at == ':') {
        char file[PATH_MAX];
        int length = (int)strcspn(at, ":");
        snprintf(file, sizeof file, "%.*s/python3", length, at);
        if (length < 4 || access(file, X_OK) != 0) continue;
        snprintf(prefix, PATH_MAX, "%.*s/..", length, at);
        return true;
    }
    return false;
}

/* Prefixes of Pythons: what is active, then the usual ones. Patterns may stand for several. */
static int prefixes(char list[][PATH_MAX], int most) {
    const char *home = getenv("HOME");
    const char *known[] = {getenv("MIEN_PYTHON_PREFIX"),
                           getenv("VIRTUAL_ENV"),
                           getenv("CONDA_PREFIX"),
                           "/usr/local",
                           "/usr",
                           "/opt/*",
                           "/opt/*/envs/*",
                           NULL};
    int n = python_on_path(list[0]);
    for (size_t i = 0; i < sizeof known / sizeof *known && n < most; i++)
        if (known[i] && known[i][0]) snprintf(list[n++], PATH_MAX, "%s", known[i]);
    if (home && n < most) snprintf(list[n++], PATH_MAX, "%s/.local", home);
    return n;
}

/* Calls try_folder(folder) for every wheel folder of a package until one answers true. */
static bool each_wheel(const char *package, bool (*try_folder)(const char *folder)) {
    char list[12][PATH_MAX];
    int n = prefixes(list, 12);
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof wheel_folders / sizeof *wheel_folders; k++) {
            char tail[256], pattern[PATH_MAX + 300];
            snprintf(tail, sizeof tail, wheel_folders[k], package);
            snprintf(pattern, sizeof pattern, "%.4000s/%s", list[i], tail);
            glob_t found;
            bool done = false;
            if (glob(pattern, 0, NULL, &found) == 0)
                for (size_t j = 0; j < found.gl_pathc && !done; j++)
                    done = try_folder(found.gl_pathv[j]);
            globfree(&found);
            if (done) return true;
        }
    return false;
}

/* The file that a handle was opened from. */
static void path_of(void *library, char *path) {
    struct link_map *map = NULL;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map)
        snprintf(path, PATH_MAX, "%s", map->l_name);
}

/* ---- cuDNN ----------------------------------------------------------------------------------- */

/* libcudnn.so.9 opens its parts by name when it first needs them, and the loader takes whatever
 * copy it finds first. Opened here beforehand, from the folder of the main library, the right ones
 * are there already. In the order in which they need one another; the last two exist in some
 * versions. */
static const char *const parts[] = {"libcudnn_graph.so.9",
                                    "libcudnn_ops.so.9",
                                    "libcudnn_cnn.so.9",
                                    "libcudnn_adv.so.9",
                                    "libcudnn_heuristic.so.9",
                                    "libcudnn_engines_precompiled.so.9",
                                    "libcudnn_engines_runtime_compiled.so.9",
                                    "libcudnn_ext.so.9",
                                    "libcudnn_engines_tensor_ir.so.9"};
enum { PARTS_NEEDED = 7 };

static char tried[1024]; /* why the last folder did not do */

static bool open_cudnn_in(const char *folder) {
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/libcudnn.so.9", folder);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *text = dlerror();
        snprintf(tried, sizeof tried, "%.800s", text ? text : path);
        return false;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, parts[i]);
        if (dlopen(path, RTLD_NOW | RTLD_GLOBAL) || i >= PARTS_NEEDED) continue;
        const char *text = dlerror();
        snprintf(tried, sizeof tried, "%s lacks its part %s: %s", folder, parts[i],
                 text ? text : "");
        dlclose(library);
        return false;
    }
    cudnn = library;
    return true;
}

/* From the loader's own folders: the main library tells which folder that is. */
static bool open_cudnn_installed(void) {
    char path[PATH_MAX] = "";
    void *library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    if (!library) return false;
    path_of(library, path);
    char *slash = strrchr(path, '/');
    if (!slash) {
        dlclose(library);
        return false;
    }
    *slash = '\0';
    bool done = open_cudnn_in(path);
    dlclose(library);
    return done;
}

static mien_status load_cudnn(void) {
    const char *named = getenv("MIEN_CUDNN_DIR");
    tried[0] = '\0';
    if (named && !open_cudnn_in(named))
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED,
                  "cuda: MIEN_CUDNN_DIR is %.300s, but cuDNN 9 does not open there: %.400s", named,
                  tried);
    if (!cudnn && !open_cudnn_installed() && !each_wheel("cudnn", open_cudnn_in))
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED,
                  "cuda: cuDNN 9 is missing: neither the loader nor a Python environment has a "
                  "libcudnn.so.9; install it, or name its folder in MIEN_CUDNN_DIR%s%.300s",
                  tried[0] ? "; " : "", tried);
    path_of(cudnn, cudnn_path);
    return MIEN_OK;
}

static mien_status find_functions(void *library, const char *const *names, void **slots, int n,
                                  const char *path) {
    for (int i = 0; i < n; i++)
        if (!(slots[i] = dlsym(library, names[i])))
            MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "cuda: %.600s has no %s; it is too old", path,
                      names[i]);
    return MIEN_OK;
}

/* Every part must be of the version of the main library, and that at least 9.0. */
static mien_status check_cudnn(void) {
    static const char *const names[] = {
#define CUDNN_ASKED(name) #name,
#define CUDNN(name)       #name,
#define CUBLASLT(name)
#include "vendor.def"
    };
    enum { COUNT = sizeof names / sizeof *names };
    void *slots[COUNT];
    size_t (*version)(void) = (size_t(*)(void))dlsym(cudnn, "cudnnGetVersion");
    int found = version ? (int)version() : 0;
    if (found < 90000 || found >= 100000)
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED,
                  "cuda: %.600s is cuDNN %d.%d.%d, but version 9 is needed; name another folder in "
                  "MIEN_CUDNN_DIR",
                  cudnn_path, found / 10000, found / 100 % 100, found % 100);
    MIEN_TRY(find_functions(cudnn, names, slots, COUNT, cudnn_path));
    memcpy(&mien__vendor_table, slots, sizeof slots);
    const mien__vendor *v = &mien__vendor_table;
    cudnnStatus_t (*const checks[])(void) = {v->cudnnGraphVersionCheck, v->cudnnOpsVersionCheck,
                                             v->cudnnCnnVersionCheck, v->cudnnAdvVersionCheck};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (checks[i]() != CUDNN_STATUS_SUCCESS)
            MIEN_FAIL(MIEN_ERR_UNSUPPORTED,
                      "cuda: %s beside %.500s is of another version; all parts of cuDNN must come "
                      "from one folder (MIEN_CUDNN_DIR)",
                      parts[i], cudnn_path);
    cudnn_version = found;
    return MIEN_OK;
}

/* ---- cuBLASLt -------------------------------------------------------------------------------- */

static const char *const cublaslt_names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};

static bool open_cublaslt_in(const char *folder) {
    char path[PATH_MAX + 64];
    for (size_t i = 0; i < sizeof cublaslt_names / sizeof *cublaslt_names && !cublaslt; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, cublaslt_names[i]);
        cublaslt = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    }
    return cublaslt != NULL;
}

static mien_status load_cublaslt(void) {
    static const char *const names[] = {
#define CUDNN_ASKED(name)
#define CUDNN(name)
#define CUBLASLT(name) #name,
#include "vendor.def"
    };
    enum { COUNT = sizeof names / sizeof *names };
    void *slots[COUNT];
    const char *named = getenv("MIEN_CUBLAS_DIR");
    if (named) open_cublaslt_in(named);
    for (size_t i = 0; i < 2 && !cublaslt; i++)
        cublaslt = dlopen(cublaslt_names[i], RTLD_NOW | RTLD_GLOBAL);
    if (!cublaslt && !each_wheel("cu13", open_cublaslt_in) &&
        !each_wheel("cublas", open_cublaslt_in))
        MIEN_FAIL(
            MIEN_ERR_UNSUPPORTED,
            "cuda: libcublasLt.so.13 is missing; install CUDA's libraries, or name the folder "
            "in MIEN_CUBLAS_DIR");
    path_of(cublaslt, cublaslt_path);
    MIEN_TRY(find_functions(cublaslt, names, slots, COUNT, cublaslt_path));
    memcpy(&mien__vendor_table.cublasLtGetVersion, slots, sizeof slots);
    cublaslt_version = (int)mien__vendor_table.cublasLtGetVersion();
    return MIEN_OK;
}

/* ---- NCCL ------------------------------------------------------------------------------------ */

static void *nccl;

static bool open_nccl_in(const char *folder) {
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/libnccl.so.2", folder);
    return (nccl = dlopen(path, RTLD_LAZY | RTLD_LOCAL)) != NULL;
}

int mien__vendor_nccl(char *path, size_t size) {
    char found[PATH_MAX] = "";
    int version = 0;
    nccl = dlopen("libnccl.so.2", RTLD_LAZY | RTLD_LOCAL);
    if (!nccl && !each_wheel("nccl", open_nccl_in)) return 0;
    int (*ask)(int *) = (int (*)(int *))dlsym(nccl, "ncclGetVersion");
    if (!ask || ask(&version) != 0) version = 0;
    path_of(nccl, found);
    snprintf(path, size, "%s", found);
    dlclose(nccl);
    return version;
}

/* ---- the same bits on every run -------------------------------------------------------------- */

/* NVIDIA's matrix products that run in several streams take a buffer of whichever size is free, and
 * with it a kernel, unless this names one size. That is so for RNNs by the release notes of cuDNN
 * 7.6.5 and 8 ("Limitations"), and by cuBLAS's documentation ("Results reproducibility"); the notes
 * of cuDNN 9 do not take it back. */
static const char buffers[] = "CUBLAS_WORKSPACE_CONFIG";

mien_status mien__vendor_orderly(void) {
    const char *value = getenv(buffers);
    int end = 0;
    if (value) sscanf(value, ":%*u:%*u%n", &end);
    if (end > 0 && value[end] == '\0') return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_UNSUPPORTED,
              "cuda: the same bits on every run are asked for, but %s is %s, which allows cuDNN's "
              "RNNs buffers of several sizes; unset it, set it to :4096:8 or :16:8, or call "
              "mien.device.deterministic(false)",
              buffers, value ? value : "not set");
}

/* cuBLASLt first: cuDNN's engines want it, and find it when it is there. Before both the
 * environment, which they read when they are first used: in any mode, as the mode may change. */
mien_status mien__vendor_open(void) {
    if (!cublaslt && !cudnn) setenv(buffers, ":4096:8", 0);
    if (!cublaslt_version) MIEN_TRY(load_cublaslt());
    if (!cudnn) MIEN_TRY(load_cudnn());
    if (!cudnn_version) MIEN_TRY(check_cudnn());
    return MIEN_OK;
}

/* ---- what was found, what went wrong --------------------------------------------------------- */

int mien__vendor_cudnn_version(void) {
    return cudnn_version;
}
int mien__vendor_cublaslt_version(void) {
    return cublaslt_version;
}
const char *mien__vendor_cudnn_path(void) {
    return cudnn_path;
}
const char *mien__vendor_cublaslt_path(void) {
    return cublaslt_path;
}

mien_status mien__cudnn_check(cudnnStatus_t status, const char *what, const char *file, int line) {
    if (status == CUDNN_STATUS_SUCCESS) return MIEN_OK;
    if (status >= CUDNN_STATUS_EXECUTION_FAILED && cudaPeekAtLastError() != cudaSuccess)
        return mien__cuda_fail(cudaPeekAtLastError(), what, file, line);
    char text[400] = "";
    mien__vendor_table.cudnnGetLastErrorString(text, sizeof text);
    bool refused = status >= CUDNN_STATUS_NOT_SUPPORTED && status < CUDNN_STATUS_INTERNAL_ERROR;
    bool full = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    mien__fail(refused ? MIEN_ERR_UNSUPPORTED
               : full  ? MIEN_ERR_MEMORY
                       : MIEN_ERR_VENDOR,
               file, line, full ? "cuDNN is out of memory: %s" : "cuDNN refused: %s",
               mien__vendor_table.cudnnGetErrorString(status));
    mien__fail_cause("%.60s: %s", what, text);
    return mien_error_last()->code;
}

mien_status mien__cublas_check(cublasStatus_t status, const char *what, const char *file,
                               int line) {
    if (status == CUBLAS_STATUS_SUCCESS) return MIEN_OK;
    if (status == CUBLAS_STATUS_EXECUTION_FAILED && cudaPeekAtLastError() != cudaSuccess)
        return mien__cuda_fail(cudaPeekAtLastError(), what, file, line);
    mien__fail(status == CUBLAS_STATUS_NOT_SUPPORTED  ? MIEN_ERR_UNSUPPORTED
               : status == CUBLAS_STATUS_ALLOC_FAILED ? MIEN_ERR_MEMORY
                                                      : MIEN_ERR_VENDOR,
               file, line, "cuBLASLt refused: %s",
               mien__vendor_table.cublasLtGetStatusString(status));
    mien__fail_cause("%.100s", what);
    return mien_error_last()->code;
}
