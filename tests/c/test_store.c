/* The SQLite wrapper, the schema and the file helpers: what they promise, and what they do when
 * files are foreign, disks full, or writers many. Not here: lua/mien/results (tests/lua). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/store.h"

static char folder[64];

static const char *in_folder(const char *name) {
    static char path[8][256];
    static int turn;
    char *out = path[turn++ % 8];
    snprintf(out, 256, "%s/%s", folder, name);
    return out;
}

static int make_folder(void **state) {
    strcpy(folder, "/tmp/mien-store-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static mien_db *fresh(const char *name) {
    mien_db *db = mien_db_open(in_folder(name), false);
    assert_non_null(db);
    assert_int_equal(mien_db_migrate(db), MIEN_OK);
    return db;
}

static int64_t integer(mien_db *db, const char *sql) {
    mien_statement *s = mien_db_prepare(db, sql);
    assert_non_null(s);
    assert_int_equal(mien_statement_step(s), 1);
    int64_t value = mien_statement_integer(s, 0);
    mien_statement_close(s);
    return value;
}

static void said(const char *words) {
    if (!strstr(mien_error_last()->message, words))
        fail_msg("\"%s\" does not say \"%s\"", mien_error_last()->message, words);
}

static void values_come_back_with_their_types(void **state) {
    mien_db *db = fresh("types.db");
    mien_statement *s = mien_db_prepare(db, "SELECT ?, ?, ?, ?, :last AS last");
    assert_int_equal(mien_statement_bind_integer(s, 0, INT64_C(9007199254740993)), MIEN_OK);
    assert_int_equal(mien_statement_bind_real(s, 1, 0.1), MIEN_OK);
    assert_int_equal(mien_statement_bind_real(s, 2, NAN), MIEN_OK);
    assert_int_equal(mien_statement_bind_text(s, 3, "a\0b", 3), MIEN_OK);
    assert_int_equal(mien_statement_bind_real(s, 4, INFINITY), MIEN_OK);
    assert_int_equal(mien_statement_step(s), 1);
    assert_int_equal(mien_statement_columns(s), 5);
    assert_string_equal(mien_statement_name(s, 4), "last");
    assert_int_equal(mien_statement_type(s, 0), MIEN_INTEGER);
    assert_true(mien_statement_integer(s, 0) == INT64_C(9007199254740993));
    assert_int_equal(mien_statement_type(s, 1), MIEN_REAL);
    assert_true(mien_statement_real(s, 1) == 0.1);
    assert_int_equal(mien_statement_type(s, 2), MIEN_NULL);
    int64_t bytes = 0;
    const char *text = mien_statement_text(s, 3, &bytes);
    assert_int_equal(bytes, 3);
    assert_memory_equal(text, "a\0b", 3);
    assert_true(isinf(mien_statement_real(s, 4)));
    assert_int_equal(mien_statement_step(s), 0);
    assert_int_equal(mien_statement_reset(s), MIEN_OK);
    assert_int_equal(mien_statement_step(s), 1);
    assert_int_equal(mien_statement_type(s, 0), MIEN_NULL);
    assert_int_equal(mien_statement_reset(s), MIEN_OK);
    assert_int_equal(mien_statement_bind_integer(s, 5, 1), MIEN_ERR_ARGUMENT);
    said("the statement takes 5");
    mien_statement_close(s);
    mien_db_close(db);
}

static void closing_the_database_invalidates_its_statements(void **state) {
    mien_db *db = fresh("closed.db");
    mien_statement *first = mien_db_prepare(db, "SELECT 1");
    mien_statement *second = mien_db_prepare(db, "SELECT 2");
    mien_statement *third = mien_db_prepare(db, "SELECT 3");
    mien_statement_close(second);
    assert_int_equal(mien_statement_step(first), 1);
    mien_db_close(db);
    assert_int_equal(mien_statement_step(first), -1);
    said("was closed");
    assert_int_equal(mien_statement_bind_real(third, 0, 1), MIEN_ERR_ARGUMENT);
    assert_int_equal(mien_statement_columns(first), 0);
    assert_string_equal(mien_statement_name(first, 0), "");
    assert_int_equal(mien_statement_type(first, 0), MIEN_NULL);
    mien_statement_close(first);
    mien_statement_close(third);
    mien_statement_close(NULL);
    mien_db_close(NULL);
}

static void wrong_sql_is_an_error_with_sqlites_words(void **state) {
    mien_db *db = fresh("wrong.db");
    assert_null(mien_db_prepare(db, "SELECT * FROM nowhere"));
    said("no such table: nowhere");
    assert_int_equal(mien_error_last()->code, MIEN_ERR_ARGUMENT);
    assert_null(mien_db_prepare(db, "  "));
    said("empty");
    assert_null(mien_db_prepare(db, "SELECT 1; DROP TABLE run"));
    said("DROP TABLE run");
    assert_int_equal(integer(db, "SELECT count(*) FROM run ; \n"), 0);
    mien_db_close(db);
}

extern const char *const mien__schema[];

static void migration_happens_once_and_makes_every_view(void **state) {
    mien_db *db = fresh("migrate.db");
    int newest = 0;
    while (mien__schema[newest]) newest++;
    assert_int_equal(integer(db, "PRAGMA user_version"), newest);
    assert_int_equal(mien_db_migrate(db), MIEN_OK);
    assert_int_equal(integer(db, "SELECT count(*) FROM published WHERE paper_table = 5"), 16);
    const char *views[] = {"table5",     "convergence", "seed_mean_std", "run_wide",
                           "param_diff", "best_run",    "stale_run",     "table4"};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", views[i]);
        assert_int_equal(integer(db, sql), 0);
    }
    mien_db_close(db);
}

static void a_schema_that_is_not_known_is_refused_and_left_alone(void **state) {
    mien_db *db = fresh("known.db");
    const int known = (int)integer(db, "PRAGMA user_version");
    mien_db_close(db);
    db = fresh("newer.db");
    const int unknown[] = {999, -1, INT32_MIN, INT32_MAX, known + 1};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        char sql[64], words[64];
        snprintf(sql, sizeof sql, "PRAGMA user_version = %d", unknown[i]);
        snprintf(words, sizeof words, "schema %d", unknown[i]);
        assert_int_equal(mien_db_exec(db, sql), MIEN_OK);
        assert_int_equal(mien_db_migrate(db), MIEN_ERR_FORMAT);
        said(words);
        assert_int_equal(integer(db, "PRAGMA user_version"), unknown[i]);
    }
    /* the failed migration left no transaction open */
    assert_int_equal(mien_db_exec(db, "BEGIN; ROLLBACK"), MIEN_OK);
    mien_db_close(db);
}

static void somebody_elses_database_is_refused(void **state) {
    mien_db *db = mien_db_open(in_folder("other.db"), false);
    assert_int_equal(mien_db_exec(db, "CREATE TABLE photos (name)"), MIEN_OK);
    assert_int_equal(mien_db_migrate(db), MIEN_ERR_FORMAT);
    said("not made by mien");
    assert_int_equal(integer(db, "SELECT count(*) FROM sqlite_master"), 1);
    mien_db_close(db);
}

static void a_file_that_is_no_database_is_named(void **state) {
    write_text(in_folder("notes.txt"), "These are notes about faces, and no database at all, "
                                       "long enough to fill the header of one: a hundred bytes.");
    assert_null(mien_db_open(in_folder("notes.txt"), false));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_FORMAT);
    said("notes.txt");
    said("no SQLite database");
    assert_null(mien_db_open(in_folder("absent.db"), true));
    assert_int_equal(mien_error_last()->code, MIEN_ERR_IO);
    assert_int_not_equal(access(in_folder("absent.db"), F_OK), 0);
    assert_null(mien_db_open(in_folder("no/such/folder.db"), false));
    said("does its folder exist");
    assert_null(mien_db_open("", false));
}

static void a_reader_may_not_write_and_works_beside_a_writer(void **state) {
    mien_db *writer = fresh("reader.db");
    assert_int_equal(mien_db_exec(writer, "INSERT INTO experiment VALUES (1,'a',NULL,NULL,0)"), 0);
    mien_db *reader = mien_db_open(in_folder("reader.db"), true);
    assert_non_null(reader);
    assert_int_equal(mien_db_exec(writer, "BEGIN IMMEDIATE; INSERT INTO experiment VALUES "
                                          "(2,'b',NULL,NULL,0)"),
                     MIEN_OK);
    assert_int_equal(integer(reader, "SELECT count(*) FROM experiment"), 1);
    assert_int_equal(mien_db_exec(writer, "COMMIT"), MIEN_OK);
    assert_int_equal(integer(reader, "SELECT count(*) FROM experiment"), 2);
    assert_int_equal(mien_db_exec(reader, "DELETE FROM experiment"), MIEN_ERR_IO);
    said("may not be written");
    mien_db_close(reader);
    mien_db_close(writer);
}

static void a_reader_writes_no_other_file_either(void **state) {
    mien_db_close(fresh("alone.db"));
    mien_db *reader = mien_db_open(in_folder("alone.db"), true);
    const char *ways[] = {"VACUUM INTO '%s'", "ATTACH '%s' AS other"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char sql[512];
        snprintf(sql, sizeof sql, ways[i], in_folder("copy.db"));
        assert_int_equal(mien_db_exec(reader, sql), MIEN_ERR_ARGUMENT);
        said("open for reading alone");
        assert_int_not_equal(access(in_folder("copy.db"), F_OK), 0);
    }
    assert_true(integer(reader, "SELECT count(*) FROM pragma_table_info('run')") > 10);
    assert_int_equal(integer(reader,
                             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                             "LIMIT 9) SELECT max(i) FROM n"),
                     9);
    mien_db_close(reader);
}

/* Opens a database as somebody who owns neither file nor folder; the child's status says what came
 * of it. */
static int read_as_a_stranger(const char *path) {
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(99);
        mien_db *db = mien_db_open(path, true);
        if (!db) {
            fprintf(stderr, "# %s\n", mien_error_last()->message);
            _exit(2);
        }
        mien_statement *s = mien_db_prepare(db, "SELECT count(*) FROM experiment");
        _exit(s && mien_statement_step(s) == 1 && mien_statement_integer(s, 0) == 1 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_database_in_a_folder_that_may_not_be_written_is_read(void **state) {
    assert_int_equal(mien_folder_make(in_folder("theirs")), MIEN_OK);
    mien_db *db = fresh("theirs/results.db");
    assert_int_equal(mien_db_exec(db, "INSERT INTO experiment VALUES (1,'a',NULL,NULL,0)"), 0);
    mien_db_close(db);
    chmod(folder, 0755);
    chmod(in_folder("theirs/results.db"), 0444);
    chmod(in_folder("theirs"), 0555);
    int got = read_as_a_stranger(in_folder("theirs/results.db"));
    chmod(in_folder("theirs"), 0755);
    assert_int_equal(got, 0);
}

static void the_journal_that_was_granted_is_told(void **state) {
    mien_db *db = fresh("journal.db");
    assert_string_equal(mien_db_journal(db), "wal");
    mien_db_close(db);
    db = mien_db_open(":memory:", false); /* has no file to keep a log beside */
    assert_string_equal(mien_db_journal(db), "memory");
    mien_db_close(db);
}

/* ---- the wish to stop ------------------------------------------------------------------------ */

static void a_query_without_end_heeds_the_wish_and_writes_do_not(void **state) {
    mien_db *db = fresh("endless.db");
    mien_statement *s =
        mien_db_prepare(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                            "FROM n) SELECT count(*) FROM n");
    mien_interrupt_request();
    assert_int_equal(mien_statement_step(s), -1);
    assert_int_equal(mien_error_last()->code, MIEN_ERR_INTERRUPTED);
    mien_statement_close(s);
    assert_int_equal(mien_db_exec(db,
                                  "CREATE TABLE many AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                                  "SELECT i + 1 FROM n LIMIT 300000) SELECT i FROM n"),
                     MIEN_OK);
    mien_interrupt_clear();
    assert_int_equal(integer(db, "SELECT count(*) FROM many"), 300000);
    mien_db_close(db);
}

static void waiting_for_a_lock_heeds_the_wish(void **state) {
    mien_db *one = fresh("locked.db"), *two = fresh("locked.db");
    assert_int_equal(mien_db_exec(one, "BEGIN IMMEDIATE"), MIEN_OK);
    mien_interrupt_request();
    assert_int_equal(mien_db_exec(two, "BEGIN IMMEDIATE"), MIEN_ERR_INTERRUPTED);
    mien_interrupt_clear();
    assert_int_equal(mien_db_exec(one, "ROLLBACK"), MIEN_OK);
    assert_int_equal(mien_db_exec(two, "BEGIN IMMEDIATE; ROLLBACK"), MIEN_OK);
    mien_db_close(two);
    mien_db_close(one);
}

static void a_hash_heeds_the_wish(void **state) {
    char hex[65];
    write_text(in_folder("text"), "some text");
    mien_interrupt_request();
    assert_int_equal(mien_file_sha256(in_folder("text"), hex), MIEN_ERR_INTERRUPTED);
    mien_interrupt_clear();
    assert_int_equal(mien_file_sha256(in_folder("text"), hex), MIEN_OK);
}

static void a_full_disk_rolls_back_and_loses_nothing(void **state) {
    mien_db *db = fresh("full.db");
    assert_int_equal(mien_db_exec(db, "INSERT INTO experiment VALUES (1,'kept',NULL,NULL,0)"), 0);
    assert_int_equal(mien_db_exec(db, "PRAGMA max_page_count = 1"), MIEN_OK); /* as far as it is */
    assert_int_equal(mien_db_exec(db, "BEGIN IMMEDIATE"), MIEN_OK);
    mien_status status =
        mien_db_exec(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE "
                         "i < 5000) INSERT INTO event (time, kind, text) SELECT i, 'fill', "
                         "hex(zeroblob(200)) FROM n");
    assert_int_equal(status, MIEN_ERR_IO);
    said("full");
    mien_db_exec(db, "ROLLBACK"); /* SQLite may have rolled back by itself */
    assert_int_equal(integer(db, "SELECT count(*) FROM event"), 0);
    assert_int_equal(integer(db, "SELECT count(*) FROM experiment"), 1);
    assert_int_equal(mien_db_exec(db, "PRAGMA max_page_count = 1000000"), MIEN_OK);
    assert_int_equal(mien_db_exec(db, "INSERT INTO event (time,kind,text) VALUES (0,'a','b')"), 0);
    mien_db_close(db);
}

static void *insert_many(void *argument) {
    mien_db *db = mien_db_open(in_folder("many.db"), false);
    if (!db) return "open";
    int64_t first = *(int64_t *)argument;
    for (int batch = 0; batch < 20; batch++) {
        if (mien_db_exec(db, "BEGIN IMMEDIATE") != MIEN_OK) return "begin";
        mien_statement *s =
            mien_db_prepare(db, "INSERT INTO metric VALUES (1, 'loss', ?, 0, ?, 0, 0)");
        for (int i = 0; i < 50; i++) {
            int64_t step = first + batch * 50 + i;
            if (mien_statement_bind_integer(s, 0, step) != MIEN_OK ||
                mien_statement_bind_real(s, 1, (double)step) != MIEN_OK ||
                mien_statement_step(s) != 0 || mien_statement_reset(s) != MIEN_OK)
                return "insert";
        }
        mien_statement_close(s);
        if (mien_db_exec(db, "COMMIT") != MIEN_OK) return "commit";
    }
    mien_db_close(db);
    return NULL;
}

#define A_RUN                                                                                      \
    "INSERT INTO experiment VALUES (1,'e',NULL,NULL,0);"                                           \
    "INSERT INTO run (id, experiment, variant, arm, seed, config_hash, config, created) "          \
    "VALUES (1, 1, 'v', 'a', 1, 'h', '', 0);"

static void writers_wait_for_each_other(void **state) {
    mien_db *db = fresh("many.db");
    assert_int_equal(mien_db_exec(db, A_RUN), MIEN_OK);
    pthread_t threads[4];
    int64_t first[4];
    for (int i = 0; i < 4; i++) {
        first[i] = 1000 * i;
        assert_int_equal(pthread_create(&threads[i], NULL, insert_many, &first[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *problem = NULL;
        pthread_join(threads[i], &problem);
        if (problem) fail_msg("a writer failed at %s", (char *)problem);
    }
    assert_int_equal(integer(db, "SELECT count(*) FROM metric"), 4000);
    assert_int_equal(integer(db, "SELECT last_step FROM metric_summary"), 3999);
    mien_db_close(db);
}

static void a_summary_is_the_same_when_steps_come_twice(void **state) {
    mien_db *db = fresh("summary.db");
    assert_int_equal(mien_db_exec(db, A_RUN), MIEN_OK);
    const char *twice = "INSERT OR REPLACE INTO metric VALUES (1,'ccc',1,1,0.5,0,0),"
                        "(1,'ccc',2,2,NULL,1,0),(1,'ccc',3,3,0.7,0,0),(1,'ccc',4,4,0.6,0,0)";
    for (int time = 0; time < 2; time++) {
        assert_int_equal(mien_db_exec(db, twice), MIEN_OK);
        assert_int_equal(integer(db, "SELECT count(*) FROM metric_summary WHERE first = 0.5 AND "
                                     "first_step = 1 AND last = 0.6 AND last_step = 4 AND min = "
                                     "0.5 AND min_step = 1 AND max = 0.7 AND max_step = 3"),
                         1);
    }
    assert_int_equal(mien_db_exec(db, "INSERT INTO metric VALUES (1,'nan',1,1,NULL,1,0)"), MIEN_OK);
    assert_int_equal(integer(db, "SELECT min IS NULL AND min_step IS NULL AND last_step = 1 FROM "
                                 "metric_summary WHERE key = 'nan'"),
                     1);
    mien_db_close(db);
}

static void paper_values_stand_only_beside_recola_itself(void **state) {
    mien_db *db = fresh("table5.db");
    const char *rows =
        "INSERT INTO experiment VALUES (1,'e',NULL,NULL,0);"
        "INSERT INTO run (id, experiment, variant, arm, seed, config_hash, config, created, status,"
        " corpus, procedural, best_epoch, best_value) VALUES"
        " (1,1,'v','random',1,'a','',0,'finished','recola',1,9,0.5),"
        " (2,1,'w','random',1,'b','',0,'finished','RECOLA',0,6,0.5),"
        " (3,1,'w','random',2,'c','',0,'finished','RECOLA',0,12,0.5),"
        " (4,1,'w','realeyes',1,'d','',0,'finished','RECOLA',0,3,0.7),"
        " (5,1,'w','realeyes',2,'f','',0,'running','RECOLA',0,3,0.7);"
        "INSERT INTO scoring SELECT id, id, '', 0 FROM run;"
        "UPDATE comparison SET scoring = run;"
        "INSERT INTO score SELECT id, 'arousal', 'test', 'post', id, 0.1 * id, 0, 0, 0, 9 FROM "
        "run;";
    assert_int_equal(mien_db_exec(db, rows), MIEN_OK);
    assert_int_equal(integer(db, "SELECT count(*) FROM table5 WHERE paper_arousal IS NOT NULL"), 0);
    /* eighteen recordings of the split are not the split, and one run of another is one too many */
    const char *part =
        "INSERT INTO param SELECT id, 'corpus.split', 'paper46, 18 of 46 recordings' FROM run";
    assert_int_equal(mien_db_exec(db, part), MIEN_OK);
    assert_int_equal(integer(db, "SELECT count(*) FROM table5 WHERE paper_arousal IS NOT NULL"), 0);
    assert_int_equal(mien_db_exec(db, "UPDATE param SET value = 'paper46' WHERE run <> 3"),
                     MIEN_OK);
    assert_int_equal(integer(db, "SELECT count(*) FROM table5 WHERE paper_arousal IS NOT NULL"), 1);
    assert_int_equal(mien_db_exec(db, "UPDATE param SET value = 'paper46'"), MIEN_OK);
    assert_int_equal(integer(db, "SELECT count(*) FROM table5 WHERE paper_arousal IS NOT NULL"), 2);
    assert_int_equal(integer(db, "SELECT paper_arousal IS NULL AND corpus LIKE 'procedural%' FROM "
                                 "table5 WHERE variant = 'v'"),
                     1);
    assert_int_equal(integer(db, "SELECT arousal = 0.25 AND seeds = 2 AND paper_arousal = 0.319 "
                                 "FROM table5 WHERE variant = 'w' AND strategy = 'random'"),
                     1);
    assert_int_equal(integer(db, "SELECT times_faster = 3.0 AND epochs_to_best = 3 FROM convergence"
                                 " WHERE variant = 'w' AND strategy = 'realeyes'"),
                     1);
    assert_int_equal(integer(db, "SELECT abs(ccc_sd - 0.0707106781) < 1e-9 FROM seed_mean_std "
                                 "WHERE variant = 'w' AND arm = 'random'"),
                     1);
    assert_int_equal(integer(db, "SELECT run FROM best_run WHERE variant = 'w'"), 4);
    assert_int_equal(integer(db, "SELECT run FROM stale_run"), 5);
    mien_db_close(db);
}

static void near(double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.17g is not %.17g", got, want);
}

static double real(mien_db *db, const char *sql) {
    mien_statement *s = mien_db_prepare(db, sql);
    assert_non_null(s);
    assert_int_equal(mien_statement_step(s), 1);
    assert_int_equal(mien_statement_type(s, 0), MIEN_REAL);
    double value = mien_statement_real(s, 0);
    mien_statement_close(s);
    return value;
}

#define VALUES                                                                                     \
    "(SELECT 1 AS i, 2.0 AS x UNION ALL SELECT 2, NULL UNION ALL SELECT 3, 4 UNION ALL "           \
    "SELECT 4, 4 UNION ALL SELECT 5, 9)"

static void sql_has_the_median_and_the_sample_deviation(void **state) {
    mien_db *db = fresh("functions.db");
    near(real(db, "SELECT median(x) FROM " VALUES), 4, 0);
    near(real(db, "SELECT median(x) FROM " VALUES " WHERE i <> 1"), 4, 0);
    near(real(db, "SELECT median(x) FROM " VALUES " WHERE i IN (1, 3)"), 3, 0);
    /* of 2, 4, 4, 9: mean 4.75, squares 7.5625 + 0.5625 + 0.5625 + 18.0625, over 3 */
    near(real(db, "SELECT stdev(x) FROM " VALUES), sqrt(26.75 / 3), 1e-15);
    near(real(db, "SELECT stdev(x + 1e9) FROM " VALUES), sqrt(26.75 / 3), 1e-6);
    assert_int_equal(integer(db, "SELECT stdev(x) IS NULL FROM " VALUES " WHERE i < 3"), 1);
    assert_int_equal(
        integer(db, "SELECT median(x) IS NULL AND stdev(x) IS NULL FROM " VALUES " WHERE i = 2"),
        1);
    /* a window that moves: it lets go of what it leaves */
    const char *moving =
        "SELECT m FROM (SELECT i, median(x) OVER (ORDER BY i ROWS 1 PRECEDING) AS m "
        "FROM " VALUES ") WHERE i = %d";
    const double wanted[] = {2, 2, 4, 4, 6.5};
    for (int i = 0; i < 5; i++) {
        char sql[512];
        snprintf(sql, sizeof sql, moving, i + 1);
        near(real(db, sql), wanted[i], 0);
    }
    near(real(db, "SELECT sum(m) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
                  "SELECT i + 1 FROM n WHERE i < 500) SELECT median(i) OVER (ORDER "
                  "BY i ROWS 2 PRECEDING) AS m FROM n)"),
         1 + 1.5 + 499 * 500 / 2 - 1, 0);
    near(real(db,
              "SELECT stdev(x) OVER (ORDER BY i ROWS 1 PRECEDING) FROM " VALUES " ORDER BY i DESC"),
         sqrt(12.5), 1e-15);
    mien_statement *s = mien_db_prepare(db, "SELECT median('high')");
    assert_int_equal(mien_statement_step(s), -1);
    said("median takes numbers, got a text");
    mien_statement_close(s);
    mien_db_close(db);
}

static void blobs_are_no_texts(void **state) {
    mien_db *db = fresh("blob.db");
    mien_statement *s = mien_db_prepare(db, "SELECT x'00ff1b', x'', 'a'");
    assert_int_equal(mien_statement_step(s), 1);
    assert_int_equal(mien_statement_type(s, 0), MIEN_BLOB);
    assert_int_equal(mien_statement_type(s, 2), MIEN_TEXT);
    int64_t bytes = 0;
    assert_memory_equal(mien_statement_text(s, 0, &bytes), "\0\xff\x1b", 3);
    assert_int_equal(bytes, 3);
    assert_non_null(mien_statement_text(s, 1, &bytes));
    assert_int_equal(bytes, 0);
    mien_statement_close(s);
    mien_db_close(db);
}

static void deleting_an_experiment_deletes_what_hangs_on_it(void **state) {
    mien_db *db = fresh("cascade.db");
    assert_int_equal(mien_db_exec(db, A_RUN "INSERT INTO param VALUES (1,'k',2)"), MIEN_OK);
    assert_int_equal(mien_db_exec(db, "INSERT INTO param VALUES (77,'k',2)"), MIEN_ERR_ARGUMENT);
    assert_int_equal(mien_db_exec(db, "DELETE FROM experiment"), MIEN_OK);
    assert_int_equal(mien_db_changes(db), 1);
    assert_int_equal(integer(db, "SELECT count(*) FROM param"), 0);
    /* also in a shell that has foreign keys off */
    assert_int_equal(
        mien_db_exec(db, "PRAGMA foreign_keys = OFF;" A_RUN "INSERT INTO param VALUES (1,'k',2)"),
        MIEN_OK);
    assert_int_equal(mien_db_exec(db, "DELETE FROM experiment"), MIEN_OK);
    assert_int_equal(integer(db, "SELECT (SELECT count(*) FROM run) + (SELECT count(*) FROM param)"
                                 " + (SELECT count(*) FROM comparison)"),
                     0);
    mien_db_close(db);
}

static void hashes_are_the_published_ones(void **state) {
    char hash[65];
    assert_int_equal(mien_text_sha256("abc", 3, hash), MIEN_OK);
    assert_string_equal(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    write_text(in_folder("abc"), "abc");
    char again[65];
    assert_int_equal(mien_file_sha256(in_folder("abc"), again), MIEN_OK);
    assert_string_equal(again, hash);
    assert_int_equal(mien_file_sha256(in_folder("absent"), again), MIEN_ERR_IO);
}

static void folders_come_with_their_parents(void **state) {
    assert_int_equal(mien_folder_make(in_folder("a b/c/d")), MIEN_OK);
    assert_int_equal(mien_folder_make(in_folder("a b/c/d/")), MIEN_OK);
    write_text(in_folder("a b/c/kept"), "");
    assert_int_equal(mien_folder_make(in_folder("a b/c/kept/e")), MIEN_ERR_IO);
    said("cannot make folder");
    double before = mien_time_monotonic();
    assert_true(mien_time_monotonic() >= before && mien_time_now() > 1.6e9);
}

static void a_lock_has_one_holder_and_ends_with_its_process(void **state) {
    const char *path = in_folder("lock");
    bool busy = true;
    mien_lock *mine = mien_lock_take(path, &busy);
    assert_non_null(mine);
    assert_false(busy);
    assert_null(mien_lock_take(path, &busy)); /* in this process, too */
    assert_true(busy);
    mien_lock_release(mine);
    assert_int_equal(access(path, F_OK), -1);

    int ready[2], status;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        char said = mien_lock_take(path, NULL) ? 'y' : 'n';
        if (write(ready[1], &said, 1) == 1) pause();
        _exit(1);
    }
    char said = 0;
    assert_int_equal(read(ready[0], &said, 1), 1);
    assert_int_equal(said, 'y');
    assert_null(mien_lock_take(path, &busy));
    assert_true(busy);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    mine = mien_lock_take(path, &busy); /* the file is still there, and nobody holds it */
    assert_non_null(mine);
    mien_lock_release(mine);
    close(ready[0]);
    close(ready[1]);

    assert_null(mien_lock_take(in_folder("absent/lock"), &busy));
    assert_false(busy);
    assert_int_equal(mien_error_last()->code, MIEN_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back_with_their_types),
        cmocka_unit_test(closing_the_database_invalidates_its_statements),
        cmocka_unit_test(wrong_sql_is_an_error_with_sqlites_words),
        cmocka_unit_test(migration_happens_once_and_makes_every_view),
        cmocka_unit_test(a_schema_that_is_not_known_is_refused_and_left_alone),
        cmocka_unit_test(somebody_elses_database_is_refused),
        cmocka_unit_test(a_file_that_is_no_database_is_named),
        cmocka_unit_test(a_reader_may_not_write_and_works_beside_a_writer),
        cmocka_unit_test(a_reader_writes_no_other_file_either),
        cmocka_unit_test(a_database_in_a_folder_that_may_not_be_written_is_read),
        cmocka_unit_test(the_journal_that_was_granted_is_told),
        cmocka_unit_test(a_query_without_end_heeds_the_wish_and_writes_do_not),
        cmocka_unit_test(waiting_for_a_lock_heeds_the_wish),
        cmocka_unit_test(a_hash_heeds_the_wish),
        cmocka_unit_test(a_full_disk_rolls_back_and_loses_nothing),
        cmocka_unit_test(writers_wait_for_each_other),
        cmocka_unit_test(a_summary_is_the_same_when_steps_come_twice),
        cmocka_unit_test(paper_values_stand_only_beside_recola_itself),
        cmocka_unit_test(sql_has_the_median_and_the_sample_deviation),
        cmocka_unit_test(blobs_are_no_texts),
        cmocka_unit_test(deleting_an_experiment_deletes_what_hangs_on_it),
        cmocka_unit_test(hashes_are_the_published_ones),
        cmocka_unit_test(folders_come_with_their_parents),
        cmocka_unit_test(a_lock_has_one_holder_and_ends_with_its_process),
    };
    return cmocka_run_group_tests_name("store", tests, make_folder, drop_folder);
}
