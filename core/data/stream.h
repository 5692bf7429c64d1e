/* The frames of a video with the faces in them: decoded and searched by threads of their own, given
 * in order. Not here: decoding (video.h), detectors (face.h), who is who (lua/mien/data/link.lua).
 */
#ifndef MIEN_STREAM_H
#define MIEN_STREAM_H
#include "face.h"
#include "video.h"

/* cdef:begin */
typedef struct mien_stream_frame {
    mien_tensor *image; /* u8 [H,W,3], a new reference */
    double time;        /* presentation time in seconds */
    bool cut;           /* the camera cut before it */
    int count;
    mien_face faces[32]; /* the largest first */
} mien_stream_frame;

typedef struct mien_stream mien_stream;
/* Takes the frames of a video, which belongs to the stream until that is closed, as the detector
 * does. detector: NULL searches nothing but cuts. smallest: as mien_face_detect takes it. every:
 * frames from one search of the whole picture to the next; between them faces are looked for where
 * they were. threads: 0 does all in mien_stream_next, 1 decodes and searches beside the caller. The
 * frames and faces are the same. */
mien_stream *mien_stream_open(mien_video *video, mien_face_detector *detector, int smallest,
                              int every, int threads);
/* 1: a frame; 0: the end; -1: an error (see mien_video_next). */
int mien_stream_next(mien_stream *stream, mien_stream_frame *frame);
/* Ends its threads; frames that nobody took are released. */
void mien_stream_close(mien_stream *stream);
/* cdef:end */
#endif
