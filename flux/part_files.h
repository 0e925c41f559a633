/* Which file each part of a model is read from. A model folder may have parts in the diffusers form
 * (a folder of their own, with a config), in single files, or in both, as the hub repositories of
 * FLUX.1 do; and a part may be replaced by a file from elsewhere. */
#pragma once

#include "flux/checkpoint.h"
#include "flux/flux.h"

struct part_files {
    char *file[N_PARTS]; /* owned: the single file, or NULL for the folder in diffusers form */
    char *unread;        /* owned: single files that lie there unread, or NULL */
};

/* For each part: the file that load names, else its folder when that is complete (config and all
 * weights), else a .safetensors or .gguf file of the model's folder that holds the part. A part
 * that is nowhere has no file: opening its folder will say what is missing. Fails when a single
 * file can't be read, or when several hold a part. */
bool part_files_find(struct part_files *f, const char *model_dir, const struct flux_load *load,
                     struct error *err);
void part_files_free(struct part_files *f); /* accepts a zero-initialised one */

bool part_files_has_any(const struct part_files *f);

/* The folder of a part in the diffusers form, and the base of its weights' names. */
const char *part_folder(enum part part);
const char *part_base(enum part part);
