/* The autoencoder tile by tile: large pictures in the memory of a small one.
 *
 * Square tiles of config.tile_px pixels overlap by a quarter. Where two overlap, the picture fades
 * linearly from the earlier tile into the later one, from the top to the bottom and from the left
 * to the right. Each tile has its own group norms and its own attention, so the result is near that
 * of vae.h and not equal to it; a picture that fits into one tile goes through vae.h as it is.
 * Source: diffusers, AutoencoderKL.enable_tiling. */
#pragma once

#include "flux/vae.h"

/* As vae_decode and vae_encode, in tiles when config.tile_px says so. */
void vae_tiles_decode(struct backend *b, const struct vae *m, struct tensor image,
                      struct tensor latent);
void vae_tiles_encode(struct backend *b, const struct vae *m, struct tensor moments,
                      struct tensor image);
