/* The executable: a LuaJIT state, the paths to its Lua, and the call of lua/mien/cli.
 * Not here: commands and options (lua/mien/cli), signals (lua_interrupt.c), mien.host (lua_host.c).
 */
#include "lua_host.h"
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <locale.h>
#include <lualib.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[PATH_MAX];    /* holds lua/: the source tree, or PREFIX/share/mien */
static char library[PATH_MAX]; /* the folder of what the build generated in Lua */

static bool readable(const char *path) {
    return access(path, R_OK) == 0;
}

/* In a build folder Lua lies in ../lua, and what the build generated in lua; an installed bin/mien
 * has both in ../share/mien/lua. */
static bool find_places(void) {
    char self[PATH_MAX], path[PATH_MAX + 32];
    if (!realpath("/proc/self/exe", self)) return false;
    *strrchr(self, '/') = 0;
    snprintf(path, sizeof path, "%s/../lua/mien/cli", self);
    bool in_build = readable(path);
    snprintf(path, sizeof path, in_build ? "%s/.." : "%s/../share/mien", self);
    if (!realpath(path, root)) return false;
    int n = snprintf(library, sizeof library, "%s/lua", in_build ? self : root);
    return n > 0 && (size_t)n < sizeof library;
}

/* The standard paths stay behind ours, for cjson and argparse; a bundle carries such modules beside
 * what the build generated. */
static void set_paths(lua_State *L) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s/lua/?.lua;%s/lua/?/init.lua;%s/?.lua;%s/?.lua;%s", root, root, library,
                    root, lua_tostring(L, -1));
    lua_setfield(L, -3, "path");
    lua_getfield(L, -2, "cpath");
    lua_pushfstring(L, "%s/?.so;%s", library, lua_tostring(L, -1));
    lua_setfield(L, -4, "cpath");
    lua_pop(L, 2);
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, mien__luaopen_host);
    lua_setfield(L, -2, "mien.host");
    lua_pop(L, 2);
    lua_pushstring(L, root);
    lua_setfield(L, LUA_REGISTRYINDEX, "mien.root");
}

static int traceback(lua_State *L) {
    if (!lua_isstring(L, 1)) return 1;
    luaL_traceback(L, L, lua_tostring(L, 1), 1);
    return 1;
}

/* arg: the words of the command line, as lua(1) gives them to scripts. */
static int run(lua_State *L) {
    int argc = (int)lua_tointeger(L, 1);
    char **argv = lua_touserdata(L, 2);
    lua_createtable(L, argc, 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
    lua_setglobal(L, "arg");
    lua_getglobal(L, "require");
    lua_pushliteral(L, "mien.cli");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    lua_getglobal(L, "arg");
    lua_call(L, 1, 1);
    return 1;
}

/* A closed standard stream would be the place of the next file that is opened, and print into it.
 */
static void fill_streams(void) {
    int fd;
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO) {
    }
    if (fd >= 0) close(fd);
}

/* What was printed must have arrived, unless its reader wants no more. */
static int flush_output(int code) {
    errno = 0;
    bool arrived = fflush(stdout) == 0 && !ferror(stdout);
    int problem = errno;
    struct pollfd output = {STDOUT_FILENO, POLLOUT, 0};
    if (arrived || (poll(&output, 1, 0) == 1 && output.revents & POLLERR)) return code;
    fprintf(stderr, "mien: not all of the output could be written: %s\n",
            problem ? strerror(problem) : "standard output refused it");
    return code == 0 ? 1 : code;
}

int main(int argc, char **argv) {
    setlocale(LC_CTYPE, ""); /* line editing; numbers stay in the C locale */
    /* A reader that went away and a limit on the size of files are errors of the write. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    fill_streams();
    if (!find_places()) {
        fprintf(stderr, "mien: no Lua files beside the executable (is /proc mounted?)\n");
        return 1;
    }
    lua_State *L = luaL_newstate();
    if (!L) {
        fprintf(stderr, "mien: no memory for LuaJIT\n");
        return 1;
    }
    luaL_openlibs(L);
    set_paths(L);
    mien__interrupt_start(L);
    lua_pushcfunction(L, traceback);
    lua_pushcfunction(L, run);
    lua_pushinteger(L, argc);
    lua_pushlightuserdata(L, argv);
    int code = 1;
    if (lua_pcall(L, 2, 1, 1) == 0)
        code = (int)lua_tointeger(L, -1);
    else {
        const char *text = lua_tostring(L, -1);
        fprintf(stderr, "mien: %s\n", text ? text : "an error that is no text");
    }
    mien__interrupt_stop();
    lua_close(L);
    return flush_output(code);
}
