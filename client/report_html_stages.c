/* Where the time of a request goes: stacked parts over time. */
#include <math.h>

#include "client/report_html_card.h"
#include "client/report_html_charts.h"

#define MAX_BARS 60
#define LEAST_SHARE 1e-4 /* of a part that the legend names */

/* How many bars: a divisor of the columns, at most 60 and about one for each request. */
static size_t count_bars(size_t n)
{
    size_t best = 1;
    for (size_t i = 1; i <= MAX_BARS; i++) {
        if (REPORT_HTML_COLUMNS % i == 0 && i <= n)
            best = i;
    }
    return best;
}

/* Mean parts of the requests of n columns; false: there are none. */
static bool mean_parts(const struct report_html_column *columns, size_t n,
                       double ms[REPORT_HTML_PARTS])
{
    size_t n_requests = 0;
    for (size_t k = 0; k < REPORT_HTML_PARTS; k++)
        ms[k] = 0;
    for (size_t i = 0; i < n; i++) {
        n_requests += columns[i].n_parts;
        for (size_t k = 0; k < REPORT_HTML_PARTS; k++)
            ms[k] += columns[i].part_ms[k];
    }
    for (size_t k = 0; k < REPORT_HTML_PARTS && n_requests > 0; k++)
        ms[k] = fmax(0, ms[k] / (double)n_requests);
    return n_requests > 0;
}

static double sum_of(const double ms[REPORT_HTML_PARTS])
{
    double sum = 0;
    for (size_t k = 0; k < REPORT_HTML_PARTS; k++)
        sum += ms[k];
    return sum;
}

static void put_stack(struct report_html_chart *c, const double ms[REPORT_HTML_PARTS],
                      double from_s, double to_s)
{
    double below = 0, x = report_html_chart_x(c, from_s) + 0.5;
    double width = fmax(0.5, report_html_chart_x(c, to_s) - 0.5 - x);
    for (size_t k = 0; k < REPORT_HTML_PARTS; k++) {
        double y = report_html_chart_y(c, below + ms[k]);
        double height = report_html_chart_y(c, below) - y;
        below += ms[k];
        if (height >= 0.05)
            buf_printf(c->out,
                       "<rect class=\"p%zu\" x=\"%.1f\" y=\"%.2f\" width=\"%.1f\" "
                       "height=\"%.2f\"/>",
                       k, x, y, width, height);
    }
    report_html_strip_begin(c, from_s, to_s);
    for (size_t k = REPORT_HTML_PARTS; k-- > 0;) {
        if (ms[k] > 0)
            report_html_strip_line(c->out, REPORT_HTML_PART[k].name, ms[k], " ms");
    }
    report_html_strip_end(c);
}

void report_html_stages(struct buf *out, const struct report_html_data *d)
{
    size_t n_bars = count_bars(d->n_parts), n_each = REPORT_HTML_COLUMNS / n_bars;
    double whole[REPORT_HTML_PARTS], ms[REPORT_HTML_PARTS], most = 0;
    mean_parts(d->columns, REPORT_HTML_COLUMNS, whole);
    for (size_t i = 0; i < n_bars; i++) {
        if (mean_parts(&d->columns[i * n_each], n_each, ms))
            most = fmax(most, sum_of(ms));
    }
    struct report_html_chart c = {
        .out = out, .width = REPORT_HTML_WIDE, .height = REPORT_HTML_HEIGHT};
    c.x = report_html_time_axis(d);
    c.y = report_html_axis_from_zero(most);
    report_html_card_begin(out, "Where the time goes", true);
    for (size_t k = 0; k < REPORT_HTML_PARTS; k++) {
        if (whole[k] < sum_of(whole) * LEAST_SHARE)
            continue;
        buf_printf(out, "<span class=\"key\"><i class=\"p%zu\"></i>%s <em>", k,
                   REPORT_HTML_PART[k].name);
        report_html_number(out, whole[k]);
        buf_puts(out, " ms</em></span>");
    }
    report_html_card_chart(out);
    report_html_chart_begin(&c, "Stages of a request over time",
                            "seconds since the first request was due", "ms a request, mean");
    for (size_t i = 0; i < n_bars; i++) {
        if (mean_parts(&d->columns[i * n_each], n_each, ms))
            put_stack(&c, ms, report_html_data_column_s(d, i * n_each, 0),
                      report_html_data_column_s(d, (i + 1) * n_each, 0));
    }
    report_html_chart_end(&c);
    report_html_card_end(out);
}
