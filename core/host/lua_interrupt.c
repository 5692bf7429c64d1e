/* Ctrl-C, SIGTERM and SIGHUP: a polite wish first, an error in interpreted Lua next, the end of the
 * process last. Not here: who honours the wish (ops, loader, lua/mien/train), how long each of them
 * gets (watch.c). */
#include "lua_host.h"
#include "host.h"
#include "base/call.h"
#include "watch.h"
#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* lua_sethook belongs to the thread that runs Lua; the watchdog asks for it with this signal. */
#define SIGNAL_HOOK (SIGRTMIN + 1)

static lua_State *state;
static pthread_t main_thread;
static mien__calls *calls; /* of the thread that runs Lua */
static sem_t wake;
static atomic_int last_signal;
static atomic_bool closing, raised;
static int raiser = LUA_NOREF;

static void raise_interrupt(lua_State *L, lua_Debug *ar) {
    lua_sethook(L, NULL, 0, 0);
    if (!mien_interrupt_requested()) return; /* honoured meanwhile */
    atomic_store(&raised, true);
    if (raiser != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, raiser);
        lua_call(L, 0, 0);
    }
    luaL_error(L, "interrupted");
}

static void set_hook(int signal) {
    int saved = errno;
    lua_sethook(state, raise_interrupt, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
    errno = saved;
}

static void print(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) return; /* nobody is there to read it */
}

static void print_and_end(const char *text, int signal) {
    print(text);
    _exit(128 + signal);
}

static void on_signal(int signal) {
    int saved = errno;
    /* The second time, or while closing: nobody should have to wait. */
    if (atomic_load(&closing) || atomic_exchange(&last_signal, signal) != 0)
        print_and_end("\nmien: stopped\n", signal);
    mien_interrupt_request();
    sem_post(&wake);
    errno = saved;
}

static void nap(double seconds) {
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

/* From a signal until it was honoured, or the end of the process. */
static void watch_once(void) {
    mien__watch watch = {0};
    for (;;) {
        nap(MIEN__LOOK);
        if (!mien_interrupt_requested() || atomic_load(&closing)) return;
        const char *doing = atomic_load(&calls->doing);
        mien__answer answer = mien__watch_look(
            &watch, (mien__look){doing, atomic_load(&calls->writes), atomic_load(&calls->begun),
                                 atomic_load(&raised)});
        char text[sizeof watch.why + 16];
        snprintf(text, sizeof text, "\nmien: %s\n", watch.why);
        if (answer == MIEN__TELL) print(text);
        if (answer == MIEN__END) print_and_end(text, atomic_load(&last_signal));
        /* What clears up after the error is not broken off by another one. */
        if (answer == MIEN__POKE && !atomic_load(&raised)) pthread_kill(main_thread, SIGNAL_HOOK);
    }
}

static void *watch(void *unused) {
    for (;;) {
        while (sem_wait(&wake) != 0) {
        }
        watch_once();
    }
    return NULL;
}

void mien__interrupt_start(lua_State *L) {
    state = L;
    main_thread = pthread_self();
    calls = mien__calls_here();
    sem_init(&wake, 0, 0);
    struct sigaction action = {.sa_handler = set_hook}, before;
    sigaction(SIGNAL_HOOK, &action, NULL);
    /* The watchdog must not be the thread that a signal interrupts. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_t watchdog;
    if (pthread_create(&watchdog, NULL, watch, NULL) == 0) pthread_detach(watchdog);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    action.sa_handler = on_signal; /* without SA_RESTART: a blocking read comes back */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    /* A lost terminal asks to stop, unless nohup has said that it should not. */
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
}

void mien__interrupt_stop(void) {
    atomic_store(&closing, true);
    lua_sethook(state, NULL, 0, 0);
}

void mien__interrupt_honour(void) {
    mien_interrupt_clear();
    lua_sethook(state, NULL, 0, 0);
    atomic_store(&raised, false);
}

void mien__interrupt_reset(void) {
    atomic_store(&last_signal, 0);
    mien__interrupt_honour();
}

int mien__interrupt_signal(void) {
    return atomic_load(&last_signal);
}

void mien__interrupt_raiser(lua_State *L) {
    luaL_unref(L, LUA_REGISTRYINDEX, raiser);
    raiser = luaL_ref(L, LUA_REGISTRYINDEX);
}
