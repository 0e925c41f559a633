/* `fluxperf plot DIR`: draw the report of a run again, from the files that profile left in DIR. */
#pragma once

/* Returns the exit code: 0 done, 1 the page could not be written, 2 wrong usage or no readable run
 * in DIR. */
int report_html_plot_main(int argc, char **argv, int first);
void report_html_plot_help(void);
