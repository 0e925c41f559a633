/* One part of a model as it lies in files, whatever their form: safetensors or GGUF, under the
 * names of diffusers or of the first publication. Parameters are asked for by diffusers names. */
#pragma once

#include "flux/ggml_blocks.h"
#include "flux/gguf.h"
#include "flux/safetensors.h"

enum part { CLIP, T5, TRANSFORMER, VAE, N_PARTS };

enum layout { LAYOUT_DIFFUSERS, LAYOUT_BFL_TRANSFORMER, LAYOUT_BFL_VAE };

struct checkpoint {
    char *path;                      /* owned: the file, or the folder */
    struct safetensors *safetensors; /* owned; one of the two is NULL */
    struct gguf *gguf;
    enum layout layout;
    const char *prefix; /* before each name in the file */
    int n_levels;       /* of LAYOUT_BFL_VAE */
};

/* A parameter where it lies. Windows die with the checkpoint. */
struct stored {
    struct tensor window; /* dense, on the host */
    const struct ggml_format
        *blocks;       /* what data holds, when not numbers of window.dtype; or NULL */
    bool swaps_halves; /* the second half of the rows has to come first */
    char name[200];    /* in the file */
};

/* Open the diffusers form: DIR/BASE.safetensors or its shards. */
bool checkpoint_open_folder(struct checkpoint *c, const char *dir, const char *base,
                            struct error *err);
/* Open a single file that holds a part. ERR_NOT_FOUND, with the names that were looked for, when it
 * is readable but holds none. */
bool checkpoint_open_file(struct checkpoint *c, const char *path, enum part part,
                          struct error *err);
void checkpoint_close(struct checkpoint *c); /* accepts a zero-initialised one */

/* "safetensors" or "GGUF". */
const char *checkpoint_form(const struct checkpoint *c);

/* Find a parameter. ERR_NOT_FOUND when there is none, ERR_INVALID when it can't be used. */
bool checkpoint_find(const struct checkpoint *c, const char *name, struct stored *out,
                     struct error *err);
/* True when it is there, usable or not. */
bool checkpoint_has(const struct checkpoint *c, const char *name);

/* Write the parameter's values to out, dense and in order, as dtype (f32, bf16 or f16). */
void stored_decode(const struct stored *s, void *out, enum dtype dtype);
