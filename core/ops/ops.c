/* The table of ops made from ops.def, and what it says of a call's arguments.
 * Not here: shapes (infer_*.c), running a call (run/run.c), results (backend/). */
#include "ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the table ----------------------------------------------------------------------------- */

/* A(name, value) becomes "name=value ", or "name! " where value is REQUIRED: that word expands to
 * two arguments, which brings another one to the place that SECOND looks at. */
#define REQUIRED          ~, "!"
#define SECOND(a, b, ...) b
#define PICK(...)         SECOND(__VA_ARGS__, )
#define A(name, value)    #name PICK(value, "=" #value) " "

static mien_op_info infos[MIEN_OP_COUNT] = {
#define MIEN_OP(op, infer, in, outs, attrs, saved, text)                                           \
    {.name = #op,                                                                                  \
     .inputs = in,                                                                                 \
     .outputs = outs,                                                                              \
     .attributes = "" attrs,                                                                       \
     .saves = saved,                                                                               \
     .doc = text,                                                                                  \
     .n_attr = (int)(sizeof(mien_##op##_attr) / sizeof(double))},
#include "ops.def"
#undef MIEN_OP
};
#undef A
#undef PICK
#undef SECOND
#undef REQUIRED

static const mien_op_fn infers[MIEN_OP_COUNT] = {
#define MIEN_OP(op, infer, ...) mien__infer_##infer,
#include "ops.def"
#undef MIEN_OP
};

/* One word of a column such as "input bias? mean-": its mark is 0, '?', '-' or '*'. */
typedef struct word {
    const char *text;
    int length;
    char mark;
} word;

typedef struct op_words {
    word in[MIEN_OP_MAX_IN], out[MIEN_OP_MAX_OUT];
    unsigned saves_in, saves_out;
} op_words;

static op_words words[MIEN_OP_COUNT];

static int split(const char *text, word *list, int most) {
    int n = 0;
    while (*text && n < most) {
        int length = (int)strcspn(text, " ");
        char last = text[length - 1];
        bool marked = last == '?' || last == '-' || last == '*';
        list[n++] = (word){text, length - marked, marked ? last : 0};
        text += length + strspn(text + length, " ");
    }
    return n;
}

static bool names(const word *list, int n, const word *w) {
    for (int i = 0; i < n; i++)
        if (list[i].length == w->length && strncmp(list[i].text, w->text, (size_t)w->length) == 0)
            return true;
    return false;
}

__attribute__((constructor)) static void complete_table(void) {
    for (int op = 0; op < MIEN_OP_COUNT; op++) {
        mien_op_info *info = &infos[op];
        op_words *w = &words[op];
        info->n_in = split(info->inputs, w->in, MIEN_OP_MAX_IN);
        info->n_out = split(info->outputs, w->out, MIEN_OP_MAX_OUT);
        word saves[MIEN_OP_MAX_IN + MIEN_OP_MAX_OUT];
        int n_saves = split(info->saves, saves, MIEN_OP_MAX_IN + MIEN_OP_MAX_OUT);
        for (int i = 0; i < info->n_in; i++) {
            info->n_in_min += w->in[i].mark != '?';
            w->saves_in |= (unsigned)names(saves, n_saves, &w->in[i]) << i;
        }
        for (int i = 0; i < info->n_out; i++) {
            info->n_visible += w->out[i].mark != '-';
            w->saves_out |= (unsigned)names(saves, n_saves, &w->out[i]) << i;
        }
        if (w->in[0].mark == '*') { /* a list: every further input goes by the same name */
            for (int i = 1; i < MIEN_OP_MAX_IN; i++)
                w->in[i] = (word){w->in[0].text, w->in[0].length, '?'};
            info->n_in = MIEN_OP_MAX_IN;
        }
    }
}

int mien_op_count(void) {
    return MIEN_OP_COUNT;
}

const mien_op_info *mien_op_info_at(int op) {
    return op >= 0 && op < MIEN_OP_COUNT ? &infos[op] : NULL;
}

bool mien__op_hides(mien_op op, int i) {
    return words[op].out[i].mark == '-';
}

bool mien__op_saves(mien_op op, bool output, int i) {
    return (output ? words[op].saves_out : words[op].saves_in) >> i & 1u;
}

const char *mien__op_value_name(mien_op op, bool output, int i, char *buffer, size_t size) {
    const word *w = output ? &words[op].out[i] : &words[op].in[i];
    snprintf(buffer, size, "%.*s", w->length, w->text);
    return buffer;
}

/* ---- a call's arguments --------------------------------------------------------------------- */

mien_status mien__op_check(int op, mien_tensor *const *in, int n_in, const double *attr, int n_attr,
                           int n_out) {
    if (op < 0 || op >= MIEN_OP_COUNT) MIEN_FAIL(MIEN_ERR_ARGUMENT, "there is no op %d", op);
    const mien_op_info *info = &infos[op];
    const op_words *w = &words[op];
    if (n_in < info->n_in_min || n_in > info->n_in)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: %d inputs given, it takes \"%s\"", info->name, n_in,
                  info->inputs);
    if (n_attr != info->n_attr)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: %d attributes given, it takes %d: %s", info->name, n_attr,
                  info->n_attr, info->attributes);
    if (n_out != info->n_visible)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: room for %d outputs, it gives %d", info->name, n_out,
                  info->n_visible);
    for (int i = 0; i < n_attr; i++)
        if (isnan(attr[i]))
            MIEN_FAIL(MIEN_ERR_NUMERIC, "%s: attribute %d of \"%s\" is not a number", info->name,
                      i + 1, info->attributes);
    const mien_tensor *first = NULL;
    for (int i = 0; i < n_in; i++) {
        char shape[96];
        const word *name = &w->in[i];
        if (!in[i]) {
            if (name->mark == '?' && !(i > 0 && w->in[0].mark == '*')) continue;
            MIEN_FAIL(MIEN_ERR_ARGUMENT, "%s: input '%.*s' is missing", info->name, name->length,
                      name->text);
        }
        if (!in[i]->storage)
            MIEN_FAIL(MIEN_ERR_MEMORY, "%s: input '%.*s' %s was freed", info->name, name->length,
                      name->text, mien__shape_text(in[i], shape, sizeof shape));
        if (!first) first = in[i];
        if (in[i]->device != first->device)
            MIEN_FAIL(MIEN_ERR_DEVICE,
                      "%s: input '%.*s' is on another device than input '%.*s'; bring both to one",
                      info->name, name->length, name->text, w->in[0].length, w->in[0].text);
    }
    return MIEN_OK;
}

mien_status mien__op_infer(mien_op_call *call) {
    return infers[call->op](call);
}
