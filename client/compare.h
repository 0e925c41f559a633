/* `fluxperf compare BASE NEW`: is the new side slower, and how sure is that? */
#pragma once

/* Returns the exit code: 0 pass or improved, 3 regressed, 4 inconclusive, 5 not comparable, 1 and 2
 * as for the other commands. */
int compare_main(int argc, char **argv, int first);
void compare_help(void);
