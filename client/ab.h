/* `fluxperf ab --a URL --b URL`: runs against two servers in turn, and whether B is slower. */
#pragma once

/* Returns the exit code: that of the comparison (0, 3, 4, 5), 1 when a request failed or the
 * command ended early, 2 wrong usage. */
int ab_main(int argc, char **argv, int first);
void ab_help(void);
