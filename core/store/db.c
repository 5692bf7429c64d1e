/* SQLite databases and statements: opening, migrating, stepping, with every error in our terms.
 * Not here: the tables (schema/), batching and objects for runs (lua/mien/results.lua). */
#include "functions.h"
#include "store.h"
#include "tensor/nan.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Made by CMake from schema/NNN_*.sql in their order; ends with NULL. */
extern const char *const mien__schema[];

struct mien_db {
    sqlite3 *handle;
    char *path;
    mien_statement *statements; /* open ones, so that closing the database invalidates them */
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
    default:
        return "refused the statement";
    }
}

static mien_status fail(const char *path, sqlite3 *handle, int rc, int line) {
    const char *said = handle ? sqlite3_errmsg(handle) : sqlite3_errstr(rc);
    mien_status status =
        mien__fail(code_of(rc), __FILE__, line, "database %s %s: %s", path, hint_of(rc), said);
    mien__fail_cause("SQLite: %s (%d)", said, rc);
    return status;
}
#define FAIL_DB(db, rc) fail((db)->path, (db)->handle, (rc), __LINE__)

/* ---- databases ------------------------------------------------------------------------------- */

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

/* The first look at the file: SQLite opens lazily and would report a foreign file much later. */
static int probe(sqlite3 *handle) {
    return sqlite3_exec(handle, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL);
}

mien_db *mien_db_open(const char *path, bool read_only) {
    if (!path || !*path) MIEN_FAIL_NULL(MIEN_ERR_ARGUMENT, "database: the path is empty");
    mien_db *db = calloc(1, sizeof *db);
    char *copy = strdup(path);
    if (!db || !copy) {
        free(db);
        free(copy);
        MIEN_FAIL_NULL(MIEN_ERR_MEMORY, "database %s: out of memory", path);
    }
    db->path = copy;
    int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    int rc = sqlite3_open_v2(path, &db->handle, flags, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_extended_result_codes(db->handle, 1);
        sqlite3_busy_timeout(db->handle, 10000);
        rc = probe(db->handle);
    }
    if (read_only && (rc & 0xff) == SQLITE_CANTOPEN && access(path, R_OK) == 0) {
        sqlite3_close_v2(db->handle);
        db->handle = NULL;
        rc = open_immutable(path, &db->handle);
        if (rc == SQLITE_OK) rc = probe(db->handle);
    }
    if (rc == SQLITE_OK) rc = mien__db_functions(db->handle);
    if (rc == SQLITE_OK) {
        const char *setup = read_only ? "PRAGMA foreign_keys = ON"
                                      : "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; "
                                        "PRAGMA foreign_keys = ON";
        rc = sqlite3_exec(db->handle, setup, NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        FAIL_DB(db, rc);
        mien_db_close(db);
        return NULL;
    }
    return db;
}

void mien_db_close(mien_db *db) {
    if (!db) return;
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
    if (version > newest)
        MIEN_FAIL(MIEN_ERR_FORMAT,
                  "database %s has schema %d, this mien knows up to %d: use the mien that made it, "
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
    return sqlite3_column_count(s->handle);
}
const char *mien_statement_name(mien_statement *s, int column) {
    return sqlite3_column_name(s->handle, column);
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
    int rc = sqlite3_step(s->handle);
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
