/* The sub-command `download`: fetch a model, or parts of it, and print where it is. */
#pragma once

/* Read argv[first..argc): ID and options. Prints the directory to stdout and everything else to
 * stderr; returns the exit code. SIGINT and SIGTERM end it, and leave files that the next run
 * continues. Call it before other threads exist. */
int hub_download_command(int argc, char **argv, int first);
