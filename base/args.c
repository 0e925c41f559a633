/* Parsing of command lines by table. Values are converted and checked at the row they belong to;
 * the environment goes through the same conversion, so both give the same messages. The help is in
 * args_help.c. */
#include "base/args.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"

#define MAX_SUGGESTED_EDITS 3 /* further away, a suggestion is a riddle */

static void list_push(struct arg_list *list, const char *item)
{
    list->items = xrealloc(list->items, (list->n_items + 1) * sizeof *list->items);
    list->items[list->n_items++] = item;
}

void args_free(struct arg_list *list)
{
    free(list->items);
    *list = (struct arg_list){0};
}

/* ---- finding the row ----------------------------------------------------------------------- */

/* True when text[0..size) is one of the '|'-separated words; *index counts them. */
static bool is_word_of(const char *words, const char *text, size_t size, int *index)
{
    *index = 0;
    for (const char *p = words; p; (*index)++) {
        size_t n = strcspn(p, "|");
        if (n == size && memcmp(p, text, n) == 0)
            return true;
        p = p[n] ? p + n + 1 : NULL;
    }
    return false;
}

const struct option *args_find(const struct option *options, size_t n_options, const char *name,
                               size_t size)
{
    int unused;
    for (size_t i = 0; i < n_options; i++) {
        if (is_word_of(options[i].name, name, size, &unused) ||
            is_word_of(options[i].aliases, name, size, &unused))
            return &options[i];
    }
    return NULL;
}

/* Levenshtein distance of two short words; longer ones count as far apart. */
static size_t edit_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    size_t row[65];
    if (n_a > 64 || n_b > 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= n_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n_b];
}

static bool fail_unknown(const struct option *options, size_t n_options, const char *name,
                         size_t size, struct error *err)
{
    const char *nearest = NULL;
    size_t nearest_size = 0, least = MAX_SUGGESTED_EDITS + 1;
    for (size_t i = 0; i < n_options; i++) {
        const char *lists[] = {options[i].name, options[i].aliases};
        for (size_t k = 0; k < 2; k++) {
            for (const char *p = lists[k]; p;) {
                size_t n = strcspn(p, "|");
                size_t edits = edit_distance(name, size, p, n);
                if (edits < least && edits * 2 < n) {
                    least = edits;
                    nearest = p;
                    nearest_size = n;
                }
                p = p[n] ? p + n + 1 : NULL;
            }
        }
    }
    char field[64];
    snprintf(field, sizeof field, "%.*s", size < 60 ? (int)size : 60, name);
    if (nearest)
        return fail_field(err, field, "unknown option %s: did you mean %.*s?", field,
                          (int)nearest_size, nearest);
    return fail_field(err, field, "unknown option %s: --help lists all", field);
}

/* ---- converting values --------------------------------------------------------------------- */

/* source is what the user wrote: the option's name or "NAME (environment)". */
static bool set_int(const struct option *o, const char *source, const char *text, int64_t *to,
                    struct error *err)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool is_number = *text && !*end && errno == 0;
    bool is_bounded = o->min != 0 || o->max != 0;
    if (is_number && (!is_bounded || ((double)value >= o->min && (double)value <= o->max))) {
        *to = value;
        return true;
    }
    if (!is_bounded)
        return fail_field(err, o->name, "%s is '%s': must be an integer", source, text);
    return fail_field(err, o->name, "%s is '%s': must be an integer from %.0f to %.0f", source,
                      text, o->min, o->max);
}

static bool set_double(const struct option *o, const char *source, const char *text, double *to,
                       struct error *err)
{
    char *end;
    double value = strtod(text, &end);
    bool is_number = *text && !*end && isfinite(value);
    bool is_bounded = o->min != 0 || o->max != 0;
    if (is_number && (!is_bounded || (value >= o->min && value <= o->max))) {
        *to = value;
        return true;
    }
    if (!is_bounded)
        return fail_field(err, o->name, "%s is '%s': must be a number", source, text);
    return fail_field(err, o->name, "%s is '%s': must be a number from %g to %g", source, text,
                      o->min, o->max);
}

static bool set_choice(const struct option *o, const char *source, const char *text, int *to,
                       struct error *err)
{
    int index;
    if (!strchr(text, '|') && is_word_of(o->choices, text, strlen(text), &index)) {
        *to = index;
        return true;
    }
    return fail_field(err, o->name, "%s is '%s': must be one of %s", source, text, o->choices);
}

static bool set_flag(const struct option *o, const char *source, const char *text, bool *to,
                     struct error *err)
{
    static const char *const WORDS[][2] = {
        {"1", "0"}, {"true", "false"}, {"yes", "no"}, {"on", "off"}};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        for (int is_off = 0; is_off < 2; is_off++) {
            if (strcasecmp(text, WORDS[i][is_off]) == 0) {
                *to = !is_off;
                return true;
            }
        }
    }
    return fail_field(err, o->name, "%s is '%s': must be true or false", source, text);
}

static bool set_value(const struct option *o, const char *source, const char *text, void *config,
                      struct error *err)
{
    void *to = (char *)config + o->offset;
    switch (o->type) {
    case ARG_FLAG:
        return set_flag(o, source, text, to, err);
    case ARG_INT:
        return set_int(o, source, text, to, err);
    case ARG_DOUBLE:
        return set_double(o, source, text, to, err);
    case ARG_CHOICE:
        return set_choice(o, source, text, to, err);
    case ARG_STRING:
        *(const char **)to = text;
        return true;
    case ARG_LIST:
        list_push(to, text);
        return true;
    }
    return fail(err, ERR_INTERNAL, "option %s has an unknown type", o->name);
}

/* ---- the walk ------------------------------------------------------------------------------ */

static bool read_environment(const struct option *options, size_t n_options, void *config,
                             struct args_seen *seen, struct error *err)
{
    for (size_t i = 0; i < n_options; i++) {
        const char *text = options[i].env ? getenv(options[i].env) : NULL;
        if (!text || !*text) /* set but empty means unset, as container files do it */
            continue;
        char source[96];
        snprintf(source, sizeof source, "%s (environment)", options[i].env);
        if (!set_value(&options[i], source, text, config, err))
            return false;
        seen->given[i] = true;
    }
    return true;
}

/* The option at argv[*at], with its value from the same or the next word. */
static bool read_option(const struct option *options, size_t n_options, int argc, char **argv,
                        int *at, void *config, bool on_line[], struct error *err)
{
    const char *word = argv[*at];
    size_t size = strcspn(word, "=");
    const char *value = word[size] ? word + size + 1 : NULL;
    const struct option *o = args_find(options, n_options, word, size);
    if (!o)
        return fail_unknown(options, n_options, word, size, err);

    if (!value && o->type == ARG_FLAG)
        value = "true";
    if (!value) {
        const char *next = *at + 1 < argc ? argv[*at + 1] : NULL;
        if (!next || args_find(options, n_options, next, strcspn(next, "=")))
            return fail_field(err, o->name, "%s needs a value%s%s%s", o->name, o->value ? " (" : "",
                              o->value ? o->value : "", o->value ? ")" : "");
        value = next;
        (*at)++;
    }
    size_t row = (size_t)(o - options);
    if (o->type == ARG_LIST && !on_line[row]) /* the command line replaces the environment's */
        args_free((struct arg_list *)(void *)((char *)config + o->offset));
    on_line[row] = true;
    return set_value(o, o->name, value, config, err);
}

bool args_parse(const struct option *options, size_t n_options, int argc, char **argv, int first,
                void *config, struct arg_list *positionals, struct args_seen *seen,
                struct error *err)
{
    struct args_seen own = {0};
    bool on_line[sizeof own.given / sizeof own.given[0]] = {0};
    assert(n_options <= sizeof on_line / sizeof on_line[0]);
    if (!seen)
        seen = &own;
    *seen = own;
    if (!read_environment(options, n_options, config, seen, err))
        return false;

    bool is_over = false; /* after "--" */
    for (int at = first; at < argc; at++) {
        const char *word = argv[at];
        if (!is_over && strcmp(word, "--") == 0) {
            is_over = true;
        } else if (!is_over && word[0] == '-' && word[1]) {
            if (!read_option(options, n_options, argc, argv, &at, config, on_line, err))
                return false;
        } else if (positionals) {
            list_push(positionals, word);
        } else {
            return fail(err, ERR_INVALID, "unexpected argument '%s': only options are allowed here",
                        word);
        }
    }
    for (size_t i = 0; i < n_options; i++)
        seen->given[i] = seen->given[i] || on_line[i];
    return true;
}
