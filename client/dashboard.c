#include "client/dashboard.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/report.h"
#include "client/stats.h"
#include "text/unicode.h"

#define BOLD "\x1b[1m"
#define SOFT "\x1b[2m"
#define RED "\x1b[31m"
#define GREEN "\x1b[32m"
#define PLAIN "\x1b[0m"

/* ---- lines that fit ------------------------------------------------------------------------- */

struct page {
    struct buf *out;
    int columns, rows, n_lines;
};

/* Text cut to the width; sequences of our own take no room. */
static void put_line(struct page *page, const struct buf *line)
{
    int column = 0;
    if (page->n_lines == page->rows)
        return;
    if (page->n_lines++ > 0)
        buf_putc(page->out, '\n');
    for (size_t at = 0; at < line->size;) {
        uint32_t code;
        size_t n = utf8_decode(line->data + at, line->size - at, &code);
        if (code == 0x1b) {
            n = strcspn(line->data + at, "m") + 1;
            buf_append(page->out, line->data + at, n);
        } else if (column < page->columns) {
            buf_append(page->out, line->data + at, n);
            column++;
        }
        at += n;
    }
}

static void end_line(struct page *page, struct buf *line)
{
    put_line(page, line);
    buf_clear(line);
}

static void put_label(struct buf *line, const char *name)
{
    buf_printf(line, SOFT "%-10s" PLAIN, name);
}

static void put_ms(struct buf *line, const char *name, double ms)
{
    if (ms >= 10000)
        buf_printf(line, "%s %.1f s   ", name, ms / 1000);
    else
        buf_printf(line, "%s %.*f ms   ", name, ms < 10 ? 2 : ms < 100 ? 1 : 0, ms);
}

/* ---- parts ---------------------------------------------------------------------------------- */

static void put_head(struct page *page, const struct dashboard *d, struct buf *line)
{
    buf_puts(line, BOLD "fluxperf" PLAIN "  ");
    report_clean_text(line, d->model, 60);
    buf_puts(line, SOFT "  ");
    report_clean_text(line, d->url, 100);
    buf_puts(line, PLAIN);
    end_line(page, line);
    end_line(page, line);
}

static void put_progress(struct page *page, const struct dashboard *d, struct buf *line)
{
    const struct progress *p = &d->progress;
    double by_count = p->n_wanted > 0 ? (double)p->n_done / (double)p->n_wanted : 0;
    double by_time = p->duration_s > 0 ? p->elapsed_s / p->duration_s : 0;
    double share = fmin(fmax(by_count, by_time), 1);
    int width = page->columns - 20 < 60 ? page->columns - 20 : 60;
    put_label(line, p->phase);
    if (width > 0)
        buf_puts(line, GREEN);
    for (int i = 0; i < width; i++)
        buf_puts(line, i < (int)(share * width) ? "█" : SOFT "░" PLAIN GREEN);
    buf_printf(line, PLAIN " %3.0f %%", share * 100);
    end_line(page, line);
    put_label(line, "");
    progress_print(line, p);
    end_line(page, line);
    end_line(page, line);
}

static void put_requests(struct page *page, const struct dashboard *d, struct buf *line)
{
    const struct progress *p = &d->progress;
    put_label(line, "requests");
    buf_printf(line, "done %" PRId64 "   in flight %" PRId64 "   ", p->n_done, p->n_in_flight);
    if (d->n_waiting >= 0)
        buf_printf(line, "due, not sent %" PRId64 "   ", d->n_waiting);
    buf_printf(line, "%sfailed %" PRId64 "%s", p->n_failed > 0 ? RED : "", p->n_failed, PLAIN);
    end_line(page, line);
    put_label(line, "rate");
    if (!isnan(d->rate_hz))
        buf_printf(line, "now %.3g /s   ", d->rate_hz);
    if (p->elapsed_s > 0)
        buf_printf(line, "mean %.3g /s", (double)p->n_done / p->elapsed_s);
    end_line(page, line);
}

/* The newest latencies as bars of eight heights, the oldest one at the left. */
static void put_bars(struct page *page, const struct live *l, struct buf *line, size_t n)
{
    static const char *const BARS[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    size_t width = page->columns > 12 ? (size_t)(page->columns - 12) : 0, first;
    double most = 0;
    n = n < width ? n : width;
    first = l->n - n;
    for (size_t i = first; i < l->n; i++)
        most = fmax(most, l->ms[i % LIVE_LATENCIES]);
    put_label(line, "");
    for (size_t i = first; i < l->n; i++) {
        double share = most > 0 ? l->ms[i % LIVE_LATENCIES] / most : 0;
        buf_puts(line, BARS[(int)fmin(share * 8, 7)]);
    }
    end_line(page, line);
}

static void put_latency(struct page *page, const struct dashboard *d, struct buf *line)
{
    const struct live *l = d->live;
    size_t n = l->n < LIVE_LATENCIES ? l->n : LIVE_LATENCIES;
    double sorted[LIVE_LATENCIES];
    put_label(line, "latency");
    if (n == 0) {
        buf_puts(line, SOFT "no answer yet" PLAIN);
        end_line(page, line);
        return;
    }
    memcpy(sorted, l->ms, n * sizeof *sorted);
    struct stats s = stats_compute(sorted, n);
    put_ms(line, "last", l->ms[(l->n - 1) % LIVE_LATENCIES]);
    put_ms(line, "p50", s.p[P50]);
    put_ms(line, "p95", s.p[P95]);
    put_ms(line, "max", s.max);
    if (l->n > LIVE_LATENCIES)
        buf_printf(line, SOFT "of the last %d" PLAIN, LIVE_LATENCIES);
    end_line(page, line);
    put_bars(page, l, line, n);
}

static void put_telemetry(struct page *page, const struct telemetry_now *now, struct buf *line)
{
    if (!isnan(now->queue_depth) || !isnan(now->in_flight)) {
        put_label(line, "server");
        if (!isnan(now->queue_depth))
            buf_printf(line, "queue %.0f   ", now->queue_depth);
        if (!isnan(now->in_flight))
            buf_printf(line, "running %.0f", now->in_flight);
        end_line(page, line);
    }
    if (!isnan(now->power_w) || !isnan(now->utilization_percent)) {
        put_label(line, "GPU");
        if (!isnan(now->power_w))
            buf_printf(line, "%.0f W   ", now->power_w);
        if (!isnan(now->utilization_percent))
            buf_printf(line, "%.0f %% busy", now->utilization_percent);
        end_line(page, line);
    }
    if (!isnan(now->cpu_share)) {
        put_label(line, "client");
        buf_printf(line, "%.0f %% of a core", now->cpu_share * 100);
        end_line(page, line);
    }
}

static void put_errors(struct page *page, const struct live *l, struct buf *line)
{
    for (size_t i = 0; i < l->n_errors; i++) {
        put_label(line, i == 0 ? "errors" : "");
        buf_printf(line, RED "%zu x ", l->errors[i].n);
        report_clean_text(line, l->errors[i].text, LIVE_TEXT);
        buf_puts(line, PLAIN);
        end_line(page, line);
    }
}

/* The lines that there is room for, the last ones. */
static void put_log(struct page *page, const char *log, struct buf *line)
{
    int room = page->rows - page->n_lines - 1, n = 0;
    const char *from = log + strlen(log);
    if (from > log && from[-1] == '\n')
        from--;
    while (from > log && (from[-1] != '\n' || ++n < room))
        from--;
    if (room <= 0 || !*log)
        return;
    end_line(page, line);
    for (const char *p = from; *p;) {
        size_t size = strcspn(p, "\n");
        char *text = xstrndup(p, size);
        buf_puts(line, SOFT);
        report_clean_text(line, text, 400);
        buf_puts(line, PLAIN);
        end_line(page, line);
        free(text);
        p += p[size] ? size + 1 : size;
    }
}

void dashboard_print(struct buf *out, const struct dashboard *d, int columns, int rows)
{
    struct page page = {.out = out, .columns = columns, .rows = rows};
    struct buf line = {0};
    put_head(&page, d, &line);
    put_progress(&page, d, &line);
    put_requests(&page, d, &line);
    put_latency(&page, d, &line);
    put_telemetry(&page, &d->now, &line);
    put_errors(&page, d->live, &line);
    if (d->log)
        put_log(&page, d->log, &line);
    buf_free(&line);
}
