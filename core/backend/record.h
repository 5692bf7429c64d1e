/* A step that a device notes instead of doing it, as backends see it: the table of a device that
 * can, numbers that each replay reads anew, and what a recorded step must not do.
 * Not here: captures, which decide when (run/capture.h). */
#ifndef MIEN_RECORD_H
#define MIEN_RECORD_H
#include "base/status.h"

/* All NULL where a device records nothing. */
typedef struct mien__recorder {
    /* From here on what is launched is noted, not done; first of all that `bytes` go from pinned
     * memory to the device. */
    mien_status (*begin)(void *to, const void *from, size_t bytes);
    /* Ends that and gives, with keep, what `replay` launches. */
    mien_status (*end)(bool keep, void **made);
    mien_status (*replay)(void *made);
    /* Until the last launch is done. */
    mien_status (*wait)(void *made);
    void (*free)(void *made);
} mien__recorder;

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
/* Number of the visit (mien_capture_enter to `leave`) that is under way; 0: none. Copies that are
 * kept with weights must not pass from one to another: their memory is used again. */
uint64_t mien__visit(void);
/* An error that names the running op when a recording is under way. */
mien_status mien__not_recorded(const char *what);
/* Captures that exist: what they run must not be unloaded. */
int mien__captures(void);

/* ---- for run/capture.c ----------------------------------------------------------------------- */

enum { MIEN__FEEDS_MOST = 1024 };

/* The numbers that a step is fed. */
typedef struct mien__feeds {
    const mien__feed *there; /* on the device */
    mien__feed *here;        /* and in pinned memory, from where each replay takes them */
    int n;
    struct mien__fed {
        mien__feed_kind kind;
        const void *hyper;
        double seed, stream;
        uint64_t counter; /* when it was recorded */
        bool known;       /* mien_capture_draws was told of the stream */
    } list[MIEN__FEEDS_MOST];
} mien__feeds;

/* What is under way; one at a time, by one thread. */
extern struct mien__under_way {
    mien__feeds *feeds; /* of the recording; NULL: none */
    uint64_t visit;     /* 0 outside of all */
    int captures;
} mien__under_way;
#endif
