#include "client/display.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/dashboard.h"
#include "client/terminal.h"

#define MAX_ARRIVALS 200000 /* of the plan that one draw walks over: a rate of a million */

void display_open(struct display *d, const struct options *o, struct live *live,
                  struct telemetry *telemetry)
{
    const char *ui = o->ui ? o->ui : "simple";
    *d = (struct display){.options = o, .live = live, .telemetry = telemetry};
    if (strcasecmp(ui, "none") == 0)
        return;
    if (strcasecmp(ui, "dashboard") == 0 && terminal_open())
        d->kind = DISPLAY_DASHBOARD;
    else if (isatty(STDERR_FILENO))
        d->kind = DISPLAY_SIMPLE;
}

static void begin_phase(struct display *d, const struct load_phase *phase)
{
    d->phase = phase;
    d->arrivals = phase->arrivals;
    d->n_due = 0;
    d->n_draws = 0;
    d->next_due_ns = arrivals_next_ns(&d->arrivals);
}

/* Requests that the plan has due by now less those that were sent; negative: there is no plan. */
static int64_t count_waiting(struct display *d, const struct progress *p)
{
    const struct load_phase *phase = d->phase;
    bool has_plan = phase->arrivals.rate_hz > 0 || phase->arrivals.n_times > 0;
    int64_t now_ns = (int64_t)(p->elapsed_s * (double)NS_PER_S);
    if (!has_plan)
        return -1;
    if (phase->duration_ns > 0 && now_ns > phase->duration_ns)
        now_ns = phase->duration_ns;
    for (int i = 0; i < MAX_ARRIVALS && d->next_due_ns <= now_ns; i++) {
        if (phase->n_requests > 0 && d->n_due == phase->n_requests)
            break;
        d->n_due++;
        d->next_due_ns = arrivals_next_ns(&d->arrivals);
    }
    int64_t n_sent = p->n_done + p->n_in_flight;
    return d->n_due > n_sent ? d->n_due - n_sent : 0;
}

/* Answers a second since the oldest draw that is remembered, some seconds ago. */
static double recent_rate(struct display *d, const struct progress *p)
{
    size_t oldest = d->n_draws > DISPLAY_HISTORY ? d->n_draws - DISPLAY_HISTORY : 0;
    size_t at = oldest % DISPLAY_HISTORY;
    double rate = NAN;
    if (d->n_draws > 0 && p->elapsed_s > d->at_s[at])
        rate = (double)(p->n_done - d->n_done[at]) / (p->elapsed_s - d->at_s[at]);
    d->at_s[d->n_draws % DISPLAY_HISTORY] = p->elapsed_s;
    d->n_done[d->n_draws++ % DISPLAY_HISTORY] = p->n_done;
    return rate;
}

static void draw_dashboard(struct display *d, const struct progress *p)
{
    static const struct telemetry_now NOTHING = {NAN, NAN, NAN, NAN, NAN};
    struct live live;
    struct buf text = {0}, log = {0};
    int columns, rows;
    terminal_size(&columns, &rows);
    live_read(d->live, &live);
    terminal_log(&log, rows);
    char *url = request_url_shown(d->options->target.urls[0]);
    const struct dashboard dashboard = {
        .model = d->options->model,
        .url = url,
        .progress = *p,
        .rate_hz = recent_rate(d, p),
        .n_waiting = count_waiting(d, p),
        .live = &live,
        .now = d->telemetry ? telemetry_now(d->telemetry) : NOTHING,
        .log = log.data,
    };
    dashboard_print(&text, &dashboard, columns, rows);
    terminal_show(&text);
    free(url);
    buf_free(&text);
    buf_free(&log);
}

void display_draw(struct display *d, const struct progress *p, const struct load_phase *phase)
{
    if (d->phase != phase)
        begin_phase(d, phase);
    if (d->kind == DISPLAY_SIMPLE)
        progress_draw(p);
    else if (d->kind == DISPLAY_DASHBOARD)
        draw_dashboard(d, p);
}

void display_close(struct display *d)
{
    if (d->kind == DISPLAY_SIMPLE)
        progress_draw(NULL);
    else if (d->kind == DISPLAY_DASHBOARD)
        terminal_close();
    d->kind = DISPLAY_NONE;
}
