/* model_dir_find(), and the models that need no directory: their configs are built in. */
#pragma once

#include "server/model_dir.h"

/* Append what flux_plan() or, for a dummy, flux_open_as() take: a directory or, when configs are
 * enough, a known name that is no directory. No request is made for a known name. */
bool find_model(struct buf *model, const char *path, unsigned content, struct error *err);
