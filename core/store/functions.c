/* stdev(x) and median(x) for SQL, as aggregates and over windows; NULL does not count, as in avg.
 * Not here: views use neither, because plain sqlite3 has to read them. */
#include "functions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The values in the order they came: a window drops them from the front. */
typedef struct values {
    double *at;
    int64_t first, count, room;
} values;

static void step(sqlite3_context *context, int n, sqlite3_value **args) {
    values *v = sqlite3_aggregate_context(context, sizeof *v);
    int type = sqlite3_value_type(args[0]);
    if (!v || type == SQLITE_NULL) return;
    if (type != SQLITE_INTEGER && type != SQLITE_FLOAT) {
        char *text = sqlite3_mprintf("%s takes numbers, got %s", sqlite3_user_data(context),
                                     type == SQLITE_TEXT ? "a text" : "a blob");
        sqlite3_result_error(context, text ? text : "no number", -1);
        sqlite3_free(text);
        return;
    }
    if (v->first + v->count == v->room && v->first > v->count) {
        memcpy(v->at, v->at + v->first, (size_t)v->count * sizeof *v->at);
        v->first = 0;
    }
    if (v->first + v->count == v->room) {
        int64_t room = v->room ? 2 * v->room : 16;
        double *at = realloc(v->at, (size_t)room * sizeof *at);
        if (!at) {
            sqlite3_result_error_nomem(context);
            return;
        }
        v->at = at;
        v->room = room;
    }
    v->at[v->first + v->count++] = sqlite3_value_double(args[0]);
}

static void leave(sqlite3_context *context, int n, sqlite3_value **args) {
    values *v = sqlite3_aggregate_context(context, sizeof *v);
    if (!v || v->count == 0 || sqlite3_value_type(args[0]) == SQLITE_NULL) return;
    v->first++;
    v->count--;
}

/* Sample standard deviation, 1/(n-1), in two passes; NULL of less than two values. */
static void stdev(sqlite3_context *context) {
    values *v = sqlite3_aggregate_context(context, 0);
    if (!v || v->count < 2) return;
    const double *x = v->at + v->first;
    double sum = 0, squares = 0, rest = 0;
    for (int64_t i = 0; i < v->count; i++) sum += x[i];
    double mean = sum / (double)v->count;
    for (int64_t i = 0; i < v->count; i++) {
        squares += (x[i] - mean) * (x[i] - mean);
        rest += x[i] - mean; /* what the mean's own rounding left: Chan, Golub and LeVeque 1983 */
    }
    squares -= rest * rest / (double)v->count;
    sqlite3_result_double(context, sqrt(fmax(squares, 0) / (double)(v->count - 1)));
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The middle value, or the mean of the two in the middle; NULL of no value. */
static void median(sqlite3_context *context) {
    values *v = sqlite3_aggregate_context(context, 0);
    if (!v || v->count == 0) return;
    double *sorted = malloc((size_t)v->count * sizeof *sorted);
    if (!sorted) {
        sqlite3_result_error_nomem(context);
        return;
    }
    memcpy(sorted, v->at + v->first, (size_t)v->count * sizeof *sorted);
    qsort(sorted, (size_t)v->count, sizeof *sorted, ascending);
    double low = sorted[(v->count - 1) / 2], high = sorted[v->count / 2];
    free(sorted);
    sqlite3_result_double(context, low == high ? low : low + (high - low) / 2);
}

static void drop(sqlite3_context *context) {
    values *v = sqlite3_aggregate_context(context, 0);
    if (v) free(v->at);
}

static void stdev_final(sqlite3_context *context) {
    stdev(context);
    drop(context);
}

static void median_final(sqlite3_context *context) {
    median(context);
    drop(context);
}

int mien__db_functions(sqlite3 *handle) {
    int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    int rc = sqlite3_create_window_function(handle, "stdev", 1, flags, "stdev", step, stdev_final,
                                            stdev, leave, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_window_function(handle, "median", 1, flags, "median", step,
                                            median_final, median, leave, NULL);
    return rc;
}
