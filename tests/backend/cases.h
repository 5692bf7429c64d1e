/* Reads cases.def: shapes, attributes and seeded inputs that Python can make again.
 * Not here: running an op (harness.h). */
#ifndef MIEN_TEST_CASES_H
#define MIEN_TEST_CASES_H
#include "base/hash.h"
#include "ops/ops.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct case_row {
    const char *op, *inputs, *attributes, *what;
} case_row;

static const case_row case_rows[] = {
#define CASE(op, inputs, attributes, what) {#op, inputs, attributes, what},
#define OPTIM(optimiser, hyper, what)
#include "cases.def"
#undef CASE
#undef OPTIM
};
enum { CASE_COUNT = sizeof case_rows / sizeof *case_rows };

typedef struct case_input {
    char kind; /* letter of cases.def, ' ' for none, '-' when absent */
    int classes;
    int ndim;
    int64_t shape[MIEN_MAX_DIMS], count;
} case_input;

typedef struct test_case {
    const case_row *row;
    mien_op op;
    int n_in;
    case_input in[MIEN_OP_MAX_IN];
    double attr[MIEN_OP_MAX_ATTR];
    char key[256]; /* "op|inputs|attributes": seeds the inputs, finds the golden values */
} test_case;

/* A defect of the test's own tables: says which, and stops. */
static inline void bad_case(const case_row *row, const char *why) {
    fprintf(stderr, "cases.def: %s \"%s\" \"%s\": %s\n", row->op, row->inputs, row->attributes,
            why);
    exit(2);
}

/* ---- parsing --------------------------------------------------------------------------------- */

static inline const char *parse_input(const char *at, case_input *in) {
    *in = (case_input){.kind = ' ', .count = 1};
    if (strchr("-+~tozLHckubmwan", *at)) in->kind = *at++;
    if (in->kind == '-') return at;
    if (in->kind == 'c' || in->kind == 'k') {
        in->classes = (int)strtol(at, (char **)&at, 10);
        at++; /* the colon */
    }
    if (*at == 's') return at + 1;
    for (; *at >= '0' && *at <= '9'; at += *at == 'x') {
        in->shape[in->ndim] = strtol(at, (char **)&at, 10);
        in->count *= in->shape[in->ndim++];
    }
    return at;
}

/* Sets the number after "name=" in a list such as "a=1 b=2"; false when it is not there. */
static inline bool find_number(const char *list, const char *name, size_t length, double *value) {
    for (const char *at = list; *at; at += strcspn(at, " "), at += *at == ' ') {
        if (strncmp(at, name, length) || at[length] != '=') continue;
        *value = strtod(at + length + 1, NULL);
        return true;
    }
    return false;
}

static inline mien_op case_op(const char *name) {
    for (int op = 0; op < mien_op_count(); op++)
        if (!strcmp(mien_op_info_at(op)->name, name)) return (mien_op)op;
    fprintf(stderr, "cases.def: no op %s\n", name);
    exit(2);
}

static inline test_case parse_case(const case_row *row) {
    test_case c = {.row = row, .op = case_op(row->op)};
    const mien_op_info *info = mien_op_info_at(c.op);
    for (const char *at = c.row->inputs; *at; at += *at == ' ')
        at = parse_input(at, &c.in[c.n_in++]);
    int found = 0, given = 0, slot = 0;
    for (const char *at = info->attributes; *at; at += *at == ' ', slot++) {
        size_t length = strcspn(at, "=!");
        if (at[length] == '=') c.attr[slot] = strtod(at + length + 1, NULL);
        bool here = find_number(c.row->attributes, at, length, &c.attr[slot]);
        if (!here && at[length] == '!') bad_case(c.row, "an attribute is missing");
        found += here;
        at += strcspn(at, " ");
    }
    for (const char *at = c.row->attributes; *at; at++) given += *at == '=';
    if (found != given) bad_case(c.row, "an attribute that the op does not have");
    if (c.n_in < info->n_in_min || c.n_in > info->n_in) bad_case(c.row, "wrong number of inputs");
    snprintf(c.key, sizeof c.key, "%s|%s|%s", c.row->op, c.row->inputs, c.row->attributes);
    return c;
}

static inline test_case case_at(int i) {
    return parse_case(&case_rows[i]);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Knuth's MMIX generator, seeded by the FNV-1a hash of the key and the number of the stream. */
typedef struct lcg {
    uint64_t state;
} lcg;

static inline double lcg_next(lcg *g) /* in [0,1) */
{
    g->state = g->state * 6364136223846793005u + 1442695040888963407u;
    return (double)(g->state >> 11) * 0x1p-53;
}

static inline lcg lcg_start(const char *key, int stream) {
    lcg g = {mien__hash(MIEN_HASH_START, key, strlen(key)) +
             (uint64_t)stream * 0x9E3779B97F4A7C15u};
    for (int i = 0; i < 8; i++) lcg_next(&g);
    return g;
}

enum { STREAM_DOUT = 16, STREAM_PROBE = 32, STREAM_CHECK = 48 };

/* n numbers uniform in [-1,1); free() them. */
static inline double *uniform(const char *key, int stream, int64_t n) {
    double *values = malloc(((size_t)n + 1) * sizeof *values);
    lcg g = lcg_start(key, stream);
    for (int64_t i = 0; i < n; i++) values[i] = 2 * lcg_next(&g) - 1;
    return values;
}

/* All distinct, at least 4/n apart and 1/n from 0. */
static inline void make_distinct(double *values, lcg g, int64_t n) {
    for (int64_t i = 0; i < n; i++) values[i] = ((double)i + 0.75 - (double)n / 2) * 4 / (double)n;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)(lcg_next(&g) * (double)(i + 1));
        double swap = values[i];
        values[i] = values[j];
        values[j] = swap;
    }
}

/* Elements of input i as cases.def asks; free() them. */
static inline double *case_values(const test_case *c, int i) {
    const case_input *in = &c->in[i];
    double *values = uniform(c->key, i, in->count);
    if (in->kind == '~') make_distinct(values, lcg_start(c->key, i), in->count);
    for (int64_t j = 0; j < in->count; j++) {
        double u = (values[j] + 1) / 2; /* in [0,1) */
        switch (in->kind) {
        case '+':
            values[j] = u + 0.5;
            break;
        case 't':
            values[j] = floor(u * 3);
            break;
        case 'o':
            values[j] = 0;
            break;
        case 'z':
            values[j] = u;
            break;
        case 'H':
            values[j] += 200;
            break;
        case 'L':
            values[j] *= 60;
            break;
        case 'u':
            values[j] = floor(u * 256);
            break;
        case 'b':
            values[j] = floor(u * 255) - 127;
            break;
        case 'm':
            values[j] = u * 0.002;
            break;
        case 'w':
            values[j] *= 20000;
            break;
        case 'a':
            values[j] = j % 5 < 2    ? floor(u * 4)
                        : j % 5 == 2 ? floor(u * 2)
                        : j % 5 == 3 ? values[j] * 32
                                     : u + 0.5;
            break;
        case 'n':
            if (j == in->count / 5) values[j] = NAN;
            break;
        case 'c':
        case 'k':
            values[j] = floor(u * in->classes);
            break;
        }
    }
    return values;
}
#endif
