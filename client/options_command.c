/* The command line as it stands in files and on the console. */
#include <stdlib.h>
#include <string.h>

#include "client/options.h"
#include "client/options_table.h"

static bool is_plain_number(const char *text)
{
    char *end;
    strtod(text, &end);
    return *text && !*end && strspn(text, "+-.0123456789eE") == strlen(text);
}

/* One, or several with commas or blanks between. */
static void print_addresses(struct buf *out, const char *value)
{
    buf_puts(out, " '");
    while (*value) {
        size_t n = strcspn(value, ", ");
        char *address = xstrndup(value, n), *shown = request_url_shown(address);
        buf_puts(out, shown);
        free(address);
        free(shown);
        value += n;
        if (*value)
            buf_putc(out, *value++);
    }
    buf_putc(out, '\'');
}

/* One use of --header may hold several. What can't be read is not shown. */
static bool has_secret(const char *headers)
{
    struct request_headers h = {0};
    struct error err = {0};
    bool found = !request_add_header(&h, headers, &err);
    for (size_t i = 0; i < h.n_items; i++)
        found = found || request_header_is_secret(h.items[i].name);
    request_headers_free(&h);
    return found;
}

static void print_value(struct buf *out, const struct option *row, const char *value)
{
    bool is_secret = strcmp(row->name, "--api-key") == 0;
    if (strcmp(row->name, "--header") == 0)
        is_secret = has_secret(value);
    bool is_grace = strstr(row->name, "-grace-period") != NULL; /* a number, or "inf" */
    bool is_number =
        (row->type == ARG_INT || row->type == ARG_DOUBLE || is_grace) && is_plain_number(value);
    if (is_number)
        buf_printf(out, " %s", value);
    else if (is_secret)
        buf_puts(out, " '<redacted>'");
    else if (strcmp(row->name, "--url") == 0 || strstr(value, "://"))
        print_addresses(out, value);
    else
        buf_printf(out, " '%s'", value);
}

void options_print_command(struct buf *out, int argc, char **argv, int first)
{
    buf_puts(out, "fluxperf profile");
    for (int i = first; i < argc; i++) {
        size_t n = strcspn(argv[i], "=");
        const struct option *row = options_find(argv[i], n);
        if (!row) {
            buf_printf(out, " '%s'", argv[i]);
            continue;
        }
        buf_printf(out, " %.*s", (int)n, argv[i]);
        if (argv[i][n] == '=')
            print_value(out, row, argv[i] + n + 1);
        else if (row->type != ARG_FLAG && i + 1 < argc)
            print_value(out, row, argv[++i]);
    }
}
