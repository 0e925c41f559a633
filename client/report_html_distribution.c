/* How response times are distributed: a histogram, and the distribution function with its band. */
#include <math.h>

#include "client/quantiles.h"
#include "client/report_html_card.h"
#include "client/report_html_charts.h"

#define N_BINS 60
#define N_LEVELS 200 /* of the distribution function */

static void put_marks(struct report_html_chart *c, const double *sorted, size_t n)
{
    static const double RANKS[] = {50, 95, 99};
    double last = -INFINITY;
    for (size_t i = 0; i < sizeof RANKS / sizeof RANKS[0]; i++) {
        if (n < quantile_needs(RANKS[i]))
            break; /* and even more so the next ones */
        double x = report_html_chart_x(c, stats_percentile(sorted, n, RANKS[i]));
        buf_printf(c->out, "<path class=\"mark\" d=\"M%.1f %.1fV%.1f\"/>", x, c->top - 4,
                   c->bottom);
        if (x - last > 26) /* else the labels would overlap */
            buf_printf(c->out,
                       "<text class=\"tick strong\" x=\"%.1f\" y=\"%.1f\" "
                       "text-anchor=\"middle\">p%g</text>\n",
                       x, c->top - 8, RANKS[i]);
        last = x;
    }
}

void report_html_histogram(struct buf *out, const struct report_html_data *d)
{
    const double *sorted = d->sorted[REPORT_HTML_RESPONSE];
    size_t counts[N_BINS] = {0}, most = 0;
    struct report_html_chart c = {
        .out = out, .width = REPORT_HTML_HALF, .height = REPORT_HTML_HEIGHT};
    c.x = report_html_axis_for(sorted[0], sorted[d->n_samples - 1]);
    c.left = 0; /* until the frame is drawn, positions are bins */
    c.right = N_BINS;
    for (size_t i = 0; i < d->n_samples; i++) {
        double at = report_html_chart_x(&c, sorted[i]);
        size_t bin = at < 0 ? 0 : at >= N_BINS ? N_BINS - 1 : (size_t)at;
        counts[bin]++;
        most = counts[bin] > most ? counts[bin] : most;
    }
    c.y = report_html_axis_from_zero((double)most);
    c.y.is_count = true;
    report_html_card_begin(out, "Distribution", false);
    report_html_card_key(out, "s0", REPORT_HTML_SERIES_NAME[REPORT_HTML_RESPONSE]);
    report_html_card_chart(out);
    report_html_chart_begin(&c, "Distribution of the response time", "ms", "requests");
    double width = (c.right - c.left) / N_BINS;
    for (size_t i = 0; i < N_BINS; i++) {
        if (counts[i] == 0)
            continue;
        double y = report_html_chart_y(&c, (double)counts[i]);
        buf_printf(out,
                   "<rect class=\"bar s0\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                   "height=\"%.1f\"><title>%zu request%s</title></rect>\n",
                   c.left + (double)i * width + 0.5, y, width - 1, c.bottom - y, counts[i],
                   counts[i] == 1 ? "" : "s");
    }
    put_marks(&c, sorted, d->n_samples);
    report_html_chart_end(&c);
    report_html_card_end(out);
}

double report_html_band(const double *sorted, size_t n, double rank, bool is_high)
{
    size_t low, high;
    quantile_ends(n, rank, &low, &high);
    if (is_high)
        return high <= n ? sorted[high - 1] : NAN;
    return low >= 1 ? sorted[low - 1] : NAN;
}

static double level_rank(size_t i) { return 100 * (double)i / N_LEVELS; }

/* The band, up its left side and down its right one. Where n is too small for an end, it reaches to
 * the edge of the chart: nothing is known there. */
static void put_band(struct report_html_chart *c, const double *sorted, size_t n)
{
    bool is_open = false;
    buf_puts(c->out, "<path class=\"band s0\" d=\"");
    for (size_t i = 1; i < N_LEVELS; i++) {
        double low = report_html_band(sorted, n, level_rank(i), false);
        report_html_chart_point(c, &is_open, isnan(low) ? c->x.from : low, level_rank(i));
    }
    for (size_t i = N_LEVELS - 1; i > 0; i--) {
        double high = report_html_band(sorted, n, level_rank(i), true);
        report_html_chart_point(c, &is_open, isnan(high) ? c->x.to : high, level_rank(i));
    }
    buf_puts(c->out, "z\"/>\n");
}

static void put_curve(struct report_html_chart *c, const double *sorted, size_t n, size_t k)
{
    bool is_open = false;
    buf_printf(c->out, "<path class=\"line s%zu\" d=\"", k);
    for (size_t i = 0; i <= N_LEVELS; i++)
        report_html_chart_point(c, &is_open, stats_percentile(sorted, n, level_rank(i)),
                                level_rank(i));
    buf_puts(c->out, "\"/>\n");
}

void report_html_cdf(struct buf *out, const struct report_html_data *d)
{
    double least = INFINITY, greatest = 0;
    for (size_t k = 0; k < report_html_data_n_series(d); k++) {
        least = fmin(least, d->sorted[k][0]);
        greatest = fmax(greatest, d->sorted[k][d->n_samples - 1]);
    }
    struct report_html_chart c = {
        .out = out, .width = REPORT_HTML_HALF, .height = REPORT_HTML_HEIGHT};
    c.x = report_html_axis_for(least, greatest);
    c.y = (struct report_html_axis){.to = 100};
    report_html_card_begin(out, "Cumulative distribution", false);
    report_html_card_series(out, d);
    bool has_band = d->n_samples >= quantile_needs(50);
    buf_printf(out, "<span class=\"note\">%s</span>",
               has_band ? "band: 95 % interval" : "too few requests for a 95 % band");
    report_html_card_chart(out);
    report_html_chart_begin(&c, "Cumulative distribution", "ms", "% of requests");
    if (has_band)
        put_band(&c, d->sorted[REPORT_HTML_RESPONSE], d->n_samples);
    for (size_t k = report_html_data_n_series(d); k-- > 0;)
        put_curve(&c, d->sorted[k], d->n_samples, k);
    report_html_chart_end(&c);
    report_html_card_end(out);
}
