#include "client/report_html_chart.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/report.h"
#include "text/unicode.h"

#define LOG_FROM_RATIO 40
#define HEADROOM 1.06
#define TICKS_X 8
#define TICKS_Y 5
#define MAX_LOG_TICKS 7

/* ---- text ----------------------------------------------------------------------------------- */

void report_html_escape(struct buf *out, const char *text)
{
    size_t size = strlen(text);
    for (size_t at = 0; at < size;) {
        uint32_t code;
        at += utf8_decode(text + at, size - at, &code);
        bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0);
        if (code == '&')
            buf_puts(out, "&amp;");
        else if (code == '<')
            buf_puts(out, "&lt;");
        else if (code == '>')
            buf_puts(out, "&gt;");
        else if (code == '"')
            buf_puts(out, "&quot;");
        else if (code == '\'')
            buf_puts(out, "&#39;");
        else
            utf8_append(out, is_control ? ' ' : code);
    }
}

void report_html_number(struct buf *out, double value)
{
    double size = fabs(value);
    if (isnan(value)) {
        buf_puts(out, "–");
    } else if (size >= 1000) {
        char *text = report_format_number(round(value));
        text[strcspn(text, ".")] = '\0';
        buf_puts(out, text);
        free(text);
    } else {
        buf_printf(out, "%.*g", size >= 100 ? 4 : 3, value);
    }
}

/* ---- axes ----------------------------------------------------------------------------------- */

struct report_html_axis report_html_axis_for(double least, double greatest)
{
    struct report_html_axis a = {
        .from = least, .to = greatest, .is_log = least > 0 && greatest > LOG_FROM_RATIO * least};
    if (a.is_log) {
        a.to *= HEADROOM;
        a.from /= HEADROOM;
        return a;
    }
    double margin = (greatest - least) * 0.05;
    margin = margin > 0 ? margin : fmax(fabs(least) * 0.05, 1e-3);
    a.from = least >= 0 ? fmax(0, least - margin) : least - margin;
    a.to = greatest + margin;
    return a;
}

struct report_html_axis report_html_axis_from_zero(double greatest)
{
    return (struct report_html_axis){.to = greatest > 0 ? greatest * HEADROOM : 1};
}

struct report_html_axis report_html_axis_names(const char *const *labels, size_t n)
{
    return (struct report_html_axis){
        .from = -0.5, .to = (double)n - 0.5, .labels = labels, .n_labels = n};
}

static double share(const struct report_html_axis *a, double value)
{
    if (a->is_log)
        return log(fmax(value, a->from) / a->from) / log(a->to / a->from);
    return (value - a->from) / (a->to - a->from);
}

double report_html_chart_x(const struct report_html_chart *c, double value)
{
    return c->left + share(&c->x, value) * (c->right - c->left);
}

double report_html_chart_y(const struct report_html_chart *c, double value)
{
    return c->bottom - share(&c->y, value) * (c->bottom - c->top);
}

/* The step of 1, 2 or 5 times a power of ten that makes at most n ticks. */
static double nice_step(double range, int n)
{
    static const double STEPS[] = {1, 2, 5, 10};
    double power = pow(10, floor(log10(range / n)));
    for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
        if (range / (STEPS[i] * power) <= n)
            return STEPS[i] * power;
    }
    return 10 * power;
}

/* Without a text it is the number. */
static void put_tick(struct report_html_chart *c, bool is_x, double value, const char *text)
{
    double at = is_x ? report_html_chart_x(c, value) : report_html_chart_y(c, value);
    if (is_x)
        buf_printf(c->out,
                   "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/><text class=\"tick\" x=\"%.1f\" "
                   "y=\"%.1f\" text-anchor=\"middle\">",
                   at, c->top, c->bottom, at, c->bottom + 16);
    else
        buf_printf(c->out,
                   "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/><text class=\"tick\" x=\"%.1f\" "
                   "y=\"%.1f\" text-anchor=\"end\">",
                   c->left, at, c->right, c->left - 7, at + 4);
    if (text)
        report_html_escape(c->out, text);
    else
        report_html_number(c->out, value);
    buf_puts(c->out, "</text>\n");
}

/* Powers of ten, with 2 and 5 between when there are few of them. */
static void put_log_ticks(struct report_html_chart *c, bool is_x, const struct report_html_axis *a)
{
    static const double FACTORS[] = {1, 2, 5};
    double decades = log10(a->to / a->from);
    size_t n_factors = decades * 3 <= MAX_LOG_TICKS + 2 ? 3 : 1;
    for (int e = (int)floor(log10(a->from)); e <= log10(a->to); e++) {
        for (size_t i = 0; i < n_factors; i++) {
            double value = FACTORS[i] * pow(10, e);
            if (value >= a->from && value <= a->to)
                put_tick(c, is_x, value, NULL);
        }
    }
}

static void put_ticks(struct report_html_chart *c, bool is_x)
{
    const struct report_html_axis *a = is_x ? &c->x : &c->y;
    for (size_t i = 0; i < a->n_labels; i++)
        put_tick(c, is_x, (double)i, a->labels[i]);
    if (a->is_log)
        put_log_ticks(c, is_x, a);
    if (a->is_log || a->labels)
        return;
    double step = nice_step(a->to - a->from, is_x ? TICKS_X : TICKS_Y);
    if (a->is_count && step < 1)
        step = 1;
    double first = ceil(a->from / step);
    for (int i = 0; (first + i) * step <= a->to; i++)
        put_tick(c, is_x, (first + i) * step, NULL);
}

/* ---- the chart ------------------------------------------------------------------------------ */

void report_html_chart_begin(struct report_html_chart *c, const char *label, const char *x_title,
                             const char *y_title)
{
    c->left = 58;
    c->right = c->width - 14;
    c->top = 22;
    c->bottom = c->height - 38;
    buf_printf(c->out, "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"", c->width,
               c->height);
    report_html_escape(c->out, label);
    buf_puts(c->out, "\">\n");
    put_ticks(c, true);
    put_ticks(c, false);
    buf_printf(c->out,
               "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>"
               "<text class=\"unit\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">",
               c->left, c->bottom, c->right, c->right, c->bottom + 33);
    report_html_escape(c->out, x_title);
    buf_puts(c->out, "</text><text class=\"unit\" x=\"4\" y=\"12\">");
    report_html_escape(c->out, y_title);
    buf_puts(c->out, "</text>\n");
}

void report_html_chart_end(struct report_html_chart *c) { buf_puts(c->out, "</svg>\n"); }

void report_html_chart_point(struct report_html_chart *c, bool *is_open, double x, double y)
{
    if (isnan(y)) {
        *is_open = false;
        return;
    }
    buf_printf(c->out, "%c%.1f %.1f", *is_open ? 'L' : 'M', report_html_chart_x(c, x),
               report_html_chart_y(c, y));
    *is_open = true;
}
