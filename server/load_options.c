/* From options to a struct flux_load. */
#include "server/load_options.h"

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "server/model_dir.h"

/* A number of at most four digits; the first character behind it, or NULL. */
static const char *read_count(const char *text, int64_t *count)
{
    int n = 0;
    for (*count = 0; isdigit((unsigned char)text[n]); n++) {
        if (n == 4)
            return NULL;
        *count = 10 * *count + (text[n] - '0');
    }
    return n ? text + n : NULL;
}

/* "" counts as not given. */
static bool read_file(const char **path, const char *option, const char *given, struct error *err)
{
    struct stat info;
    *path = given && *given ? given : NULL;
    if (!*path || (stat(given, &info) == 0 && S_ISREG(info.st_mode)))
        return true;
    return fail_field(err, option, "%s '%s': no such file; must be a .safetensors or .gguf file",
                      option, given);
}

bool load_options_read(struct flux_load *load, const struct load_wish *wish, struct error *err)
{
    *load = (struct flux_load){.is_dummy = wish->format == LOAD_DUMMY,
                               .quant = (enum quant)wish->quantization,
                               .rounds_inputs = wish->rounds_inputs};
    load->memory.vae_tile_px = wish->vae_tile_px > 0 ? wish->vae_tile_px
                               : wish->tiles_vae     ? FLUX_TILE_OF_MODEL
                                                     : 0;
    load->memory.streams_text_encoders = wish->offloads_text;
    load->memory.streams_transformer = wish->offloads_layers;
    load->memory.is_pinned = wish->pins;
    if (!read_file(&load->transformer_path, "--transformer-path", wish->transformer_path, err) ||
        !read_file(&load->vae_path, "--vae-path", wish->vae_path, err))
        return false;
    if (!wish->num_layers)
        return true;
    const char *end = read_count(wish->num_layers, &load->n_double);
    end = end && *end == ',' ? read_count(end + 1, &load->n_single) : NULL;
    load->has_layers = end && *end == '\0';
    return load->has_layers ||
           fail_field(err, "--num-layers",
                      "--num-layers '%s': must be D,S, as in 1,2 for one double and two single "
                      "blocks of the transformer",
                      wish->num_layers);
}

void load_options_warn_backend(const struct load_wish *wish, const char *backend)
{
    bool is_cpu = strcmp(backend, "cpu") == 0;
    if (is_cpu && wish->offloads_text)
        log_warning("--text-encoder-cpu-offload: no effect, the cpu back end has all weights in "
                    "host memory");
    if (is_cpu && wish->offloads_layers)
        log_warning("--dit-layerwise-offload: no effect, the cpu back end has all weights in host "
                    "memory");
    if (is_cpu && wish->pins)
        log_warning("--pin-cpu-memory: no effect, the cpu back end copies nothing to a device");
    else if (wish->pins && !wish->offloads_text && !wish->offloads_layers)
        log_warning("--pin-cpu-memory: no effect without --text-encoder-cpu-offload or "
                    "--dit-layerwise-offload");
}

unsigned load_options_content(const struct flux_load *load)
{
    return (load->is_dummy ? MODEL_CONFIGS : MODEL_ALL) |
           (load->transformer_path ? MODEL_WITHOUT_TRANSFORMER : 0u) |
           (load->vae_path ? MODEL_WITHOUT_VAE : 0u);
}

void load_options_warn(const struct flux_load *load)
{
    if (load->is_dummy)
        log_warning("--load-format dummy: weights are random, pictures show nothing");
    if (load->has_layers)
        log_warning("--num-layers %lld,%lld: a part of the transformer, pictures show nothing",
                    (long long)load->n_double, (long long)load->n_single);
}
