/* Which plan serves a convolution when cuDNN refuses, fails or is slow, with a cuDNN that is none
 * and does as it is told. Not here: what cuDNN itself does (test_cudnn_support.c), results. */
#ifdef MIEN_WITHOUT_CUDNN
int main(void) {
    return 77; /* skipped: the backend's headers are missing */
}
#else

#define _GNU_SOURCE /* dladdr */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <math.h>

#include "backend/record.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/planner.h"
#include "backend/discovery.h"
#include "scenario.h"

/* ---- a cuDNN that does as it is told --------------------------------------------------------- */

enum { ENGINES = 3 };

/* What the engines do, in the order in which the heuristics propose them. */
static struct {
    cudnnStatus_t plan[ENGINES], run[ENGINES];
    int64_t workspace[ENGINES];
    float ms[ENGINES];
    double apart[ENGINES]; /* distance of its result from the first one's */
    double yardstick;      /* distance of zeros from that: 1, 0 when it is zero, NaN */
    cudnnStatus_t graph, heuristics;
} told;
static struct {
    int descriptors, questions, runs, waits, launched_since_wait, destroyed_unwaited;
} seen;
static int last_run; /* engine */
static bool cleared; /* the result is zeros */

typedef struct thing {
    cudnnBackendDescriptorType_t type;
    int engine, mode;
} thing;

static cudnnStatus_t create(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *d) {
    thing *t = calloc(1, sizeof *t);
    t->type = type;
    *d = t;
    seen.descriptors++;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t destroy(cudnnBackendDescriptor_t d) {
    thing *t = d;
    if (t->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && seen.launched_since_wait)
        seen.destroyed_unwaited++;
    seen.descriptors--;
    free(t);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t finalize(cudnnBackendDescriptor_t d) {
    thing *t = d;
    if (t->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) return told.graph;
    if (t->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) return told.heuristics;
    if (t->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) return told.plan[t->engine];
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type, int64_t n, const void *values) {
    thing *t = d;
    if (name == CUDNN_ATTR_ENGINEHEUR_MODE) t->mode = *(const cudnnBackendHeurMode_t *)values;
    if (name == CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)
        t->engine = (*(thing *const *)values)->engine;
    if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION)
        t->engine = *(const char *)values - '0';
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t get(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type, int64_t most, int64_t *n, void *values) {
    thing *t = d, **list = values;
    *n = 1;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        *n = t->mode == CUDNN_HEUR_MODE_A ? ENGINES : 0;
        for (int i = 0; i < *n && i < most; i++) list[i]->engine = i;
        seen.questions += most > 0;
        break;
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        list[0]->engine = t->engine;
        break;
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
        *(int64_t *)values = t->engine;
        break;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        *(int64_t *)values = told.workspace[t->engine];
        break;
    case CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION:
        if (values) *(char *)values = (char)('0' + t->engine);
        break;
    default:
        *n = 0; /* no notes */
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t execute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                             cudnnBackendDescriptor_t pack) {
    last_run = ((thing *)plan)->engine;
    cleared = false;
    seen.runs++;
    seen.launched_since_wait++;
    return told.run[last_run];
}

static const char *status_text(cudnnStatus_t status) {
    return status == CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED ? "compilation failed"
                                                                    : "told so";
}
static void last_text(char *text, size_t size) {
    snprintf(text, size, "%s", "as told");
}

/* ---- a CUDA that does nothing ---------------------------------------------------------------- */

mien__cuda mien__cuda_context = {.name = "no GPU"};

mien_status mien__cuda_fail(cudaError_t error, const char *what, const char *file, int line) {
    return mien__fail(MIEN_ERR_VENDOR, file, line, "CUDA: %d from %s", (int)error, what);
}
mien_status mien__cuda_check(void) {
    return MIEN_OK;
}
mien_status mien__cudnn_lock(cudnnHandle_t *handle) {
    *handle = (cudnnHandle_t)&told;
    return MIEN_OK;
}
void mien__cudnn_unlock(void) {}
mien_status mien__cuda_distance(const void *found, const void *right, mien_dtype dtype, int64_t n,
                                double *relative) {
    *relative = cleared ? told.yardstick : told.apart[last_run];
    return MIEN_OK;
}
cudaError_t cudaPeekAtLastError(void) {
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    cleared = value == 0;
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    seen.waits++;
    seen.launched_since_wait = 0;
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *event) {
    *event = (cudaEvent_t)&told;
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t stop) {
    *ms = told.ms[last_run];
    return cudaSuccess;
}

/* ---- what the scenarios share ---------------------------------------------------------------- */

static size_t *memory_limit;
static char cache[64];

/* All engines work; the second is the fastest. */
static void start(void) {
    void *gpu = fake_gpu("libfake_gpu.so");
    memory_limit = dlsym(gpu, "fake_gpu_limit");
    mien__vendor_table.cudnnBackendCreateDescriptor = create;
    mien__vendor_table.cudnnBackendDestroyDescriptor = destroy;
    mien__vendor_table.cudnnBackendFinalize = finalize;
    mien__vendor_table.cudnnBackendSetAttribute = set;
    mien__vendor_table.cudnnBackendGetAttribute = get;
    mien__vendor_table.cudnnBackendExecute = execute;
    mien__vendor_table.cudnnGetErrorString = status_text;
    mien__vendor_table.cudnnGetLastErrorString = last_text;
    told.yardstick = 1;
    told.ms[0] = 3, told.ms[1] = 1, told.ms[2] = 2;
    strcpy(cache, "/tmp/mien-plans-XXXXXX");
    HOLDS(mkdtemp(cache));
    setenv("MIEN_CACHE", cache, 1);
}

static void end(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", cache);
    HOLDS(system(command) == 0);
}

static void everywhere(cudnnStatus_t status[ENGINES], cudnnStatus_t value) {
    for (int i = 0; i < ENGINES; i++) status[i] = value;
}

static mien__cudnn_conv_case case_of(int64_t n) {
    mien__cudnn_conv_case c;
    memset(&c, 0, sizeof c);
    c.use = MIEN_CUDNN_CONV_FORWARD, c.dtype = MIEN_F32;
    c.n = n, c.c = 4, c.h = c.w = 8, c.k = 4, c.r = c.s = 1, c.oh = c.ow = 8;
    c.stride_h = c.stride_w = 1, c.deterministic = 1;
    return c;
}

/* Runs a convolution of n pictures; the engine that served it, or a negative status. */
static int run(int64_t n) {
    char name[64] = "";
    int engine = -1;
    mien__cudnn_conv_case c = case_of(n);
    mien__cudnn_conv_data data = {.x = &told, .w = &told, .y = &told};
    mien_status status = mien__cudnn_conv_run(&c, &data, name);
    if (status != MIEN_OK) return -(int)status;
    if (sscanf(name, "cudnn:engine%d", &engine) != 1) return 100; /* read from the folder */
    return engine;
}

static int plans_on_disk(void) {
    char path[128];
    int n = 0;
    snprintf(path, sizeof path, "%s/plans", cache);
    DIR *folder = opendir(path);
    for (struct dirent *e; folder && (e = readdir(folder));) n += e->d_name[0] != '.';
    if (folder) closedir(folder);
    return n;
}

static bool noticed(const char *words) {
    char text[640];
    bool found = false;
    while (mien_notice_take(text, sizeof text)) found = found || strstr(text, words);
    return found;
}

/* ---- refusals and failures ------------------------------------------------------------------- */

static void a_refusal_is_remembered(void) {
    start();
    everywhere(told.plan, CUDNN_STATUS_NOT_SUPPORTED_SHAPE);
    HOLDS(run(1) == -MIEN_ERR_UNSUPPORTED);
    SAYS("has no engine for this convolution: input [1,4,8,8], weight [4,4,1,1] of f32");
    int asked = seen.questions;
    HOLDS(run(1) == -MIEN_ERR_UNSUPPORTED && seen.questions == asked);
    told.graph = CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    HOLDS(run(2) == -MIEN_ERR_UNSUPPORTED);
    told.graph = CUDNN_STATUS_SUCCESS;
    told.heuristics = CUDNN_STATUS_NOT_SUPPORTED;
    HOLDS(run(3) == -MIEN_ERR_UNSUPPORTED);
    SAYS("has no engine for this convolution: input [3,4,8,8]");
    end();
}

/* Each failure is told as what it is, and is no verdict on the shape. */
static void a_failure_that_may_pass_is_an_error_and_forgotten(void) {
    static const struct {
        cudnnStatus_t cudnn;
        mien_status ours;
    } failures[] = {{CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, MIEN_ERR_MEMORY},
                    {CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, MIEN_ERR_MEMORY},
                    {CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED, MIEN_ERR_VENDOR},
                    {CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER, MIEN_ERR_VENDOR}};
    start();
    for (int tuned = 0; tuned < 2; tuned++)
        for (int i = 0; i < 4; i++)
            for (int where = 0; where < 3; where++) {
                int n = 100 * tuned + 10 * i + where + 1;
                mien_autotune_set(tuned);
                if (where == 0) told.graph = failures[i].cudnn;
                if (where == 1) told.heuristics = failures[i].cudnn;
                if (where == 2) everywhere(told.plan, CUDNN_STATUS_NOT_SUPPORTED_LAYOUT);
                if (where == 2) told.plan[1] = failures[i].cudnn;
                HOLDS(run(n) == -(int)failures[i].ours);
                HOLDS(!strstr(mien_error_last()->message, "no engine"));
                HOLDS(strstr(mien_error_last()->cause, "as told"));
                told.graph = told.heuristics = CUDNN_STATUS_SUCCESS;
                everywhere(told.plan, CUDNN_STATUS_SUCCESS);
                HOLDS(run(n) == tuned);
            }
    end();
}

static void what_serves_in_place_of_an_engine_that_failed_is_told(void) {
    start();
    told.plan[0] = CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED;
    HOLDS(run(1) == 1);
    HOLDS(noticed("compilation failed"));
    told.plan[0] = CUDNN_STATUS_NOT_SUPPORTED;
    HOLDS(run(2) == 1);
    HOLDS(!noticed(""));
    told.plan[0] = CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    HOLDS(run(3) == -MIEN_ERR_MEMORY); /* the next engine would round otherwise, for ever */
    end();
}

/* ---- timing ---------------------------------------------------------------------------------- */

static void the_fastest_that_agrees_serves_and_is_kept(void) {
    start();
    mien_autotune_set(true);
    HOLDS(run(1) == 1 && plans_on_disk() == 1);
    told.apart[1] = 0.5;
    HOLDS(run(2) == 2 && plans_on_disk() == 2);
    HOLDS(!noticed(""));
    end();
}

static void timing_without_memory_is_an_error_that_passes(void) {
    start();
    mien_autotune_set(true);
    size_t all = *memory_limit;
    *memory_limit = 64; /* no second result */
    HOLDS(run(1) == -MIEN_ERR_MEMORY);
    *memory_limit = all;
    for (int i = 0; i < ENGINES; i++) told.workspace[i] = 128 << 20;
    *memory_limit = 1 << 20; /* a second result, but no workspace */
    HOLDS(run(1) == -MIEN_ERR_MEMORY);
    HOLDS(plans_on_disk() == 0);
    *memory_limit = all;
    HOLDS(run(1) == 1 && plans_on_disk() == 1);
    end();
}

/* A choice that memory has narrowed serves, is told, and is made anew. */
static void a_choice_made_in_need_is_not_kept(void) {
    start();
    mien_autotune_set(true);
    size_t all = *memory_limit;
    told.workspace[1] = 128 << 20;
    *memory_limit = 1 << 20;
    HOLDS(run(1) == 2 && plans_on_disk() == 0);
    HOLDS(noticed("input [1,4,8,8]"));
    *memory_limit = all;
    HOLDS(run(1) == 1 && plans_on_disk() == 1);
    HOLDS(run(1) == 1);
    *memory_limit = 1 << 20; /* a tuned shape keeps its plan */
    mien_memory_trim(MIEN_DEVICE_CUDA);
    HOLDS(run(1) == -MIEN_ERR_MEMORY);
    end();
}

static void numbers_that_tell_nothing_choose_nothing(void) {
    static const double useless[] = {NAN, 0};
    start();
    mien_autotune_set(true);
    for (int i = 0; i < 2; i++) {
        told.yardstick = useless[i];
        for (int e = 0; e < ENGINES; e++) told.apart[e] = useless[i];
        HOLDS(run(1 + i) == 0 && plans_on_disk() == i);
        told.yardstick = 1;
        for (int e = 0; e < ENGINES; e++) told.apart[e] = 0;
        HOLDS(run(1 + i) == 1 && plans_on_disk() == 1 + i);
    }
    HOLDS(!noticed(""));
    told.yardstick = 0; /* for ever: it ends, and says so */
    for (int i = 0; i < 10; i++) HOLDS(run(3) == 0);
    HOLDS(noticed("input [3,4,8,8]"));
    int asked = seen.questions;
    HOLDS(run(3) == 0 && seen.questions == asked && plans_on_disk() == 2);
    end();
}

static void a_folder_that_cannot_be_made_is_told_once(void) {
    start();
    mien_autotune_set(true);
    setenv("MIEN_CACHE", "/dev/null/mien", 1);
    HOLDS(run(1) == 1 && run(2) == 1);
    char text[640];
    HOLDS(mien_notice_take(text, sizeof text) && strstr(text, "/dev/null"));
    HOLDS(!mien_notice_take(text, sizeof text));
    end();
}

/* ---- more shapes than the cache holds -------------------------------------------------------- */

static void the_oldest_plans_go_when_nothing_runs_them_any_more(void) {
    start();
    for (int n = 1; n <= 1024; n++) HOLDS(run(n) == 0);
    HOLDS(run(1) == 0); /* used again: no longer the oldest */
    HOLDS(seen.descriptors == 1024 && seen.questions == 1024 && seen.waits == 0);
    HOLDS(run(1025) == 0);
    HOLDS(seen.waits == 1 && seen.destroyed_unwaited == 0);
    HOLDS(seen.descriptors == 513 && seen.questions == 1025);
    HOLDS(run(1) == 0 && run(1024) == 0 && run(1025) == 0 && run(514) == 0);
    HOLDS(seen.questions == 1025);
    HOLDS(run(2) == 0 && run(513) == 0);
    HOLDS(seen.questions == 1027);
    end();
}

SCENARIO(a_refusal_is_remembered)
SCENARIO(a_failure_that_may_pass_is_an_error_and_forgotten)
SCENARIO(what_serves_in_place_of_an_engine_that_failed_is_told)
SCENARIO(the_fastest_that_agrees_serves_and_is_kept)
SCENARIO(timing_without_memory_is_an_error_that_passes)
SCENARIO(a_choice_made_in_need_is_not_kept)
SCENARIO(numbers_that_tell_nothing_choose_nothing)
SCENARIO(a_folder_that_cannot_be_made_is_told_once)
SCENARIO(the_oldest_plans_go_when_nothing_runs_them_any_more)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refusal_is_remembered),
        cmocka_unit_test(test_a_failure_that_may_pass_is_an_error_and_forgotten),
        cmocka_unit_test(test_what_serves_in_place_of_an_engine_that_failed_is_told),
        cmocka_unit_test(test_the_fastest_that_agrees_serves_and_is_kept),
        cmocka_unit_test(test_timing_without_memory_is_an_error_that_passes),
        cmocka_unit_test(test_a_choice_made_in_need_is_not_kept),
        cmocka_unit_test(test_numbers_that_tell_nothing_choose_nothing),
        cmocka_unit_test(test_a_folder_that_cannot_be_made_is_told_once),
        cmocka_unit_test(test_the_oldest_plans_go_when_nothing_runs_them_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
