/* All in float, in the reference's order of operations, so that results agree to the last bit. */
#include "flux/sigmas.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tensor/dtype.h"

/* The exponent of the dynamic shift: a straight line through (base_tokens, base_shift) and
 * (max_tokens, max_shift). */
static double shift_exponent(const struct sigmas_config *c, int64_t n_tokens)
{
    double slope = (c->max_shift - c->base_shift) / (double)(c->max_tokens - c->base_tokens);
    double offset = c->base_shift - slope * (double)c->base_tokens;
    return (double)n_tokens * slope + offset;
}

static float shift_sigma(const struct sigmas_config *c, double mu, float sigma)
{
    if (!c->is_dynamic) {
        float shift = (float)c->shift;
        return shift * sigma / (1.0f + (float)(c->shift - 1.0) * sigma);
    }
    float bend = (float)(c->is_linear ? mu : exp(mu));
    return bend / (bend + (1.0f / sigma - 1.0f));
}

bool sigmas_make(struct sigmas *s, const struct sigmas_config *c, int64_t n_tokens, int steps,
                 double strength, struct error *err)
{
    double run = fmin((double)steps * strength, (double)steps);
    int skip = (int)fmax((double)steps - run, 0.0);
    if (skip >= steps) {
        return fail_field(err, "strength", "%g of %d steps leaves no step to run: use at least %g",
                          strength, steps, 1.0 / steps);
    }
    *s = (struct sigmas){.n_all = steps,
                         .n_steps = steps - skip,
                         .all = xcalloc((size_t)steps + 1, sizeof *s->all),
                         .mu = shift_exponent(c, n_tokens)};
    /* Evenly from 1 to 1 / steps, in double as numpy's linspace, then float. */
    double step = steps > 1 ? (1.0 / steps - 1.0) / (steps - 1) : 0;
    for (int i = 0; i < steps; i++) {
        double even = i + 1 == steps && steps > 1 ? 1.0 / steps : 1.0 + i * step;
        s->all[i] = shift_sigma(c, s->mu, (float)even);
    }
    s->at = s->all + skip;
    return true;
}

void sigmas_free(struct sigmas *s)
{
    free(s->all);
    *s = (struct sigmas){0};
}

float sigmas_model_time(const struct sigmas *s, const struct sigmas_config *c, int step,
                        enum dtype compute)
{
    float train_steps = (float)c->n_train_timesteps;
    float timestep = dtype_round(compute, s->at[step] * train_steps);
    return dtype_round(compute, timestep / 1000.0f);
}
