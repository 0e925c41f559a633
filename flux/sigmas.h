/* The noise schedule of flow matching: sigma falls from 1 (pure noise) to 0 (the picture), and a
 * step moves the latent along the predicted velocity by the difference of two sigmas.
 *
 * Evenly spaced sigmas are bent towards 1 ("shifted"), since larger pictures need more of their
 * steps at high noise: by a constant, or dynamically with an exponent mu that grows with the
 * number of image tokens.
 * Source: Lipman et al. 2023 (flow matching); Esser et al. 2024, section 5.3.2 (shift). */
#pragma once

#include "flux/config.h"

struct sigmas {
    int n_steps;     /* to run */
    int n_all;       /* asked for; in image-to-image the first n_all - n_steps are left out */
    float *all;      /* owned: n_all + 1 values, the last is 0 */
    const float *at; /* into all: n_steps + 1 values */
    double mu;
};

/* The schedule for a picture of n_tokens image tokens. strength 1 runs all steps; less drops the
 * first ones (image-to-image), and too little to run one step is ERR_INVALID. */
bool sigmas_make(struct sigmas *s, const struct sigmas_config *c, int64_t n_tokens, int steps,
                 double strength, struct error *err);
void sigmas_free(struct sigmas *s);

/* Model time of step i as the transformer gets it: sigma x 1000, / 1000, rounded to the compute
 * type in between as the reference does. */
float sigmas_model_time(const struct sigmas *s, const struct sigmas_config *c, int step,
                        enum dtype compute);
