/* What `--ui dashboard` shows, as text: a pure function of numbers and of the size of the screen.
 */
#pragma once

#include "client/live.h"
#include "client/progress.h"
#include "client/telemetry.h"

struct dashboard {
    const char *model, *url;
    struct progress progress;
    double rate_hz;    /* of answers, lately; NaN: not known yet */
    int64_t n_waiting; /* due, not sent; negative: not known */
    const struct live *live;
    struct telemetry_now now;
    const char *log; /* the last lines of stderr, or NULL */
};

/* Append at most rows lines, none wider than columns characters, the last one without a newline.
 * Colours are ANSI sequences; text from elsewhere loses its control characters. */
void dashboard_print(struct buf *out, const struct dashboard *d, int columns, int rows);
