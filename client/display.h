/* What a run shows while it goes, by --ui: the dashboard, the live line, or nothing. The main
 * thread owns it and draws; nothing here is on the path of requests. */
#pragma once

#include "client/live.h"
#include "client/load.h"
#include "client/options.h"
#include "client/progress.h"
#include "client/telemetry.h"

enum display_kind { DISPLAY_NONE, DISPLAY_SIMPLE, DISPLAY_DASHBOARD };

#define DISPLAY_HISTORY 25 /* draws that the present rate is taken over */

struct display {
    enum display_kind kind;
    const struct options *options;
    struct live *live;           /* not owned, like the next */
    struct telemetry *telemetry; /* may be NULL */

    /* since the phase began */
    const struct load_phase *phase;
    struct arrivals arrivals; /* the plan, walked along with time */
    int64_t next_due_ns, n_due;
    double at_s[DISPLAY_HISTORY]; /* of the newest draws, number i at i % that */
    int64_t n_done[DISPLAY_HISTORY];
    size_t n_draws;
};

/* dashboard needs a terminal at stdout, the line one at stderr: else there is less. */
void display_open(struct display *d, const struct options *o, struct live *live,
                  struct telemetry *telemetry);
void display_draw(struct display *d, const struct progress *p, const struct load_phase *phase);
/* Wipe; the terminal is as it was. Afterwards nothing is drawn. */
void display_close(struct display *d);
