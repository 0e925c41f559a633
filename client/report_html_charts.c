/* The charts over time: latency, and requests in flight. */
#include "client/report_html_charts.h"

#include <math.h>

#include "base/clock.h"
#include "client/report_html_card.h"

#define LATE_MS ((double)METRICS_LATE_NS / (double)NS_PER_MS)
#define LEAST_LEVEL 1e-9 /* below it are rounding errors of sums */

/* ---- latency over time ---------------------------------------------------------------------- */

static double column_median(const struct report_html_data *d, size_t i, size_t k)
{
    return d->columns[i].n ? d->columns[i].median_ms[k] : NAN;
}

/* From the least to the greatest value of each column: a vertical bar as wide as the column. */
static void put_ranges(struct report_html_chart *c, const struct report_html_data *d)
{
    buf_puts(c->out, "<path class=\"band s0\" d=\"");
    for (size_t i = 0; i < REPORT_HTML_COLUMNS; i++) {
        const struct report_html_column *column = &d->columns[i];
        if (column->n == 0)
            continue;
        double left = report_html_chart_x(c, report_html_data_column_s(d, i, 0));
        double right = report_html_chart_x(c, report_html_data_column_s(d, i, 1));
        double top = report_html_chart_y(c, column->max_ms[REPORT_HTML_RESPONSE]) - 0.5;
        double bottom = report_html_chart_y(c, column->min_ms[REPORT_HTML_RESPONSE]) + 0.5;
        buf_printf(c->out, "M%.1f %.1fH%.1fV%.1fH%.1fz", left, top, right, bottom, left);
    }
    buf_puts(c->out, "\"/>\n");
}

/* The line through the medians; columns without a request are passed over. */
static void put_medians(struct report_html_chart *c, const struct report_html_data *d, size_t k)
{
    bool is_open = false;
    buf_printf(c->out, "<path class=\"line s%zu\" d=\"", k);
    for (size_t i = 0; i < REPORT_HTML_COLUMNS; i++) {
        if (d->columns[i].n)
            report_html_chart_point(c, &is_open, report_html_data_column_s(d, i, 0.5),
                                    column_median(d, i, k));
    }
    buf_puts(c->out, "\"/>\n");
}

static void put_dots(struct report_html_chart *c, const struct report_html_data *d, size_t k)
{
    for (size_t i = 0; i < d->n_samples; i++) {
        const struct report_html_sample *s = &d->samples[i];
        if (k == REPORT_HTML_LATENCY && s->ms[REPORT_HTML_RESPONSE] - s->ms[k] <= LATE_MS)
            continue; /* it would lie on the other dot */
        buf_printf(c->out, "<circle class=\"dot s%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>", k,
                   report_html_chart_x(c, s->due_s), report_html_chart_y(c, s->ms[k]));
        report_html_number(c->out, s->due_s);
        buf_puts(c->out, " s");
        report_html_strip_line(c->out, REPORT_HTML_SERIES_NAME[k], s->ms[k], " ms");
        buf_puts(c->out, "</title></circle>\n");
    }
}

static void put_failures(struct report_html_chart *c, const struct report_html_data *d)
{
    for (size_t i = 0; i < REPORT_HTML_COLUMNS; i++) {
        if (d->columns[i].n_failed == 0)
            continue;
        double x = report_html_chart_x(c, report_html_data_column_s(d, i, 0.5));
        buf_printf(c->out,
                   "<path class=\"fail\" d=\"M%.1f %.1fl7 7m0 -7l-7 7\"><title>%zu failed or "
                   "canceled</title></path>\n",
                   x - 3.5, c->top - 9, d->columns[i].n_failed);
    }
}

static void put_latency_strips(struct report_html_chart *c, const struct report_html_data *d)
{
    for (size_t i = 0; i < REPORT_HTML_COLUMNS; i++) {
        const struct report_html_column *column = &d->columns[i];
        if (column->n == 0)
            continue;
        report_html_strip_begin(c, report_html_data_column_s(d, i, 0),
                                report_html_data_column_s(d, i, 1));
        buf_printf(c->out, ": %zu request%s", column->n, column->n == 1 ? "" : "s");
        report_html_strip_line(c->out, "max", column->max_ms[REPORT_HTML_RESPONSE], " ms");
        report_html_strip_line(c->out, "median", column->median_ms[REPORT_HTML_RESPONSE], " ms");
        report_html_strip_line(c->out, "min", column->min_ms[REPORT_HTML_RESPONSE], " ms");
        report_html_strip_end(c);
    }
}

static void put_latency_chart(struct buf *out, const struct report_html_data *d)
{
    double least = INFINITY, greatest = 0;
    for (size_t k = 0; k < report_html_data_n_series(d); k++) {
        least = fmin(least, d->sorted[k][0]);
        greatest = fmax(greatest, d->sorted[k][d->n_samples - 1]);
    }
    bool has_dots = d->n_samples <= REPORT_HTML_MAX_DOTS;
    struct report_html_chart c = {
        .out = out, .width = REPORT_HTML_WIDE, .height = REPORT_HTML_HEIGHT};
    c.x = report_html_time_axis(d);
    c.y = report_html_axis_for(least, greatest);
    if (!c.y.is_log)
        c.y = report_html_axis_from_zero(greatest);
    report_html_card_begin(out, "Latency over time", true);
    report_html_card_series(out, d);
    if (d->n_failed > 0)
        report_html_card_key(out, "bad", "failed or canceled");
    buf_puts(out, has_dots ? "<span class=\"note\">one dot a request</span>"
                           : "<span class=\"note\">line: median, band: least to greatest</span>");
    report_html_card_chart(out);
    report_html_chart_begin(&c, "Latency over time", "seconds since the first request was due",
                            "ms");
    if (!has_dots)
        put_ranges(&c, d);
    for (size_t k = report_html_data_n_series(d); k-- > 0;)
        has_dots ? put_dots(&c, d, k) : put_medians(&c, d, k);
    put_failures(&c, d);
    if (!has_dots)
        put_latency_strips(&c, d);
    report_html_chart_end(&c);
    report_html_card_end(out);
}

/* ---- levels --------------------------------------------------------------------------------- */

enum { SENT, QUEUED, WAITING, N_LEVEL_KINDS };
static const struct {
    const char *class, *name;
} LEVEL[N_LEVEL_KINDS] = {
    {"l0", "in flight"}, {"l1", "of them in the server's queue"}, {"l2", "due, not sent"}};

static double level_of(const struct report_html_column *c, size_t kind)
{
    return kind == SENT ? c->in_flight : kind == QUEUED ? c->queued : c->waiting;
}

/* Steps from column to column; where the level is 0 there is no line either. */
static void put_level(struct report_html_chart *c, const struct report_html_data *d, size_t kind)
{
    bool is_open = false;
    buf_printf(c->out, "<path class=\"area %s\" d=\"", LEVEL[kind].class);
    for (size_t i = 0; i <= REPORT_HTML_COLUMNS; i++) {
        double level = i < REPORT_HTML_COLUMNS ? level_of(&d->columns[i], kind) : 0;
        if (level > LEAST_LEVEL && !is_open)
            buf_printf(c->out, "M%.1f %.1f",
                       report_html_chart_x(c, report_html_data_column_s(d, i, 0)), c->bottom);
        if (level > LEAST_LEVEL)
            buf_printf(c->out, "V%.1fH%.1f", report_html_chart_y(c, level),
                       report_html_chart_x(c, report_html_data_column_s(d, i, 1)));
        else if (is_open)
            buf_printf(c->out, "V%.1f", c->bottom);
        is_open = level > LEAST_LEVEL;
    }
    buf_puts(c->out, "\"/>\n");
}

static void put_levels(struct buf *out, const struct report_html_data *d)
{
    double most[N_LEVEL_KINDS] = {0};
    for (size_t i = 0; i < REPORT_HTML_COLUMNS; i++) {
        for (size_t kind = 0; kind < N_LEVEL_KINDS; kind++)
            most[kind] = fmax(most[kind], level_of(&d->columns[i], kind));
    }
    struct report_html_chart c = {
        .out = out, .width = REPORT_HTML_WIDE, .height = REPORT_HTML_HEIGHT};
    c.x = report_html_time_axis(d);
    c.y = report_html_axis_from_zero(fmax(most[SENT], most[WAITING]));
    report_html_card_begin(out, "Requests in flight and waiting", true);
    for (size_t kind = 0; kind < N_LEVEL_KINDS; kind++) {
        if (most[kind] > 0 && (kind != WAITING || d->is_late))
            report_html_card_key(out, LEVEL[kind].class, LEVEL[kind].name);
    }
    report_html_card_chart(out);
    report_html_chart_begin(&c, "Requests in flight and waiting",
                            "seconds since the first request was due", "requests, mean");
    for (size_t kind = 0; kind < N_LEVEL_KINDS; kind++) {
        if (most[kind] > 0 && (kind != WAITING || d->is_late))
            put_level(&c, d, kind);
    }
    for (size_t i = 0; i < REPORT_HTML_COLUMNS; i++) {
        report_html_strip_begin(&c, report_html_data_column_s(d, i, 0),
                                report_html_data_column_s(d, i, 1));
        for (size_t kind = 0; kind < N_LEVEL_KINDS; kind++) {
            if (most[kind] > 0 && (kind != WAITING || d->is_late))
                report_html_strip_line(out, LEVEL[kind].name, level_of(&d->columns[i], kind), "");
        }
        report_html_strip_end(&c);
    }
    report_html_chart_end(&c);
    report_html_card_end(out);
}

/* ---- all of them ---------------------------------------------------------------------------- */

void report_html_charts(struct buf *out, const struct report_html_data *d)
{
    if (d->n_samples > 0) {
        put_latency_chart(out, d);
        report_html_histogram(out, d);
        report_html_cdf(out, d);
    }
    if (d->n_samples + d->n_failed > 0)
        put_levels(out, d);
    if (d->n_parts > 0)
        report_html_stages(out, d);
}
