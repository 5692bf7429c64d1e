/* What becomes of a program that was asked to stop: one look after the other, no clocks, no
 * signals. Not here: when it is looked at, and what ends it (lua_interrupt.c). */
#ifndef MIEN_WATCH_H
#define MIEN_WATCH_H
#include <stdbool.h>

#define MIEN__LOOK      0.3 /* seconds between two looks */
#define MIEN__ELSEWHERE 1.5 /* seconds that code may take which never comes to a hook or poll */
#define MIEN__CAUGHT    4.5 /* seconds to clear up after the error "interrupted" was raised */
#define MIEN__INSIDE    60  /* seconds for one call of mien's that does not look for the wish */
#define MIEN__WRITING   600 /* the same while it writes a file */

/* What is seen at one look. */
typedef struct mien__look {
    const char *doing; /* of mien__calls */
    bool writes;
    unsigned long begun;
    bool raised; /* the hook was reached, and raised the error */
} mien__look;

/* All zero at first. */
typedef struct mien__watch {
    double elsewhere, inside; /* seconds outside of calls, or in the call that is under way */
    unsigned long call;       /* its number */
    bool told;
    char why[320]; /* what to tell the user, or why the program ends */
} mien__watch;

typedef enum mien__answer {
    MIEN__WAIT, /* a call is under way */
    MIEN__TELL, /* the same; `why` should be said now */
    MIEN__POKE, /* ask Lua for its hook */
    MIEN__END   /* nothing else helps; `why` says what was in the way */
} mien__answer;

/* One look, MIEN__LOOK seconds after the one before or after the signal. */
mien__answer mien__watch_look(mien__watch *watch, mien__look look);
#endif
