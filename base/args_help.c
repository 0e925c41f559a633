/* The help text of an option table: names at the left, sentences wrapped at the right. */
#include <stdio.h>
#include <string.h>

#include "base/args.h"
#include "base/buf.h"

#define WIDTH 100
#define HELP_COLUMN 34

/* Append text word by word; lines after the first start at indent. */
static void put_wrapped(struct buf *out, const char *text, size_t column, size_t indent)
{
    size_t start = column;
    while (*text) {
        text += strspn(text, " ");
        size_t n = strcspn(text, " ");
        if (n == 0)
            break;
        if (column > start && column + 1 + n > WIDTH) {
            buf_printf(out, "\n%*s", (int)indent, "");
            column = start = indent;
        } else if (column > start) {
            buf_putc(out, ' ');
            column++;
        }
        buf_append(out, text, n);
        column += n;
        text += n;
    }
    buf_putc(out, '\n');
}

static void put_option(struct buf *out, const struct option *o)
{
    size_t start = out->size;
    buf_printf(out, "  %s", o->name);
    for (const char *p = o->aliases; p;) {
        size_t n = strcspn(p, "|");
        buf_printf(out, ", %.*s", (int)n, p);
        p = p[n] ? p + n + 1 : NULL;
    }
    const char *value = o->value ? o->value : o->type == ARG_CHOICE ? o->choices : NULL;
    if (value && o->type != ARG_FLAG)
        buf_printf(out, " %s", value);

    size_t used = out->size - start;
    if (used + 2 > HELP_COLUMN) {
        buf_putc(out, '\n');
        used = 0;
    }
    buf_printf(out, "%*s", (int)(HELP_COLUMN - used), "");
    struct buf help = {0};
    buf_puts(&help, o->help ? o->help : "");
    if (o->type == ARG_CHOICE && o->value)
        buf_printf(&help, " (one of %s)", o->choices);
    if (o->type == ARG_LIST)
        buf_puts(&help, " (may repeat)");
    if (o->env)
        buf_printf(&help, " [env %s]", o->env);
    put_wrapped(out, help.data, HELP_COLUMN, HELP_COLUMN);
    buf_free(&help);
}

void args_help(const char *usage, const char *about, const struct option *options, size_t n_options)
{
    struct buf out = {0};
    buf_puts(&out, "usage: ");
    put_wrapped(&out, usage, 7, 11);
    if (about && *about) {
        buf_putc(&out, '\n');
        put_wrapped(&out, about, 0, 0);
    }
    const char *group = NULL;
    for (size_t i = 0; i < n_options; i++) {
        const char *next = options[i].group;
        if (i == 0 || (next && (!group || strcmp(next, group) != 0))) {
            group = next;
            buf_printf(&out, "\n%s:\n", group ? group : "options");
        }
        put_option(&out, &options[i]);
    }
    fwrite(out.data, 1, out.size, stdout);
    buf_free(&out);
}
