/* One row per option. Each has an environment twin, FLUXSERVE_ and the name in capitals, which the
 * command line overrides. */
#include "server/options.h"

#include <string.h>

#include "base/log.h"

#define AT(member) offsetof(struct server_options, member)

enum { MIB = 1 << 20 };

static const struct option OPTIONS[] = {
    {"--model-path", "--model", "DIR", ARG_STRING, AT(model_path), .env = "FLUXSERVE_MODEL_PATH",
     .group = "Model", .help = MODEL_PATH_HELP},
    {"--transformer-path", NULL, "FILE", ARG_STRING, AT(load_wish.transformer_path),
     .env = "FLUXSERVE_TRANSFORMER_PATH", .help = TRANSFORMER_PATH_HELP},
    {"--vae-path", NULL, "FILE", ARG_STRING, AT(load_wish.vae_path), .env = "FLUXSERVE_VAE_PATH",
     .help = VAE_PATH_HELP},
    {"--load-format", NULL, NULL, ARG_CHOICE, AT(load_wish.format), .choices = LOAD_FORMATS,
     .env = "FLUXSERVE_LOAD_FORMAT", .help = LOAD_FORMAT_HELP},
    {"--num-layers", NULL, "D,S", ARG_STRING, AT(load_wish.num_layers),
     .env = "FLUXSERVE_NUM_LAYERS", .help = NUM_LAYERS_HELP},
    {"--quantization", NULL, NULL, ARG_CHOICE, AT(load_wish.quantization), .choices = QUANTIZATIONS,
     .env = "FLUXSERVE_QUANTIZATION", .help = QUANTIZATION_HELP},
    {"--quantize-activations", NULL, NULL, ARG_FLAG, AT(load_wish.rounds_inputs),
     .env = "FLUXSERVE_QUANTIZE_ACTIVATIONS", .help = ROUNDS_INPUTS_HELP},
    {"--served-model-name", NULL, "NAME", ARG_LIST, AT(served_names),
     .env = "FLUXSERVE_SERVED_MODEL_NAME",
     .help = "name of the model in answers and /v1/models (default: the model path as given)"},
    {"--strict-model", NULL, NULL, ARG_FLAG, AT(is_strict), .env = "FLUXSERVE_STRICT_MODEL",
     .help = "answer 404 to requests for a model of another name, instead of serving them"},
    {"--host", NULL, "ADDRESS", ARG_STRING, AT(host), .env = "FLUXSERVE_HOST", .group = "Server",
     .help = "address to listen on; 0.0.0.0 for all of IPv4, :: for all (default 127.0.0.1)"},
    {"--port", NULL, "N", ARG_INT, AT(port), 0, 65535, .env = "FLUXSERVE_PORT",
     .help = "port to listen on, 0 takes a free one (default 30000)"},
    {"--log-level", NULL, NULL, ARG_CHOICE, AT(log_level),
     .choices = "trace|debug|info|warning|error|off", .env = "FLUXSERVE_LOG_LEVEL",
     .help = "least severe log lines to print (default info)"},
    {"--backend", NULL, NULL, ARG_CHOICE, AT(backend.kind), .choices = BACKENDS_KINDS,
     .env = "FLUXSERVE_BACKEND", .group = "Computing",
     .help = "who computes; auto takes a CUDA device when there is one (default auto)"},
    {"--dtype", NULL, NULL, ARG_CHOICE, AT(backend.dtype), .choices = BACKENDS_DTYPES,
     .env = "FLUXSERVE_DTYPE",
     .help = "type of activations; auto is f32 on the CPU and bf16 on CUDA (default auto)"},
    {"--threads", NULL, "N", ARG_INT, AT(backend.threads), 0, 1024, .env = "FLUXSERVE_THREADS",
     .help = "CPU threads of the worker, 0 for all cores (default 0)"},
    {"--num-gpus", NULL, "N", ARG_INT, AT(num_gpus), 0, 64, .env = "FLUXSERVE_NUM_GPUS",
     .help =
         "CUDA devices, each with a replica of the model, or each --ulysses-degree of them with "
         "one; 0 for the CPU (default: as many as one image takes)"},
    {"--ulysses-degree", NULL, "N", ARG_INT, AT(backend.degree), 1, SHARE_MAX,
     .env = "FLUXSERVE_ULYSSES_DEGREE", .help = BACKENDS_DEGREE_HELP},
    {"--device-id", NULL, "N", ARG_INT, AT(backend.device_id), 0, 63, .env = "FLUXSERVE_DEVICE_ID",
     .help = "the first of the CUDA devices to use (default 0)"},
    {"--text-encoder-cpu-offload", NULL, NULL, ARG_FLAG, AT(load_wish.offloads_text),
     .env = "FLUXSERVE_TEXT_ENCODER_CPU_OFFLOAD", .help = TEXT_OFFLOAD_HELP},
    {"--dit-layerwise-offload", NULL, NULL, ARG_FLAG, AT(load_wish.offloads_layers),
     .env = "FLUXSERVE_DIT_LAYERWISE_OFFLOAD", .help = LAYERWISE_OFFLOAD_HELP},
    {"--pin-cpu-memory", NULL, NULL, ARG_FLAG, AT(load_wish.pins),
     .env = "FLUXSERVE_PIN_CPU_MEMORY", .help = PIN_HELP},
    {"--vae-tiling", NULL, NULL, ARG_FLAG, AT(load_wish.tiles_vae), .env = "FLUXSERVE_VAE_TILING",
     .help = VAE_TILING_HELP},
    {"--vae-tile-size", NULL, "PIXELS", ARG_INT, AT(load_wish.vae_tile_px), 1, FLUX_MAX_SIDE_PX,
     .env = "FLUXSERVE_VAE_TILE_SIZE", .help = VAE_TILE_SIZE_HELP},
    {"--profile-steps", NULL, "FIRST:LAST", ARG_STRING, AT(profile_steps),
     .env = "FLUXSERVE_PROFILE_STEPS",
     .help = PROFILE_STEPS_HELP "; of the first request that has them, printed when it ends"},
    {"--max-queue", NULL, "N", ARG_INT, AT(max_queue), 0, 100000, .env = "FLUXSERVE_MAX_QUEUE",
     .group = "Limits", .help = "requests that may wait for the worker (default 64)"},
    {"--max-n", NULL, "N", ARG_INT, AT(limits.max_n), 1, FLUX_MAX_ROWS, .env = "FLUXSERVE_MAX_N",
     .help = "images per request (default 10)"},
    {"--max-steps", NULL, "N", ARG_INT, AT(limits.max_steps), 1, FLUX_MAX_STEPS,
     .env = "FLUXSERVE_MAX_STEPS", .help = "denoising steps of a request (default 100)"},
    {"--max-pixels", NULL, "N", ARG_INT, AT(limits.max_pixels), 1, 1 << 28,
     .env = "FLUXSERVE_MAX_PIXELS", .help = "width times height (default 4194304, 2048x2048)"},
    {"--max-prompt-bytes", NULL, "N", ARG_INT, AT(limits.max_prompt_bytes), 1,
     FLUX_MAX_PROMPT_BYTES, .env = "FLUXSERVE_MAX_PROMPT_BYTES",
     .help = "length of a prompt in UTF-8 (default 20000)"},
    {"--max-body-bytes", NULL, "N", ARG_INT, AT(max_body_bytes), 1, 1 << 30,
     .env = "FLUXSERVE_MAX_BODY_BYTES", .help = "size of a request's body (default 1048576)"},
    {"--max-form-bytes", NULL, "N", ARG_INT, AT(max_form_bytes), 1, 1 << 30,
     .env = "FLUXSERVE_MAX_FORM_BYTES",
     .help = "size of a body with pictures, of /v1/images/edits (default 33554432)"},
    {"--max-connections", NULL, "N", ARG_INT, AT(max_connections), 1, 60000,
     .env = "FLUXSERVE_MAX_CONNECTIONS",
     .help = "open connections, each with a thread; more are cut (default 1024)"},
    {"--timeout", NULL, "SECONDS", ARG_INT, AT(timeout_s), 1, 86400, .env = "FLUXSERVE_TIMEOUT",
     .help = "close a connection on which nothing was sent or read for so long (default 60)"},
    {"--store-images", NULL, "N", ARG_INT, AT(store_images), 1, 100000,
     .env = "FLUXSERVE_STORE_IMAGES",
     .help = "images kept for response_format url, the oldest go first (default 256)"},
    {"--store-bytes", NULL, "N", ARG_INT, AT(store_bytes), 1, 1e12, .env = "FLUXSERVE_STORE_BYTES",
     .help = "their size in all (default 268435456)"},
    {"--help", "-h", NULL, ARG_FLAG, AT(wants_help), .group = "Other",
     .help = "print this text and exit"},
    {"--version", NULL, NULL, ARG_FLAG, AT(wants_version), .help = "print the version and exit"},
};

enum { N_OPTIONS = sizeof OPTIONS / sizeof OPTIONS[0] };

static struct server_options defaults(void)
{
    return (struct server_options){
        .host = "127.0.0.1",
        .port = 30000,
        .limits = {.max_n = 10,
                   .max_steps = 100,
                   .max_pixels = 2048 * 2048,
                   .max_prompt_bytes = 20000},
        .max_queue = 64,
        .max_body_bytes = MIB,
        .max_form_bytes = 32 * MIB,
        .max_connections = 1024,
        .timeout_s = 60,
        .store_images = 256,
        .store_bytes = 256 * MIB,
        .log_level = LOG_INFO,
        .num_gpus = 1,
        .backend.degree = 1,
    };
}

/* Options on devices against the back end, as far as the command line alone can tell. */
static bool check_gpus(struct server_options *o, struct error *err)
{
    int64_t degree = o->backend.degree;
    if (!o->gave_num_gpus)
        o->num_gpus = degree;
    if (o->num_gpus % degree != 0) {
        return fail_field(
            err, "--num-gpus",
            "--num-gpus %lld with --ulysses-degree %lld: must be a multiple of it, as "
            "each image takes %lld devices",
            (long long)o->num_gpus, (long long)degree, (long long)degree);
    }
    if (o->gave_num_gpus && o->num_gpus == 0) {
        if (o->backend.kind == BACKENDS_CUDA) {
            return fail_field(err, "--num-gpus",
                              "--num-gpus 0 with --backend cuda: must be 1, or --backend cpu");
        }
        o->backend.kind = BACKENDS_CPU;
    }
    return true;
}

static bool check(struct server_options *o, struct error *err)
{
    if (o->store_images < o->limits.max_n) {
        return fail_field(err, "--store-images",
                          "--store-images %lld: must be at least --max-n, %lld, so that all images "
                          "of a request find room",
                          (long long)o->store_images, (long long)o->limits.max_n);
    }
    if (o->profile_steps && *o->profile_steps && o->backend.degree > 1) {
        return fail_field(err, "--profile-steps", BACKENDS_NO_PROFILE,
                          (long long)o->backend.degree);
    }
    if (o->profile_steps && *o->profile_steps &&
        !step_profile_parse(&o->profile, "--profile-steps", o->profile_steps, err))
        return false;
    return check_gpus(o, err) && load_options_read(&o->load, &o->load_wish, err);
}

bool options_parse(struct server_options *options, int argc, char **argv, int first,
                   struct error *err)
{
    struct args_seen seen = {0};
    *options = defaults();
    if (!args_parse(OPTIONS, N_OPTIONS, argc, argv, first, options, NULL, &seen, err)) {
        options_free(options);
        return false;
    }
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (OPTIONS[i].offset == AT(num_gpus))
            options->gave_num_gpus = seen.given[i];
    }
    if (!options->wants_help && !options->wants_version && !check(options, err)) {
        options_free(options);
        return false;
    }
    return true;
}

void options_free(struct server_options *options) { args_free(&options->served_names); }

void options_help(const char *usage)
{
    args_help(usage, "Serve a FLUX.1 pipeline over the OpenAI images API.", OPTIONS, N_OPTIONS);
}

void options_warn(const struct server_options *o, const char *backend)
{
    bool is_cpu = strcmp(backend, "cpu") == 0;
    if (is_cpu && o->gave_num_gpus && o->num_gpus > 0)
        log_warning("--num-gpus %lld: no effect, the cpu back end uses no GPU",
                    (long long)o->num_gpus);
    if (is_cpu && o->backend.device_id > 0)
        log_warning("--device-id %lld: no effect, the cpu back end uses no GPU",
                    (long long)o->backend.device_id);
    load_options_warn_backend(&o->load_wish, backend);
}
