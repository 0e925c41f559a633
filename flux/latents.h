/* Latents between their two layouts: a picture [C, Y, X] as the noise generator and the
 * autoencoder see it, and tokens [Y/2 X/2, 4 C] as the transformer does, each token a 2x2 patch
 * with feature = channel x 4 + (row mod 2) x 2 + (column mod 2). */
#pragma once

#include "tensor/ops.h"

/* Host: tokens from a picture, and back. rows and columns are those of the picture. */
void latents_pack(float *tokens, const float *picture, int64_t channels, int64_t rows,
                  int64_t columns);
void latents_unpack(float *picture, const float *tokens, int64_t channels, int64_t rows,
                    int64_t columns);

/* Device: picture [Y, X, C], channels last, from tokens [Y/2 X/2, 4 C]. */
void latents_to_map(struct backend *b, struct tensor picture, struct tensor tokens);
