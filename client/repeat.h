/* `fluxperf repeat N`: the same run N times, and how its numbers differ from run to run. */
#pragma once

/* Returns the exit code: 0 all runs took place and every request succeeded, 1 else, 2 wrong usage.
 */
int repeat_main(int argc, char **argv, int first);
void repeat_help(void);
