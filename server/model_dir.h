/* What --model-path means: a local directory, a model's name on a hub, or nothing for the model
 * that comes along. */
#pragma once

#include "base/buf.h"

/* The embedded model's name, a folder of models/. */
#define MODEL_DIR_DEFAULT "flux-tiny"

/* How much of a model is wanted, bits: names on a hub are fetched when it is not in the cache. */
enum model_content {
    MODEL_ALL = 0,
    MODEL_CONFIGS = 1,             /* nothing else */
    MODEL_WITHOUT_TRANSFORMER = 2, /* all but the weights of parts that come from elsewhere */
    MODEL_WITHOUT_VAE = 4,
};

/* Append the directory of path, which must be in the diffusers layout (it has a model_index.json)
 * or have .safetensors or .gguf files at its top. "owner/name[@revision]" that is no directory is
 * located in the Hugging Face cache, or fetched into it, which can take as long as a download: call
 * it before signals are blocked. NULL or "" searches the embedded model: in $FLUXBENCH_MODEL_DIR,
 * in share/fluxbench/models of the installation, in models/ of the checkout that the program was
 * built in. ERR_INVALID with the places that were searched; hub/hub.h says how fetching fails. */
bool model_dir_find(struct buf *dir, const char *path, unsigned content, struct error *err);

/* The last part of a path, without trailing slashes. */
void model_dir_basename(struct buf *name, const char *path);
