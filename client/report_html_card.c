#include "client/report_html_card.h"

const char *const REPORT_HTML_SERIES_NAME[REPORT_HTML_SERIES] = {"response time, from due",
                                                                 "request latency, from start"};

void report_html_card_begin(struct buf *out, const char *title, bool is_wide)
{
    buf_printf(out, "<figure class=\"card%s\"><figcaption><b>%s</b>", is_wide ? " wide" : "",
               title);
}

void report_html_card_key(struct buf *out, const char *class, const char *text)
{
    buf_printf(out, "<span class=\"key\"><i class=\"%s\"></i>%s</span>", class, text);
}

void report_html_card_series(struct buf *out, const struct report_html_data *d)
{
    static const char *const CLASS[REPORT_HTML_SERIES] = {"s0", "s1"};
    for (size_t k = 0; k < report_html_data_n_series(d); k++)
        report_html_card_key(out, CLASS[k], REPORT_HTML_SERIES_NAME[k]);
}

void report_html_card_chart(struct buf *out) { buf_puts(out, "</figcaption>"); }
void report_html_card_end(struct buf *out) { buf_puts(out, "</figure>\n"); }

size_t report_html_data_n_series(const struct report_html_data *d)
{
    return d->is_late ? REPORT_HTML_SERIES : 1;
}

double report_html_data_column_s(const struct report_html_data *d, size_t i, double share)
{
    return ((double)i + share) * report_html_data_width_s(d);
}

struct report_html_axis report_html_time_axis(const struct report_html_data *d)
{
    return (struct report_html_axis){.to = d->to_s - d->from_s};
}

void report_html_strip_begin(struct report_html_chart *c, double from_s, double to_s)
{
    double x = report_html_chart_x(c, from_s);
    buf_printf(c->out,
               "<rect class=\"hot\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>",
               x, c->top, report_html_chart_x(c, to_s) - x, c->bottom - c->top);
    report_html_number(c->out, from_s);
    buf_puts(c->out, " s");
}

void report_html_strip_line(struct buf *out, const char *name, double value, const char *unit)
{
    buf_printf(out, "\n%s ", name);
    report_html_number(out, value);
    buf_puts(out, unit);
}

void report_html_strip_end(struct report_html_chart *c) { buf_puts(c->out, "</title></rect>\n"); }
