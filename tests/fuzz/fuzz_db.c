/* A results.db of bytes that somebody made up: opened, migrated, asked for every table and view,
 * written to; each a value or one of mien's errors. `--seeds FOLDER` fills a folder with files to
 * begin with. Not here: literals (literal.lua), HDF5 files. */
#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64], wal[80], shm[80];

/* ---- seeds ----------------------------------------------------------------------------------- */

/* One small run of everything, in small pages, so that a byte is worth much. */
static const char *const contents =
    "INSERT INTO experiment VALUES (1, 'e', 'e.lua', 'about', 0);"
    "INSERT INTO run (id, experiment, variant, arm, seed, config_hash, config, status, created) "
    "VALUES "
    "(1, 1, 'v', 'a', 1, 'h', '{}', 'finished', 0), (2, 1, 'v', 'b', 1, 'i', '{}', 'running', 0);"
    "INSERT INTO attempt (run, owner, started, epoch, step) VALUES (1, 'host:1:2', 0, 1, 0);"
    "INSERT INTO param VALUES (1, 'lr', 0.1), (2, 'lr', 'x');"
    "INSERT INTO metric VALUES (1, 'validation/ccc', 1, 1, 0.5, 0, 0), (1, 'l', 2, 1, NULL, 1, 0);"
    "INSERT INTO event (run, time, kind, text) VALUES (1, 0, 'graph', 'text');"
    "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM;";

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    if (*argc != 3 || strcmp((*argv)[1], "--seeds") != 0) return 0;
    const char *const versions[] = {"5", "0", "3", "-1"};
    for (int i = 0; i < 4; i++) {
        char file[4096], sql[64];
        snprintf(file, sizeof file, "%s/version%s.db", (*argv)[2], versions[i]);
        snprintf(sql, sizeof sql, "PRAGMA user_version = %s", versions[i]);
        unlink(file);
        mien_db *db = mien_db_open(file, false);
        if (!db || mien_db_migrate(db) != MIEN_OK || mien_db_exec(db, contents) != MIEN_OK ||
            mien_db_exec(db, sql) != MIEN_OK) {
            fprintf(stderr, "%s\n", mien_error_last()->message);
            exit(1);
        }
        mien_db_close(db);
    }
    exit(0);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void ask(mien_db *db, const char *sql) {
    mien_statement *s = mien_db_prepare(db, sql);
    if (!s) return;
    int columns = mien_statement_columns(s);
    for (int row = 0; row < 200 && mien_statement_step(s) == 1; row++)
        for (int c = 0; c < columns; c++) {
            int64_t bytes = 0;
            if (!mien_statement_name(s, c)) abort();
            switch (mien_statement_type(s, c)) {
            case MIEN_TEXT:
                if (!mien_statement_text(s, c, &bytes) && bytes != 0) abort();
                break;
            case MIEN_INTEGER:
                mien_statement_integer(s, c);
                break;
            default:
                mien_statement_real(s, c);
            }
        }
    mien_statement_close(s);
}

static void ask_everything(mien_db *db) {
    static const char *const names[] = {
        "experiment",     "run",        "attempt",   "param",       "metric",
        "metric_summary", "score",      "post_step", "post_trial",  "class_score",
        "artifact",       "event",      "table5",    "convergence", "seed_mean_std",
        "run_wide",       "param_diff", "best_run",  "stale_run",   "table4",
        "benchmark_best", "published",  "scoring",   "run_source",  "source",
        "sqlite_master"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "SELECT * FROM %s", names[i]);
        ask(db, sql);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!path[0]) {
        snprintf(path, sizeof path, "/dev/shm/mien-fuzz-%d.db", (int)getpid());
        snprintf(wal, sizeof wal, "%s-wal", path);
        snprintf(shm, sizeof shm, "%s-shm", path);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    close(fd);
    mien_db *db = mien_db_open(path, true);
    if (db) ask_everything(db);
    mien_db_close(db);
    db = mien_db_open(path, false);
    if (db && mien_db_migrate(db) == MIEN_OK) {
        ask_everything(db);
        mien_db_exec(db, "INSERT INTO experiment (name, created) VALUES ('fuzz', 0)");
        mien_db_exec(db, "DELETE FROM experiment");
    }
    mien_db_close(db);
    unlink(path);
    unlink(wal);
    unlink(shm);
    return 0;
}
