/* `fluxperf compare BASE NEW`: is the new side slower, and how sure is that? */
#pragma once

#include "base/json.h"

#define COMPARE_NOT_COMPARABLE 5 /* the exit code */

/* Returns the exit code: 0 pass or improved, 3 regressed, 4 inconclusive, 5 not comparable, 1 and 2
 * as for the other commands. */
int compare_main(int argc, char **argv, int first);
void compare_help(void);

/* How far to go: check the options; read the runs and tell whether they are comparable; all. */
enum compare_until { COMPARE_OPTIONS, COMPARE_FILES, COMPARE_VERDICT };

/* As compare_main, up to a point. out (may be NULL) gets what --format json prints when there is a
 * verdict: json_free. */
int compare_run(int argc, char **argv, int first, enum compare_until until, struct json **out);
