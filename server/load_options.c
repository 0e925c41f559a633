/* From two options to a struct flux_load. */
#include "server/load_options.h"

#include <ctype.h>

#include "base/log.h"

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

bool load_options_read(struct flux_load *load, const struct load_wish *wish, struct error *err)
{
    *load = (struct flux_load){.is_dummy = wish->format == LOAD_DUMMY};
    load->memory.vae_tile_px = wish->vae_tile_px > 0 ? wish->vae_tile_px
                               : wish->tiles_vae     ? FLUX_TILE_OF_MODEL
                                                     : 0;
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

void load_options_warn(const struct flux_load *load)
{
    if (load->is_dummy)
        log_warning("--load-format dummy: weights are random, pictures show nothing");
    if (load->has_layers)
        log_warning("--num-layers %lld,%lld: a part of the transformer, pictures show nothing",
                    (long long)load->n_double, (long long)load->n_single);
}
