/* One revision of a model, from the hub into the cache. */
#pragma once

#include "hub/session.h"

/* Prepare a session for a model; session_close also after a failure. Nothing is sent or written. */
bool session_open(struct session *s, const struct hub_options *options, const char *model,
                  struct error *err);
void session_close(struct session *s);

/* Fetch what is missing, as hub_fetch() says. has_asked tells whether the hub answered at all.
 * The caller frees *snapshot_dir. */
bool download_run(struct session *s, char **snapshot_dir, bool *has_asked, struct error *err);
