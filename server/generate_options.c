/* One row per option, defaults in one place; names follow diffusers' arguments. */
#include "server/generate_options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define AT(member) offsetof(struct generate_options, member)

enum { MAX_SIDE_PX = 65536, MAX_SCALE = 1000 };

static const struct option OPTIONS[] = {
    {"--model-path", "--model", "DIR", ARG_STRING, AT(model_path), .group = "Model",
     .help = MODEL_PATH_HELP},
    {"--transformer-path", NULL, "FILE", ARG_STRING, AT(load_wish.transformer_path),
     .help = TRANSFORMER_PATH_HELP},
    {"--vae-path", NULL, "FILE", ARG_STRING, AT(load_wish.vae_path), .help = VAE_PATH_HELP},
    {"--load-format", NULL, NULL, ARG_CHOICE, AT(load_wish.format), .choices = LOAD_FORMATS,
     .help = LOAD_FORMAT_HELP},
    {"--num-layers", NULL, "D,S", ARG_STRING, AT(load_wish.num_layers), .help = NUM_LAYERS_HELP},
    {"--quantization", NULL, NULL, ARG_CHOICE, AT(load_wish.quantization), .choices = QUANTIZATIONS,
     .help = QUANTIZATION_HELP},
    {"--quantize-activations", NULL, NULL, ARG_FLAG, AT(load_wish.rounds_inputs),
     .help = ROUNDS_INPUTS_HELP},
    {"--prompt", NULL, "TEXT", ARG_LIST, AT(prompts), .group = "Image",
     .help = "what to show; each one is a row of the batch. Required"},
    {"--prompt-2", NULL, "TEXT", ARG_LIST, AT(prompts_2),
     .help = "text for T5, one or one per --prompt (default: --prompt)"},
    {"--negative-prompt", NULL, "TEXT", ARG_LIST, AT(negatives),
     .help = "what not to show, one or one per --prompt; used with --true-cfg-scale above 1"},
    {"--negative-prompt-2", NULL, "TEXT", ARG_LIST, AT(negatives_2),
     .help = "the same for T5 (default: --negative-prompt)"},
    {"--seed", NULL, "N[,N...]", ARG_STRING, AT(seed),
     .help = "one number draws the noise of all images from one generator, a list gives each image "
             "its own (default: a random one, printed)"},
    {"--generator-device", NULL, NULL, ARG_CHOICE, AT(generator_device), .choices = "cpu|cuda",
     .help = "whose random numbers the noise is, for any back end (default cpu)"},
    {"--width", NULL, "PIXELS", ARG_INT, AT(width_px), 1, MAX_SIDE_PX,
     .help = "width (default: the model's, or that of --image)"},
    {"--height", NULL, "PIXELS", ARG_INT, AT(height_px), 1, MAX_SIDE_PX,
     .help = "height (default: the model's, or that of --image)"},
    {"--steps", "--num-inference-steps", "N", ARG_INT, AT(steps), 1, FLUX_MAX_STEPS,
     .help = "denoising steps (default: the model's)"},
    {"--guidance-scale", NULL, "X", ARG_DOUBLE, AT(guidance_scale), 0, MAX_SCALE,
     .help = "embedded guidance, for models that have it (default: the model's)"},
    {"--true-cfg-scale", NULL, "X", ARG_DOUBLE, AT(true_cfg_scale), 0, MAX_SCALE,
     .help = "classifier-free guidance with the negative prompt (default 1: none)"},
    {"--max-sequence-length", NULL, "N", ARG_INT, AT(max_sequence_length), 1, FLUX_MAX_SEQUENCE,
     .help = "T5 tokens that a prompt is cut or padded to (default: the model's)"},
    {"--n", "--num-images-per-prompt", "N", ARG_INT, AT(n), 1, FLUX_MAX_ROWS,
     .help = "images per prompt (default 1)"},
    {"--image", NULL, "FILE", ARG_STRING, AT(image),
     .help = "start from this picture (PNG, JPEG, WebP, GIF or BMP) of the size asked for"},
    {"--strength", NULL, "X", ARG_DOUBLE, AT(strength), 0, 1,
     .help = "how far to go away from --image, 0 to 1 (default 0.6)"},
    {"--output", "-o", "FILE", ARG_STRING, AT(output), .group = "Output",
     .help = "where to write, .png .jpg or .webp; several images get _0, _1, ... before the dot "
             "(default out.png)"},
    {"--quality", NULL, "N", ARG_INT, AT(quality), 1, 100,
     .help = "quality of JPEG and WebP files (default 95)"},
    {"--dump-tensors", NULL, "FILE", ARG_STRING, AT(dump_path),
     .help = "write all intermediate tensors as a safetensors file"},
    {"--report-flops", NULL, NULL, ARG_FLAG, AT(wants_flops),
     .help = "print operations per second of each stage and, on the CPU, their share of the peak "
             "that is measured afterwards"},
    {"--profile-steps", NULL, "FIRST:LAST", ARG_STRING, AT(profile_steps),
     .help = PROFILE_STEPS_HELP},
    {"--backend", NULL, NULL, ARG_CHOICE, AT(backend.kind), .choices = BACKENDS_KINDS,
     .group = "Computing", .help = "who computes (default auto)"},
    {"--dtype", NULL, NULL, ARG_CHOICE, AT(backend.dtype), .choices = BACKENDS_DTYPES,
     .help = "type of activations; auto is f32 on the CPU and bf16 on CUDA (default auto)"},
    {"--threads", NULL, "N", ARG_INT, AT(backend.threads), 0, 1024,
     .help = "CPU threads, 0 for all cores (default 0)"},
    {"--ulysses-degree", NULL, "N", ARG_INT, AT(backend.degree), 1, SHARE_MAX,
     .help = BACKENDS_DEGREE_HELP},
    {"--text-encoder-cpu-offload", NULL, NULL, ARG_FLAG, AT(load_wish.offloads_text),
     .help = TEXT_OFFLOAD_HELP},
    {"--dit-layerwise-offload", NULL, NULL, ARG_FLAG, AT(load_wish.offloads_layers),
     .help = LAYERWISE_OFFLOAD_HELP},
    {"--pin-cpu-memory", NULL, NULL, ARG_FLAG, AT(load_wish.pins), .help = PIN_HELP},
    {"--vae-tiling", NULL, NULL, ARG_FLAG, AT(load_wish.tiles_vae), .help = VAE_TILING_HELP},
    {"--vae-tile-size", NULL, "PIXELS", ARG_INT, AT(load_wish.vae_tile_px), 1, FLUX_MAX_SIDE_PX,
     .help = VAE_TILE_SIZE_HELP},
    {"--log-level", NULL, NULL, ARG_CHOICE, AT(log_level),
     .choices = "trace|debug|info|warning|error|off",
     .help = "least severe log lines to print (default warning)"},
    {"--help", "-h", NULL, ARG_FLAG, AT(wants_help), .help = "print this text and exit"},
};

enum { N_OPTIONS = sizeof OPTIONS / sizeof OPTIONS[0] };

/* What the command line alone can tell, before a model is loaded. */
static bool check(struct generate_options *o, struct error *err)
{
    if (o->prompts.n_items == 0)
        return fail_field(err, "--prompt", "--prompt is missing");
    if (o->prompts.n_items * (size_t)o->n > FLUX_MAX_ROWS) {
        return fail_field(err, "--prompt",
                          "%zu prompts with %lld images each: must be at most %d in all",
                          o->prompts.n_items, (long long)o->n, FLUX_MAX_ROWS);
    }
    if (o->negatives_2.n_items && !o->negatives.n_items) {
        return fail_field(err, "--negative-prompt-2",
                          "--negative-prompt-2 needs a --negative-prompt as well");
    }
    if (o->dump_path && o->backend.degree > 1) {
        return fail_field(err, "--dump-tensors",
                          "--dump-tensors with --ulysses-degree %lld: must be 1, as no device has "
                          "whole tensors otherwise",
                          (long long)o->backend.degree);
    }
    if (o->strength >= 0 && !o->image)
        return fail_field(err, "--strength", "--strength needs an --image");
    if (o->profile_steps && o->backend.degree > 1) {
        return fail_field(err, "--profile-steps", BACKENDS_NO_PROFILE,
                          (long long)o->backend.degree);
    }
    if (o->profile_steps &&
        !step_profile_parse(&o->profile, "--profile-steps", o->profile_steps, err))
        return false;
    return load_options_read(&o->load, &o->load_wish, err);
}

bool generate_options_parse(struct generate_options *options, int argc, char **argv, int first,
                            struct error *err)
{
    *options = (struct generate_options){
        .n = 1,
        .output = "out.png",
        .quality = 95,
        .guidance_scale = -1,
        .true_cfg_scale = -1,
        .strength = -1,
        .backend.degree = 1,
        .log_level = LOG_WARNING,
    };
    return args_parse(OPTIONS, N_OPTIONS, argc, argv, first, options, NULL, NULL, err) &&
           (options->wants_help || check(options, err));
}

void generate_options_free(struct generate_options *options)
{
    step_profile_free(&options->profile);
    args_free(&options->prompts);
    args_free(&options->prompts_2);
    args_free(&options->negatives);
    args_free(&options->negatives_2);
}

void generate_options_help(void)
{
    args_help("fluxserve generate --prompt TEXT [OPTIONS]",
              "Make images without HTTP; prints the names of the files written.", OPTIONS,
              N_OPTIONS);
}

bool generate_options_seeds(const char *text, uint64_t *seeds, int *n_seeds, struct error *err)
{
    const char *p = text;
    int n = 0;
    for (;;) {
        char *end = NULL;
        errno = 0;
        unsigned long long seed = isdigit((unsigned char)*p) ? strtoull(p, &end, 10) : 0;
        if (!end || errno || (*end && *end != ',') || n == FLUX_MAX_ROWS) {
            return fail_field(err, "--seed",
                              "--seed '%s': must be a number from 0, or at most %d of them with "
                              "commas between",
                              text, FLUX_MAX_ROWS);
        }
        seeds[n++] = seed;
        if (!*end)
            break;
        p = end + 1;
    }
    *n_seeds = n;
    return true;
}

/* The dot before the extension, or NULL. */
static const char *find_dot(const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    return dot && (!slash || dot > slash) ? dot : NULL;
}

bool generate_options_format(const char *path, enum image_format *format, struct error *err)
{
    const char *dot = find_dot(path);
    *format = dot ? image_format_parse(dot + 1) : IMAGE_UNKNOWN;
    if (*format != IMAGE_UNKNOWN)
        return true;
    return fail_field(err, "--output", "--output '%s': must end in .png, .jpg, .jpeg or .webp",
                      path);
}

void generate_options_path(struct buf *out, const char *path, int i)
{
    const char *dot = find_dot(path);
    size_t stem = dot ? (size_t)(dot - path) : strlen(path);
    buf_append(out, path, stem);
    if (i >= 0)
        buf_printf(out, "_%d", i);
    buf_puts(out, path + stem);
}
