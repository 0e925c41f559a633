/* A few threads that work on one list together: the pictures of several answers are decoded at
 * once where there are cores for it. */
#pragma once

#include <stddef.h>

struct judges;

/* n threads besides the caller's; may be 0. They start with the first list. */
struct judges *judges_open(size_t n);
void judges_close(struct judges *j); /* NULL is fine */

/* Call work(self, i) once for each i < n, in any order and on several threads, this one included;
 * returns when all are done. */
void judges_run(struct judges *j, size_t n, void (*work)(void *self, size_t i), void *self);
