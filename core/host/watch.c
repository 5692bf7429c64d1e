/* Decides whether a program that was asked to stop gets more time, and says why not.
 * Not here: signals and the hook (lua_interrupt.c), which calls say what they do (base/call.h).
 */
#include "watch.h"

#include <stdio.h>

/* Loops over short calls look as if they were inside one: only the same call twice is a long one.
 */
static bool long_call(mien__watch *watch, const mien__look *look) {
    bool same = look->doing && look->begun == watch->call;
    watch->inside = same ? watch->inside + MIEN__LOOK : 0;
    watch->call = look->begun;
    return same;
}

static mien__answer wait_for_call(mien__watch *watch, const mien__look *look) {
    double limit = look->writes ? MIEN__WRITING : MIEN__INSIDE;
    if (watch->inside >= limit) {
        snprintf(watch->why, sizeof watch->why,
                 "stopped inside a call that did not come back in %.0f s: %s. %s", limit,
                 look->doing,
                 look->writes ? "The file that it wrote is not whole; under its own name the one "
                                "from before stays"
                              : "No file was being written; what was saved before stays");
        return MIEN__END;
    }
    if (watch->told || watch->inside < MIEN__ELSEWHERE) return MIEN__WAIT;
    watch->told = true;
    snprintf(watch->why, sizeof watch->why,
             "stops after what is under way: %s (once more ends it at once)", look->doing);
    return MIEN__TELL;
}

mien__answer mien__watch_look(mien__watch *watch, mien__look look) {
    if (long_call(watch, &look)) return wait_for_call(watch, &look);
    watch->elsewhere += MIEN__LOOK;
    /* Half a look more than the limit is less than one look late. */
    if (watch->elsewhere < (look.raised ? MIEN__CAUGHT : MIEN__ELSEWHERE) - MIEN__LOOK / 2)
        return MIEN__POKE;
    snprintf(watch->why, sizeof watch->why, "%s; what was saved before stays",
             look.raised ? "stopped; the error \"interrupted\" was raised, and the code went on"
                         : "stopped; the code that ran does not look for Ctrl-C: a compiled loop, "
                           "or a library that is not mien's");
    return MIEN__END;
}
