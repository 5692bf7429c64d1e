/* SQLite databases and statements: opening, migrating, stepping, with every error in our terms.
 * Not here: the tables (schema/), batching and objects for runs (lua/mien/results). */
#include "functions.h"
#include "store.h"
#include "base/clock.h"
#include "base/nan.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Made by CMake from schema/NNN_*.sql in their order; ends with NULL. */
extern const char *const mien__schema[];

struct mien_db {
    sqlite3 *handle;
    char *path;
    mien_statement *statements; /* open ones, so that closing the database invalidates them */
    bool asking;                /* a statement that changes nothing runs: it may be broken off */
    double patience;            /* seconds for another process's lock */
    double waiting_since;       /* for it */
    bool locked;                /* the last call that failed met it */
    char journal[16];
};

struct mien_statement {
    sqlite3_stmt *handle; /* NULL: the database was closed under it */
    mien_db *db;
    mien_statement *next, **link;
};

/* ---- errors ---------------------------------------------------------------------------------- */

static mien_status code_of(int rc) {
    switch (rc & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return MIEN_ERR_FORMAT;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return MIEN_ERR_IO;
    case SQLITE_NOMEM:
        return MIEN_ERR_MEMORY;
    case SQLITE_INTERRUPT:
        return MIEN_ERR_INTERRUPTED;
    case SQLITE_ERROR:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
    case SQLITE_AUTH:
        return MIEN_ERR_ARGUMENT;
    default:
        return MIEN_ERR_VENDOR;
    }
}

static const char *hint_of(int rc) {
    switch (rc & 0xff) {
    case SQLITE_NOTADB:
        return "is no SQLite database";
    case SQLITE_CORRUPT:
        return "is a damaged database";
    case SQLITE_FULL:
        return "cannot grow: the disk (or its quota) is full; nothing of this batch "
               "was written";
    case SQLITE_IOERR:
        return "cannot be read or written";
    case SQLITE_CANTOPEN:
        return "cannot be opened: does its folder exist, may it be written?";
    case SQLITE_READONLY:
        return "may not be written";
    case SQLITE_BUSY:
        return "is being written by another process, which did not let go in time";
    case SQLITE_CONSTRAINT:
        return "refused the row";
    case SQLITE_INTERRUPT:
        return "was interrupted";
    case SQLITE_AUTH:
        return "is open for reading alone: the statement would open or write another file";
    default:
        return "refused the statement";
    }
}

static mien_status fail(const char *path, sqlite3 *handle, int rc, int line) {
    const char *said = handle ? sqlite3_errmsg(handle) : sqlite3_errstr(rc);
    if ((rc & 0xff) == SQLITE_BUSY && mien_interrupt_requested()) rc = SQLITE_INTERRUPT;
    mien_status status =
        mien__fail(code_of(rc), __FILE__, line, "database %s %s: %s", path, hint_of(rc), said);
    mien__fail_cause("SQLite: %s (%d)", said, rc);
    return status;
}

static mien_status fail_db(mien_db *db, int rc, int line) {
    db->locked = (rc & 0xff) == SQLITE_BUSY;
    return fail(db->path, db->handle, rc, line);
}
#define FAIL_DB(db, rc) fail_db((db), (rc), __LINE__)

/* ---- databases ------------------------------------------------------------------------------- */

#define PATIENCE 10      /* seconds for another process's lock, unless told otherwise */
#define STEPS    1000000 /* of SQLite's machine between two polls: some milliseconds */

static int wait_for_lock(void *context, int tries) {
    mien_db *db = context;
    double now = mien_time_monotonic();
    if (tries == 0) db->waiting_since = now;
    if (now - db->waiting_since > db->patience || mien_interrupt_requested()) return 0;
    long wait = tries < 6 ? 1000000L << tries : 50000000L;
    nanosleep(&(struct timespec){0, wait}, NULL);
    return 1;
}

/* What writes is short, and is not left half done. */
static int stop_asking(void *context) {
    const mien_db *db = context;
    return db->asking && mien_interrupt_requested();
}

/* SQLite itself refuses to write to a file opened for reading. ATTACH, with which VACUUM INTO
 * begins, would open or make another one. */
static int reading_alone(void *context, int action, const char *a, const char *b, const char *c,
                         const char *d) {
    return action == SQLITE_ATTACH ? SQLITE_DENY : SQLITE_OK;
}

/* A read-only WAL database needs its -shm file; where that cannot be made (a read-only folder) the
 * file is opened as immutable, which is right as long as no writer left a -wal behind. */
static int open_immutable(const char *path, sqlite3 **handle) {
    size_t length = strlen(path);
    char *wal = malloc(length + 8), *uri = malloc(3 * length + 32);
    int rc = SQLITE_NOMEM;
    if (wal && uri) {
        snprintf(wal, length + 8, "%s-wal", path);
        char *at = uri + sprintf(uri, "file:");
        for (const char *c = path; *c; c++)
            at += sprintf(at, strchr("?#% ", *c) ? "%%%02X" : "%c", (unsigned char)*c);
        strcpy(at, "?immutable=1");
        rc = access(wal, F_OK) == 0
                 ? SQLITE_CANTOPEN
                 : sqlite3_open_v2(uri, handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
    }
    free(wal);
    free(uri);
    return rc;
}

/* Handlers, and the first look at the file: SQLite opens lazily and would report a foreign file
 * much later. What a schema of somebody else's calls must be harmless. */
static int set_up(mien_db *db) {
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_handler(db->handle, wait_for_lock, db);
    sqlite3_progress_handler(db->handle, STEPS, stop_asking, db);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return sqlite3_exec(db->handle, "PRAGMA foreign_keys = ON; SELECT count(*) FROM sqlite_master",
                        NULL, NULL, NULL);
}

static int note_journal(void *context, int columns, char **values, char **names) {
    mien_db *db = context;
    if (columns > 0 && values[0]) snprintf(db->journal, sizeof db->journal, "%s", values[0]);
    return 0;
}

/* The write-ahead log, with which nobody who reads waits for who writes. A file system may lack the
 * shared memory that it takes: then SQLite's older journal serves. */
static int keep_log(mien_db *db) {
    int rc = sqlite3_exec(db->handle, "PRAGMA journal_mode = WAL", note_journal, db, NULL);
    if (rc == SQLITE_IOERR_SHMMAP || rc == SQLITE_IOERR_SHMOPEN || rc == SQLITE_IOERR_SHMSIZE ||
        rc == SQLITE_IOERR_SHMLOCK)
        rc = sqlite3_exec(db->handle, "PRAGMA journal_mode = DELETE", note_journal, db, NULL);
    if (rc != SQLITE_OK) return rc;
    /* without the log, NORMAL may lose what was committed */
    return sqlite3_exec(db->handle,
                        strcmp(db->journal, "wal") == 0 ? "PRAGMA synchronous = NORMAL"
                                                        : "PRAGMA synchronous = FULL",
                        NULL, NULL, NULL);
}

mien_db *mien_db_open(const char *path, bool read_only) {
    MIEN_CALL("opening a database");
    if (!path || !*path) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "database: the path is empty");
    mien_db *db = calloc(1, sizeof *db);
    char *copy = strdup(path);
    if (!db || !copy) {
        free(db);
        free(copy);
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "database %s: out of memory", path);
    }
    db->path = copy;
    db->patience = PATIENCE;
    int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    int rc = sqlite3_open_v2(path, &db->handle, flags, NULL);
    if (rc == SQLITE_OK) rc = set_up(db);
    bool no_room = (rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_READONLY;
    if (read_only && no_room && access(path, R_OK) == 0) {
        sqlite3_close_v2(db->handle);
        db->handle = NULL;
        rc = open_immutable(path, &db->handle);
        if (rc == SQLITE_OK) rc = set_up(db);
    }
    if (rc == SQLITE_OK) rc = mien__db_functions(db->handle);
    if (rc == SQLITE_OK)
        rc = read_only ? sqlite3_set_authorizer(db->handle, reading_alone, NULL) : keep_log(db);
    if (rc != SQLITE_OK) {
        FAIL_DB(db, rc);
        mien_db_close(db);
        return NULL;
    }
    return db;
}

const char *mien_db_journal(const mien_db *db) {
    return db->journal;
}

void mien_db_wait(mien_db *db, double seconds) {
    db->patience = seconds;
}

bool mien_db_locked(const mien_db *db) {
    return db->locked;
}

void mien_db_close(mien_db *db) {
    if (!db) return;
    MIEN_CALL_THAT_WRITES("closing a database");
    for (mien_statement *s = db->statements; s; s = s->next) {
        sqlite3_finalize(s->handle);
        s->handle = NULL;
        s->db = NULL;
    }
    sqlite3_close_v2(db->handle);
    free(db->path);
    free(db);
}

mien_status mien_db_exec(mien_db *db, const char *sql) {
    MIEN_CALL_THAT_WRITES("writing to a database");
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? MIEN_OK : FAIL_DB(db, rc);
}

int64_t mien_db_changes(mien_db *db) {
    return sqlite3_changes64(db->handle);
}

static mien_status number_of(mien_db *db, const char *sql, int *value) {
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) *value = sqlite3_column_int(s, 0);
    mien_status status = rc == SQLITE_ROW ? MIEN_OK : FAIL_DB(db, rc);
    sqlite3_finalize(s);
    return status;
}

static mien_status migrate(mien_db *db) {
    int version = 0, tables = 0, newest = 0;
    while (mien__schema[newest]) newest++;
    MIEN_TRY(number_of(db, "PRAGMA user_version", &version));
    if (version < 0 || version > newest)
        MIEN_FAIL(MIEN_ERR_FORMAT,
                  "database %s has schema %d, this mien knows 1 to %d: use the mien that made it, "
                  "or another file",
                  db->path, version, newest);
    if (version == 0) {
        MIEN_TRY(number_of(db, "SELECT count(*) FROM sqlite_master", &tables));
        if (tables > 0)
            MIEN_FAIL(MIEN_ERR_FORMAT,
                      "database %s was not made by mien: it holds %d objects and no schema number",
                      db->path, tables);
    }
    for (int i = version; i < newest; i++) MIEN_TRY(mien_db_exec(db, mien__schema[i]));
    if (version < newest) {
        char sql[64];
        snprintf(sql, sizeof sql, "PRAGMA user_version = %d", newest);
        MIEN_TRY(mien_db_exec(db, sql));
    }
    return MIEN_OK;
}

mien_status mien_db_migrate(mien_db *db) {
    int version = 0, newest = 0;
    while (mien__schema[newest]) newest++;
    MIEN_TRY(number_of(db, "PRAGMA user_version", &version));
    if (version == newest) return MIEN_OK; /* without waiting for who writes */
    MIEN_TRY(mien_db_exec(db, "BEGIN IMMEDIATE"));
    mien_status status = migrate(db);
    if (status == MIEN_OK) status = mien_db_exec(db, "COMMIT");
    if (status != MIEN_OK) sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

/* ---- statements ------------------------------------------------------------------------------ */

mien_statement *mien_db_prepare(mien_db *db, const char *sql) {
    const char *rest = NULL;
    sqlite3_stmt *handle = NULL;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &handle, &rest);
    if (rc != SQLITE_OK) return FAIL_DB(db, rc), NULL;
    if (!handle) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "SQL: the statement is empty");
    while (*rest && strchr(" \t\r\n;", *rest)) rest++;
    if (*rest) {
        sqlite3_finalize(handle);
        MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT,
                       "SQL: one statement at a time; the second begins at: %.60s", rest);
    }
    mien_statement *s = calloc(1, sizeof *s);
    if (!s) {
        sqlite3_finalize(handle);
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "SQL: out of memory");
    }
    s->handle = handle;
    s->db = db;
    s->link = &db->statements;
    s->next = db->statements;
    if (s->next) s->next->link = &s->next;
    db->statements = s;
    return s;
}

void mien_statement_close(mien_statement *s) {
    if (!s) return;
    if (s->db) {
        sqlite3_finalize(s->handle);
        *s->link = s->next;
        if (s->next) s->next->link = s->link;
    }
    free(s);
}

int mien_statement_columns(mien_statement *s) {
    return s->handle ? sqlite3_column_count(s->handle) : 0;
}
const char *mien_statement_name(mien_statement *s, int column) {
    const char *name = s->handle ? sqlite3_column_name(s->handle, column) : NULL;
    return name ? name : "";
}

static mien_status closed(void) {
    MIEN_FAIL(MIEN_ERR_ARGUMENT, "SQL: the database of this statement was closed");
}

static mien_status bound(mien_statement *s, int index, int rc) {
    if (rc == SQLITE_OK) return MIEN_OK;
    if (rc == SQLITE_RANGE)
        MIEN_FAIL(MIEN_ERR_ARGUMENT, "SQL: value %d given, but the statement takes %d: %s",
                  index + 1, sqlite3_bind_parameter_count(s->handle), sqlite3_sql(s->handle));
    return FAIL_DB(s->db, rc);
}

mien_status mien_statement_bind_null(mien_statement *s, int index) {
    return s->handle ? bound(s, index, sqlite3_bind_null(s->handle, index + 1)) : closed();
}
mien_status mien_statement_bind_integer(mien_statement *s, int index, int64_t value) {
    return s->handle ? bound(s, index, sqlite3_bind_int64(s->handle, index + 1, value)) : closed();
}
mien_status mien_statement_bind_real(mien_statement *s, int index, double value) {
    if (isnan(value)) return mien_statement_bind_null(s, index);
    return s->handle ? bound(s, index, sqlite3_bind_double(s->handle, index + 1, value)) : closed();
}
mien_status mien_statement_bind_text(mien_statement *s, int index, const char *text,
                                     int64_t bytes) {
    if (!s->handle) return closed();
    return bound(s, index,
                 sqlite3_bind_text64(s->handle, index + 1, text, (sqlite3_uint64)bytes,
                                     SQLITE_TRANSIENT, SQLITE_UTF8));
}

int mien_statement_step(mien_statement *s) {
    if (!s->handle) return closed(), -1;
    s->db->asking = sqlite3_stmt_readonly(s->handle) != 0;
    mien__call_begin(s->db->asking ? "a query" : "writing to a database", !s->db->asking);
    int rc = sqlite3_step(s->handle);
    mien__call_end();
    s->db->asking = false;
    if (rc == SQLITE_ROW) return 1;
    if (rc == SQLITE_DONE) return 0;
    FAIL_DB(s->db, rc);
    return -1;
}

mien_status mien_statement_reset(mien_statement *s) {
    if (!s->handle) return closed();
    sqlite3_reset(s->handle); /* gives the error of the last step again: already reported there */
    sqlite3_clear_bindings(s->handle);
    return MIEN_OK;
}

mien_column mien_statement_type(mien_statement *s, int column) {
    switch (sqlite3_column_type(s->handle, column)) {
    case SQLITE_INTEGER:
        return MIEN_INTEGER;
    case SQLITE_FLOAT:
        return MIEN_REAL;
    case SQLITE_NULL:
        return MIEN_NULL;
    case SQLITE_BLOB:
        return MIEN_BLOB;
    default:
        return MIEN_TEXT;
    }
}
int64_t mien_statement_integer(mien_statement *s, int column) {
    return sqlite3_column_int64(s->handle, column);
}
double mien_statement_real(mien_statement *s, int column) {
    return mien__canonical(sqlite3_column_double(s->handle, column));
}
const char *mien_statement_text(mien_statement *s, int column, int64_t *bytes) {
    const char *text = sqlite3_column_type(s->handle, column) == SQLITE_BLOB
                           ? sqlite3_column_blob(s->handle, column)
                           : (const char *)sqlite3_column_text(s->handle, column);
    if (bytes) *bytes = sqlite3_column_bytes(s->handle, column);
    return text ? text : ""; /* of an empty blob SQLite gives NULL */
}
