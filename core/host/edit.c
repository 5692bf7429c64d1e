/* Line editing on a terminal with libedit: prompt, history, completion, Ctrl-C.
 * Not here: what completes a word (the caller's completer), what a line means (lua/mien/repl). */
#include "lua_host.h"
#include "base/status.h"
#include <errno.h>
#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define HISTORY_SIZE 5000
#define CTRL_C       3

static EditLine *editor;
static History *history_list;
static const char *prompt_text;
static const mien_completer *words;
static bool abandoned;
static volatile sig_atomic_t resized;
static char *line_text;

static char *get_prompt(EditLine *e) {
    return (char *)prompt_text;
}

static void on_resize(int signal) {
    resized = 1;
}

/* One character from the terminal; a signal that asks to stop counts as Ctrl-C being typed. */
static int get_character(EditLine *e, wchar_t *character) {
    mbstate_t partial = {0};
    for (;;) {
        char byte;
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n == 1) {
            size_t used = mbrtowc(character, &byte, 1, &partial);
            if (used == (size_t)-2) continue; /* more bytes of this character follow */
            if (used == (size_t)-1) {
                memset(&partial, 0, sizeof partial);
                continue;
            }
            return 1;
        }
        if (n == 0) return 0;
        if (errno != EINTR) return -1;
        if (resized) {
            resized = 0;
            el_resize(e);
        }
        if (mien__interrupt_signal() == SIGTERM) return 0;
        if (mien__interrupt_signal() != 0) {
            mien__interrupt_reset();
            *character = CTRL_C;
            return 1;
        }
    }
}

static unsigned char abandon(EditLine *e, int character) {
    abandoned = true;
    return CC_NEWLINE;
}

static int columns(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void list_candidates(int n) {
    size_t width = 1;
    for (int i = 0; i < n; i++) {
        size_t length = strlen(words->candidate(words->context, i)) + 2;
        if (length > width) width = length;
    }
    int per_row = columns() / (int)width;
    if (per_row < 1) per_row = 1;
    putchar('\n');
    for (int i = 0; i < n; i++) {
        bool last = i % per_row == per_row - 1 || i == n - 1;
        if (last)
            printf("%s\n", words->candidate(words->context, i));
        else
            printf("%-*s", (int)width, words->candidate(words->context, i));
    }
    fflush(stdout);
}

/* Tab: inserts what all candidates share, else lists them. */
static unsigned char complete(EditLine *e, int character) {
    const LineInfo *line = el_line(e);
    int cursor = (int)(line->cursor - line->buffer), start = cursor;
    char *text = strndup(line->buffer, (size_t)(line->lastchar - line->buffer));
    if (!text || !words) {
        free(text);
        return CC_ERROR;
    }
    int n = words->candidates(words->context, text, cursor, &start);
    free(text);
    if (n < 1) return CC_ERROR;
    size_t typed = (size_t)(cursor - start);
    char *shared = strdup(words->candidate(words->context, 0));
    if (!shared) return CC_ERROR;
    for (int i = 1; i < n; i++) {
        const char *other = words->candidate(words->context, i);
        size_t k = 0;
        while (shared[k] && shared[k] == other[k]) k++;
        shared[k] = 0;
    }
    unsigned char result = CC_REFRESH;
    if (strlen(shared) > typed)
        el_insertstr(e, shared + typed);
    else if (n > 1) {
        list_candidates(n);
        result = CC_REDISPLAY;
    }
    free(shared);
    return result;
}

static bool begin(void) {
    if (editor) return true;
    editor = el_init("mien", stdin, stdout, stderr);
    if (!editor) return false;
    HistEvent event;
    if (!history_list && (history_list = history_init()) != NULL) {
        history(history_list, &event, H_SETSIZE, HISTORY_SIZE);
        history(history_list, &event, H_SETUNIQUE, 1);
    }
    el_set(editor, EL_PROMPT, get_prompt);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_SIGNAL, 0);
    el_set(editor, EL_GETCFN, get_character);
    el_set(editor, EL_HIST, history, history_list);
    el_set(editor, EL_ADDFN, "mien-complete", "complete the word", complete);
    el_set(editor, EL_ADDFN, "mien-abandon", "drop this line", abandon);
    el_set(editor, EL_BIND, "\t", "mien-complete", NULL);
    el_set(editor, EL_BIND, "^C", "mien-abandon", NULL);
    el_set(editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(editor, NULL); /* the user's ~/.editrc */
    struct sigaction action = {.sa_handler = on_resize};
    sigaction(SIGWINCH, &action, NULL);
    sigaction(SIGCONT, &action, NULL);
    return true;
}

mien_line mien__edit_read(const char *prompt, const mien_completer *completer, const char **text) {
    if (!begin()) return MIEN_LINE_END;
    prompt_text = prompt;
    words = completer;
    abandoned = false;
    int n = 0;
    const char *line = el_gets(editor, &n);
    words = NULL;
    if (abandoned) {
        printf("^C\n");
        fflush(stdout);
        return MIEN_LINE_ABANDONED;
    }
    if (!line || n <= 0) return MIEN_LINE_END;
    if (line[n - 1] == '\n') n--;
    free(line_text);
    line_text = strndup(line, (size_t)n);
    *text = line_text ? line_text : "";
    return MIEN_LINE_TEXT;
}

void mien__edit_history_add(const char *text) {
    HistEvent event;
    if (begin() && history_list) history(history_list, &event, H_ENTER, text);
}

bool mien__edit_history_load(const char *path) {
    HistEvent event;
    return begin() && history_list && history(history_list, &event, H_LOAD, path) >= 0;
}

bool mien__edit_history_save(const char *path) {
    HistEvent event;
    return history_list && history(history_list, &event, H_SAVE, path) >= 0;
}

void mien__edit_end(void) {
    if (editor) el_end(editor);
    if (history_list) history_end(history_list);
    free(line_text);
    editor = NULL;
    history_list = NULL;
    line_text = NULL;
}
