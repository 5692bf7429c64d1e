/* What the files of the executable share. Not here: anything libmien.so offers (host.h). */
#ifndef MIEN_LUA_HOST_H
#define MIEN_LUA_HOST_H
#include <lua.h>
#include <stdbool.h>

/* require "mien.host": line editing, interrupts, places. */
int mien__luaopen_host(lua_State *L);

/* Takes over SIGINT, SIGTERM and SIGHUP and starts the watchdog, which acts when a wish to stop is
 * not honoured: a hook raises an error in interpreted Lua, and where nothing comes to a hook or a
 * poll the process ends with status 128 + signal (watch.h: after which time, and what is said).
 * Honoured means: somebody called mien_interrupt_clear. A second signal ends it at once. */
void mien__interrupt_start(lua_State *L);
/* From here on nothing is left to interrupt: the program is closing. */
void mien__interrupt_stop(void);
/* The wish is honoured: what follows saves what there is. The signal is remembered, for the exit
 * status and as the first of two. */
void mien__interrupt_honour(void);
/* Forgets earlier signals, too: an evaluation of the REPL begins. */
void mien__interrupt_reset(void);
/* The signal that asked last, 0 when none did since the last reset. */
int mien__interrupt_signal(void);
/* The function on top of the stack makes the error the hook raises; popped. */
void mien__interrupt_raiser(lua_State *L);

typedef enum mien_line { MIEN_LINE_TEXT = 0, MIEN_LINE_END, MIEN_LINE_ABANDONED } mien_line;
/* Candidates for the word before the cursor: replaces text[start..cursor) (0-based bytes).
 * Returns how many; text i is valid until the next call. */
typedef struct mien_completer {
    int (*candidates)(void *context, const char *text, int cursor, int *start);
    const char *(*candidate)(void *context, int i);
    void *context;
} mien_completer;
/* Reads one line from the terminal into *text (without its newline, valid until the next call). */
mien_line mien__edit_read(const char *prompt, const mien_completer *completer, const char **text);
/* History: at most 5000 entries, newest last; false when the file could not be read or written. */
void mien__edit_history_add(const char *text);
bool mien__edit_history_load(const char *path);
bool mien__edit_history_save(const char *path);
/* Ends line editing, gives the terminal back. */
void mien__edit_end(void);
#endif
