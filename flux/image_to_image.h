/* Where image-to-image starts: the latent of a given picture. */
#pragma once

#include "flux/pipeline.h"

/* latent [C, Y, X] on the host = (sample - shift) x scale, the sample being drawn from the
 * encoder's Gaussian with run->init_noise_vae. Untouched in a plan. */
bool init_latent(struct backend *b, const struct run *run, float *latent, struct error *err);
