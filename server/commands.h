/* The sub-commands of fluxserve. Each reads argv[first..argc), prints its results to stdout and
 * everything else to stderr, and returns the exit code: 0 done, 1 failed, 2 wrong usage. */
#pragma once

int command_serve(int argc, char **argv, int first);
int command_generate(int argc, char **argv, int first);
int command_plan(int argc, char **argv, int first);
int command_quantize(int argc, char **argv, int first);
int command_tokenize(int argc, char **argv, int first);
int command_selftest(int argc, char **argv, int first);
int command_bench_ops(int argc, char **argv, int first);
int command_healthcheck(int argc, char **argv, int first);
