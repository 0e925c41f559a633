#include "client/report_html_telemetry.h"

#include <math.h>
#include <string.h>

#include "client/physics.h"
#include "client/report_html_card.h"

#define MAX_CHARTS 40
#define MAX_LINES 8 /* colours of lines: t0 to t7 of the style */

/* ---- reading -------------------------------------------------------------------------------- */

static double number_at(const struct json *object, const char *key)
{
    const struct json *value = json_get(object, key);
    return value && json_type(value) == JSON_NUMBER ? json_number(value) : NAN;
}

static const char *text_at(const struct json *object, const char *key)
{
    const struct json *value = json_get(object, key);
    return value && json_type(value) == JSON_STRING ? json_string(value) : "";
}

static bool is_true(const struct json *object, const char *key)
{
    const struct json *value = json_get(object, key);
    return value && json_type(value) == JSON_BOOL && json_bool(value);
}

/* ---- figures -------------------------------------------------------------------------------- */

static void put_value(struct buf *out, const char *name, double value, const char *unit)
{
    if (isnan(value))
        return;
    buf_printf(out, "<span>%s <b>", name);
    report_html_number(out, value);
    buf_printf(out, " %s</b></span>\n", unit);
}

static void put_scaled(struct buf *out, const char *name, double value, const char *unit)
{
    if (isnan(value))
        return;
    buf_printf(out, "<span>%s <b>", name);
    physics_put_scaled(out, value, unit);
    buf_puts(out, "</b></span>\n");
}

static void put_text(struct buf *out, const char *name, const char *text)
{
    if (!*text)
        return;
    buf_printf(out, "<span>%s <b>", name);
    report_html_escape(out, text);
    buf_puts(out, "</b></span>\n");
}

static void begin(struct buf *out, const char *class, const char *title)
{
    buf_printf(out, "<section class=\"verdict %s\">\n<b>%s</b>\n", class, title);
}

static void put_reason(struct buf *out, const char *reason)
{
    if (!*reason)
        return;
    buf_puts(out, "<span><b>");
    report_html_escape(out, reason);
    buf_puts(out, "</b></span>\n");
}

static void put_physics(struct buf *out, const struct json *p)
{
    bool is_impossible = is_true(p, "is_impossible");
    begin(out, is_impossible ? "bad" : "fact", is_impossible ? "Impossible result" : "Compute");
    put_scaled(out, "done", number_at(p, "flops"), "FLOP");
    put_scaled(out, "achieved", number_at(p, "flops_per_second"), "FLOP/s");
    put_value(out, "share of peak", number_at(p, "share_of_peak") * 100, "%");
    put_scaled(out, "peak", number_at(p, "peak_flops_per_second"), "FLOP/s");
    put_text(out, "device", text_at(p, "device"));
    put_reason(out, text_at(p, "reason"));
    buf_puts(out, "</section>\n");
}

static void put_energy(struct buf *out, const struct json *e)
{
    begin(out, "fact", "Energy");
    put_value(out, "per image", number_at(e, "joules_per_image"), "J");
    put_value(out, "per image above idle", number_at(e, "net_joules_per_image"), "J");
    put_value(out, "mean power", number_at(e, "mean_watts"), "W");
    put_value(out, "idle", number_at(e, "idle_watts"), "W");
    put_value(out, "idle measured before the load in", number_at(e, "idle_samples"), "samples");
    buf_puts(out, "</section>\n");
}

static void put_client(struct buf *out, const struct json *c)
{
    bool is_bottleneck = is_true(c, "is_bottleneck");
    begin(out, is_bottleneck ? "warn" : "fact",
          is_bottleneck ? "The client was the bottleneck" : "Client");
    put_value(out, "CPU", number_at(c, "cpu_share") * 100, "% of a core");
    put_value(out, "busiest thread", number_at(c, "busiest_thread_share") * 100, "%");
    put_value(out, "p99 of start - due", number_at(c, "start_lag_p99_ms"), "ms");
    put_value(out, "memory", number_at(c, "memory_mib"), "MiB");
    put_reason(out, text_at(c, "reason"));
    buf_puts(out, "</section>\n");
}

void report_html_insight(struct buf *out, const struct json *summary)
{
    static const struct {
        const char *key;
        void (*put)(struct buf *out, const struct json *value);
    } PARTS[] = {{"physics", put_physics}, {"energy", put_energy}, {"client_load", put_client}};
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        const struct json *value = json_get(summary, PARTS[i].key);
        if (value && json_type(value) == JSON_OBJECT)
            PARTS[i].put(out, value);
    }
}

/* ---- charts --------------------------------------------------------------------------------- */

/* False: no point. */
static bool read_point(const struct json *point, double window_s, double *x, double *y)
{
    const struct json *first = json_first(point), *second = first ? json_next(first) : NULL;
    if (!second || json_type(first) != JSON_NUMBER || json_type(second) != JSON_NUMBER)
        return false;
    *x = json_number(first);
    *y = json_number(second);
    return *x >= 0 && *x <= window_s;
}

static void find_range(const struct json *lines, double window_s, double *least, double *most)
{
    size_t n = 0;
    double x, y;
    for (const struct json *l = json_first(lines); l && n < MAX_LINES; l = json_next(l), n++) {
        for (const struct json *p = json_first(json_get(l, "points")); p; p = json_next(p)) {
            if (read_point(p, window_s, &x, &y)) {
                *least = fmin(*least, y);
                *most = fmax(*most, y);
            }
        }
    }
}

static void put_dot(struct report_html_chart *c, size_t color, double x, double y, const char *unit)
{
    buf_printf(c->out, "<circle class=\"dot t%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"2\"><title>", color,
               report_html_chart_x(c, x), report_html_chart_y(c, y));
    report_html_number(c->out, x);
    buf_puts(c->out, " s: ");
    report_html_number(c->out, y);
    buf_putc(c->out, ' ');
    report_html_escape(c->out, unit);
    buf_puts(c->out, "</title></circle>\n");
}

static void put_line(struct report_html_chart *c, const struct json *line, size_t color,
                     double window_s, const char *unit)
{
    bool is_open = false;
    double x, y;
    buf_printf(c->out, "<path class=\"line t%zu\" d=\"", color);
    for (const struct json *p = json_first(json_get(line, "points")); p; p = json_next(p)) {
        if (read_point(p, window_s, &x, &y))
            report_html_chart_point(c, &is_open, x, y);
    }
    buf_puts(c->out, "\"/>\n");
    for (const struct json *p = json_first(json_get(line, "points")); p; p = json_next(p)) {
        if (read_point(p, window_s, &x, &y))
            put_dot(c, color, x, y, unit);
    }
}

static void put_chart(struct buf *out, const struct json *chart, double window_s)
{
    const struct json *lines = json_get(chart, "lines");
    const char *title = text_at(chart, "title"), *unit = text_at(chart, "unit");
    double least = 0, most = -INFINITY;
    find_range(lines, window_s, &least, &most);
    if (isinf(most))
        return;
    struct buf name = {0};
    struct report_html_chart c = {
        .out = out, .width = REPORT_HTML_HALF, .height = REPORT_HTML_HEIGHT};
    c.x = (struct report_html_axis){.to = window_s};
    c.y = report_html_axis_from_zero(most);
    if (least < 0)
        c.y.from = least * 1.05;
    report_html_escape(&name, title);
    report_html_card_begin(out, name.data ? name.data : "", false);
    size_t n = 0;
    for (const struct json *l = json_first(lines); l && n < MAX_LINES; l = json_next(l), n++) {
        char class[8] = {'t', (char)('0' + n), '\0'};
        buf_clear(&name);
        report_html_escape(&name, text_at(l, "name"));
        report_html_card_key(out, class, name.data ? name.data : "");
    }
    report_html_card_chart(out);
    report_html_chart_begin(&c, title, "seconds since the start", unit);
    n = 0;
    for (const struct json *l = json_first(lines); l && n < MAX_LINES; l = json_next(l), n++)
        put_line(&c, l, n, window_s, unit);
    report_html_chart_end(&c);
    report_html_card_end(out);
    buf_free(&name);
}

void report_html_telemetry(struct buf *out, const struct json *series)
{
    double window_s = number_at(series, "window_s");
    const struct json *charts = json_get(series, "charts");
    if (!(window_s > 0) || !isfinite(window_s) || json_size(charts) == 0)
        return;
    buf_puts(out, "<h2>Telemetry</h2>\n<section class=\"charts\">\n");
    size_t n = 0;
    for (const struct json *c = json_first(charts); c && n < MAX_CHARTS; c = json_next(c), n++)
        put_chart(out, c, window_s);
    buf_puts(out, "</section>\n");
}
