/* The command line of the generate command, and how its values are written. */
#pragma once

#include "base/args.h"
#include "base/buf.h"
#include "flux/step_profile.h"
#include "image/image.h"
#include "server/backends.h"
#include "server/load_options.h"

#define GENERATE_DEFAULT_STRENGTH 0.6 /* as FluxImg2ImgPipeline of diffusers */

/* Numbers below 0 (counts: below 1) were not given and take the model's default. */
struct generate_options {
    const char *model_path, *seed, *image, *output, *dump_path;
    const char *profile_steps;   /* NULL: none */
    struct step_profile profile; /* what profile_steps says */
    struct load_wish load_wish;
    struct flux_load load; /* what load_wish says */
    struct arg_list prompts, prompts_2, negatives, negatives_2;
    int64_t n, width_px, height_px, steps, max_sequence_length, quality;
    double guidance_scale, true_cfg_scale, strength;
    struct backends_wish backend;
    int log_level, generator_device;
    bool wants_flops, wants_help;
};

bool generate_options_parse(struct generate_options *options, int argc, char **argv, int first,
                            struct error *err);
void generate_options_free(struct generate_options *options);
void generate_options_help(void);

/* "9,0,5" to at most FLUX_MAX_ROWS numbers. */
bool generate_options_seeds(const char *text, uint64_t *seeds, int *n_seeds, struct error *err);
/* The format that the extension of a path stands for. */
bool generate_options_format(const char *path, enum image_format *format, struct error *err);
/* Append the file name of image i: "out.png" as it is for -1, "out_2.png" for 2. */
void generate_options_path(struct buf *out, const char *path, int i);
