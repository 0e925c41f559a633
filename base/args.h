/* Command lines from a table: one row is one option, and the same row prints the help.
 *
 *     static const struct option OPTIONS[] = {
 *         {"--port", NULL, "N", ARG_INT, offsetof(struct config, port), .min = 0, .max = 65535,
 *          .env = "FLUXSERVE_PORT", .help = "port to listen on"},
 *         ...
 *     };
 *
 * `--name value` and `--name=value` are the same. Environment twins are read first, the command
 * line wins. An unknown option, a missing or malformed value or one out of range is ERR_INVALID
 * naming the option, the value and what would be right (with the nearest known option's name). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum arg_type {
    ARG_FLAG,   /* bool, no value; `--no-x` is a row of its own if wanted */
    ARG_INT,    /* int64_t within [min, max] */
    ARG_DOUBLE, /* double within [min, max], finite */
    ARG_STRING, /* const char *, points into argv or the environment */
    ARG_LIST,   /* struct arg_list: the option may repeat */
    ARG_CHOICE, /* int, an index into choices ("a|b|c") */
};

struct arg_list {
    const char **items; /* owned: args_free */
    size_t n_items;
};

struct option {
    const char *name;    /* "--port" */
    const char *aliases; /* other spellings, separated by '|': "-p|--listen-port", or NULL */
    const char *value;   /* what the help calls the value: "N", "PATH"; NULL for a flag */
    enum arg_type type;
    size_t offset;       /* of the field in the config struct */
    double min, max;     /* for ARG_INT and ARG_DOUBLE; both 0: any */
    const char *choices; /* for ARG_CHOICE */
    const char *env;     /* environment variable read first, or NULL */
    const char *group;   /* heading in the help; NULL continues the one before */
    const char *help;    /* one sentence, default included */
};

/* Which options of the table were given, by row (command line or environment). */
struct args_seen {
    bool given[128];
};

/* Fill config (already holding the defaults) from the environment and argv[first..argc). Words
 * that are no option go to positionals; NULL there refuses them. seen may be NULL. `--` ends the
 * options. */
bool args_parse(const struct option *options, size_t n_options, int argc, char **argv, int first,
                void *config, struct arg_list *positionals, struct args_seen *seen,
                struct error *err);

/* The row whose name or alias is name[0..size), or NULL. */
const struct option *args_find(const struct option *options, size_t n_options, const char *name,
                               size_t size);

/* Print the table as help text to stdout, wrapped at 100 columns. */
void args_help(const char *usage, const char *about, const struct option *options,
               size_t n_options);

void args_free(struct arg_list *list);
