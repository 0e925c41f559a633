/* What a struct flux_load makes of a model's configs. */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "flux/flux_known.h"
#include "flux/infer.h"
#include "flux/model.h"

static bool cut_layers(struct transformer_config *c, const struct flux_load *load,
                       struct error *err)
{
    if (!load->has_layers) {
        return true;
    }
    if (load->n_double < 0 || load->n_double > c->n_double || load->n_single < 0 ||
        load->n_single > c->n_single) {
        return fail_field(err, "num_layers",
                          "num_layers %lld,%lld: must be from 0,0 to the model's %lld,%lld",
                          (long long)load->n_double, (long long)load->n_single,
                          (long long)c->n_double, (long long)c->n_single);
    }
    c->n_double = load->n_double;
    c->n_single = load->n_single;
    return true;
}

/* An overlap, a quarter of a tile, must be whole latents. */
static bool set_tiles(struct flux_config *c, const struct flux_memory *memory, struct error *err)
{
    enum { OVERLAPS = 4 };
    int64_t unit = OVERLAPS * flux_config_latent_px(c), tile = memory->vae_tile_px;
    if (tile == FLUX_TILE_OF_MODEL) {
        tile = c->vae.sample_size / unit * unit;
        tile = tile < unit ? unit : tile;
    }
    if (tile < 0 || tile > FLUX_MAX_SIDE_PX || tile % unit != 0) {
        return fail_field(err, "vae_tile_size",
                          "vae_tile_size %lld: must be a multiple of %lld from %lld to %d",
                          (long long)tile, (long long)unit, (long long)unit, FLUX_MAX_SIDE_PX);
    }
    c->vae.tile_px = tile;
    return true;
}

/* From here on the config says what is quantised, by the files or at load. */
static bool set_quant(struct flux_config *c, const struct flux_load *load, struct error *err)
{
    static const enum part PARTS[] = {T5, TRANSFORMER};
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0] && load->quant != QUANT_NONE; i++) {
        enum quant *quant = &c->quant[PARTS[i]];
        if (*quant != QUANT_NONE && *quant != load->quant) {
            return fail_field(err, "quantization",
                              "quantization %s: the model's %s is stored as %s already; leave the "
                              "option out",
                              dtype_name(quant_dtype(load->quant)), part_folder(PARTS[i]),
                              dtype_name(quant_dtype(*quant)));
        }
        *quant = load->quant;
    }
    return true;
}

/* Types of the parts in single files, and the transformer's shape when it is one. */
static bool read_single_files(struct flux_config *c, struct transformer_config *transformer,
                              const struct part_files *files, struct error *err)
{
    for (int part = 0; part < N_PARTS; part++) {
        struct checkpoint file;
        if (files->file[part] == NULL) {
            continue;
        }
        if (!checkpoint_open_file(&file, files->file[part], (enum part)part, err)) {
            return false;
        }
        c->weights[part] = infer_dtype(&file, (enum part)part, &c->is_in_blocks[part]);
        bool ok = part != TRANSFORMER || infer_transformer(transformer, &file, err);
        checkpoint_close(&file);
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* A model with parts in single files: what no config says is as in FLUX.1-dev, or -schnell when the
 * transformer takes no guidance. */
static bool complete(struct flux_config *c, int64_t *t5_length, const struct part_files *files,
                     const char *model, bool exists, struct error *err)
{
    struct transformer_config transformer;
    struct flux_config types = {0};
    bool is_single = files->file[TRANSFORMER] != NULL;
    if (!read_single_files(&types, &transformer, files, err)) {
        return false;
    }
    bool has_guidance = !is_single || transformer.has_guidance;
    if (exists) {
        (void)flux_known_config(c, NULL, has_guidance ? FLUX_KNOWN_DEV : FLUX_KNOWN_SCHNELL);
    } else {
        (void)flux_known_config(c, t5_length, model);
    }
    if (!flux_config_complete(c, model, is_single ? &transformer : NULL, err)) {
        return false;
    }
    for (int part = 0; part < N_PARTS; part++) {
        if (files->file[part] != NULL) {
            c->weights[part] = types.weights[part];
            c->is_in_blocks[part] = types.is_in_blocks[part];
            c->quant[part] = QUANT_NONE; /* the config's was of the folder's own file */
        }
    }
    return true;
}

static bool has_index(const char *model)
{
    char *path = xasprintf("%s/model_index.json", model);
    bool has = file_exists(path);
    free(path);
    return has;
}

bool flux_config_of(struct flux_config *c, int64_t *t5_length, struct part_files *files,
                    const char *model, bool may_be_known, const struct flux_load *load,
                    struct error *err)
{
    struct stat st;
    bool exists = stat(model, &st) == 0;
    *t5_length = 0;
    *files = (struct part_files){0};
    if (!exists && !(may_be_known && flux_is_known(model))) {
        return fail(err, ERR_NOT_FOUND, "%s: no such model folder", model);
    }
    if (exists && !S_ISDIR(st.st_mode)) {
        return fail(err, ERR_INVALID, "%s: is a file, not a model folder", model);
    }
    if (!part_files_find(files, model, load, err)) {
        return false;
    }
    if (part_files_has_any(files)) {
        if (!complete(c, t5_length, files, model, exists, err)) {
            return false;
        }
    } else if (!exists) {
        (void)flux_known_config(c, t5_length, model);
    } else if (files->unread != NULL && !has_index(model)) {
        return fail(err, ERR_INVALID, "%s: no model_index.json there, and no part of FLUX.1 in %s",
                    model, files->unread);
    } else if (!flux_config_read(c, model, err)) {
        return false;
    }
    return cut_layers(&c->transformer, load, err) && set_tiles(c, &load->memory, err) &&
           set_quant(c, load, err);
}

struct weight_home flux_home_of(enum part part, const struct flux_memory *memory)
{
    enum { DEVICE, TEXT_CHAIN, BLOCKS_CHAIN };
    bool is_text = part == CLIP || part == T5;
    int chain = is_text && memory->streams_text_encoders             ? TEXT_CHAIN
                : part == TRANSFORMER && memory->streams_transformer ? BLOCKS_CHAIN
                                                                     : DEVICE;
    return (struct weight_home){.chain = chain, .is_pinned = memory->is_pinned};
}

enum dtype flux_weight_dtype(const struct flux_config *c, enum part part,
                             const struct flux_load *load, enum dtype compute)
{
    bool follows = load->is_dummy || c->is_in_blocks[part];
    return follows && compute == DTYPE_BF16 ? DTYPE_BF16 : c->weights[part];
}
