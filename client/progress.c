#include "client/progress.h"

#include <inttypes.h>
#include <stdio.h>

#define WIPE "\r\x1b[K"

static void put_time(struct buf *out, double seconds)
{
    int64_t s = (int64_t)(seconds + 0.5);
    if (s >= 3600)
        buf_printf(out, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60), (int)(s % 60));
    else
        buf_printf(out, "%d:%02d", (int)(s / 60), (int)(s % 60));
}

/* Seconds to go, by whichever bound comes first; negative when it can't be told yet. */
static double time_left(const struct progress *p)
{
    double left = -1;
    if (p->n_wanted > 0 && p->n_done > 0)
        left = (double)(p->n_wanted - p->n_done) * p->elapsed_s / (double)p->n_done;
    if (p->duration_s > 0) {
        double by_time = p->duration_s > p->elapsed_s ? p->duration_s - p->elapsed_s : 0;
        left = left < 0 || by_time < left ? by_time : left;
    }
    return left;
}

void progress_print(struct buf *out, const struct progress *p)
{
    buf_printf(out, "%s  %" PRId64, p->phase, p->n_done);
    if (p->n_wanted > 0)
        buf_printf(out, "/%" PRId64, p->n_wanted);
    buf_printf(out, " done  %" PRId64 " in flight", p->n_in_flight);
    if (p->n_failed > 0)
        buf_printf(out, "  %" PRId64 " failed", p->n_failed);
    if (p->elapsed_s > 0)
        buf_printf(out, "  %.2f req/s", (double)p->n_done / p->elapsed_s);
    buf_puts(out, "  ETA ");
    double left = time_left(p);
    if (left < 0)
        buf_puts(out, "-");
    else
        put_time(out, left);
}

void progress_draw(const struct progress *p)
{
    struct buf line = {0};
    if (p)
        progress_print(&line, p);
    fprintf(stderr, WIPE "%s", p ? line.data : "");
    fflush(stderr);
    buf_free(&line);
}
