/* Command lines of runs, made from the one of a command that makes several. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/args.h"

/* Words as in argv. */
struct runs_args {
    char **items; /* owned, like the strings: runs_args_free */
    size_t n_items;
};

void runs_args_free(struct runs_args *a);
void runs_args_push(struct runs_args *a, const char *word);
void runs_args_append(struct runs_args *a, const struct runs_args *more);

/* Deal argv[first..argc) out: the options of the n_rows rows and the words that are no option go
 * to own, with their values; all else goes to profile, which knows what is wrong. */
void runs_args_split(struct runs_args *profile, struct runs_args *own, const struct option *rows,
                     size_t n_rows, int argc, char **argv, int first);

/* True when the option of profile, by its main name, is among the words under any name. */
bool runs_args_has(const struct runs_args *a, const char *name);

/* Give an option of profile a value, in place of earlier ones; one that may repeat is added. */
void runs_args_set(struct runs_args *a, const char *name, const char *value);
