/* What --model-path means: a local directory, or nothing for the model that comes along. */
#pragma once

#include "base/buf.h"

/* The embedded model's name, a folder of models/. */
#define MODEL_DIR_DEFAULT "tiny-flux-dev"

/* Append the directory of path, which must be in the diffusers layout (it has a model_index.json).
 * NULL or "" searches the embedded model: in $FLUXBENCH_MODEL_DIR, in share/fluxbench/models of the
 * installation, in models/ of the checkout that the program was built in. ERR_INVALID with the
 * places that were searched. */
bool model_dir_find(struct buf *dir, const char *path, struct error *err);

/* The last part of a path, without trailing slashes. */
void model_dir_basename(struct buf *name, const char *path);
