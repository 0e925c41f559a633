/* `fluxperf sweep --over NAME=V1,V2,...`: a run at every point of a grid. */
#pragma once

#include "client/runs.h"
#include "client/sweep_grid.h"

#define SWEEP_MAX_POINTS 1000

/* Returns the exit code: 0 all runs took place and every request succeeded, 1 else, 2 wrong usage.
 */
int sweep_main(int argc, char **argv, int first);
void sweep_help(void);

/* A sweep so far; the files show it. */
struct sweep {
    struct runs runs;
    struct sweep_grid grid;
    struct runs_result *results; /* owned, by point */
    size_t n_results, n_wanted;
};

bool sweep_write_json(const struct sweep *s, struct error *err);
bool sweep_write_csv(const struct sweep *s, struct error *err);
bool sweep_write_html(const struct sweep *s, struct error *err);
/* The table of the console. */
void sweep_print(struct buf *out, const struct sweep *s);

/* The figures of the console's table and the page's, from one place: name of the column, unit, and
 * where it comes from. */
struct sweep_column {
    const char *name, *unit, *tag, *stat;
};
#define SWEEP_COLUMNS 8
extern const struct sweep_column SWEEP_COLUMN[SWEEP_COLUMNS];
