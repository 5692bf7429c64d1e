/* Video files, frame by frame through FFmpeg's libraries.
 * Not here: writing video, sound. */
#ifndef MIEN_VIDEO_H
#define MIEN_VIDEO_H
#include "tensor/tensor.h"

/* cdef:begin */
typedef struct mien_video mien_video;
typedef struct mien_video_info {
    int width, height; /* as it is shown: upright, with square pixels */
    double fps;        /* frames a second, by the frames' own times; 0 when unknown */
    double duration;   /* seconds; 0 when unknown */
    int64_t frames;    /* as the container says; 0 when unknown */
    int64_t resized;   /* frames so far that had another size and were brought to this one */
} mien_video_info;

/* A file, never an address: "http:x.mp4" is one, too, and a playlist in it reaches files alone.
 * NULL: missing, no video stream, broken, too large, or built without FFmpeg. */
mien_video *mien_video_open(const char *path);
void mien_video_get_info(const mien_video *video, mien_video_info *info);
/* The next frame u8 [H,W,3] RGB (a new reference) and its presentation time in seconds
 * from the beginning of the file's clock. 1: a frame; 0: the end; -1: an error (what could be
 * decoded before was given: a file that is damaged or breaks off ends with one, which counts what
 * is missing). */
int mien_video_next(mien_video *video, mien_tensor **frame, double *time);
void mien_video_close(mien_video *video);
/* cdef:end */
#endif
