/* One run of the pipeline over a back end: encode the text, denoise, decode. The same code runs
 * over the plan, which has no data: ids and noise are absent then, and nothing is downloaded. */
#pragma once

#include "flux/clip.h"
#include "flux/dump.h"
#include "flux/sigmas.h"
#include "flux/t5.h"
#include "flux/transformer.h"
#include "flux/vae.h"

struct parts {
    struct flux_config config;
    struct clip clip;
    struct t5 t5;
    struct transformer transformer;
    struct vae vae;
};

/* Token ids of all prompts of one kind, [P, L] each; the arrays are NULL in a plan. */
struct prompt_ids {
    int32_t *clip, *t5; /* owned by the caller */
    int64_t clip_length, t5_length;
};

/* Everything that a run needs, worked out on the host beforehand. */
struct run {
    const struct parts *parts;
    const struct flux_spec *spec;
    const struct flux_hooks *hooks; /* may be NULL */
    struct flux_dump *dump;         /* may be NULL */
    struct sigmas sigmas;
    struct prompt_ids ids, negative_ids;
    bool has_cfg;
    int n_rows, group_rows; /* all, and as many as are denoised together */
    int64_t latent_rows, latent_columns;
    const float *noise;          /* [rows, C, Y, X]; NULL in a plan */
    const float *init_noise_vae; /* [C, Y, X] for image-to-image */
    struct flux_result *result;
    struct {
        double clip, t5, step, vae; /* FLOPs of each kind of work, filled in by a plan */
    } plan_flops;
    double plan_bytes_per_step;     /* read and written by a step, likewise */
    double plan_streamed_per_step;  /* copied to the device by a step, likewise */
    double plan_exchanged_per_step; /* sent to other ranks by a step, likewise */
    bool is_follower;               /* stopped because another rank did; its error says more */
};

/* Run it. The scratch arena must be large enough (see pipeline_scratch_bytes). In a team every rank
 * runs the same; hooks and result are for rank 0, which decodes. */
bool pipeline_run(struct backend *b, struct run *run, struct error *err);

/* The step memory that a run needs on a back end like b: the run itself over a plan. */
size_t pipeline_scratch_bytes(const struct run *run, const struct backend *b);

/* Do all ranks of a team say yes? One that does gets an error when another does not. */
bool pipeline_agree(struct backend *b, struct run *run, bool mine, struct error *err);
