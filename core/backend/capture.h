/* Captures: a whole step noted by the GPU once and done again with one launch.
 * Not here: who decides what a step is (lua/mien/device/capture.lua), the GPU's side of it (cuda/).
 */
#ifndef MIEN_CAPTURE_H
#define MIEN_CAPTURE_H
#include "../optim/optim.h"

/* cdef:begin */
/* Everything that a capture uses stays where it was while it was recorded: what is outside of it is
 * held, what it makes comes from memory that is the capture's own. Numbers of
 * the host that change from step to step are known by who asks for them: those of the optimisers
 * and of dropout are set anew before a replay, all others stay as they were. */
typedef struct mien_capture mien_capture;

/* NULL with an error: no GPU, or one that cannot. beside: another capture whose memory this one
 * uses too, or NULL. Then a replay of one spoils what others made, also in runs without `record`:
 * their outputs, and whatever else the step leaves behind. */
mien_capture *mien_capture_new(const mien_capture *beside);
/* From here to `leave` new memory of the GPU is the capture's own; a visit that an error cut short
 * ends first. record: what is given to the GPU
 * is noted and not done, and what needs an answer from it (a number read back, more memory, a
 * choice by timing) is an error that names it: run the same step twice without `record` first. */
mien_status mien_capture_enter(mien_capture *capture, bool record);
/* keep: what was recorded can be replayed from now on; otherwise it is forgotten. */
mien_status mien_capture_leave(mien_capture *capture, bool keep);
/* The update that was recorded with `hyper` (the same address) is step `step` at the next replay,
 * with the learning rate and the divisor that hyper has now. */
mien_status mien_capture_adam(mien_capture *capture, const mien_adam *hyper, int64_t step);
mien_status mien_capture_sgd(mien_capture *capture, const mien_sgd *hyper);
/* Dropouts of this seed and stream draw, at the next replay, `blocks` Philox counters behind those
 * that they were recorded with. */
mien_status mien_capture_draws(mien_capture *capture, double seed, double stream, double blocks);
/* Recorded dropouts of streams that mien_capture_draws was not told of. */
int mien_capture_strays(const mien_capture *capture);
/* Does nobody but captures have a tensor any more that was recorded? It was freed, or has moved. */
bool mien_capture_stale(const mien_capture *capture);
/* Does the step again; returns before it is done. */
mien_status mien_capture_replay(mien_capture *capture);
/* Replays so far. */
int64_t mien_capture_replays(const mien_capture *capture);
/* NULL is allowed. */
void mien_capture_free(mien_capture *capture);
/* cdef:end */

/* ---- for backends ---------------------------------------------------------------------------- */

typedef enum mien__feed_kind { MIEN_FEED_ADAM, MIEN_FEED_SGD, MIEN_FEED_DRAWS } mien__feed_kind;
/* What a recorded launch reads anew at each replay. */
typedef union mien__feed {
    double adam[4]; /* see mien__adam_numbers */
    double sgd[2];
    uint64_t counter; /* of Philox */
} mien__feed;

/* The place in device memory of a feed for the launch that is being recorded, of the update with
 * the address `hyper`, or of the dropout of seed and stream; `first` is what it holds at the first
 * replay. NULL when nothing is being recorded (then numbers are arguments of the launch), or, with
 * *failed, when there is no room. */
const mien__feed *mien__capture_feed(mien__feed_kind kind, const void *hyper, double seed,
                                     double stream, const mien__feed *first, bool *failed);
/* Is a recording under way? */
bool mien__recording(void);
/* Number of the visit (`enter` to `leave`) that is under way; 0: none. Copies that are kept with
 * weights must not pass from one to another: their memory is used again. */
uint64_t mien__visit(void);
/* An error that names the running op when a recording is under way. */
mien_status mien__not_recorded(const char *what);
/* Captures that exist: what they run must not be unloaded. */
int mien__captures(void);
#endif
