/* `fluxperf profile`: one run from the options to the exit code. */
#pragma once

/* argv[first..argc) are the options. Returns the exit code: 0 everything succeeded, 1 the run or
 * any request failed, 2 the command line is wrong. */
int profile_main(int argc, char **argv, int first);
