/* Plans as plan.c and tune.c share them.
 * Not here: what the backend's ops use (plan.h). */
#ifndef MIEN_PLANNER_H
#define MIEN_PLANNER_H
#include "graph.h"

/* For whom plans are made: a device with its handle, or (handle NULL) one that is described. */
typedef struct mien__planner {
    cudnnHandle_t handle;
    mien__descriptor device;
} mien__planner;

typedef struct mien__plan {
    mien__descriptor plan; /* NULL: none */
    int64_t workspace;     /* bytes */
    char name[64];         /* "cudnn:engine38" */
} mien__plan;

typedef struct mien__plan_counts {
    int passing;        /* configurations that pass the filters, as far as they were looked at */
    int without_driver; /* of these, what only lacked a driver to load its code */
} mien__plan_counts;

/* Up to `most` plans that pass the filters, best first, *found of them; 0: cuDNN does not support
 * the case. What kept it from saying so, or an engine from having its plan, may pass: want of
 * memory is an error, anything else is one where no plan came out, else a notice. */
mien_status mien__plans(const mien__planner *by, const mien__cudnn_conv_case *c, mien__plan *plans,
                        int most, mien__plan_counts *counts, int *found);
void mien__plan_free(mien__plan *plan);
/* "input [2,4,8,8], weight [4,4,1,1] of f32" into a caller's buffer; returns it. */
const char *mien__cudnn_conv_text(const mien__cudnn_conv_case *c, char *buffer, size_t size);
/* After the engine configuration or the JSON form was set. */
cudnnStatus_t mien__plan_finish(const mien__planner *by, mien__plan *plan);
mien_status mien__plan_execute(const mien__planner *by, const mien__plan *plan,
                               const mien__cudnn_conv_data *data);

/* A plan as cuDNN writes it, to be freed, and back; NULL and false when cuDNN refuses. The text
 * must come from the same version of cuDNN for the same device: others may crash it. */
char *mien__plan_text(const mien__plan *plan, int64_t *length);
bool mien__plan_from_text(const mien__planner *by, const char *text, int64_t length,
                          mien__plan *plan);

/* The fastest of several plans, from the cache folder or by timing on `data`, whose result is
 * overwritten. plan->plan NULL: cuDNN does not support the case. *in_need: why the choice is only
 * for now, and not on disk; NULL: it is for good. */
mien_status mien__tuned_plan(const mien__planner *by, const mien__cudnn_conv_case *c,
                             const mien__cudnn_conv_data *data, mien__plan *plan,
                             const char **in_need);
#endif
