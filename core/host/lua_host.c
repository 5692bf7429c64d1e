/* require "mien.host": what Lua needs of the executable and no plain library can give.
 * Not here: terminal size and child processes (host.h, through FFI). */
#include "lua_host.h"
#include "host.h"
#include <lauxlib.h>
#include <unistd.h>

/* ---- completion: the Lua function (line, cursor) -> list, 1-based start of the word ---------- */

typedef struct completion {
    lua_State *L;
    int function; /* stack index */
    int list;     /* stack index of the last answer */
} completion;

static int candidates(void *context, const char *text, int cursor, int *start) {
    completion *c = context;
    lua_State *L = c->L;
    lua_settop(L, c->list - 1);
    lua_pushvalue(L, c->function);
    lua_pushstring(L, text);
    lua_pushinteger(L, cursor);
    if (lua_pcall(L, 2, 2, 0) != 0 || !lua_istable(L, -2)) {
        lua_settop(L, c->list - 1);
        return 0;
    }
    *start = (int)lua_tointeger(L, -1) - 1;
    lua_pop(L, 1);
    return *start >= 0 && *start <= cursor ? (int)lua_objlen(L, c->list) : 0;
}

static const char *candidate(void *context, int i) {
    completion *c = context;
    lua_rawgeti(c->L, c->list, i + 1);
    const char *text = lua_tostring(c->L, -1); /* the list keeps it alive */
    lua_pop(c->L, 1);
    return text ? text : "";
}

/* readline(prompt, completer or nil) -> text | nil at the end of input | false after Ctrl-C */
static int host_readline(lua_State *L) {
    const char *prompt = luaL_checkstring(L, 1), *text = NULL;
    lua_settop(L, 2);
    completion c = {L, 2, 3};
    mien_completer completer = {candidates, candidate, &c};
    bool completes = lua_isfunction(L, 2);
    mien_line line = mien__edit_read(prompt, completes ? &completer : NULL, &text);
    if (line == MIEN_LINE_TEXT)
        lua_pushstring(L, text);
    else if (line == MIEN_LINE_END)
        lua_pushnil(L);
    else
        lua_pushboolean(L, 0);
    return 1;
}

/* ---- history --------------------------------------------------------------------------------- */

static int host_history_add(lua_State *L) {
    mien__edit_history_add(luaL_checkstring(L, 1));
    return 0;
}

/* history_load(path), history_save(path) -> true or false */
static int host_history_load(lua_State *L) {
    lua_pushboolean(L, mien__edit_history_load(luaL_checkstring(L, 1)));
    return 1;
}

static int host_history_save(lua_State *L) {
    lua_pushboolean(L, mien__edit_history_save(luaL_checkstring(L, 1)));
    return 1;
}

static int host_edit_end(lua_State *L) {
    mien__edit_end();
    return 0;
}

/* ---- interrupts ------------------------------------------------------------------------------ */

/* on_interrupt(function): makes the error that Ctrl-C raises in interpreted Lua. */
static int host_on_interrupt(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    mien__interrupt_raiser(L);
    return 0;
}

/* interrupt_honour(): somebody stops because of the signal; it is remembered. */
static int host_interrupt_honour(lua_State *L) {
    mien__interrupt_honour();
    return 0;
}

/* interrupt_reset(): forgets earlier signals; a new evaluation begins. */
static int host_interrupt_reset(lua_State *L) {
    mien__interrupt_reset();
    return 0;
}

/* interrupt_signal() -> number of the signal that asked to stop, 0 without. */
static int host_interrupt_signal(lua_State *L) {
    lua_pushinteger(L, mien__interrupt_signal());
    return 1;
}

static int host_terminal(lua_State *L) {
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

int mien__luaopen_host(lua_State *L) {
    static const luaL_Reg functions[] = {{"readline", host_readline},
                                         {"history_add", host_history_add},
                                         {"history_load", host_history_load},
                                         {"history_save", host_history_save},
                                         {"edit_end", host_edit_end},
                                         {"on_interrupt", host_on_interrupt},
                                         {"interrupt_honour", host_interrupt_honour},
                                         {"interrupt_reset", host_interrupt_reset},
                                         {"interrupt_signal", host_interrupt_signal},
                                         {"terminal", host_terminal},
                                         {NULL, NULL}};
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    lua_pushliteral(L, MIEN_VERSION);
    lua_setfield(L, -2, "version");
    lua_getfield(L, LUA_REGISTRYINDEX, "mien.root");
    lua_setfield(L, -2, "root");
    return 1;
}
