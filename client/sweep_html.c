/* sweep.html: a sweep on one page. One axis of the grid lies along the charts, the others make a
 * line each. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/report_html_card.h"
#include "client/report_html_page.h"
#include "client/sweep.h"

#define MAX_KEYS 10 /* lines that the legend names */

/* One chart. With a stat of response_time, its interval is drawn too. */
static const struct chart {
    const char *title, *tag, *stat, *unit;
    double rank; /* of the interval's percentile; 0: no interval */
} CHARTS[] = {
    {"Response time, median", "response_time", "p50", "ms", 50},
    {"Response time, 95 % are below", "response_time", "p95", "ms", 95},
    {"Requests answered", "request_throughput", "avg", "requests/s", 0},
    {"Images", "image_throughput", "avg", "images/s", 0},
    {"Requests in flight, mean", "effective_concurrency", "avg", "requests", 0},
    {"Failed requests", "request_error_rate", "avg", "%", 0},
};

static const char *const CLASS[] = {"s0", "s1", "p5", "p3", "p6", "p2", "p7", "p1", "p9", "p0"};
#define N_CLASSES (sizeof CLASS / sizeof CLASS[0])

/* How points are laid out, the same in all charts. */
struct layout {
    const struct sweep *s;
    size_t along;      /* the axis of the grid along x */
    size_t n_lines;    /* combinations of the others */
    bool is_numeric;   /* x is a number, else a name */
    size_t *order;     /* owned: values of that axis by position */
    struct buf *names; /* owned: of the lines */
};

/* ---- layout --------------------------------------------------------------------------------- */

static double position(const struct layout *l, size_t value)
{
    return l->is_numeric ? strtod(l->s->grid.axes[l->along].values[value], NULL) : (double)value;
}

static void sort_values(struct layout *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = i;
        for (; k > 0 && position(l, l->order[k - 1]) > position(l, i); k--)
            l->order[k] = l->order[k - 1];
        l->order[k] = i;
    }
}

static size_t line_of(const struct layout *l, size_t point)
{
    const struct sweep_grid *g = &l->s->grid;
    size_t line = 0;
    for (size_t k = 0; k < g->n_axes; k++) {
        if (k != l->along)
            line = line * g->axes[k].n_values + sweep_grid_at(g, point, k);
    }
    return line;
}

/* The point of a line at a value of the axis along x; n_wanted when it has not been made. */
static size_t point_at(const struct layout *l, size_t line, size_t value)
{
    for (size_t i = 0; i < l->s->n_results; i++) {
        if (line_of(l, i) == line && sweep_grid_at(&l->s->grid, i, l->along) == value)
            return i;
    }
    return l->s->n_wanted;
}

static void name_lines(struct layout *l)
{
    const struct sweep_grid *g = &l->s->grid;
    for (size_t i = 0; i < l->s->n_wanted; i++) {
        struct buf *name = &l->names[line_of(l, i)];
        buf_clear(name);
        buf_puts(name, "");
        for (size_t k = 0; k < g->n_axes; k++) {
            if (k != l->along)
                buf_printf(name, "%s%s %s", name->size ? ", " : "", g->axes[k].name,
                           sweep_grid_value(g, i, k));
        }
    }
}

/* The first axis of several numbers lies along x, else the first one. */
static void lay_out(struct layout *l, const struct sweep *s)
{
    *l = (struct layout){.s = s};
    for (size_t k = s->grid.n_axes; k-- > 0;) {
        if (s->grid.axes[k].n_values > 1 && sweep_grid_is_numeric(&s->grid.axes[k]))
            l->along = k;
    }
    const struct sweep_axis *a = &s->grid.axes[l->along];
    l->is_numeric = sweep_grid_is_numeric(a);
    l->n_lines = s->n_wanted / a->n_values;
    l->order = xcalloc(a->n_values, sizeof *l->order);
    l->names = xcalloc(l->n_lines, sizeof *l->names);
    sort_values(l, a->n_values);
    name_lines(l);
}

static void free_layout(struct layout *l)
{
    for (size_t i = 0; i < l->n_lines; i++)
        buf_free(&l->names[i]);
    free(l->names);
    free(l->order);
}

/* ---- charts --------------------------------------------------------------------------------- */

struct figure {
    double value, low, high; /* NaN: not known */
};

static struct figure figure_of(const struct chart *chart, const struct runs_result *r)
{
    struct figure f = {runs_value(r, chart->tag, chart->stat), NAN, NAN};
    const struct metric_value *v = metrics_get(&r->metrics, chart->tag);
    for (size_t i = 0; v && v->has_quantiles && i < N_QUANTILES; i++) {
        if (QUANTILE_RANKS[i] == chart->rank) {
            f.low = v->quantiles[i].low;
            f.high = v->quantiles[i].high;
        }
    }
    return f;
}

static void put_dot(struct report_html_chart *c, const struct layout *l, size_t point, double x,
                    const struct figure *f, const struct chart *chart, const char *class)
{
    const struct sweep_grid *g = &l->s->grid;
    if (!isnan(f->low) && !isnan(f->high))
        buf_printf(c->out,
                   "<path class=\"line %s\" style=\"stroke-width:1\" d=\"M%.1f %.1fV%.1f\"/>",
                   class, report_html_chart_x(c, x), report_html_chart_y(c, f->low),
                   report_html_chart_y(c, f->high));
    buf_printf(c->out, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"><title>", class,
               report_html_chart_x(c, x), report_html_chart_y(c, f->value));
    for (size_t k = 0; k < g->n_axes; k++) {
        report_html_escape(c->out, g->axes[k].name);
        buf_putc(c->out, ' ');
        report_html_escape(c->out, sweep_grid_value(g, point, k));
        buf_puts(c->out, "\n");
    }
    report_html_number(c->out, f->value);
    buf_printf(c->out, " %s", chart->unit);
    if (!isnan(f->low) && !isnan(f->high)) {
        buf_puts(c->out, " (95 % interval ");
        report_html_number(c->out, f->low);
        buf_puts(c->out, " to ");
        report_html_number(c->out, f->high);
        buf_putc(c->out, ')');
    }
    buf_puts(c->out, "</title></circle>\n");
}

static void put_line(struct report_html_chart *c, const struct layout *l, size_t line,
                     const struct chart *chart)
{
    size_t n = l->s->grid.axes[l->along].n_values;
    const char *class = CLASS[line % N_CLASSES];
    bool is_open = false;
    buf_printf(c->out, "<path class=\"line %s\" d=\"", class);
    for (size_t i = 0; i < n; i++) {
        size_t point = point_at(l, line, l->order[i]);
        struct figure f = {NAN, NAN, NAN};
        if (point < l->s->n_results)
            f = figure_of(chart, &l->s->results[point]);
        report_html_chart_point(c, &is_open, position(l, l->order[i]), f.value);
    }
    buf_puts(c->out, "\"/>\n");
    for (size_t i = 0; i < n; i++) {
        size_t point = point_at(l, line, l->order[i]);
        struct figure f = {NAN, NAN, NAN};
        if (point < l->s->n_results)
            f = figure_of(chart, &l->s->results[point]);
        if (!isnan(f.value))
            put_dot(c, l, point, position(l, l->order[i]), &f, chart, class);
    }
}

/* False: no point has the figure, or it is 0 everywhere. */
static bool find_range(const struct sweep *s, const struct chart *chart, double *least,
                       double *greatest)
{
    *least = INFINITY;
    *greatest = 0;
    for (size_t i = 0; i < s->n_results; i++) {
        struct figure f = figure_of(chart, &s->results[i]);
        *least = fmin(*least, fmin(f.value, f.low)); /* fmin and fmax pass NaN over */
        *greatest = fmax(*greatest, fmax(f.value, f.high));
    }
    return *greatest > 0;
}

static struct report_html_axis x_axis(const struct layout *l)
{
    const struct sweep_axis *a = &l->s->grid.axes[l->along];
    if (!l->is_numeric)
        return report_html_axis_names((const char *const *)a->values, a->n_values);
    return report_html_axis_for(position(l, l->order[0]), position(l, l->order[a->n_values - 1]));
}

static void put_keys(struct buf *out, const struct layout *l)
{
    for (size_t i = 0; i < l->n_lines && i < MAX_KEYS && l->n_lines > 1; i++) {
        struct buf name = {0};
        report_html_escape(&name, l->names[i].data);
        report_html_card_key(out, CLASS[i % N_CLASSES], name.data);
        buf_free(&name);
    }
    if (l->n_lines > MAX_KEYS)
        buf_printf(out, "<span class=\"note\">and %zu more lines</span>", l->n_lines - MAX_KEYS);
}

static void put_chart(struct buf *out, const struct layout *l, const struct chart *chart)
{
    double least, greatest;
    if (!find_range(l->s, chart, &least, &greatest))
        return;
    struct report_html_chart c = {
        .out = out, .width = REPORT_HTML_HALF, .height = REPORT_HTML_HEIGHT, .x = x_axis(l)};
    c.y = report_html_axis_for(least, greatest);
    if (!c.y.is_log)
        c.y = report_html_axis_from_zero(greatest);
    report_html_card_begin(out, chart->title, false);
    put_keys(out, l);
    report_html_card_chart(out);
    report_html_chart_begin(&c, chart->title, l->s->grid.axes[l->along].name, chart->unit);
    for (size_t i = 0; i < l->n_lines; i++)
        put_line(&c, l, i, chart);
    report_html_chart_end(&c);
    report_html_card_end(out);
}

/* ---- the page ------------------------------------------------------------------------------- */

static void put_table(struct buf *out, const struct sweep *s)
{
    buf_puts(out, "<h2>Points</h2>\n<p class=\"about\">Times are response times, from when a "
                  "request was due.</p>\n<div class=\"scroll\"><table><thead><tr><th>Run</th>");
    for (size_t k = 0; k < s->grid.n_axes; k++) {
        buf_puts(out, "<th>");
        report_html_escape(out, s->grid.axes[k].name);
        buf_puts(out, "</th>");
    }
    for (size_t k = 0; k < SWEEP_COLUMNS; k++)
        buf_printf(out, "<th>%s <small>%s</small></th>", SWEEP_COLUMN[k].name,
                   SWEEP_COLUMN[k].unit);
    buf_puts(out, "</tr></thead><tbody>\n");
    for (size_t i = 0; i < s->n_results; i++) {
        buf_printf(out, "<tr><th>%s</th>", s->results[i].name);
        for (size_t k = 0; k < s->grid.n_axes; k++) {
            buf_puts(out, "<td>");
            report_html_escape(out, sweep_grid_value(&s->grid, i, k));
            buf_puts(out, "</td>");
        }
        for (size_t k = 0; k < SWEEP_COLUMNS; k++) {
            const struct sweep_column *c = &SWEEP_COLUMN[k];
            buf_puts(out, "<td>");
            report_html_number(out, runs_value(&s->results[i], c->tag, c->stat));
            buf_puts(out, "</td>");
        }
        buf_puts(out, "</tr>\n");
    }
    buf_puts(out, "</tbody></table></div>\n");
}

static void put_verdict(struct buf *out, const struct sweep *s)
{
    size_t n_failed = 0;
    for (size_t i = 0; i < s->n_results; i++)
        n_failed += s->results[i].n_failed;
    buf_printf(out, "<section class=\"verdict %s\"><b>%zu of %zu points</b>\n",
               s->runs.reason[0] ? "bad"
               : n_failed        ? "warn"
                                 : "good",
               s->n_results, s->n_wanted);
    if (s->runs.reason[0]) {
        buf_puts(out, "<span>incomplete: ");
        report_html_escape(out, s->runs.reason);
        buf_puts(out, "</span>\n");
    }
    buf_printf(out, "<span><b>%zu</b> requests failed</span></section>\n", n_failed);
}

static void put_header(struct buf *out, const struct sweep *s)
{
    char *command = runs_command(&s->runs);
    buf_puts(out, "<header>\n<div class=\"brand\">fluxperf sweep</div>\n<h1>");
    for (size_t k = 0; k < s->grid.n_axes; k++) {
        buf_puts(out, k ? " × " : "");
        report_html_escape(out, s->grid.axes[k].name);
    }
    buf_puts(out, "</h1>\n<pre>");
    report_html_escape(out, command);
    buf_puts(out, "</pre>\n</header>\n");
    free(command);
}

bool sweep_write_html(const struct sweep *s, struct error *err)
{
    struct buf out = {0};
    struct layout l;
    lay_out(&l, s);
    report_html_page_begin(&out, "sweep");
    put_header(&out, s);
    put_verdict(&out, s);
    buf_puts(&out, "<section class=\"charts\">\n");
    for (size_t i = 0; i < sizeof CHARTS / sizeof CHARTS[0]; i++)
        put_chart(&out, &l, &CHARTS[i]);
    buf_puts(&out, "</section>\n");
    put_table(&out, s);
    buf_puts(&out, "<footer>fluxperf " FLUXBENCH_VERSION "</footer>\n");
    report_html_page_end(&out);
    bool ok = runs_write(&s->runs, "sweep.html", &out, err);
    free_layout(&l);
    buf_free(&out);
    return ok;
}
