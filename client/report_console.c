/* Tables in box drawing characters, as AIPerf prints them: heavy head, light body, the title
 * centred above. A table is as wide as its content. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/report.h"
#include "text/unicode.h"

#define MAX_COLUMNS 8
#define MAX_NAME 30      /* a longer metric name has its unit on a second line */
#define MAX_WIDTH 140    /* of the failure table */
#define MAX_MESSAGE 1200 /* of a failure, in characters */

struct table {
    const char *title;
    size_t n_columns;
    const char *const *heads;
    bool is_left[MAX_COLUMNS]; /* else flush right */
    char ***cells;             /* owned: rows of n_columns strings, each may have several lines */
    size_t n_rows;
};

/* Characters (not bytes) of text[0..size). */
static size_t count_chars(const char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

/* Line number `index` of a cell, empty past its last one. */
static const char *cell_line(const char *cell, size_t index, size_t *size)
{
    for (; index > 0 && *cell; index--) {
        cell += strcspn(cell, "\n");
        cell += *cell == '\n';
    }
    *size = strcspn(cell, "\n");
    return cell;
}

static size_t count_lines(const char *cell)
{
    size_t n = 1;
    for (const char *p = cell; (p = strchr(p, '\n')); p++)
        n++;
    return n;
}

static void add_row(struct table *t, char **cells)
{
    t->cells = xrealloc(t->cells, (t->n_rows + 1) * sizeof *t->cells);
    t->cells[t->n_rows++] = cells;
}

static void table_free(struct table *t)
{
    for (size_t i = 0; i < t->n_rows; i++) {
        for (size_t k = 0; k < t->n_columns; k++)
            free(t->cells[i][k]);
        free(t->cells[i]);
    }
    free(t->cells);
}

static size_t column_width(const struct table *t, size_t column)
{
    size_t width = count_chars(t->heads[column], strlen(t->heads[column]));
    for (size_t i = 0; i < t->n_rows; i++) {
        const char *cell = t->cells[i][column];
        for (size_t k = 0; k < count_lines(cell); k++) {
            size_t size, n;
            const char *line = cell_line(cell, k, &size);
            n = count_chars(line, size);
            width = n > width ? n : width;
        }
    }
    return width;
}

static void put_many(struct buf *out, const char *text, size_t n)
{
    while (n-- > 0)
        buf_puts(out, text);
}

static void put_rule(struct buf *out, const struct table *t, const size_t *widths,
                     const char *const marks[4]) /* left, line, joint, right */
{
    buf_puts(out, marks[0]);
    for (size_t k = 0; k < t->n_columns; k++) {
        if (k > 0)
            buf_puts(out, marks[2]);
        put_many(out, marks[1], widths[k] + 2);
    }
    buf_puts(out, marks[3]);
    buf_putc(out, '\n');
}

static void put_line(struct buf *out, const struct table *t, const size_t *widths,
                     const char *const *cells, size_t index, const char *bar)
{
    for (size_t k = 0; k < t->n_columns; k++) {
        size_t size;
        const char *line = cell_line(cells[k], index, &size);
        size_t gap = widths[k] - count_chars(line, size);
        buf_printf(out, "%s ", bar);
        put_many(out, " ", t->is_left[k] ? 0 : gap);
        buf_append(out, line, size);
        put_many(out, " ", t->is_left[k] ? gap + 1 : 1);
    }
    buf_printf(out, "%s\n", bar);
}

static void put_table(struct buf *out, const struct table *t)
{
    static const char *const TOP[4] = {"┏", "━", "┳", "┓"};
    static const char *const MIDDLE[4] = {"┡", "━", "╇", "┩"};
    static const char *const BOTTOM[4] = {"└", "─", "┴", "┘"};
    size_t widths[MAX_COLUMNS], total = 1;
    for (size_t k = 0; k < t->n_columns; k++) {
        widths[k] = column_width(t, k);
        total += widths[k] + 3;
    }
    size_t n_title = strlen(t->title), space = total > n_title ? total - n_title : 0;
    put_many(out, " ", space / 2);
    buf_puts(out, t->title);
    put_many(out, " ", space - space / 2);
    buf_putc(out, '\n');
    put_rule(out, t, widths, TOP);
    put_line(out, t, widths, t->heads, 0, "┃");
    put_rule(out, t, widths, MIDDLE);
    for (size_t i = 0; i < t->n_rows; i++) {
        size_t n_lines = 1;
        for (size_t k = 0; k < t->n_columns; k++) {
            size_t n = count_lines(t->cells[i][k]);
            n_lines = n > n_lines ? n : n_lines;
        }
        for (size_t n = 0; n < n_lines; n++)
            put_line(out, t, widths, (const char *const *)t->cells[i], n, "│");
    }
    put_rule(out, t, widths, BOTTOM);
}

/* ---- metrics -------------------------------------------------------------------------------- */

/* 12345.678 as "12,345.68". */
static char *format_number(double value)
{
    if (isnan(value))
        return xstrdup("N/A");
    char *plain = xasprintf("%.2f", fabs(value));
    size_t n_whole = strcspn(plain, ".");
    struct buf out = {0};
    bool is_zero = strspn(plain, "0.") == strlen(plain);
    if (value < 0 && !is_zero)
        buf_putc(&out, '-');
    for (size_t i = 0; i < n_whole; i++) {
        if (i > 0 && (n_whole - i) % 3 == 0)
            buf_putc(&out, ',');
        buf_putc(&out, plain[i]);
    }
    buf_puts(&out, plain + n_whole);
    free(plain);
    return out.data;
}

static const char *const METRIC_HEADS[] = {"Metric", "avg", "min", "max",
                                           "p99",    "p90", "p50", "std"};

static void add_metric(struct table *t, const struct metric_value *v)
{
    const struct metric *m = v->metric;
    char **cells = xcalloc(MAX_COLUMNS, sizeof *cells);
    cells[0] = xasprintf("%s%c(%s)", m->name, strlen(m->name) > MAX_NAME ? '\n' : ' ', m->unit);
    for (size_t k = 1; k < MAX_COLUMNS; k++)
        cells[k] = format_number(report_stat(v, METRIC_HEADS[k]));
    add_row(t, cells);
}

static void put_metrics(struct buf *out, const struct metrics *m, enum metric_table which,
                        const char *title)
{
    struct table t = {.title = title, .n_columns = MAX_COLUMNS, .heads = METRIC_HEADS};
    for (size_t i = 0; i < m->n_values; i++) {
        if (m->values[i].metric->table == which)
            add_metric(&t, &m->values[i]);
    }
    if (t.n_rows > 0)
        put_table(out, &t);
    table_free(&t);
}

/* ---- failures ------------------------------------------------------------------------------- */

void report_clean_text(struct buf *out, const char *text, size_t max_chars)
{
    size_t size = strlen(text), n = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code;
        at += utf8_decode(text + at, size - at, &code);
        if (n++ == max_chars) {
            buf_puts(out, "...");
            return;
        }
        bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0);
        utf8_append(out, is_control ? ' ' : code);
    }
}

/* Break text into lines of at most width characters. */
static char *wrap(const char *text, size_t width)
{
    struct buf clean = {0}, out = {0};
    report_clean_text(&clean, text, MAX_MESSAGE);
    size_t column = 0;
    for (size_t i = 0; i < clean.size; i++) {
        bool is_start = ((unsigned char)clean.data[i] & 0xc0) != 0x80;
        if (is_start && column++ == width) {
            buf_putc(&out, '\n');
            column = 1;
        }
        buf_putc(&out, clean.data[i]);
    }
    buf_free(&clean);
    return out.data ? out.data : xstrdup("");
}

static void put_failures(struct buf *out, const struct report_phase *p)
{
    static const char *const HEADS[] = {"Code", "Type", "Message", "Count"};
    struct table t = {.title = "fluxperf | Error Summary",
                      .n_columns = 4,
                      .heads = HEADS,
                      .is_left = {[2] = true}};
    size_t n_type = 4;
    for (size_t i = 0; i < p->n_failures; i++) {
        size_t n = strlen(p->failures[i].first->error.type);
        n_type = n > n_type && n < MAX_WIDTH / 2 ? n : n_type;
    }
    for (size_t i = 0; i < p->n_failures; i++) {
        const struct record_error *e = &p->failures[i].first->error;
        char **cells = xcalloc(4, sizeof *cells);
        cells[0] = e->code ? xasprintf("%d", e->code) : xstrdup("N/A");
        cells[1] = wrap(e->type, n_type);
        cells[2] = wrap(e->message, MAX_WIDTH - n_type - 26); /* 26: the other columns and rules */
        cells[3] = xasprintf("%zu", p->failures[i].count);
        add_row(&t, cells);
    }
    put_table(out, &t);
    table_free(&t);
}

void report_console(struct buf *out, const struct report *r)
{
    const struct report_phase *p = report_main_phase(r);
    buf_puts(out, "\n\n");
    if (p->n_failures > 0) {
        put_failures(out, p);
        buf_puts(out, "\n\n");
    }
    put_metrics(out, &p->metrics, TABLE_EFFECTIVE,
                "fluxperf | Image Generation Metrics: Effective");
    put_metrics(out, &p->metrics, TABLE_USAGE, "fluxperf | Image Generation Metrics: Usage");
    put_metrics(out, &p->metrics, TABLE_MAIN, "fluxperf | Image Generation Metrics");
    put_metrics(out, &p->metrics, TABLE_IMAGES, "fluxperf | Images");
}
