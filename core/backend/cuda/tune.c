/* Times plans on the device and keeps the fastest, also on disk for the next process.
 * Not here: which plans there are (plan.c). */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../store/store.h"
#include "cuda.h"
#include "kernels/kernels.h"
#include "planner.h"

/* ---- the cache folder ------------------------------------------------------------------------ */

/* A file per case: its first line says for which cuDNN, device and case it was made, the rest is
 * the plan as cuDNN writes it. A plan of another version or device is refused by cuDNN, or worse,
 * so the line must match before the rest is read. */
static void head_line(const mien__conv_case *c, char *line, size_t size) {
    const int64_t *word = (const int64_t *)c;
    int used =
        snprintf(line, size, "mien-plan 1 cudnn=%d device=%s case=", mien__vendor_cudnn_version(),
                 mien__cuda_context.name);
    for (size_t i = 0; i < sizeof *c / sizeof *word && used < (int)size; i++)
        used +=
            snprintf(line + used, size - (size_t)used, i ? ",%lld" : "%lld", (long long)word[i]);
}

/* $MIEN_CACHE, or mien in $XDG_CACHE_HOME or ~/.cache; "" when there is no place. */
static void folder_of(char *path, size_t size) {
    const char *own = getenv("MIEN_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    path[0] = '\0';
    if (own)
        snprintf(path, size, "%s", own);
    else if (xdg)
        snprintf(path, size, "%s/mien", xdg);
    else if (home)
        snprintf(path, size, "%s/.cache/mien", home);
}

static bool make_folders(const char *folder) {
    char part[2048];
    snprintf(part, sizeof part, "%s", folder);
    for (char *at = part + 1; *at; at++) {
        if (*at != '/') continue;
        *at = '\0';
        mkdir(part, 0777);
        *at = '/';
    }
    return mkdir(part, 0777) == 0 || errno == EEXIST;
}

static bool file_of(const char *line, char *path, size_t size) {
    char folder[1024];
    uint64_t hash = 14695981039346656037u;
    for (const char *at = line; *at; at++) hash = (hash ^ (unsigned char)*at) * 1099511628211u;
    folder_of(folder, sizeof folder - 8);
    if (!folder[0]) return false;
    strcat(folder, "/plans");
    if (!make_folders(folder)) return false;
    snprintf(path, size, "%s/%016llx", folder, (unsigned long long)hash);
    return true;
}

char *mien__plan_text(const mien__plan *plan, int64_t *length) {
    const mien__vendor *v = &mien__vendor_table;
    if (v->cudnnBackendGetAttribute(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                    CUDNN_TYPE_CHAR, 0, length, NULL) != CUDNN_STATUS_SUCCESS)
        return NULL;
    char *text = malloc((size_t)*length + 1);
    if (text &&
        v->cudnnBackendGetAttribute(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                    CUDNN_TYPE_CHAR, *length, length, text) == CUDNN_STATUS_SUCCESS)
        return text;
    free(text);
    return NULL;
}

bool mien__plan_from_text(const mien__planner *by, const char *text, int64_t length,
                          mien__plan *plan) {
    *plan = (mien__plan){.plan = mien__descriptor_new(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR),
                         .name = "cudnn:cached"};
    if (plan->plan &&
        mien__descriptor_set(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                             CUDNN_TYPE_CHAR, length, text) == MIEN_OK &&
        mien__plan_finish(by, plan) == CUDNN_STATUS_SUCCESS)
        return true;
    mien__plan_free(plan);
    return false;
}

static bool load(const mien__planner *by, const char *line, mien__plan *plan) {
    char path[1200], *first = NULL, *text = NULL;
    size_t room = 0, length = 0, most = 1 << 20;
    FILE *file = file_of(line, path, sizeof path) ? fopen(path, "r") : NULL;
    if (!file) return false;
    ssize_t got = getline(&first, &room, file);
    bool ours = got > 0 && strncmp(first, line, strlen(line)) == 0 && first[strlen(line)] == '\n';
    if (ours && (text = malloc(most))) length = fread(text, 1, most, file);
    fclose(file);
    free(first);
    bool good =
        length > 0 && length < most && mien__plan_from_text(by, text, (int64_t)length, plan);
    free(text);
    return good;
}

/* The line and the text. Without a place for it nothing is kept. */
static void save(const char *line, const mien__plan *plan) {
    char path[1200];
    int64_t length = 0;
    if (!file_of(line, path, sizeof path)) return;
    char *text = mien__plan_text(plan, &length);
    size_t size = text ? strlen(line) + 1 + (size_t)length : 0;
    char *all = text ? malloc(size + 1) : NULL;
    if (all) {
        int head = snprintf(all, size + 1, "%s\n", line);
        memcpy(all + head, text, (size_t)length);
        mien_file_write(path, all, (int64_t)size);
    }
    free(all);
    free(text);
}

/* ---- timing ---------------------------------------------------------------------------------- */

enum { CANDIDATES = 10, COMPILED = 3, WARM = 2, TIMED = 5 };

/* Milliseconds of one run; negative when it does not run. */
static float time_of(const mien__planner *by, const mien__plan *plan, const mien__conv_data *data,
                     cudaEvent_t start, cudaEvent_t stop) {
    cudaStream_t stream = mien__cuda_context.stream;
    float took = -1;
    for (int i = 0; i < WARM; i++)
        if (mien__plan_execute(by, plan, data) != MIEN_OK) return -1;
    if (cudaEventRecord(start, stream) != cudaSuccess) return -1;
    for (int i = 0; i < TIMED; i++)
        if (mien__plan_execute(by, plan, data) != MIEN_OK) return -1;
    if (cudaEventRecord(stop, stream) != cudaSuccess) return -1;
    if (cudaEventSynchronize(stop) != cudaSuccess) return -1;
    return cudaEventElapsedTime(&took, start, stop) == cudaSuccess ? took / TIMED : -1;
}

/* ---- is it right? ---------------------------------------------------------------------------- */

/* What a case writes. */
typedef struct result {
    void *data;
    int64_t count;
    size_t bytes;
} result;

static result result_of(const mien__conv_case *c, const mien__conv_data *data) {
    result r = {data->y, c->n * c->k * c->oh * c->ow, 0};
    if (c->use == MIEN_CONV_DATA_GRADIENT) r = (result){data->x, c->n * c->c * c->h * c->w, 0};
    if (c->use == MIEN_CONV_WEIGHT_GRADIENT) r = (result){data->w, c->k * c->c * c->r * c->s, 0};
    r.bytes = (size_t)r.count * mien_dtype_size((mien_dtype)c->dtype);
    return r;
}

/* Relative norm by which engines may differ: all add up in f32, in an order of their own. */
static double near_enough(const mien__conv_case *c) {
    return c->dtype == MIEN_BF16 ? 1e-2 : c->dtype == MIEN_F16 || c->tf32 ? 2e-3 : 1e-5;
}

/* Runs a plan over NaN; false when it fails. */
static bool run_afresh(const mien__planner *by, const mien__plan *plan, const mien__conv_data *data,
                       const result *r) {
    return cudaMemsetAsync(r->data, 0xff, r->bytes, mien__cuda_context.stream) == cudaSuccess &&
           mien__plan_execute(by, plan, data) == MIEN_OK;
}

/* Does the plan give what is in `right`? The first that runs, which cuDNN's heuristics put in
 * front, fills it (*known). */
static bool is_right(const mien__planner *by, const mien__plan *plan, const mien__conv_case *c,
                     const mien__conv_data *data, void *right, bool *known) {
    result r = result_of(c, data);
    double apart = NAN;
    if (!run_afresh(by, plan, data, &r)) return false;
    if (*known)
        return mien__cuda_distance(r.data, right, (mien_dtype)c->dtype, r.count, &apart) ==
                   MIEN_OK &&
               apart <= near_enough(c);
    *known = cudaMemcpyAsync(right, r.data, r.bytes, cudaMemcpyDeviceToDevice,
                             mien__cuda_context.stream) == cudaSuccess;
    return *known;
}

/* The index of the fastest plan of those that agree with the first; -1 when none runs. */
static int fastest(const mien__planner *by, const mien__plan *plans, int n,
                   const mien__conv_case *c, const mien__conv_data *data) {
    cudaEvent_t start = NULL, stop = NULL;
    int best = -1;
    float least = 0;
    bool known = false;
    mien_storage *right = mien__cuda_scratch(result_of(c, data).bytes);
    if (right && cudaEventCreate(&start) == cudaSuccess && cudaEventCreate(&stop) == cudaSuccess)
        for (int i = 0; i < n; i++) {
            if (!is_right(by, &plans[i], c, data, right->data, &known)) continue;
            float took = time_of(by, &plans[i], data, start, stop);
            if (took < 0 || (best >= 0 && took >= least)) continue;
            best = i;
            least = took;
        }
    if (start) cudaEventDestroy(start);
    if (stop) cudaEventDestroy(stop);
    mien__storage_release(right);
    return best;
}

mien_status mien__tuned_plan(const mien__planner *by, const mien__conv_case *c,
                             const mien__conv_data *data, mien__plan *plan) {
    char line[1024];
    mien__plan plans[CANDIDATES];
    mien__plan_counts counts;
    head_line(c, line, sizeof line);
    if (load(by, line, plan)) return MIEN_OK;
    int most = c->compile ? COMPILED : CANDIDATES;
    int n = mien__plans(by, c, plans, most, &counts), best = fastest(by, plans, n, c, data);
    MIEN_TRY(mien__cuda_alive());
    *plan = (mien__plan){0};
    for (int i = 0; i < n; i++)
        if (i == best)
            *plan = plans[i];
        else
            mien__plan_free(&plans[i]);
    if (plan->plan) save(line, plan);
    return MIEN_OK;
}
