/* What video*.c share: FFmpeg's words in errors, decoded frames to RGB, which way up they are.
 * Not here: anything for other folders (video.h, image.h). */
#ifndef MIEN_VIDEO_INNER_H
#define MIEN_VIDEO_INNER_H
#include "image.h"
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>

/* Keeps what FFmpeg would print; call before the first use in a function that reports errors. */
void mien__ffmpeg_listen(void);
/* Adds FFmpeg's last message, or the text of its error code, to the error recorded last. */
void mien__ffmpeg_cause(int code);
/* Did the file break off, although its end was reached without an error code? */
bool mien__ffmpeg_cut_short(const AVFormatContext *format);
/* Messages of errors that FFmpeg said about `context` since mien__ffmpeg_watch(context). */
void mien__ffmpeg_watch(const void *context);
int mien__ffmpeg_complaints(void);
/* Error: a picture or video that is too large to be read. */
mien_status mien__ffmpeg_size(const char *path, int width, int height);
/* A decoded frame as u8 [height,width,3] RGB; *scaler is made or reused. */
mien_tensor *mien__ffmpeg_rgb(const AVFrame *frame, int width, int height,
                              struct SwsContext **scaler);
/* How a video's frames are shown, and a picture file's pixels: EXIF's 1 to 8. 0: turned by an angle
 * that is no quarter. */
int mien__display_orientation(const AVStream *stream);
int mien__exif_orientation(const uint8_t *bytes, size_t n);
/* u8 [H,W,3] as it is shown; takes the image and gives it, or another in its place. */
mien_tensor *mien__upright(mien_tensor *image, int orientation);
#endif
