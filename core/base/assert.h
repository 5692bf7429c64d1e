/* What comments promise, looked at in debug builds (MIEN_DEBUG): a defect of mien ends the process
 * where it is seen, with the words that were not true.
 * Not here: what callers may get wrong, which is an error (MIEN_FAIL). */
#ifndef MIEN_ASSERT_H
#define MIEN_ASSERT_H
#include <stdbool.h>

#ifdef MIEN_DEBUG
#ifdef __cplusplus
extern "C" {
#endif
__attribute__((noreturn)) void mien__broken(const char *promise, const char *file, int line);
/* Is this the thread that runs Lua, and with it ops, the tape, optimisers and captures? The first
 * that asks is taken for it. */
bool mien__on_lua_thread(void);
#ifdef __cplusplus
}
#endif
#define MIEN_ASSERT(promise)     ((promise) ? (void)0 : mien__broken(#promise, __FILE__, __LINE__))
#define MIEN_ASSERT_LUA_THREAD() MIEN_ASSERT(mien__on_lua_thread())
#else
#define MIEN_ASSERT(promise)     ((void)sizeof((promise) ? 1 : 0)) /* compiled, never run */
#define MIEN_ASSERT_LUA_THREAD() ((void)0)
#endif
#endif
