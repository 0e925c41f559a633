/* Work on items by a few threads, each with a connection of its own. */
#pragma once

#include "hub/session.h"

/* Work on one item, in any thread; false ends the whole. */
typedef bool (*parallel_fn)(void *self, struct session *s, struct transfer *t, size_t item,
                            struct error *err);

/* Call work for the items 0..n_items-1. The calling thread shows progress meanwhile, and passes on
 * the user's wish to stop. The first failure is kept, and stops the others. */
bool parallel_run(struct session *s, size_t n_items, parallel_fn work, void *self,
                  struct error *err);
