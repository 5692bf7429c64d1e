/* Asking for a GPU where there is none, and where there is a fake one: what is said, and what
 * works. Not here: ops (test_backends.c). Every scenario opens a plugin afresh, in a process of its
 * own. */
#define _GNU_SOURCE /* dladdr */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "autograd/autograd.h"
#include "backend/backend.h"
#include "run/capture.h"
#include "run/run.h"
#include "backend/discovery.h"
#include "plugin.h"
#include "scenario.h"
#include "base/clock.h"

static void *fake(void) {
    return fake_gpu("libfake_gpu.so");
}

/* ---- no GPU ---------------------------------------------------------------------------------- */

static void no_gpu_to_be_had(const char *why) {
    mien_device device = MIEN_DEVICE_CUDA;
    HOLDS(mien_device_count(MIEN_DEVICE_CUDA) == 0);
    SAYS(why);
    HOLDS(mien_device_choose("auto", &device) == MIEN_OK && device == MIEN_DEVICE_CPU);
    HOLDS(mien_device_choose("cuda", &device) == MIEN_ERR_DEVICE);
    SAYS(why);
    HOLDS(!mien_tensor_new(MIEN_F32, MIEN_DEVICE_CUDA, 0, NULL));
    HOLDS(mien_error_last()->code == MIEN_ERR_DEVICE);
    SAYS(why);
    mien_tensor *t = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CPU, 0, NULL);
    HOLDS(!mien_tensor_to(t, MIEN_F32, MIEN_DEVICE_CUDA));
    SAYS(why);
    mien_tensor_release(t);
}

static void without_the_plugin(void) {
    setenv("MIEN_CUDA_LIBRARY", "/nowhere/libmien_cuda.so", 1);
    no_gpu_to_be_had("built without CUDA");
    mien_cuda_info info;
    mien_cuda_info_get(&info);
    HOLDS(info.devices == 0 && !info.built && strstr(info.missing, "build again"));
}

static void with_an_old_plugin(void) {
    setenv("MIEN_CUDA_LIBRARY", beside("libfake_gpu_old.so"), 1);
    no_gpu_to_be_had("built from other sources");
}

static void without_a_driver(void) {
    *(bool *)dlsym(fake(), "fake_gpu_missing") = true;
    no_gpu_to_be_had("no NVIDIA driver");
}

/* The plugin itself on a machine without driver: cudart's error 35, 34 with the toolkit's stub. */
static void the_plugin_without_a_driver(void) {
    if (!plugin_open()) _exit(SKIPPED);
    if (mien_device_count(MIEN_DEVICE_CUDA) > 0) _exit(SKIPPED);
    no_gpu_to_be_had("driver");
    mien_cuda_info info;
    mien_cuda_info_get(&info);
    HOLDS(info.built && info.devices == 0 && info.runtime >= 12000 && info.missing[0]);
}

static void the_plugin_with_a_stub_of_the_driver(void) {
    if (dlopen("libcuda.so.1", RTLD_NOW) || !plugin_driver_stub()) _exit(SKIPPED);
    the_plugin_without_a_driver();
    HOLDS(strstr(mien_error_last()->cause, "(34)") || strstr(mien_error_last()->cause, "(35)"));
}

static void a_device_that_does_not_exist(void) {
    mien_device device;
    HOLDS(mien_device_choose("gpu", &device) == MIEN_ERR_DEVICE);
    SAYS("'auto', 'cpu' and 'cuda'");
    HOLDS(mien_device_count((mien_device)7) == 0);
    HOLDS(mien_device_choose("cpu", &device) == MIEN_OK && device == MIEN_DEVICE_CPU);
}

/* ---- cuDNN ----------------------------------------------------------------------------------- */

/* A folder where these names all are one library; MIEN_CUDNN_DIR points at it. */
static void cudnn_folder(const char *library, bool with_parts) {
    static const char *const names[] = {"libcudnn.so.9",
                                        "libcudnn_graph.so.9",
                                        "libcudnn_ops.so.9",
                                        "libcudnn_cnn.so.9",
                                        "libcudnn_adv.so.9",
                                        "libcudnn_heuristic.so.9",
                                        "libcudnn_engines_precompiled.so.9",
                                        "libcudnn_engines_runtime_compiled.so.9"};
    static char folder[] = "/tmp/mien-cudnn-XXXXXX";
    char path[256];
    HOLDS(mkdtemp(folder));
    for (int i = 0; i < (with_parts ? 8 : 1); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        HOLDS(symlink(beside(library), path) == 0);
    }
    setenv("MIEN_CUDNN_DIR", folder, 1);
}

static void remove_folder(void) {
    char command[256];
    snprintf(command, sizeof command, "rm -r %s", getenv("MIEN_CUDNN_DIR"));
    HOLDS(system(command) == 0);
}

static void missing_says(const char *words) {
    mien_cuda_info info;
    if (!plugin_open()) _exit(SKIPPED);
    mien_cuda_info_get(&info);
    if (!strstr(info.missing, words)) fprintf(stderr, "missing: %s\n", info.missing);
    HOLDS(strstr(info.missing, words));
    HOLDS(info.cudnn == 0 && info.devices == 0);
}

static void without_cudnn(void) {
    setenv("MIEN_CUDNN_DIR", "/nowhere", 1);
    missing_says("MIEN_CUDNN_DIR is /nowhere, but cuDNN 9 does not open there");
}

static void with_cudnn_8(void) {
    cudnn_folder("libfake_cudnn8.so", true);
    missing_says("is cuDNN 8.9.0, but version 9 is needed");
    remove_folder();
}

static void with_parts_of_another_cudnn(void) {
    cudnn_folder("libfake_cudnn_mixed.so", true);
    missing_says("libcudnn_ops.so.9 beside");
    remove_folder();
}

static void with_a_part_of_cudnn_missing(void) {
    cudnn_folder("libfake_cudnn_mixed.so", false);
    missing_says("lacks its part libcudnn_graph.so.9");
    remove_folder();
}

/* What cuDNN meets in the environment. */
static const char *seen_by_cudnn(void) {
    cudnn_folder("libfake_cudnn_mixed.so", true);
    missing_says("libcudnn_ops.so.9 beside");
    remove_folder();
    void *library = dlopen(beside("libfake_cudnn_mixed.so"), RTLD_NOW | RTLD_NOLOAD);
    HOLDS(library);
    return dlsym(library, "fake_cudnn_saw");
}

static mien_status orderly(const char *value) {
    mien_status (*ask)(void) = dlsym(plugin_open(), "mien__vendor_orderly");
    HOLDS(ask);
    setenv("CUBLAS_WORKSPACE_CONFIG", value, 1);
    return ask();
}

static void cudnn_is_opened_with_buffers_of_one_size(void) {
    unsetenv("CUBLAS_WORKSPACE_CONFIG");
    HOLDS(!strcmp(seen_by_cudnn(), ":4096:8"));
    HOLDS(orderly(getenv("CUBLAS_WORKSPACE_CONFIG")) == MIEN_OK);
    HOLDS(orderly(":16:8") == MIEN_OK);
    HOLDS(orderly(":4096:2:16:8") == MIEN_ERR_UNSUPPORTED);
    SAYS("CUBLAS_WORKSPACE_CONFIG is :4096:2:16:8");
    HOLDS(orderly("") == MIEN_ERR_UNSUPPORTED);
}

static void a_choice_of_buffers_is_kept(void) {
    setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8", 1);
    HOLDS(!strcmp(seen_by_cudnn(), ":16:8"));
}

/* ---- NCCL ------------------------------------------------------------------------------------ */

/* Whether or not this machine has it: nothing is missing for that. */
static void nccl_is_told_and_not_needed(void) {
    if (!plugin_open()) _exit(SKIPPED);
    mien_cuda_info info;
    mien_cuda_info_get(&info);
    HOLDS(info.nccl == 0 || info.nccl > 20000);
    HOLDS((info.nccl > 0) == (strstr(info.nccl_path, "libnccl.so.2") != NULL));
    HOLDS(!strstr(info.missing, "nccl") && !strstr(info.missing, "NCCL"));
    HOLDS(!dlopen("libnccl.so.2", RTLD_NOW | RTLD_NOLOAD));
}

/* ---- a GPU, though a fake one ---------------------------------------------------------------- */

static const int64_t shape[] = {3, 4};
static const double numbers[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static mien_tensor *on_gpu(mien_dtype dtype) {
    mien_tensor *here = mien_tensor_new(dtype, MIEN_DEVICE_CPU, 2, shape);
    HOLDS(mien_tensor_write(here, numbers, 12) == MIEN_OK);
    mien_tensor *there = mien_tensor_to(here, dtype, MIEN_DEVICE_CUDA);
    HOLDS(there && mien_tensor_device(there) == MIEN_DEVICE_CUDA);
    mien_tensor_release(here);
    return there;
}

static void elements_travel(void) {
    fake();
    for (int dtype = MIEN_F32; dtype <= MIEN_I64; dtype++) {
        mien_tensor *there = on_gpu((mien_dtype)dtype);
        double values[12], one;
        HOLDS(mien_tensor_read(there, values, 12) == MIEN_OK);
        HOLDS(!memcmp(values, numbers, sizeof values));
        /* As another dtype, and as a view whose elements do not lie side by side. */
        mien_tensor *other = mien_tensor_to(there, MIEN_F64, MIEN_DEVICE_CPU);
        HOLDS(other && !memcmp(mien_tensor_data(other), numbers, sizeof numbers));
        mien_tensor *turned = mien__tensor_alias(there);
        turned->shape[0] = 4, turned->shape[1] = 3, turned->stride[0] = 1, turned->stride[1] = 4;
        HOLDS(mien_tensor_read(turned, values, 12) == MIEN_OK && values[1] == 5 && values[3] == 2);
        HOLDS(mien_tensor_write(turned, numbers, 12) == MIEN_OK);
        int64_t at[] = {1, 0};
        HOLDS(mien_tensor_get(there, at, &one) == MIEN_OK && one == 2);
        HOLDS(mien_tensor_set(there, at, 42) == MIEN_OK);
        HOLDS(mien_tensor_get(there, at, &one) == MIEN_OK && one == 42);
        HOLDS(mien_tensor_fill(there, 3) == MIEN_OK);
        double summary[5];
        HOLDS(mien_tensor_summary(there, summary) == MIEN_OK && summary[0] == 3);
        mien_tensor_release(turned);
        mien_tensor_release(other);
        mien_tensor_release(there);
    }
}

static void addresses_stay_on_the_gpu(void) {
    fake();
    mien_tensor *there = on_gpu(MIEN_F32);
    HOLDS(!mien_tensor_data(there));
    HOLDS(mien_error_last()->code == MIEN_ERR_DEVICE);
    SAYS("t:to\"cpu\"");
    mien_tensor_release(there);
}

static void missing_ops_are_named(void) {
    fake();
    mien_tensor *there = on_gpu(MIEN_F32), *out = NULL;
    mien_tensor *here = mien_tensor_to(there, MIEN_F32, MIEN_DEVICE_CPU);
    HOLDS(mien_op_run(MIEN_OP_relu, &there, 1, NULL, 0, &out, 1) == MIEN_ERR_UNSUPPORTED);
    SAYS("relu");
    SAYS("cuda");
    mien_tensor *both[] = {there, here};
    HOLDS(mien_op_run(MIEN_OP_add, both, 2, NULL, 0, &out, 1) == MIEN_ERR_DEVICE);
    SAYS("another device");
    mien_tensor_release(here);
    mien_tensor_release(there);
}

static void full_memory_is_an_error_that_passes(void) {
    void *library = fake();
    size_t *limit = dlsym(library, "fake_gpu_limit"), *used = dlsym(library, "fake_gpu_used");
    int64_t most = 1 << 20;
    *limit = (size_t)6 << 20;
    mien_tensor *a = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CUDA, 1, &most);
    HOLDS(a);
    HOLDS(!mien_tensor_new(MIEN_F32, MIEN_DEVICE_CUDA, 1, &most));
    HOLDS(mien_error_last()->code == MIEN_ERR_MEMORY);
    SAYS("4.0 MiB are in use on the GPU");
    mien_tensor_release(a);
    mien_memory_stats stats;
    mien_memory(MIEN_DEVICE_CUDA, &stats);
    HOLDS(stats.live_bytes == 0 && stats.pooled_bytes > 0);
    /* Another size does not fit beside what is pooled: that goes back first. */
    most = 5 << 18;
    mien_tensor *b = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CUDA, 1, &most);
    HOLDS(b);
    mien_tensor_release(b);
    mien_memory_trim(MIEN_DEVICE_CUDA);
    HOLDS(*used == 0);
}

static void marks_measure_time_between_them(void) {
    double seconds, outside = mien_time_monotonic();
    HOLDS(mien_device_mark(MIEN_DEVICE_CPU, 0) == MIEN_OK);
    HOLDS(mien_device_between(MIEN_DEVICE_CPU, 0, 1, &seconds) == MIEN_ERR_ARGUMENT);
    SAYS("mark 1");
    double inside = mien_time_monotonic();
    usleep(2000);
    inside = mien_time_monotonic() - inside;
    HOLDS(mien_device_mark(MIEN_DEVICE_CPU, 1) == MIEN_OK);
    HOLDS(mien_device_between(MIEN_DEVICE_CPU, 0, 1, &seconds) == MIEN_OK);
    HOLDS(seconds >= inside && seconds <= mien_time_monotonic() - outside);
    HOLDS(mien_device_mark(MIEN_DEVICE_CPU, MIEN_DEVICE_MARKS) == MIEN_ERR_ARGUMENT);
    fake();
    for (int i = 0; i < 4; i++) HOLDS(mien_device_mark(MIEN_DEVICE_CUDA, i) == MIEN_OK);
    HOLDS(mien_device_between(MIEN_DEVICE_CUDA, 0, 3, &seconds) == MIEN_OK && seconds == 3);
}

static void a_lost_gpu_is_an_error_everywhere(void) {
    bool *lost = dlsym(fake(), "fake_gpu_lost");
    mien_tensor *there = on_gpu(MIEN_F32);
    double values[12];
    *lost = true;
    HOLDS(mien_tensor_read(there, values, 12) == MIEN_ERR_VENDOR);
    SAYS("restart");
    HOLDS(mien_tensor_fill(there, 1) == MIEN_ERR_VENDOR);
    HOLDS(!mien_tensor_to(there, MIEN_F32, MIEN_DEVICE_CPU));
    HOLDS(mien_device_synchronize(MIEN_DEVICE_CUDA) == MIEN_ERR_VENDOR);
    mien_tensor_release(there);
}

/* ---- what CUDA's errors become --------------------------------------------------------------- */

static void cuda_errors_become_statuses(void) {
    void *plugin = plugin_open();
    if (!plugin) _exit(SKIPPED);
    mien_status (*failed)(int, const char *, const char *, int) = dlsym(plugin, "mien__cuda_fail");
    mien_status (*alive)(void) = dlsym(plugin, "mien__cuda_check");
    HOLDS(failed && alive);
    static const int no_gpu[] = {34, 35, 100};
    for (int i = 0; i < 3; i++) {
        HOLDS(failed(no_gpu[i], "cudaMalloc", "here", 1) == MIEN_ERR_DEVICE);
        SAYS("mien doctor");
    }
    HOLDS(failed(2, "cudaMalloc", "here", 1) == MIEN_ERR_MEMORY);
    HOLDS(failed(1, "cudaLaunchKernel", "here", 1) == MIEN_ERR_VENDOR);
    HOLDS(alive() == MIEN_OK);
    HOLDS(failed(700, "cudaStreamSynchronize", "here", 1) == MIEN_ERR_VENDOR);
    SAYS("context is lost");
    HOLDS(strstr(mien_error_last()->cause, "(700)"));
    HOLDS(alive() == MIEN_ERR_VENDOR);
    SAYS("cudaErrorIllegalAddress");
}

/* ---- recorded steps -------------------------------------------------------------------------- */

static mien_tensor *there(double value) {
    mien_tensor *t = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CUDA, 1, (int64_t[]){3});
    HOLDS(t && mien_tensor_fill(t, value) == MIEN_OK);
    return t;
}

enum { SGD, ADAM, NORM, SEED, SUM, JUDGE, USES };

/* Something that reads `read`, which was made outside of the step. */
static mien_status use(int how, mien_tensor *read, mien_tensor **own, mien_tensor *number) {
    static const mien_sgd sgd = {.lr = 0.5};
    static const mien_adam adam = {.lr = 0.5, .beta1 = 0.5, .beta2 = 0.5, .eps = 1};
    static const mien_scaling rules = {2, 0.5, 100, 0};
    mien_tensor *y = NULL;
    mien_status status;
    switch (how) {
    case SGD:
        return mien_sgd_step(&sgd, own, &read, NULL, 1, 1);
    case ADAM:
        return mien_adam_step(&adam, own, &read, own + 1, own + 2, 1, 1);
    case NORM:
        return mien_grad_clip_to(&read, 1, INFINITY, number);
    case JUDGE:
        return mien_judge(&rules, number, read);
    case SUM: /* own[0]'s gradient was made outside as well: the walk adds to it */
    case SEED:
        status = mien_op_run(MIEN_OP_affine, own, 1, (double[]){2, 0, 1}, 3, &y, 1);
        if (status == MIEN_OK) status = mien_backward(y, read);
        mien_tensor_release(y);
        return status;
    }
    return MIEN_ERR_INTERNAL;
}

/* What a recorded step only reads is held, and the step knows when nobody else has it any more. */
static void what_a_recorded_step_reads_is_noted(void) {
    fake_gpu("libfake_gpu_ops.so");
    for (int how = 0; how < USES; how++) {
        mien_tensor *own[3] = {there(1), there(0), there(0)}, *read = there(1), *number;
        number = mien_tensor_new(MIEN_F64, MIEN_DEVICE_CUDA, how == JUDGE,
                                 (int64_t[]){MIEN_VERDICT_COUNT});
        HOLDS(mien_tensor_fill(number, 1) == MIEN_OK);
        if (how == JUDGE) {
            mien_tensor_release(read);
            read = mien_tensor_new(MIEN_F32, MIEN_DEVICE_CUDA, 0, NULL);
            HOLDS(mien_tensor_fill(read, 1) == MIEN_OK);
        }
        if (how == SUM || how == SEED)
            HOLDS(mien_tensor_set_requires_grad(own[0], true) == MIEN_OK);
        if (how == SUM) {
            mien_tensor *grad = there(1);
            HOLDS(mien_tensor_set_grad(own[0], grad) == MIEN_OK);
            mien_tensor_release(grad);
        }
        mien_capture *c = mien_capture_new(NULL);
        HOLDS(c);
        for (int turn = 0; turn < 3; turn++) {
            HOLDS(mien_capture_enter(c, turn == 2) == MIEN_OK);
            HOLDS(use(how, read, own, number) == MIEN_OK);
            HOLDS(mien_capture_leave(c, turn == 2) == MIEN_OK);
            if (how == SEED) HOLDS(mien_tensor_set_grad(own[0], NULL) == MIEN_OK);
        }
        HOLDS(!mien_capture_stale(c) && mien_capture_replay(c) == MIEN_OK);
        mien_tensor_free(read);
        if (!mien_capture_stale(c)) fprintf(stderr, "use %d\n", how);
        HOLDS(mien_capture_stale(c));
        HOLDS(mien_capture_replay(c) == MIEN_OK); /* it is held, all the same */
        mien_capture_free(c);
        for (int i = 0; i < 3; i++) mien_tensor_release(own[i]);
        mien_tensor_release(read);
        mien_tensor_release(number);
    }
}

#define SCENARIOS(XX)                                                                              \
    XX(without_the_plugin)                                                                         \
    XX(with_an_old_plugin)                                                                         \
    XX(without_a_driver)                                                                           \
    XX(the_plugin_without_a_driver)                                                                \
    XX(the_plugin_with_a_stub_of_the_driver)                                                       \
    XX(a_device_that_does_not_exist)                                                               \
    XX(without_cudnn)                                                                              \
    XX(with_cudnn_8)                                                                               \
    XX(with_parts_of_another_cudnn)                                                                \
    XX(cudnn_is_opened_with_buffers_of_one_size)                                                   \
    XX(a_choice_of_buffers_is_kept)                                                                \
    XX(nccl_is_told_and_not_needed)                                                                \
    XX(with_a_part_of_cudnn_missing)                                                               \
    XX(elements_travel)                                                                            \
    XX(addresses_stay_on_the_gpu)                                                                  \
    XX(missing_ops_are_named)                                                                      \
    XX(full_memory_is_an_error_that_passes)                                                        \
    XX(marks_measure_time_between_them)                                                            \
    XX(a_lost_gpu_is_an_error_everywhere)                                                          \
    XX(cuda_errors_become_statuses)                                                                \
    XX(what_a_recorded_step_reads_is_noted)
SCENARIOS(SCENARIO)

int main(void) {
#define XX(scenario) {#scenario, test_##scenario, NULL, NULL, NULL},
    const struct CMUnitTest tests[] = {SCENARIOS(XX)};
#undef XX
    return cmocka_run_group_tests(tests, NULL, NULL);
}
