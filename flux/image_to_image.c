/* The encoder gives mean and log-variance of each latent number. Each arithmetic step on them is
 * rounded to the compute type, as the reference's tensors are. */
#include "flux/image_to_image.h"

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "flux/vae_tiles.h"
#include "tensor/dtype.h"

/* The given picture scaled to -1..1, channels last; the caller frees. */
static float *scaled_pixels(const struct flux_spec *spec)
{
    int64_t n = (int64_t)spec->height_px * spec->width_px * 3;
    float *pixels = xmalloc((size_t)n * sizeof *pixels);
    for (int64_t i = 0; i < n; i++) {
        pixels[i] = 2.0f * ((float)spec->init_rgb[i] / 255.0f) - 1.0f;
    }
    return pixels;
}

/* Channels last to first; the caller frees. */
static float *planes_of(const float *pixels, int64_t area, int64_t channels)
{
    float *planes = xmalloc((size_t)(area * channels) * sizeof *planes);
    for (int64_t i = 0; i < area * channels; i++) {
        planes[i % channels * area + i / channels] = pixels[i];
    }
    return planes;
}

static void dump_init(const struct run *r, enum dtype t, const float *pixels, const float *mean,
                      const float *logvar)
{
    const struct flux_spec *spec = r->spec;
    struct shape map =
        SHAPE(1, r->parts->config.vae.latent_channels, r->latent_rows, r->latent_columns);
    float *planes = planes_of(pixels, (int64_t)spec->height_px * spec->width_px, 3);
    dump_host(r->dump, "init_image_uint8",
              tensor_make((void *)(uintptr_t)spec->init_rgb, DTYPE_U8,
                          SHAPE(spec->height_px, spec->width_px, 3)));
    dump_floats(r->dump, "init_image_float", t, planes,
                SHAPE(1, 3, spec->height_px, spec->width_px));
    dump_floats(r->dump, "init_latent_mean", t, mean, map);
    dump_floats(r->dump, "init_latent_logvar", t, logvar, map);
    dump_floats(r->dump, "init_noise_vae", t, r->init_noise_vae, map);
    free(planes);
}

/* Sample the latent from moments [Y, X, 2 C] on the host, of type t. */
static void sample(const struct run *r, enum dtype t, const void *moments, float *mean,
                   float *logvar, float *latent)
{
    const struct vae_config *c = &r->parts->config.vae;
    int64_t channels = c->latent_channels, area = r->latent_rows * r->latent_columns;
    for (int64_t i = 0; i < channels * area; i++) {
        int64_t at = i % area * 2 * channels + i / area;
        mean[i] = dtype_load(moments, t, at);
        logvar[i] = fminf(fmaxf(dtype_load(moments, t, at + channels), -30.0f), 20.0f);
        float deviation = dtype_round(t, expf(dtype_round(t, 0.5f * logvar[i])));
        float noise = dtype_round(t, r->init_noise_vae[i]);
        float x = dtype_round(t, mean[i] + dtype_round(t, deviation * noise));
        latent[i] = dtype_round(t, dtype_round(t, x - c->shift_factor) * c->scaling_factor);
    }
}

bool init_latent(struct backend *b, const struct run *run, float *latent, struct error *err)
{
    const struct vae_config *c = &run->parts->config.vae;
    const struct flux_spec *spec = run->spec;
    size_t mark = scratch_mark(b);
    struct tensor moments = scratch_take(
        b, b->compute, SHAPE(1, run->latent_rows, run->latent_columns, 2 * c->latent_channels));
    float *pixels = backend_is_plan(b) ? NULL : scaled_pixels(spec);
    vae_tiles_encode(b, &run->parts->vae, moments,
                     upload_new(b, pixels, SHAPE(1, spec->height_px, spec->width_px, 3)));
    bool ok = true;
    if (!backend_is_plan(b)) {
        size_t count = (size_t)(tensor_elements(moments) / 2);
        void *host = xmalloc(tensor_bytes(moments));
        float *mean = xcalloc(2 * count, sizeof *mean), *logvar = mean + count;
        ok = backend_download(b, host, moments, err);
        if (ok) {
            sample(run, b->compute, host, mean, logvar, latent);
        }
        if (ok && run->dump != NULL && pixels != NULL) {
            dump_init(run, b->compute, pixels, mean, logvar);
        }
        free(host);
        free(mean);
    }
    free(pixels);
    scratch_release(b, mark);
    return ok;
}
