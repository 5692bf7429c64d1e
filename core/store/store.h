/* SQLite behind a handful of calls, with its errors turned into ours.
 * Not here: what the tables mean (schema/, lua/mien/results). */
#ifndef MIEN_STORE_H
#define MIEN_STORE_H
#include "base/status.h"

/* cdef:begin */
typedef struct mien_db mien_db;
typedef struct mien_statement mien_statement;
typedef struct mien_lock mien_lock;
typedef enum mien_column {
    MIEN_NULL = 0,
    MIEN_INTEGER,
    MIEN_REAL,
    MIEN_TEXT,
    MIEN_BLOB
} mien_column;

/* Opens or makes a database: WAL, foreign keys on, 10 s for another process's lock (mien_db_wait).
 * read_only never makes one, and neither changes it nor opens other files. Ctrl-C ends queries and
 * waiting. SQL has the aggregates stdev(x) (sample: 1/(n-1)) and median(x) in it, also as window
 * functions. NULL: cannot be opened, or is no database (the message names the file). */
mien_db *mien_db_open(const char *path, bool read_only);
/* The journal that SQLite granted: "wal", or another where the file system cannot share memory. ""
 * when open for reading. */
const char *mien_db_journal(const mien_db *db);
/* Seconds that calls wait for another process's lock, from now on, and true when the last call that
 * failed did so because one held it for longer. */
void mien_db_wait(mien_db *db, double seconds);
bool mien_db_locked(const mien_db *db);
/* Finalises open statements and closes; NULL is allowed. */
void mien_db_close(mien_db *db);
/* Runs one or more statements that give no rows. */
mien_status mien_db_exec(mien_db *db, const char *sql);
/* Rows changed by the last statement. */
int64_t mien_db_changes(mien_db *db);
/* The numbered migrations built in from schema/; brings user_version up to the newest inside
 * one transaction. Error: the file is newer than this program. */
mien_status mien_db_migrate(mien_db *db);

mien_statement *mien_db_prepare(mien_db *db, const char *sql);
void mien_statement_close(mien_statement *s);
int mien_statement_columns(mien_statement *s);
/* 0 columns and the name "" when the database was closed. */
const char *mien_statement_name(mien_statement *s, int column);
/* Parameters are 0-based; a NaN is stored as NULL. */
mien_status mien_statement_bind_null(mien_statement *s, int index);
mien_status mien_statement_bind_integer(mien_statement *s, int index, int64_t value);
mien_status mien_statement_bind_real(mien_statement *s, int index, double value);
mien_status mien_statement_bind_text(mien_statement *s, int index, const char *text, int64_t bytes);
/* 1: a row is there; 0: done; -1: error. */
int mien_statement_step(mien_statement *s);
/* Ready to be bound and stepped again. */
mien_status mien_statement_reset(mien_statement *s);
mien_column mien_statement_type(mien_statement *s, int column);
int64_t mien_statement_integer(mien_statement *s, int column);
double mien_statement_real(mien_statement *s, int column);
/* The bytes of a text or a blob, valid until the next step. */
const char *mien_statement_text(mien_statement *s, int column, int64_t *bytes);

/* SHA-256 of a file as 64 hex digits into out[65]: artifacts and configurations. */
mien_status mien_file_sha256(const char *path, char *out);
mien_status mien_text_sha256(const char *text, int64_t bytes, char *out);
/* Writes a file that appears whole or not at all: under a name aside ("....partial"), synced,
 * renamed, the folder synced. A symbolic link stays one, the file behind it is replaced. What
 * cannot be replaced is written into: /dev/stdout, /dev/null, a FIFO. Error: a folder, a whole
 * disk, a full one, no rights. */
mien_status mien_file_write(const char *path, const void *bytes, int64_t n);
/* A folder with its parents. */
mien_status mien_folder_make(const char *path);
/* A lock on the file of that name, which is made: one holder at a time across processes, containers
 * and, where the file system carries locks, hosts. The kernel gives it back when the process ends,
 * however it ends. NULL with *busy: another holder has it, in this process too; NULL otherwise: the
 * file system has no locks (MIEN_ERR_UNSUPPORTED), or the file cannot be made. */
mien_lock *mien_lock_take(const char *path, bool *busy);
/* Gives it back and removes the file; NULL is allowed. */
void mien_lock_release(mien_lock *lock);
/* cdef:end */

/* The two halves of mien_file_write for what a library writes by name: the name aside (free it),
 * and what puts that in its place. Error: `path` is a device or a FIFO, which no rename may
 * replace. */
char *mien__file_temporary(const char *path);
mien_status mien__file_commit(const char *aside, const char *path);
#endif
