/* The tables that a run ends with. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/insight.h"
#include "client/report.h"
#include "client/table.h"
#include "text/unicode.h"

#define MAX_NAME 30      /* a longer metric name has its unit on a second line */
#define MAX_WIDTH 140    /* of the failure table */
#define MAX_MESSAGE 1200 /* of a failure, in characters */

/* ---- metrics -------------------------------------------------------------------------------- */

char *report_format_number(double value)
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
#define N_METRIC_HEADS (sizeof METRIC_HEADS / sizeof METRIC_HEADS[0])

static void add_metric(struct table *t, const struct metric_value *v)
{
    const struct metric *m = v->metric;
    char **cells = xcalloc(N_METRIC_HEADS, sizeof *cells);
    cells[0] = xasprintf("%s%c(%s)", m->name, strlen(m->name) > MAX_NAME ? '\n' : ' ', m->unit);
    for (size_t k = 1; k < N_METRIC_HEADS; k++)
        cells[k] = report_format_number(report_stat(v, METRIC_HEADS[k]));
    table_add_row(t, cells);
}

static void put_metrics(struct buf *out, const struct metrics *m, enum metric_table which,
                        const char *title)
{
    struct table t = {.title = title, .n_columns = N_METRIC_HEADS, .heads = METRIC_HEADS};
    for (size_t i = 0; i < m->n_values; i++) {
        if (m->values[i].metric->table == which)
            add_metric(&t, &m->values[i]);
    }
    if (t.n_rows > 0)
        table_print(out, &t);
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

#define MAX_FAILURES 20 /* kinds shown */

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
    for (size_t i = 0; i < p->n_failures && i < MAX_FAILURES; i++) {
        const struct record_error *e = &p->failures[i].first->error;
        char **cells = xcalloc(4, sizeof *cells);
        cells[0] = e->code ? xasprintf("%d", e->code) : xstrdup("N/A");
        cells[1] = wrap(e->type, n_type);
        cells[2] = wrap(e->message, MAX_WIDTH - n_type - 26); /* 26: the other columns and rules */
        cells[3] = xasprintf("%zu", p->failures[i].count);
        table_add_row(&t, cells);
    }
    table_print(out, &t);
    table_free(&t);
    if (p->n_failures > MAX_FAILURES)
        buf_printf(out, "%zu more kinds of failures are in the JSON export\n",
                   p->n_failures - MAX_FAILURES);
}

void report_console(struct buf *out, const struct report *r)
{
    const struct report_phase *p = report_main_phase(r);
    buf_puts(out, "\n\n");
    if (p->n_failures > 0) {
        put_failures(out, p);
        buf_puts(out, "\n\n");
    }
    static const struct {
        enum metric_table table;
        const char *part;
    } MAIN[] = {{TABLE_EFFECTIVE, ": Effective"}, {TABLE_USAGE, ": Usage"}, {TABLE_MAIN, ""}};
    for (size_t i = 0; i < sizeof MAIN / sizeof MAIN[0]; i++) {
        char *title = xasprintf("fluxperf | %s Metrics%s", r->options->kind->title, MAIN[i].part);
        put_metrics(out, &p->metrics, MAIN[i].table, title);
        free(title);
    }
    put_metrics(out, &p->metrics, TABLE_TIMING, "fluxperf | Response and Service Time");
    report_console_quantiles(out, &p->metrics);
    put_metrics(out, &p->metrics, TABLE_STAGES, "fluxperf | Server Stages");
    put_metrics(out, &p->metrics, TABLE_IMAGES, "fluxperf | Images");
    if (r->insight)
        insight_console(out, r->insight);
}
