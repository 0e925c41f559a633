/* Ctrl-C for a command that computes: SIGINT and SIGTERM are blocked in all threads and taken by
 * one of its own. Before interrupt_defer() a signal ends the process, as it would by default; after
 * it the first one only sets a flag, and the second one ends the process. */
#pragma once

#include <stdbool.h>

struct interrupt;

/* Call before any other thread starts. */
struct interrupt *interrupt_open(void);
void interrupt_defer(struct interrupt *i);
bool interrupt_came(const struct interrupt *i);
void interrupt_close(struct interrupt *i); /* NULL is fine */
