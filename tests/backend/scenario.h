/* Scenarios: tests in a process of their own each, which may open a plugin as the GPU.
 * Not here: the tests (test_device.c, test_prefetch.c), which include cmocka before this. */
#ifndef MIEN_TEST_SCENARIO_H
#define MIEN_TEST_SCENARIO_H
#include <dlfcn.h> /* the test defines _GNU_SOURCE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/status.h"

/* In a scenario: ends its process with the line that did not hold. */
#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s; the last error: %s; cause: %s\n", __FILE__, __LINE__,      \
                    #condition, mien_error_last()->message, mien_error_last()->cause);             \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
#define SAYS(words) HOLDS(strstr(mien_error_last()->message, words))

enum { SKIPPED = 77 };

static inline void scenario(void (*run)(void)) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        run();
        fflush(NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) skip();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A file beside libmien.so. */
static inline const char *beside(const char *name) {
    static char path[4096];
    Dl_info core;
    HOLDS(dladdr((void *)mien_error_last, &core));
    const char *slash = strrchr(core.dli_fname, '/');
    int folder = slash ? (int)(slash - core.dli_fname) + 1 : 0;
    snprintf(path, sizeof path, "%.*s%s", folder, core.dli_fname, name);
    return path;
}

/* One of the fake GPUs as the one that will be opened. */
static inline void *fake_gpu(const char *name) {
    setenv("MIEN_CUDA_LIBRARY", beside(name), 1);
    void *library = dlopen(getenv("MIEN_CUDA_LIBRARY"), RTLD_NOW);
    HOLDS(library);
    return library;
}

#define SCENARIO(name)                                                                             \
    static void test_##name(void **state) {                                                        \
        (void)state;                                                                               \
        scenario(name);                                                                            \
    }
#endif
