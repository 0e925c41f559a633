/* A witness, one parameter that no other part or layout has, tells what a file holds. */
#include "flux/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "flux/bfl_names.h"
#include "tensor/dtype.h"

/* Prefixes are those of files that hold several parts. */
static const struct witness {
    enum part part;
    enum layout layout;
    const char *prefix, *name;
} WITNESSES[] = {
    {TRANSFORMER, LAYOUT_BFL_TRANSFORMER, "", "vector_in.in_layer.weight"},
    {TRANSFORMER, LAYOUT_BFL_TRANSFORMER, "model.diffusion_model.", "vector_in.in_layer.weight"},
    {TRANSFORMER, LAYOUT_DIFFUSERS, "", "time_text_embed.text_embedder.linear_1.weight"},
    {VAE, LAYOUT_BFL_VAE, "", "decoder.up.0.block.0.norm1.weight"},
    {VAE, LAYOUT_BFL_VAE, "first_stage_model.", "decoder.up.0.block.0.norm1.weight"},
    {VAE, LAYOUT_BFL_VAE, "vae.", "decoder.up.0.block.0.norm1.weight"},
    {VAE, LAYOUT_DIFFUSERS, "", "decoder.up_blocks.0.resnets.0.norm1.weight"},
    {CLIP, LAYOUT_DIFFUSERS, "", "text_model.embeddings.token_embedding.weight"},
    {T5, LAYOUT_DIFFUSERS, "", "encoder.block.0.layer.0.SelfAttention.q.weight"},
};
enum { N_WITNESSES = sizeof WITNESSES / sizeof WITNESSES[0] };

static const char *const PART_NAMES[N_PARTS] = {
    [CLIP] = "CLIP text encoder",
    [T5] = "T5 text encoder",
    [TRANSFORMER] = "FLUX.1 transformer",
    [VAE] = "autoencoder",
};

/* --- names in files ---------------------------------------------------------------------------*/

/* The tensor of that very name. blocks as in struct stored. */
static bool find_raw(const struct checkpoint *c, const char *name, struct tensor *out,
                     const struct ggml_format **blocks, struct error *err)
{
    *blocks = NULL;
    if (c->gguf == NULL) {
        return safetensors_find(c->safetensors, name, out, err);
    }
    struct gguf_tensor t;
    if (!gguf_find(c->gguf, name, &t, err)) {
        return false;
    }
    struct shape shape = {.rank = t.rank};
    memcpy(shape.dims, t.dims, sizeof shape.dims);
    bool is_plain = t.format->dtype >= 0;
    *out = tensor_make((void *)(uintptr_t)t.data,
                       is_plain ? (enum dtype)t.format->dtype : DTYPE_F32, shape);
    *blocks = is_plain ? NULL : t.format;
    return true;
}

static bool has_raw(const struct checkpoint *c, const char *prefix, const char *name)
{
    char full[BFL_NAME_BYTES];
    struct tensor ignored;
    const struct ggml_format *blocks;
    snprintf(full, sizeof full, "%s%s", prefix, name);
    struct error err = {0};
    return find_raw(c, full, &ignored, &blocks, &err) || err.code != ERR_NOT_FOUND;
}

static bool place_of(const struct checkpoint *c, const char *name, struct bfl_place *place)
{
    switch (c->layout) {
    case LAYOUT_BFL_TRANSFORMER:
        return bfl_transformer_place(place, name);
    case LAYOUT_BFL_VAE:
        return bfl_vae_place(place, name, c->n_levels);
    case LAYOUT_DIFFUSERS:
        break;
    }
    *place = (struct bfl_place){.count = 1, .of = 1};
    return snprintf(place->name, sizeof place->name, "%s", name) < (int)sizeof place->name;
}

/* Cut s down to the rows of a place. */
static bool cut_rows(struct stored *s, const struct bfl_place *place, struct error *err)
{
    struct tensor *t = &s->window;
    int64_t rows = t->dims[0], row_values = rows == 0 ? 1 : tensor_elements(*t) / rows;
    int unit = s->blocks == NULL ? 1 : s->blocks->block_values;
    int64_t first = rows / place->of * place->first, count = rows / place->of * place->count;
    if (rows % place->of != 0 || first * row_values % unit != 0 || count * row_values % unit != 0) {
        return fail(err, ERR_INVALID, "%s: %lld rows can't be cut into %d equal parts", s->name,
                    (long long)rows, place->of);
    }
    int64_t skip = first * row_values;
    size_t bytes = s->blocks == NULL ? (size_t)skip * dtype_bytes(t->dtype)
                                     : (size_t)(skip / unit) * (size_t)s->blocks->block_bytes;
    t->data = (char *)t->data + bytes;
    t->dims[0] = count;
    return true;
}

bool checkpoint_find(const struct checkpoint *c, const char *name, struct stored *out,
                     struct error *err)
{
    struct bfl_place place;
    *out = (struct stored){0};
    if (!place_of(c, name, &place)) {
        return fail(err, ERR_NOT_FOUND, "%s: unknown in this layout", name);
    }
    snprintf(out->name, sizeof out->name, "%s%s", c->prefix, place.name);
    out->swaps_halves = place.swaps_halves;
    if (!find_raw(c, out->name, &out->window, &out->blocks, err)) {
        return false;
    }
    return (place.of == 1 || cut_rows(out, &place, err)) &&
           (!place.swaps_halves || out->window.dims[0] % 2 == 0 ||
            fail(err, ERR_INVALID, "%s: %lld rows have no halves", out->name,
                 (long long)out->window.dims[0]));
}

bool checkpoint_has(const struct checkpoint *c, const char *name)
{
    struct stored ignored;
    struct error err = {0};
    return checkpoint_find(c, name, &ignored, &err) || err.code != ERR_NOT_FOUND;
}

/* --- values -----------------------------------------------------------------------------------*/

/* values first .. first + n, to out. n is a whole number of blocks. */
static void decode_range(const struct stored *s, void *out, enum dtype dtype, int64_t first,
                         int64_t n)
{
    enum { CHUNK = 4096 }; /* a multiple of every block size */
    float chunk[CHUNK];
    const char *data = s->window.data;
    for (int64_t done = 0; done < n; done += CHUNK) {
        int64_t now = n - done < CHUNK ? n - done : CHUNK, at = first + done;
        float *to = dtype == DTYPE_F32 ? (float *)out + done : chunk;
        if (s->blocks != NULL) {
            int unit = s->blocks->block_values;
            ggml_decode(s->blocks, to, data + at / unit * s->blocks->block_bytes, now);
        } else {
            for (int64_t i = 0; i < now; i++) {
                to[i] = dtype_load(data, s->window.dtype, at + i);
            }
        }
        for (int64_t i = 0; to == chunk && i < now; i++) {
            dtype_store(out, dtype, done + i, chunk[i]);
        }
    }
}

void stored_decode(const struct stored *s, void *out, enum dtype dtype)
{
    int64_t n = tensor_elements(s->window), half = s->swaps_halves ? n / 2 : 0;
    decode_range(s, out, dtype, half, n - half);
    decode_range(s, (char *)out + (size_t)(n - half) * dtype_bytes(dtype), dtype, 0, half);
}

/* --- opening ----------------------------------------------------------------------------------*/

static bool is_gguf(const char *path)
{
    char magic[4] = {0};
    FILE *f = fopen(path, "rb");
    bool is = f != NULL && fread(magic, 1, sizeof magic, f) == sizeof magic &&
              memcmp(magic, "GGUF", sizeof magic) == 0;
    if (f != NULL) {
        (void)fclose(f);
    }
    const char *dot = strrchr(path, '.');
    return is || (dot != NULL && strcmp(dot, ".gguf") == 0);
}

/* Say what was looked for. */
static bool refuse(const struct checkpoint *c, enum part part, struct error *err)
{
    struct buf names = {0};
    for (int i = 0; i < N_WITNESSES; i++) {
        if (WITNESSES[i].part == part && WITNESSES[i].prefix[0] == '\0') {
            buf_printf(&names, "%s'%s'", names.size == 0 ? "" : " or ", WITNESSES[i].name);
        }
    }
    const char *architecture = c->gguf == NULL ? "" : gguf_architecture(c->gguf);
    (void)fail(err, ERR_NOT_FOUND, "holds no %s: no tensor %s%s%s%s", PART_NAMES[part], names.data,
               architecture[0] == '\0' ? "" : "; its general.architecture is '", architecture,
               architecture[0] == '\0' ? "" : "'");
    buf_free(&names);
    return error_prefix(err, "%s", c->path);
}

static int count_levels(const struct checkpoint *c)
{
    char name[64];
    int n = 0;
    do {
        snprintf(name, sizeof name, "decoder.up.%d.block.0.norm1.weight", n);
    } while (has_raw(c, c->prefix, name) && ++n < 64);
    return n;
}

bool checkpoint_open_file(struct checkpoint *c, const char *path, enum part part, struct error *err)
{
    *c = (struct checkpoint){.path = xstrdup(path), .prefix = ""};
    bool ok = is_gguf(path) ? gguf_open(&c->gguf, path, err)
                            : safetensors_open_file(&c->safetensors, path, err);
    const struct witness *w = NULL;
    for (int i = 0; ok && w == NULL && i < N_WITNESSES; i++) {
        if (WITNESSES[i].part == part && has_raw(c, WITNESSES[i].prefix, WITNESSES[i].name)) {
            w = &WITNESSES[i];
        }
    }
    if (w == NULL) {
        ok = ok && refuse(c, part, err);
        checkpoint_close(c);
        return ok;
    }
    c->layout = w->layout;
    c->prefix = w->prefix;
    c->n_levels = w->layout == LAYOUT_BFL_VAE ? count_levels(c) : 0;
    return true;
}

bool checkpoint_open_folder(struct checkpoint *c, const char *dir, const char *base,
                            struct error *err)
{
    *c = (struct checkpoint){.path = xstrdup(dir), .prefix = ""};
    if (safetensors_open(&c->safetensors, dir, base, err)) {
        return true;
    }
    checkpoint_close(c);
    return false;
}

void checkpoint_close(struct checkpoint *c)
{
    safetensors_close(c->safetensors);
    gguf_close(c->gguf);
    free(c->path);
    *c = (struct checkpoint){0};
}

const char *checkpoint_form(const struct checkpoint *c)
{
    return c->gguf != NULL ? "GGUF" : "safetensors";
}
