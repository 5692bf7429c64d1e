/* The loader: worker threads that read windows of a corpus, augment them and hand out batches in
 * order, pull-style. Not here: which windows, in which order (lua/mien/data). */
#ifndef MIEN_LOADER_H
#define MIEN_LOADER_H
#include "tensor/tensor.h"

/* cdef:begin */
typedef struct mien_loader mien_loader;

typedef struct mien_loader_config {
    int sequence;                           /* frames in a window (T) */
    int batch;                              /* windows in a batch (B) */
    int height, width;                      /* of what comes out */
    int resize_height, resize_width;        /* bilinear before cropping; 0: no resizing */
    int random_crop;                        /* 1: random offset, 0: centre */
    double brightness;                      /* largest shift, of 255: 32; 0: none */
    double saturation_low, saturation_high; /* factor range; 1, 1: none */
    int flip;                               /* 1: mirror with probability 1/2 */
    int per_frame;                          /* 1: a draw per frame, 0: per window */
    double mean[3], sd[3];                  /* out = (pixel/255 - mean) / sd, channels R, G, B */
    uint64_t seed;                          /* of stream "augment" */
    int64_t epoch;      /* epoch and position in the epoch give the counter: the same window at
                           the same place gets the same draw with any number of workers */
    int64_t first_step; /* resume: batches to leave out at the beginning */
    const int *lengths; /* frames of each of the n windows (copied), 1 to sequence; NULL: all have
                           `sequence`. A shorter one is filled up with its last frame, whose labels
                           there are NaN, or class -1 */
    int workers;        /* threads; at least 1 */
    int keep_last;      /* 1: the last batch may be smaller, 0: it is dropped */
    mien_device device; /* of frames. On a GPU they are as stored, with their draws, for the op
                           `augment`; the next batch comes there while this one is used */
} mien_loader_config;

/* Reads frames u8 [N,H,W,3] and labels f32 [N,K] (or i32 [N]) of the corpus file at `path`.
 * starts: n 0-based first frames of windows, in the order wanted (copied).
 * NULL: bad file or configuration, or a window outside [0, N). */
mien_loader *mien_loader_new(const char *path, const int64_t *starts, int64_t n,
                             const mien_loader_config *config);
/* The next batch: frames f32 [B,T,3,H,W], labels [B,T,K] (or i32 [B,T]), new references, and the
 * start frame of each window in starts[B]; on a GPU frames are u8 [B,T,h,w,3], and draws f32
 * [B*T,5], there too, is what the op `augment` takes with them, else NULL. draws and starts may be
 * NULL.
 * 1: a batch; 0: the end; -1: an error. */
int mien_loader_next(mien_loader *loader, mien_tensor **frames, mien_tensor **labels,
                     mien_tensor **draws, int64_t *starts);
int64_t mien_loader_batches(const mien_loader *loader);
/* Why batches go to the GPU only when they are asked for: no memory could be pinned. Else NULL. */
const char *mien_loader_unpinned(const mien_loader *loader);
/* Stops the workers; NULL is allowed. */
void mien_loader_close(mien_loader *loader);
/* Seconds that `next` has waited for workers: what the loader cost the step. */
double mien_loader_waited(const mien_loader *loader);
/* Frames u8 [N,h,w,3] in the host's memory as a loader gives them that does not augment: f32
 * [N,3,height,width], resized, cut out of the middle and scaled as size, resize_*, mean and sd of
 * `config` say, to the same bits. NULL: another shape, or a bad configuration. */
mien_tensor *mien_frames_render(mien_tensor *frames, const mien_loader_config *config);
/* cdef:end */
#endif
