/* Aggregates that SQLite lacks. Not here: anything else about databases (db.c). */
#ifndef MIEN_STORE_FUNCTIONS_H
#define MIEN_STORE_FUNCTIONS_H
#include <sqlite3.h>

/* Adds stdev and median to a connection; gives SQLite's code. */
int mien__db_functions(sqlite3 *handle);
#endif
