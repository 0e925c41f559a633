/* The FLUX.1 pipeline: a checkpoint folder in, pictures out.
 *
 *     struct flux *f;
 *     flux_open(&f, backend, "models/FLUX.1-dev", &err);
 *     struct flux_spec spec = flux_spec_default(f);
 *     spec.prompts = (const char *[]){"a red fox"};
 *     spec.n_prompts = 1;
 *     flux_generate(f, &spec, NULL, &result, &err);
 *
 * The folder is in the diffusers layout, or has parts in single files (flux/part_files.h); every
 * dimension comes from its configs, or from the tensors. One thread at a
 * time uses a struct flux, except flux_info() and flux_check(), which any thread may call. A
 * picture depends on the model, the compute type and its spec alone. */
#pragma once

#include "tensor/backend.h"
#include "tensor/quant.h"

struct flux;
struct flux_dump;
struct step_profile; /* flux/step_profile.h */

enum {
    FLUX_MAX_STEPS = 1000,
    FLUX_MAX_ROWS = 64, /* prompts x images of one spec */
    FLUX_MAX_PROMPT_BYTES = 100000,
    FLUX_MAX_SEQUENCE = 512, /* T5 tokens */
    FLUX_MAX_SIDE_PX = 8192,
};

/* Facts of the loaded model, for defaults and limits. */
struct flux_info {
    bool has_guidance;    /* takes guidance_scale (FLUX.1-dev) or ignores it (schnell) */
    int size_multiple_px; /* width and height must be multiples of this */
    int default_size_px;  /* square */
    int default_steps;
    double default_guidance;
    int default_sequence_length; /* of T5 tokens; FLUX_MAX_SEQUENCE is the limit */
    int64_t n_parameters;        /* all parts */
    size_t weight_bytes;
};

/* A wish. Strings and arrays are the caller's and stay until the call ends. */
struct flux_spec {
    const char *const *prompts;            /* to CLIP, and to T5 unless prompts_2; one row each */
    const char *const *prompts_2;          /* NULL: as prompts */
    const char *const *negative_prompts;   /* NULL: none; else one each ("" is a prompt) */
    const char *const *negative_prompts_2; /* NULL: as negative_prompts */
    int n_prompts;
    int images_per_prompt;
    int width_px, height_px;
    int steps;
    double guidance_scale;   /* embedded guidance; ignored by models without it */
    double true_cfg_scale;   /* > 1 with negative prompts: classifier-free guidance */
    int max_sequence_length; /* T5 tokens; prompts are cut or padded to it */
    /* n_seeds 1: one generator draws the noise of all rows. n_seeds = rows: one generator each. */
    const uint64_t *seeds;
    int n_seeds;
    bool draws_as_cuda; /* the generators are torch's for CUDA devices; else those for the CPU */
    const uint8_t *init_rgb; /* image-to-image: width x height x 3, or NULL */
    double strength;         /* 0..1, used with init_rgb */
    int max_batch; /* rows denoised together; 0: all. 1 makes rows independent bit for bit */
};

/* Everything that the model suggests; prompts and seeds left for the caller. */
struct flux_spec flux_spec_default(const struct flux *f);

enum flux_stage { FLUX_STAGE_TEXT, FLUX_STAGE_STEP, FLUX_STAGE_VAE };

/* Called from inside flux_generate, on its thread. Any member may be NULL. */
struct flux_hooks {
    void *ctx;
    /* Before each stage: false cancels (ERR_CANCELED). row is the first row of the group being
     * denoised or the row being decoded; step counts from 0. */
    bool (*may_continue)(void *ctx, enum flux_stage stage, int row, int step);
    /* Collects every intermediate tensor of the run, by the names in docs/dump.md; NULL: no
     * dump. Costs time and memory. Needs max_batch 0, and a back end that is alone. */
    struct flux_dump *dump;
    /* Looks at some of the steps more closely; NULL: none. Those steps take longer. */
    struct step_profile *profile;
};

struct flux_result {
    int n_images; /* rows: prompts x images_per_prompt */
    int width_px, height_px;
    uint8_t *rgb;          /* owned, n_images x height x width x 3; flux_result_free */
    int64_t prompt_tokens; /* T5 ids of all prompts without padding */
    int steps_run;         /* of each row: fewer than asked in image-to-image */
    int n_step_times;      /* steps_run for each group of rows denoised together */
    double *step_s;        /* owned: seconds of each step, group after group */
    double text_s, vae_s, total_s;
    size_t scratch_bytes; /* peak step memory */
    char warning[256];    /* "" or what was cut or ignored, for the log line */
};

/* What a model keeps where; zero-initialised: all of it on the device, pictures in one piece. */
struct flux_memory {
    /* Side in pixels of the autoencoder's tiles (flux/vae_tiles.h), a multiple of four latents; 0:
     * pictures in one piece; FLUX_TILE_OF_MODEL: the sample_size of its config, as in diffusers. */
    int64_t vae_tile_px;
    /* Weights that stay in host memory and pass through the device layer by layer whenever they are
     * used (tensor/backend.h): those of both text encoders, those of the transformer's blocks. No
     * effect where the device's memory is the host's (cpu). */
    bool streams_text_encoders, streams_transformer;
    bool is_pinned; /* that host memory is page-locked */
};

enum { FLUX_TILE_OF_MODEL = -1 };

/* How a model is built; zero-initialised: from its checkpoint, all of it. */
struct flux_load {
    bool is_dummy;   /* random weights in place of the checkpoint's */
    uint64_t seed;   /* of random weights */
    bool has_layers; /* only the first n_double and n_single blocks of the transformer */
    int64_t n_double, n_single;
    struct flux_memory memory;
    enum quant quant; /* of the big matrices (flux/quantise.h), unless the files have them so */
    /* Products with the transformer's matrices, which are int8 or fp8, round their inputs to that
     * type too (tensor/quant.h). Faster where the device multiplies such numbers; pictures change a
     * little more. */
    bool rounds_inputs;
    /* Files in place of the model's own parts: safetensors or GGUF, under the names of diffusers or
     * of the first publication; or NULL. */
    const char *transformer_path, *vae_path;
};

/* Map and bind a checkpoint. b must outlive f. Fails naming file, tensor or config key. When b is
 * rank 0 of a team (tensor/team.h) all ranks load the model and make each picture together; more
 * ranks than heads can be split by are refused with the field "ulysses_degree". */
bool flux_open(struct flux **out, struct backend *b, const char *model_dir, struct error *err);

/* The same in another way; load may be NULL. For a dummy the model's configs are enough, and a
 * known name (flux_is_known) will do when there is no folder of that name; its weights are of the
 * type that b computes in when that is bf16, else of the type that the configs say, and tokenizers
 * that the folder lacks are synthetic. More blocks than the model has are refused with the field
 * "num_layers", tiles that the autoencoder can't have with "vae_tile_size", quantised matrices on a
 * back end that doesn't take them, or another scheme than the files', with "quantization"; inputs
 * that can't be rounded so with "quantize_activations". */
bool flux_open_as(struct flux **out, struct backend *b, const char *model,
                  const struct flux_load *load, struct error *err);
void flux_close(struct flux *f); /* NULL is fine */

const struct flux_info *flux_info(const struct flux *f);

/* The only judge of a wish: false with the field's name (fail_field: "size", "steps",
 * "max_sequence_length", ...) and what would be right. */
bool flux_check(const struct flux *f, const struct flux_spec *spec, struct error *err);

/* Make the pictures of spec. Fails with ERR_INVALID as flux_check does, ERR_CANCELED, ERR_MEMORY
 * or ERR_DEVICE; the model stays usable. *result is empty then. */
bool flux_generate(struct flux *f, const struct flux_spec *spec, const struct flux_hooks *hooks,
                   struct flux_result *result, struct error *err);
void flux_result_free(struct flux_result *result);

/* True for the names of models whose configs are built in: "black-forest-labs/FLUX.1-dev" and
 * "black-forest-labs/FLUX.1-schnell". */
bool flux_is_known(const char *model);

/* What a run would need, computed by the model code itself over tensor/plan.h, from the configs
 * alone: no weight file is read. */
struct flux_plan {
    struct flux_plan_part {
        const char *name; /* "text_encoder", "text_encoder_2", "transformer", "vae" */
        int64_t n_parameters;
        size_t weight_bytes;
        size_t quantised_bytes; /* of weight_bytes */
        enum dtype dtype;       /* of the weights that aren't quantised, as the configs say */
        enum quant quant;       /* of the others */
        double flops; /* of one call: encode one prompt, one denoising step, decode one image */
        /* Of the weights, in the type that the device would have them in: those that stay in host
         * memory, and the largest layer of them. */
        size_t streamed_bytes, layer_bytes;
    } parts[4];
    int width_px, height_px, steps; /* as asked for, or the model's */
    int64_t n_double, n_single;     /* blocks of the transformer */
    int vae_tile_px;                /* 0: pictures in one piece */
    double flops_per_step, flops_per_image;
    int64_t n_parameters;
    size_t weight_bytes, scratch_bytes;
    size_t streamed_bytes;          /* weights in host memory */
    size_t stream_buffer_bytes;     /* on the device, for two layers of them */
    double streamed_bytes_per_step; /* copied to the device */
    double streamed_bytes_per_run;  /* likewise, from the text to the last step of a batch */
    double bytes_moved_per_step;
    double exchanged_bytes_per_step; /* that a device sends to the others of its team */
};

/* model is a folder, or a known name when there is no folder of that name.
 * width, height, steps, max_sequence_length: 0 takes the model's default. with_cfg doubles the
 * transformer calls of a step. compute is the type of activations. n_devices: that make the picture
 * together (0 and 1: one); everything is then told of the first of them. */
struct flux_plan_query {
    int width_px, height_px, steps, max_sequence_length, batch, n_devices;
    bool with_cfg;
    enum dtype compute;
    struct flux_load load;
};

bool flux_plan(const char *model, const struct flux_plan_query *query, struct flux_plan *plan,
               struct error *err);

/* The tensors of one run, to be written as a safetensors file. */
struct flux_dump *flux_dump_new(void);
bool flux_dump_write(const struct flux_dump *d, const char *path, struct error *err);
void flux_dump_free(struct flux_dump *d); /* NULL is fine */
