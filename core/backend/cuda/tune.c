/* Times plans on the device and keeps the fastest, also on disk for the next process.
 * Not here: which plans there are (plan.c). */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "store/store.h"
#include "cuda.h"
#include "backend/cuda/kernels/kernels.h"
#include "planner.h"

/* ---- the cache folder ------------------------------------------------------------------------ */

/* A file per case: its first line says for which cuDNN, device and case it was made, the rest is
 * the plan as cuDNN writes it. A plan of another version or device is refused by cuDNN, or worse,
 * so the line must match before the rest is read. */
static void head_line(const mien__cudnn_conv_case *c, char *line, size_t size) {
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

/* A choice that is not kept is no error, but the next process times again. */
static void tell_not_kept(const char *why) {
    mien__notice(
        "cuda: the engines of convolutions that were chosen by timing are not kept for other "
        "processes: %s",
        why);
}

static bool file_of(const char *line, char *path, size_t size) {
    char folder[1024];
    folder_of(folder, sizeof folder - 8);
    bool made = folder[0] && mien_folder_make(strcat(folder, "/plans")) == MIEN_OK;
    if (!made)
        tell_not_kept(folder[0] ? mien_error_last()->message
                                : "none of MIEN_CACHE, XDG_CACHE_HOME and HOME is set");
    if (!made) return false;
    snprintf(path, size, "%s/%016llx", folder,
             (unsigned long long)mien__hash(MIEN_HASH_START, line, strlen(line)));
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

/* The line and the text, whole or not at all. */
static void save(const char *line, const mien__plan *plan) {
    char path[1200];
    int64_t length = 0;
    if (!file_of(line, path, sizeof path)) return;
    char *text = mien__plan_text(plan, &length);
    if (!text) return tell_not_kept("cuDNN does not write them as text");
    size_t size = strlen(line) + 1 + (size_t)length;
    char *all = malloc(size + 1);
    if (all) {
        int head = snprintf(all, size + 1, "%s\n", line);
        memcpy(all + head, text, (size_t)length);
    }
    if (!all)
        tell_not_kept("out of memory");
    else if (mien_file_write(path, all, (int64_t)size) != MIEN_OK)
        tell_not_kept(mien_error_last()->message);
    free(all);
    free(text);
}

/* ---- timing ---------------------------------------------------------------------------------- */

enum { CANDIDATES = 10, COMPILED = 3, WARM = 2, TIMED = 5 };

/* Milliseconds of one run. */
static mien_status time_of(const mien__planner *by, const mien__plan *plan,
                           const mien__cudnn_conv_data *data, cudaEvent_t start, cudaEvent_t stop,
                           float *took) {
    cudaStream_t stream = mien__cuda_context.stream;
    for (int i = 0; i < WARM; i++) MIEN_TRY(mien__plan_execute(by, plan, data));
    MIEN_CUDA(cudaEventRecord(start, stream));
    for (int i = 0; i < TIMED; i++) MIEN_TRY(mien__plan_execute(by, plan, data));
    MIEN_CUDA(cudaEventRecord(stop, stream));
    MIEN_CUDA(cudaEventSynchronize(stop));
    MIEN_CUDA(cudaEventElapsedTime(took, start, stop));
    *took /= TIMED;
    return MIEN_OK;
}

/* ---- is it right? ---------------------------------------------------------------------------- */

/* What a case writes. */
typedef struct result {
    void *data;
    int64_t count;
    size_t bytes;
} result;

static result result_of(const mien__cudnn_conv_case *c, const mien__cudnn_conv_data *data) {
    result r = {data->y, c->n * c->k * c->oh * c->ow, 0};
    if (c->use == MIEN_CUDNN_CONV_DATA_GRADIENT)
        r = (result){data->x, c->n * c->c * c->h * c->w, 0};
    if (c->use == MIEN_CUDNN_CONV_WEIGHT_GRADIENT)
        r = (result){data->w, c->k * c->c * c->r * c->s, 0};
    r.bytes = (size_t)r.count * mien_dtype_size((mien_dtype)c->dtype);
    return r;
}

/* Relative norm by which engines may differ: all add up in f32, in an order of their own. */
static double near_enough(const mien__cudnn_conv_case *c) {
    return c->dtype == MIEN_BF16 ? 1e-2 : c->dtype == MIEN_F16 || c->tf32 ? 2e-3 : 1e-5;
}

/* How far what a plan gives is from what is in `right`, of its norm. */
static mien_status distance_of(const mien__planner *by, const mien__plan *plan,
                               const mien__cudnn_conv_case *c, const mien__cudnn_conv_data *data,
                               const void *right, double *apart) {
    result r = result_of(c, data);
    MIEN_CUDA(cudaMemsetAsync(r.data, 0xff, r.bytes, mien__cuda_context.stream)); /* NaN */
    MIEN_TRY(mien__plan_execute(by, plan, data));
    return mien__cuda_distance(r.data, right, (mien_dtype)c->dtype, r.count, apart);
}

/* Fills `right` with what a plan gives. *tells: other plans can be judged by it; zeros agree with
 * whatever writes zeros, and nothing agrees with NaN. */
static mien_status fill_right(const mien__planner *by, const mien__plan *plan,
                              const mien__cudnn_conv_case *c, const mien__cudnn_conv_data *data,
                              void *right, bool *tells) {
    cudaStream_t stream = mien__cuda_context.stream;
    result r = result_of(c, data);
    double apart = 0;
    MIEN_CUDA(cudaMemsetAsync(r.data, 0xff, r.bytes, stream));
    MIEN_TRY(mien__plan_execute(by, plan, data));
    MIEN_CUDA(cudaMemcpyAsync(right, r.data, r.bytes, cudaMemcpyDeviceToDevice, stream));
    MIEN_CUDA(cudaMemsetAsync(r.data, 0, r.bytes, stream));
    MIEN_TRY(mien__cuda_distance(r.data, right, (mien_dtype)c->dtype, r.count, &apart));
    *tells = apart > 0; /* 1, 0 of zeros, NaN */
    return MIEN_OK;
}

/* The search for the fastest of several plans. The first that runs, which cuDNN's heuristics put in
 * front, says what is right. */
typedef struct search {
    mien_storage *right;
    cudaEvent_t start, stop;
    bool known, tells;
    int best; /* -1: none yet */
    float least;
    mien_error failure; /* that kept a plan from its turn, and may pass; code MIEN_OK: none */
} search;

static mien_status look_at(search *s, const mien__planner *by, const mien__plan *plan, int i,
                           const mien__cudnn_conv_case *c, const mien__cudnn_conv_data *data) {
    double apart = 0;
    float took = 0;
    if (s->known) {
        MIEN_TRY(distance_of(by, plan, c, data, s->right->data, &apart));
    } else {
        MIEN_TRY(fill_right(by, plan, c, data, s->right->data, &s->tells));
        s->known = true;
        if (!s->tells) s->best = i;
    }
    if (!s->tells || !(apart <= near_enough(c))) return MIEN_OK;
    MIEN_TRY(time_of(by, plan, data, s->start, s->stop, &took));
    if (s->best >= 0 && took >= s->least) return MIEN_OK;
    s->best = i;
    s->least = took;
    return MIEN_OK;
}

static mien_status look_at_all(search *s, const mien__planner *by, const mien__plan *plans, int n,
                               const mien__cudnn_conv_case *c, const mien__cudnn_conv_data *data) {
    s->right = mien__cuda_scratch(result_of(c, data).bytes);
    if (!s->right) return mien_error_last()->code;
    MIEN_CUDA(cudaEventCreate(&s->start));
    MIEN_CUDA(cudaEventCreate(&s->stop));
    for (int i = 0; i < n && !(s->known && !s->tells); i++) {
        mien_status status = look_at(s, by, &plans[i], i, c, data);
        if (status == MIEN_OK || status == MIEN_ERR_UNSUPPORTED) continue;
        MIEN_TRY(mien__cuda_check());
        if (s->failure.code != MIEN_ERR_MEMORY) s->failure = *mien_error_last();
    }
    return s->best < 0 && s->failure.code != MIEN_OK ? mien__fail_with(&s->failure) : MIEN_OK;
}

/* The index of the fastest plan of those that agree with the first; -1 when none is supported. */
static mien_status fastest(const mien__planner *by, const mien__plan *plans, int n,
                           const mien__cudnn_conv_case *c, const mien__cudnn_conv_data *data,
                           int *best, const char **in_need) {
    char text[160];
    search s = {.best = -1};
    mien_status status = n > 0 ? look_at_all(&s, by, plans, n, c, data) : MIEN_OK;
    if (s.start) cudaEventDestroy(s.start);
    if (s.stop) cudaEventDestroy(s.stop);
    mien__storage_release(s.right);
    *best = s.best;
    if (status != MIEN_OK) return status;
    if (s.known && !s.tells)
        *in_need = "its results were zeros or not finite";
    else if (s.failure.code != MIEN_OK)
        *in_need = "not every engine ran";
    if (s.failure.code != MIEN_OK)
        mien__notice("cuda: not every engine for a convolution could be timed, a faster one may be "
                     "missed: %s: %s",
                     mien__cudnn_conv_text(c, text, sizeof text), s.failure.message);
    return MIEN_OK;
}

mien_status mien__tuned_plan(const mien__planner *by, const mien__cudnn_conv_case *c,
                             const mien__cudnn_conv_data *data, mien__plan *plan,
                             const char **in_need) {
    char line[1024];
    mien__plan plans[CANDIDATES];
    mien__plan_counts counts;
    int n = 0, best = -1, most = c->compile ? COMPILED : CANDIDATES;
    *plan = (mien__plan){0};
    *in_need = NULL;
    head_line(c, line, sizeof line);
    if (load(by, line, plan)) return MIEN_OK;
    MIEN_TRY(mien__plans(by, c, plans, most, &counts, &n));
    mien_status status = fastest(by, plans, n, c, data, &best, in_need);
    if (status == MIEN_OK && best >= 0) *plan = plans[best];
    if (plan->plan) plans[best].plan = NULL;
    for (int i = 0; i < n; i++) mien__plan_free(&plans[i]);
    if (plan->plan && !*in_need) save(line, plan);
    return status;
}
