/* The names of FLUX.1's first checkpoints, as Black Forest Labs published them, against those of
 * diffusers, which the model code asks for. Their transformer keeps queries, keys and values (and
 * the single blocks' feed-forward input) in one matrix each: a parameter is then a window of rows.
 * Their autoencoder counts the decoder's levels from full resolution down, diffusers from the
 * coarsest up.
 * Source: the tensor names of flux1-dev.safetensors and ae.safetensors; the FLUX.1 reference,
 * model.py and autoencoder.py. */
#pragma once

#include <stdbool.h>

enum { BFL_NAME_BYTES = 192 };

/* Where a parameter lies. */
struct bfl_place {
    char name[BFL_NAME_BYTES];
    int first, count, of; /* rows first / of to (first + count) / of; of is 1 for all rows */
    bool swaps_halves;    /* the second half of the rows comes first (scale and shift) */
};

/* The place of a diffusers name; false when there is none. */
bool bfl_transformer_place(struct bfl_place *out, const char *name);
/* n_levels: of the autoencoder. */
bool bfl_vae_place(struct bfl_place *out, const char *name, int n_levels);
