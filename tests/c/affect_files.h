/* Small text files that the affect tests read: golden values, and real data outside the project.
 * Not here: what the numbers mean. */
#ifndef AFFECT_FILES_H
#define AFFECT_FILES_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Opens `relative` to the folder of this header. */
static inline FILE *open_beside(const char *relative) {
    char path[4096];
    snprintf(path, sizeof path, "%s", __FILE__);
    char *slash = strrchr(path, '/');
    size_t used = slash ? (size_t)(slash + 1 - path) : 0;
    snprintf(path + used, sizeof path - used, "%s", relative);
    return fopen(path, "r");
}

/* Real data: below MIEN_TEST_DATA, else beside the project; NULL where it is absent. */
static inline FILE *open_data(const char *relative) {
    char path[4096];
    const char *root = getenv("MIEN_TEST_DATA");
    if (root) {
        snprintf(path, sizeof path, "%s/%s", root, relative);
        return fopen(path, "r");
    }
    snprintf(path, sizeof path, "../../../shared/data/%s", relative);
    return open_beside(path);
}

/* The numbers of row `name` of a file of tests/golden; the caller frees them. */
static inline double *golden_in(const char *path, const char *name, int64_t *n) {
    FILE *file = open_beside(path);
    assert_non_null(file);
    char *line = NULL;
    size_t room = 0, length = strlen(name);
    double *values = NULL;
    while (!values && getline(&line, &room, file) > 0) {
        if (strncmp(line, name, length) || line[length] != ' ') continue;
        int64_t count = 0;
        for (char *c = line; *c; c++) count += *c == ' ';
        values = calloc((size_t)count, sizeof(double));
        char *at = line + length;
        for (int64_t i = 0; i < count; i++) values[i] = strtod(at, &at);
        if (n) *n = count;
    }
    free(line);
    fclose(file);
    assert_non_null(values);
    return values;
}

/* The same of tests/golden/affect.txt. */
static inline double *golden(const char *name, int64_t *n) {
    return golden_in("../golden/affect.txt", name, n);
}

/* Second column of a CSV with a header, at most `most` rows; -1 where it is absent. */
static inline int64_t read_trace(const char *path, double *values, int64_t most) {
    FILE *file = open_data(path);
    if (!file) return -1;
    char line[128];
    int64_t n = 0;
    assert_non_null(fgets(line, sizeof line, file));
    while (n < most && fgets(line, sizeof line, file)) values[n++] = atof(strchr(line, ',') + 1);
    fclose(file);
    return n;
}
#endif
