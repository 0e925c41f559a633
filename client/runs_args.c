#include "client/runs_args.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "client/options_table.h"

void runs_args_free(struct runs_args *a)
{
    for (size_t i = 0; i < a->n_items; i++)
        free(a->items[i]);
    free(a->items);
    *a = (struct runs_args){0};
}

void runs_args_push(struct runs_args *a, const char *word)
{
    a->items = xrealloc(a->items, (a->n_items + 1) * sizeof *a->items);
    a->items[a->n_items++] = xstrdup(word);
}

void runs_args_append(struct runs_args *a, const struct runs_args *more)
{
    for (size_t i = 0; i < more->n_items; i++)
        runs_args_push(a, more->items[i]);
}

/* Words that the option at words[0] takes up: its value may be in the next one. */
static size_t count_words(const struct option *row, char *const *words, size_t n)
{
    bool is_alone = row->type == ARG_FLAG || words[0][strcspn(words[0], "=")] != '\0';
    return is_alone || n < 2 ? 1 : 2;
}

void runs_args_split(struct runs_args *profile, struct runs_args *own, const struct option *rows,
                     size_t n_rows, int argc, char **argv, int first)
{
    for (int i = first; i < argc;) {
        size_t size = strcspn(argv[i], "=");
        const struct option *mine = args_find(rows, n_rows, argv[i], size);
        const struct option *row = mine ? mine : options_find(argv[i], size);
        bool is_option = argv[i][0] == '-' && argv[i][1];
        size_t n = row ? count_words(row, argv + i, (size_t)(argc - i)) : 1;
        for (; n > 0; n--)
            runs_args_push(mine || !is_option ? own : profile, argv[i++]);
    }
}

/* ---- options of profile --------------------------------------------------------------------- */

/* The next use of the row from *at on; *n is how many words it takes up. */
static bool find_use(const struct runs_args *a, const struct option *wanted, size_t *at, size_t *n)
{
    for (; *at < a->n_items; *at += *n) {
        const char *word = a->items[*at];
        const struct option *row = options_find(word, strcspn(word, "="));
        *n = row ? count_words(row, a->items + *at, a->n_items - *at) : 1;
        if (row && row == wanted)
            return true;
    }
    return false;
}

bool runs_args_has(const struct runs_args *a, const char *name)
{
    size_t at = 0, n;
    return find_use(a, options_find(name, strlen(name)), &at, &n);
}

void runs_args_set(struct runs_args *a, const char *name, const char *value)
{
    const struct option *row = options_find(name, strlen(name));
    size_t at = 0, n;
    while (row && row->type != ARG_LIST && find_use(a, row, &at, &n)) {
        for (size_t i = at; i < at + n; i++)
            free(a->items[i]);
        a->n_items -= n;
        memmove(a->items + at, a->items + at + n, (a->n_items - at) * sizeof *a->items);
    }
    char *word = xasprintf("%s=%s", name, value);
    runs_args_push(a, word);
    free(word);
}
