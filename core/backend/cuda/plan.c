/* From a convolution to a plan that runs: cuDNN's proposals, what is not wanted of them, a cache.
 * Not here: graphs (graph.c), timing and the cache on disk (tune.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cache.h"
#include "backend/record.h"
#include "backend/discovery.h"
#include "cuda.h"
#include "planner.h"

/* ---- proposals ------------------------------------------------------------------------------- */

enum { PROPOSALS_MOST = 128 };

/* Engine configurations, in cuDNN's order. */
typedef struct proposals {
    mien__descriptor list[PROPOSALS_MOST];
    int count;
} proposals;

static void proposals_free(proposals *p) {
    while (p->count > 0) mien__descriptor_free(p->list[--p->count]);
}

#define GET(d, name, type, most, count, values)                                                    \
    mien__vendor_table.cudnnBackendGetAttribute(d, CUDNN_ATTR_##name, CUDNN_TYPE_##type, most,     \
                                                count, values)

static mien_status ask(const mien__planner *by, mien__descriptor graph, cudnnBackendHeurMode_t mode,
                       mien__descriptor heuristics, proposals *p) {
    MIEN_TRY(mien__descriptor_set(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                  CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph));
    MIEN_TRY(mien__descriptor_set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1,
                                  &mode));
    if (by->device)
        MIEN_TRY(mien__descriptor_set(heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &by->device));
    MIEN_TRY(mien__descriptor_finalize(heuristics));
    int64_t room = 0, found = 0;
    MIEN_TRY(
        mien__cudnn_check(GET(heuristics, ENGINEHEUR_RESULTS, BACKEND_DESCRIPTOR, 0, &room, NULL),
                          "heuristics", __FILE__, __LINE__));
    if (room > PROPOSALS_MOST - p->count) room = PROPOSALS_MOST - p->count;
    int first = p->count;
    for (int64_t i = 0; i < room; i++) {
        mien__descriptor d = mien__descriptor_new(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
        if (!d) return mien_error_last()->code;
        p->list[p->count++] = d;
    }
    MIEN_TRY(mien__cudnn_check(
        GET(heuristics, ENGINEHEUR_RESULTS, BACKEND_DESCRIPTOR, room, &found, p->list + first),
        "heuristics", __FILE__, __LINE__));
    while (p->count > first + found) mien__descriptor_free(p->list[--p->count]);
    return MIEN_OK;
}

/* Notes the error recorded last, unless it is cuDNN's verdict that something is not supported: want
 * of memory before all others, else the first. */
static void note(mien_error *failure, mien_status status) {
    if (status == MIEN_OK || status == MIEN_ERR_UNSUPPORTED) return;
    bool first = failure->code == MIEN_OK;
    if (first || (status == MIEN_ERR_MEMORY && failure->code != status))
        *failure = *mien_error_last();
}

/* Mode A knows the shapes; FALLBACK names what works for anything. One may refuse. */
static void collect(const mien__planner *by, mien__descriptor graph, proposals *p,
                    mien_error *failure) {
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    for (int i = 0; i < 2; i++) {
        mien__descriptor heuristics = mien__descriptor_new(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
        note(failure,
             heuristics ? ask(by, graph, modes[i], heuristics, p) : mien_error_last()->code);
        mien__descriptor_free(heuristics);
    }
}

/* ---- what is not wanted ---------------------------------------------------------------------- */

/* Notes of the engine behind a configuration, as bits; its number. */
typedef struct engine_notes {
    unsigned numerical, behaviour;
    int64_t index;
} engine_notes;

static mien_status notes_of(mien__descriptor configuration, engine_notes *notes) {
    mien__descriptor engine = mien__descriptor_new(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    if (!engine) return mien_error_last()->code;
    int64_t count = 0;
    cudnnBackendNumericalNote_t numerical[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendBehaviorNote_t behaviour[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    *notes = (engine_notes){0};
    cudnnStatus_t status =
        GET(configuration, ENGINECFG_ENGINE, BACKEND_DESCRIPTOR, 1, &count, &engine);
    if (status == CUDNN_STATUS_SUCCESS) {
        GET(engine, ENGINE_GLOBAL_INDEX, INT64, 1, &count, &notes->index);
        if (GET(engine, ENGINE_NUMERICAL_NOTE, NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT,
                &count, numerical) == CUDNN_STATUS_SUCCESS)
            for (int64_t i = 0; i < count; i++) notes->numerical |= 1u << numerical[i];
        if (GET(engine, ENGINE_BEHAVIOR_NOTE, BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &count,
                behaviour) == CUDNN_STATUS_SUCCESS)
            for (int64_t i = 0; i < count; i++) notes->behaviour |= 1u << behaviour[i];
    }
    mien__descriptor_free(engine);
    return mien__cudnn_check(status, "engine of a configuration", __FILE__, __LINE__);
}

#define NUMERICAL(name) (1u << CUDNN_NUMERICAL_NOTE_##name)

/* Sums in less than f32 and Winograd's transforms cost digits; f32 alone must not be cut to TF32.
 */
static bool wanted(const mien__cudnn_conv_case *c, const engine_notes *notes) {
    unsigned never = NUMERICAL(REDUCED_PRECISION_REDUCTION) | NUMERICAL(WINOGRAD) |
                     NUMERICAL(WINOGRAD_TILE_4x4) | NUMERICAL(WINOGRAD_TILE_6x6) |
                     NUMERICAL(WINOGRAD_TILE_13x13);
    if (c->deterministic) never |= NUMERICAL(NONDETERMINISTIC);
    if (c->dtype == MIEN_F32) {
        never |= NUMERICAL(FFT);
        if (!c->tf32) never |= NUMERICAL(TENSOR_CORE) | NUMERICAL(DOWN_CONVERT_INPUTS);
    }
    bool at_run_time = notes->behaviour & 1u << CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
    return !(notes->numerical & never) && (!at_run_time || c->compile);
}

/* ---- one plan -------------------------------------------------------------------------------- */

void mien__plan_free(mien__plan *plan) {
    mien__descriptor_free(plan->plan);
    plan->plan = NULL;
}

/* The status is cuDNN's, so that callers can tell why not. */
cudnnStatus_t mien__plan_finish(const mien__planner *by, mien__plan *plan) {
    const mien__vendor *v = &mien__vendor_table;
    cudnnStatus_t status =
        by->device ? v->cudnnBackendSetAttribute(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &by->device)
                   : v->cudnnBackendSetAttribute(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE,
                                                 CUDNN_TYPE_HANDLE, 1, &by->handle);
    if (status == CUDNN_STATUS_SUCCESS) status = v->cudnnBackendFinalize(plan->plan);
    int64_t count = 0;
    if (status == CUDNN_STATUS_SUCCESS)
        status = GET(plan->plan, EXECUTION_PLAN_WORKSPACE_SIZE, INT64, 1, &count, &plan->workspace);
    return status;
}

static cudnnStatus_t plan_of(const mien__planner *by, mien__descriptor configuration,
                             const engine_notes *notes, mien__plan *plan) {
    *plan = (mien__plan){.plan = mien__descriptor_new(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)};
    if (!plan->plan) return CUDNN_STATUS_ALLOC_FAILED;
    cudnnStatus_t status = mien__vendor_table.cudnnBackendSetAttribute(
        plan->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
        &configuration);
    if (status == CUDNN_STATUS_SUCCESS) status = mien__plan_finish(by, plan);
    if (status != CUDNN_STATUS_SUCCESS) mien__plan_free(plan);
    snprintf(plan->name, sizeof plan->name, "cudnn:engine%lld", (long long)notes->index);
    return status;
}

/* ---- plans for a case, best first ------------------------------------------------------------ */

enum { WORKSPACE_MOST = 256 << 20 };

/* Plans of proposals; those whose workspace is large only when there is no other. Counts what
 * passes the filters, and what failed for want of a driver. */
static int make_plans(const mien__planner *by, const mien__cudnn_conv_case *c, const proposals *p,
                      mien__plan *plans, int most, mien__plan_counts *counts, mien_error *failure) {
    int found = 0;
    mien__plan large = {0};
    for (int i = 0; i < p->count && found < most; i++) {
        engine_notes notes;
        mien_status known = notes_of(p->list[i], &notes);
        note(failure, known);
        if (known != MIEN_OK || !wanted(c, &notes)) continue;
        counts->passing++;
        mien__plan plan;
        cudnnStatus_t status = plan_of(by, p->list[i], &notes, &plan);
        if (by->device && (status == CUDNN_STATUS_NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING ||
                           status == CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER)) {
            counts->without_driver++;
            break; /* the others take as long and end alike */
        }
        note(failure, mien__cudnn_check(status, plan.name, __FILE__, __LINE__));
        if (status != CUDNN_STATUS_SUCCESS) continue;
        if (plan.workspace <= WORKSPACE_MOST) {
            plans[found++] = plan;
        } else if (!large.plan) {
            large = plan;
        } else {
            mien__plan_free(&plan);
        }
    }
    if (found == 0 && large.plan)
        plans[found++] = large;
    else
        mien__plan_free(&large);
    return found;
}

mien_status mien__plans(const mien__planner *by, const mien__cudnn_conv_case *c, mien__plan *plans,
                        int most, mien__plan_counts *counts, int *found) {
    mien__graph graph;
    proposals p = {.count = 0};
    mien_error failure = {.code = MIEN_OK};
    char text[160];
    *counts = (mien__plan_counts){0};
    *found = 0;
    mien_status status = mien__graph_build(&graph, c, by->handle);
    if (status != MIEN_OK) return status == MIEN_ERR_UNSUPPORTED ? MIEN_OK : status;
    collect(by, graph.graph, &p, &failure);
    *found = make_plans(by, c, &p, plans, most, counts, &failure);
    proposals_free(&p);
    mien__graph_free(&graph);
    if (failure.code == MIEN_OK) return MIEN_OK;
    if (*found > 0 && failure.code != MIEN_ERR_MEMORY) {
        mien__notice(
            "cuda: an engine that cuDNN proposed for a convolution is passed over, the next "
            "may be slower and rounds in its own way: %s, %s (%s)",
            mien__cudnn_conv_text(c, text, sizeof text), failure.message, failure.cause);
        return MIEN_OK;
    }
    while (*found > 0) mien__plan_free(&plans[--*found]);
    return mien__fail_with(&failure);
}

const char *mien__cudnn_conv_text(const mien__cudnn_conv_case *c, char *buffer, size_t size) {
    snprintf(buffer, size, "input [%lld,%lld,%lld,%lld], weight [%lld,%lld,%lld,%lld] of %s",
             (long long)c->n, (long long)c->c, (long long)c->h, (long long)c->w, (long long)c->k,
             (long long)c->c, (long long)c->r, (long long)c->s,
             mien_dtype_name((mien_dtype)c->dtype));
    return buffer;
}

/* ---- the cache ------------------------------------------------------------------------------- */

/* Plans by case; a case that cuDNN does not support has an entry without plan. At ENTRIES_MOST the
 * half goes that was not used for longest: models have some hundreds of cases, so that happens when
 * shapes never repeat. A choice made in need is made anew, some times. */
enum { ENTRIES_MOST = 1024, WITH_CAPTURES_MOST = 2047, TRIES_MOST = 3 };
typedef struct entry {
    bool settled;
    int tries;
    mien__plan plan;
} entry;

static void drop_plan(void *value) {
    mien__plan_free(&((entry *)value)->plan);
}

static mien__cache entries = {.key_bytes = sizeof(mien__cudnn_conv_case),
                              .value_bytes = sizeof(entry),
                              .most = WITH_CAPTURES_MOST,
                              .drop = drop_plan};

/* Room for one more. A captured step may run any of them; else code goes with its plan, and what
 * was launched last may still run it. */
static mien_status make_room(void) {
    if (entries.count >= ENTRIES_MOST && mien__captures() == 0) {
        MIEN_CUDA(cudaStreamSynchronize(mien__cuda_context.stream));
        mien__cache_shrink(&entries, entries.count / 2);
    }
    if (entries.count == entries.most)
        MIEN_FAIL(MIEN_ERR_UNSUPPORTED,
                  "cuda: %d convolutions of different shapes while steps are captured; set "
                  "train.graph = false",
                  entries.count);
    return MIEN_OK;
}

/* The choice may be made anew a few times; after that it is for good. */
static void settle(entry *e, const mien__cudnn_conv_case *c, const char *in_need) {
    char text[160];
    e->settled = !in_need || ++e->tries == TRIES_MOST;
    if (in_need && e->settled)
        mien__notice("cuda: the engine for a convolution was not chosen by timing in this process, "
                     "since %s: %s",
                     in_need, mien__cudnn_conv_text(c, text, sizeof text));
}

/* *e NULL: the case is new. On failure it stays so, or with a plan that was chosen in need. */
static mien_status choose(const mien__planner *here, const mien__cudnn_conv_case *c,
                          const mien__cudnn_conv_data *data, entry **e) {
    mien__plan_counts counts;
    mien__plan made = {0};
    const char *in_need = NULL;
    int found = 0;
    mien_status status = mien_autotune() ? mien__tuned_plan(here, c, data, &made, &in_need)
                                         : mien__plans(here, c, &made, 1, &counts, &found);
    if (status != MIEN_OK && *e && mien__cuda_check() == MIEN_OK) {
        settle(*e, c, "the GPU's memory is short");
        return MIEN_OK;
    }
    MIEN_TRY(status);
    if (*e && mien__captures() == 0) {
        MIEN_CUDA(cudaStreamSynchronize(mien__cuda_context.stream));
        mien__plan_free(&(*e)->plan);
    } /* else a captured step may run the plan for as long as there is one */
    if (!*e && !(*e = mien__cache_add(&entries, c))) {
        mien__plan_free(&made);
        MIEN_FAIL(MIEN_ERR_MEMORY, "cuda: no memory for the cache of plans");
    }
    (*e)->plan = made;
    settle(*e, c, in_need);
    return MIEN_OK;
}

/* Under the lock. */
static mien_status find(const mien__planner *here, const mien__cudnn_conv_case *c,
                        const mien__cudnn_conv_data *data, mien__plan **plan) {
    char text[160];
    entry *e = mien__cache_find(&entries, c);
    if (!e) {
        MIEN_TRY(mien__not_recorded("it chooses an engine for a shape that is new"));
        MIEN_TRY(make_room());
    }
    if (!e || (!e->settled && !mien__recording())) MIEN_TRY(choose(here, c, data, &e));
    *plan = &e->plan;
    if (e->plan.plan) return MIEN_OK;
    MIEN_FAIL(MIEN_ERR_UNSUPPORTED, "cuda: cuDNN %d has no engine for this convolution: %s",
              mien__vendor_cudnn_version(), mien__cudnn_conv_text(c, text, sizeof text));
}

/* ---- running --------------------------------------------------------------------------------- */

static mien_status pack_of(const mien__cudnn_conv_data *data, void *workspace,
                           mien__descriptor pack) {
    void *all[] = {data->x, data->w, data->y, data->bias, data->residual};
    int64_t uids[5], n = 0;
    void *pointers[5];
    for (int i = 0; i < 5; i++) {
        if (!all[i]) continue;
        uids[n] = MIEN_UID_X + i;
        pointers[n++] = all[i];
    }
    MIEN_TRY(
        mien__descriptor_set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uids));
    MIEN_TRY(mien__descriptor_set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                                  n, pointers));
    MIEN_TRY(mien__descriptor_set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1,
                                  &workspace));
    return mien__descriptor_finalize(pack);
}

mien_status mien__plan_execute(const mien__planner *by, const mien__plan *plan,
                               const mien__cudnn_conv_data *data) {
    mien_storage *workspace = NULL;
    if (plan->workspace > 0 && !(workspace = mien__cuda_scratch((size_t)plan->workspace)))
        return mien_error_last()->code;
    mien__descriptor pack = mien__descriptor_new(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    mien_status status =
        pack ? pack_of(data, workspace ? workspace->data : NULL, pack) : mien_error_last()->code;
    if (status == MIEN_OK)
        status =
            mien__cudnn_check(mien__vendor_table.cudnnBackendExecute(by->handle, plan->plan, pack),
                              "cudnnBackendExecute", __FILE__, __LINE__);
    mien__descriptor_free(pack);
    mien__storage_release(workspace);
    return status;
}

mien_status mien__cudnn_conv_run(const mien__cudnn_conv_case *c, const mien__cudnn_conv_data *data,
                                 char *name) {
    MIEN_TRY(mien__cuda_check());
    mien__plan *plan = NULL;
    mien__planner here = {0};
    MIEN_TRY(mien__cudnn_lock(&here.handle));
    mien_status status = find(&here, c, data, &plan);
    if (status == MIEN_OK) status = mien__plan_execute(&here, plan, data);
    if (status == MIEN_OK && name) memcpy(name, plan->name, sizeof plan->name);
    mien__cudnn_unlock();
    return status;
}

/* ---- a device that is only described --------------------------------------------------------- */

static mien_status described(const char *json, mien__descriptor device) {
    MIEN_TRY(mien__descriptor_set(device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                  CUDNN_TYPE_CHAR, (int64_t)strlen(json), json));
    return mien__descriptor_finalize(device);
}

static bool reloads(const mien__planner *by, const mien__plan *plan) {
    int64_t length = 0;
    mien__plan again = {0};
    char *text = mien__plan_text(plan, &length);
    bool same = text && mien__plan_from_text(by, text, length, &again) &&
                again.workspace == plan->workspace;
    mien__plan_free(&again);
    free(text);
    return same;
}

mien_status mien__cudnn_conv_probe(const char *device_json, const mien__cudnn_conv_case *c,
                                   mien__cudnn_conv_support *support) {
    *support = (mien__cudnn_conv_support){0};
    MIEN_TRY(mien__vendor_open());
    mien__planner by = {.device = mien__descriptor_new(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)};
    if (!by.device) return mien_error_last()->code;
    mien_status status = described(device_json, by.device);
    if (status == MIEN_OK) {
        mien__plan plan = {0};
        mien__plan_counts counts;
        status = mien__plans(&by, c, &plan, 1, &counts, &support->finalised);
        support->configurations = counts.passing;
        support->at_run_time = !support->finalised && counts.without_driver > 0;
        support->workspace = plan.workspace;
        memcpy(support->engine, plan.name, sizeof support->engine);
        support->reloads = support->finalised && reloads(&by, &plan);
        mien__plan_free(&plan);
    }
    mien__descriptor_free(by.device);
    return status;
}
