/* A whole screen on the terminal of stdout, by plain ANSI sequences: the alternate screen is taken
 * and given back, whatever ends the process: a return, a crash (SIGSEGV, SIGABRT, ...), a hang-up,
 * SIGQUIT; Ctrl-Z gives it back for as long as the process is stopped. Only SIGKILL can't be met.
 *
 * What anybody writes to stderr meanwhile, when that is a terminal too, is kept and comes out at
 * the end. There is one screen in a process. */
#pragma once

#include "base/buf.h"

/* False: stdout is no terminal that can do that, or something failed; nothing was changed. */
bool terminal_open(void);
/* Columns and rows, asked anew each time; at least 1. */
void terminal_size(int *columns, int *rows);
/* Show text, lines ended by newlines, from the top left corner; the rest of the screen is emptied.
 */
void terminal_show(const struct buf *text);
/* Append the last lines that went to stderr, n at most. */
void terminal_log(struct buf *out, int n);
/* Give the screen back, and write what stderr got. Harmless when not open. */
void terminal_close(void);
