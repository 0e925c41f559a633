/* A table in box drawing characters, as AIPerf prints them: heavy head, light body, the title
 * centred above. It is as wide as its content. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define TABLE_MAX_COLUMNS 12

struct table {
    const char *title;
    size_t n_columns;
    const char *const *heads;
    bool is_left[TABLE_MAX_COLUMNS]; /* else flush right */
    char ***cells; /* owned: rows of n_columns strings, each may have several lines */
    size_t n_rows;
};

/* Append a row of n_columns strings; the table takes the list and the strings. */
void table_add_row(struct table *t, char **cells);
void table_print(struct buf *out, const struct table *t);
void table_free(struct table *t);
