/* Each config is read with defaults from the reference's classes, then checked as a whole. */
#include "flux/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "flux/quantise.h"

enum { MAX_DIM = 1 << 20, MAX_LAYERS = 1024, MAX_STEPS = 1000 };

/* One integer to read: where it goes and what it may be. */
struct int_key {
    const char *key;
    int64_t *value; /* holds the default; -1: required */
    int64_t min, max;
};

static bool read_ints(const struct json *object, const struct int_key *keys, size_t n,
                      struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct int_key *k = &keys[i];
        if (!json_read_int(object, k->key, k->min, k->max, k->value, err)) {
            return false;
        }
        if (*k->value < 0) {
            return fail(err, ERR_INVALID, "%s is missing", k->key);
        }
    }
    return true;
}

#define READ_INTS(object, err, ...)                          \
    read_ints(object, (const struct int_key[]){__VA_ARGS__}, \
              sizeof((const struct int_key[]){__VA_ARGS__}) / sizeof(struct int_key), err)

static bool read_float(const struct json *object, const char *key, float *value, struct error *err)
{
    double x = (double)*value;
    if (!json_read_double(object, key, -1e6, 1e6, &x, err)) {
        return false;
    }
    *value = (float)x;
    return true;
}

/* Fail when a key has a value other than the one that we implement. */
static bool want_string(const struct json *object, const char *key, const char *only,
                        struct error *err)
{
    const char *value = only;
    return json_read_string(object, key, &value, err) &&
           (strcmp(value, only) == 0 ||
            fail(err, ERR_INVALID, "%s '%s' is not supported ('%s' is)", key, value, only));
}

static bool want_bool(const struct json *object, const char *key, bool only, struct error *err)
{
    bool value = only;
    return json_read_bool(object, key, &value, err) &&
           (value == only || fail(err, ERR_INVALID, "%s %s is not supported (%s is)", key,
                                  value ? "true" : "false", only ? "true" : "false"));
}

static bool want_null(const struct json *object, const char *key, struct error *err)
{
    const struct json *node = json_get(object, key);
    return node == NULL || json_type(node) == JSON_NULL ||
           fail(err, ERR_INVALID, "%s is set, which is not supported", key);
}

static bool read_activation(const struct json *object, const char *key, enum activation *act,
                            struct error *err)
{
    static const struct {
        const char *name;
        enum activation act;
    } NAMES[] = {{"quick_gelu", ACT_QUICK_GELU},
                 {"gelu", ACT_GELU},
                 {"gelu_new", ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", ACT_GELU_TANH},
                 {"gelu_fast", ACT_GELU_TANH},
                 {"silu", ACT_SILU},
                 {"relu", ACT_RELU}};
    const char *name = NULL;
    if (!json_read_string(object, key, &name, err) || name == NULL) {
        return name == NULL && err->code == ERR_NONE;
    }
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strcmp(NAMES[i].name, name) == 0) {
            *act = NAMES[i].act;
            return true;
        }
    }
    return fail(err, ERR_INVALID,
                "%s '%s' is not supported (quick_gelu, gelu, gelu_new, silu and "
                "relu are)",
                key, name);
}

/* An array of integers; *n of them on return. */
static bool read_int_array(const struct json *object, const char *key, int64_t *values, int max,
                           int *n, struct error *err)
{
    const struct json *array = json_get(object, key);
    if (array == NULL || json_type(array) != JSON_ARRAY || json_size(array) == 0 ||
        json_size(array) > (size_t)max) {
        return fail(err, ERR_INVALID, "%s must be an array of 1 to %d integers", key, max);
    }
    *n = 0;
    for (const struct json *node = json_first(array); node != NULL; node = json_next(node)) {
        double x = json_type(node) == JSON_NUMBER ? json_number(node) : 0;
        if (!(x >= 1 && x <= MAX_DIM) || x != (double)(int64_t)x) {
            return fail(err, ERR_INVALID, "%s[%d] must be an integer from 1 to %d", key, *n,
                        MAX_DIM);
        }
        values[(*n)++] = (int64_t)x;
    }
    return true;
}

/* --- one function per file --------------------------------------------------------------------*/

static bool read_clip(struct clip_config *c, const struct json *j, struct error *err)
{
    *c = (struct clip_config){.max_positions = 77,
                              .end_id = 2,
                              .norm_eps = 1e-5f,
                              .vocab_size = -1,
                              .width = -1,
                              .mlp_width = -1,
                              .n_layers = -1,
                              .n_heads = -1,
                              .act = ACT_QUICK_GELU};
    if (!READ_INTS(j, err, {"vocab_size", &c->vocab_size, 1, 1 << 24},
                   {"hidden_size", &c->width, 1, MAX_DIM},
                   {"intermediate_size", &c->mlp_width, 1, MAX_DIM},
                   {"num_hidden_layers", &c->n_layers, 1, MAX_LAYERS},
                   {"num_attention_heads", &c->n_heads, 1, MAX_DIM},
                   {"max_position_embeddings", &c->max_positions, 2, MAX_DIM},
                   {"eos_token_id", &c->end_id, 0, 1 << 24}) ||
        !read_float(j, "layer_norm_eps", &c->norm_eps, err) ||
        !read_activation(j, "hidden_act", &c->act, err)) {
        return false;
    }
    return c->width % c->n_heads == 0 ||
           fail(err, ERR_INVALID, "hidden_size %lld is no multiple of num_attention_heads %lld",
                (long long)c->width, (long long)c->n_heads);
}

static bool read_t5(struct t5_config *c, const struct json *j, struct error *err)
{
    *c = (struct t5_config){.vocab_size = -1,
                            .width = -1,
                            .head_width = -1,
                            .mlp_width = -1,
                            .n_layers = -1,
                            .n_heads = -1,
                            .n_buckets = 32,
                            .max_distance = 128,
                            .norm_eps = 1e-6f,
                            .act = ACT_GELU_TANH};
    return READ_INTS(j, err, {"vocab_size", &c->vocab_size, 1, 1 << 24},
                     {"d_model", &c->width, 1, MAX_DIM}, {"d_kv", &c->head_width, 1, MAX_DIM},
                     {"d_ff", &c->mlp_width, 1, MAX_DIM},
                     {"num_layers", &c->n_layers, 1, MAX_LAYERS},
                     {"num_heads", &c->n_heads, 1, MAX_DIM},
                     {"relative_attention_num_buckets", &c->n_buckets, 4, 4096},
                     {"relative_attention_max_distance", &c->max_distance, 2, MAX_DIM}) &&
           read_float(j, "layer_norm_epsilon", &c->norm_eps, err) &&
           want_string(j, "feed_forward_proj", "gated-gelu", err) &&
           read_activation(j, "dense_act_fn", &c->act, err);
}

static bool read_transformer(struct transformer_config *c, const struct json *j, struct error *err)
{
    int64_t patch = 1, out_channels = 0;
    *c = (struct transformer_config){.in_channels = 64,
                                     .n_double = 19,
                                     .n_single = 38,
                                     .n_heads = 24,
                                     .head_width = 128,
                                     .text_width = 4096,
                                     .pooled_width = 768};
    if (!want_string(j, "_class_name", "FluxTransformer2DModel", err) ||
        !READ_INTS(j, err, {"patch_size", &patch, 1, 1},
                   {"in_channels", &c->in_channels, 4, MAX_DIM},
                   {"out_channels", &out_channels, 0, MAX_DIM},
                   {"num_layers", &c->n_double, 0, MAX_LAYERS},
                   {"num_single_layers", &c->n_single, 0, MAX_LAYERS},
                   {"num_attention_heads", &c->n_heads, 1, MAX_DIM},
                   {"attention_head_dim", &c->head_width, 2, MAX_DIM},
                   {"joint_attention_dim", &c->text_width, 1, MAX_DIM},
                   {"pooled_projection_dim", &c->pooled_width, 1, MAX_DIM}) ||
        !json_read_bool(j, "guidance_embeds", &c->has_guidance, err)) {
        return false;
    }
    c->out_channels = out_channels == 0 ? c->in_channels : out_channels;
    if (c->out_channels != c->in_channels || c->in_channels % 4 != 0) {
        return fail(err, ERR_INVALID,
                    "in_channels %lld and out_channels %lld must be equal, and a "
                    "multiple of 4",
                    (long long)c->in_channels, (long long)c->out_channels);
    }
    int n_axes = ROPE_AXES;
    if (json_get(j, "axes_dims_rope") == NULL) {
        c->rope_axes[0] = 16, c->rope_axes[1] = c->rope_axes[2] = 56;
    } else if (!read_int_array(j, "axes_dims_rope", c->rope_axes, ROPE_AXES, &n_axes, err)) {
        return false;
    }
    int64_t sum = 0;
    for (int i = 0; i < n_axes; i++) {
        sum += c->rope_axes[i];
        if (c->rope_axes[i] % 2 != 0) {
            return fail(err, ERR_INVALID, "axes_dims_rope[%d] %lld must be even", i,
                        (long long)c->rope_axes[i]);
        }
    }
    return (sum == c->head_width && n_axes == ROPE_AXES) ||
           fail(err, ERR_INVALID,
                "axes_dims_rope must be %d numbers that add up to attention_head_dim %lld, found "
                "%d that add up to %lld",
                ROPE_AXES, (long long)c->head_width, n_axes, (long long)sum);
}

static bool read_vae(struct vae_config *c, const struct json *j, struct error *err)
{
    int64_t groups = 32;
    *c = (struct vae_config){.in_channels = 3,
                             .out_channels = 3,
                             .latent_channels = 4,
                             .layers_per_block = 1,
                             .sample_size = 1024,
                             .scaling_factor = 0.18215f,
                             .has_quant_conv = true,
                             .has_post_quant_conv = true,
                             .has_mid_attention = true};
    if (!want_string(j, "_class_name", "AutoencoderKL", err) ||
        !want_string(j, "act_fn", "silu", err) || !want_null(j, "latents_mean", err) ||
        !want_null(j, "latents_std", err) ||
        !READ_INTS(j, err, {"in_channels", &c->in_channels, 3, 3},
                   {"out_channels", &c->out_channels, 3, 3},
                   {"latent_channels", &c->latent_channels, 1, MAX_DIM},
                   {"layers_per_block", &c->layers_per_block, 1, 64},
                   {"sample_size", &c->sample_size, 8, 1 << 16},
                   {"norm_num_groups", &groups, 1, MAX_DIM}) ||
        !read_int_array(j, "block_out_channels", c->channels, VAE_MAX_LEVELS, &c->n_levels, err) ||
        !read_float(j, "scaling_factor", &c->scaling_factor, err) ||
        !read_float(j, "shift_factor", &c->shift_factor, err) ||
        !json_read_bool(j, "use_quant_conv", &c->has_quant_conv, err) ||
        !json_read_bool(j, "use_post_quant_conv", &c->has_post_quant_conv, err) ||
        !json_read_bool(j, "mid_block_add_attention", &c->has_mid_attention, err)) {
        return false;
    }
    c->norm_groups = (int)groups;
    for (int i = 0; i < c->n_levels; i++) {
        if (c->channels[i] % groups != 0) {
            return fail(err, ERR_INVALID,
                        "block_out_channels[%d] %lld is no multiple of "
                        "norm_num_groups %lld",
                        i, (long long)c->channels[i], (long long)groups);
        }
    }
    return c->scaling_factor != 0.0f || fail(err, ERR_INVALID, "scaling_factor must not be 0");
}

static bool read_sigmas(struct sigmas_config *c, const struct json *j, struct error *err)
{
    *c = (struct sigmas_config){.shift = 1,
                                .base_shift = 0.5,
                                .max_shift = 1.15,
                                .base_tokens = 256,
                                .max_tokens = 4096,
                                .n_train_timesteps = 1000};
    const char *kind = "exponential";
    if (!want_string(j, "_class_name", "FlowMatchEulerDiscreteScheduler", err) ||
        !READ_INTS(j, err, {"base_image_seq_len", &c->base_tokens, 1, MAX_DIM},
                   {"max_image_seq_len", &c->max_tokens, 2, MAX_DIM},
                   {"num_train_timesteps", &c->n_train_timesteps, 1, MAX_DIM}) ||
        !json_read_double(j, "shift", 1e-3, 1e3, &c->shift, err) ||
        !json_read_double(j, "base_shift", -100, 100, &c->base_shift, err) ||
        !json_read_double(j, "max_shift", -100, 100, &c->max_shift, err) ||
        !json_read_bool(j, "use_dynamic_shifting", &c->is_dynamic, err) ||
        !json_read_string(j, "time_shift_type", &kind, err)) {
        return false;
    }
    c->is_linear = strcmp(kind, "linear") == 0;
    if (!c->is_linear && strcmp(kind, "exponential") != 0) {
        return fail(err, ERR_INVALID, "time_shift_type '%s' must be exponential or linear", kind);
    }
    return (c->base_tokens != c->max_tokens ||
            fail(err, ERR_INVALID, "base_image_seq_len and max_image_seq_len must differ")) &&
           want_bool(j, "invert_sigmas", false, err) &&
           want_bool(j, "use_karras_sigmas", false, err) &&
           want_bool(j, "use_exponential_sigmas", false, err) &&
           want_bool(j, "use_beta_sigmas", false, err) &&
           want_bool(j, "stochastic_sampling", false, err) && want_null(j, "shift_terminal", err);
}

/* --- the folder -------------------------------------------------------------------------------*/

static enum dtype weights_dtype(const struct json *j)
{
    const char *name = NULL;
    struct error ignored = {0};
    if ((!json_read_string(j, "dtype", &name, &ignored) || name == NULL) &&
        !json_read_string(j, "torch_dtype", &name, &ignored)) {
        name = NULL;
    }
    if (name != NULL && strcmp(name, "float32") == 0) {
        return DTYPE_F32;
    }
    return name != NULL && strcmp(name, "float16") == 0 ? DTYPE_F16 : DTYPE_BF16;
}

/* quantization_config: what `fluxserve quantize` writes. Other methods have other layouts. */
static bool read_quant(enum quant *quant, const struct json *j, struct error *err)
{
    const struct json *node = json_get(j, "quantization_config");
    const char *method = "", *scheme = "";
    *quant = QUANT_NONE;
    if (node == NULL || json_type(node) == JSON_NULL) {
        return true;
    }
    if (!json_read_string(node, "quant_method", &method, err) ||
        !json_read_string(node, "scheme", &scheme, err)) {
        return error_prefix(err, "quantization_config");
    }
    if (strcmp(method, QUANTISE_METHOD) != 0) {
        return fail(err, ERR_INVALID,
                    "quantization_config: quant_method '%s' is not supported ('%s' is)", method,
                    QUANTISE_METHOD);
    }
    *quant = quant_parse(scheme);
    return *quant != QUANT_NONE ||
           fail(err, ERR_INVALID,
                "quantization_config: scheme '%s' is not supported (int8, fp8 and q4 are)", scheme);
}

/* Parts have to fit together. */
static bool check_parts(const struct flux_config *c, struct error *err)
{
    const struct transformer_config *t = &c->transformer;
    if (t->text_width != c->t5.width) {
        return fail(err, ERR_INVALID,
                    "transformer joint_attention_dim %lld differs from "
                    "text_encoder_2 d_model %lld",
                    (long long)t->text_width, (long long)c->t5.width);
    }
    if (t->pooled_width != c->clip.width) {
        return fail(err, ERR_INVALID,
                    "transformer pooled_projection_dim %lld differs from "
                    "text_encoder hidden_size %lld",
                    (long long)t->pooled_width, (long long)c->clip.width);
    }
    return t->in_channels == 4 * c->vae.latent_channels ||
           fail(err, ERR_INVALID,
                "transformer in_channels %lld must be 4 x vae latent_channels %lld",
                (long long)t->in_channels, (long long)c->vae.latent_channels);
}

/* The underscore keeps our two keys out of diffusers' way, which drops such keys. */
static bool read_pipeline(struct flux_config *c, const struct json *j, struct error *err)
{
    const char *name = NULL;
    if (!json_read_string(j, "_class_name", &name, err)) {
        return false;
    }
    if (name == NULL || strncmp(name, "Flux", 4) != 0) {
        return fail(err, ERR_INVALID, "_class_name '%s' is not supported (FluxPipeline is)",
                    name == NULL ? "" : name);
    }
    c->usual_steps = c->transformer.has_guidance ? 28 : 4; /* FLUX.1-dev's and -schnell's */
    c->usual_guidance = 3.5;
    return READ_INTS(j, err, {"_num_inference_steps", &c->usual_steps, 1, MAX_STEPS}) &&
           json_read_double(j, "_guidance_scale", 0, 100, &c->usual_guidance, err);
}

enum config_file { CLIP, T5, TRANSFORMER, VAE, SIGMAS, INDEX, N_FILES };

static bool read_one(struct flux_config *c, enum config_file file, const struct json *j,
                     struct error *err)
{
    switch (file) {
    case CLIP:
        return read_clip(&c->clip, j, err);
    case T5:
        return read_t5(&c->t5, j, err);
    case TRANSFORMER:
        return read_transformer(&c->transformer, j, err);
    case VAE:
        return read_vae(&c->vae, j, err);
    case SIGMAS:
        return read_sigmas(&c->sigmas, j, err);
    case INDEX:
        return read_pipeline(c, j, err);
    case N_FILES:
        break;
    }
    return false;
}

/* The transformer of a single file, with the rotary axes of the config if they fit a head. */
static bool take_single(struct flux_config *c, const struct transformer_config *single,
                        struct error *err)
{
    struct transformer_config t = *single;
    memcpy(t.rope_axes, c->transformer.rope_axes, sizeof t.rope_axes);
    c->is_other_kind = c->transformer.has_guidance != t.has_guidance;
    c->transformer = t;
    return t.rope_axes[0] + t.rope_axes[1] + t.rope_axes[2] == t.head_width ||
           fail(err, ERR_INVALID,
                "the transformer's heads are %lld wide, and how rotary axes share that is unknown: "
                "needs the transformer/config.json that belongs to it",
                (long long)t.head_width);
}

static bool read_folder(struct flux_config *c, const char *model_dir, bool may_lack,
                        const struct transformer_config *single, struct error *err)
{
    static const char *const PATHS[N_FILES] = {
        [CLIP] = "text_encoder/config.json",          [T5] = "text_encoder_2/config.json",
        [TRANSFORMER] = "transformer/config.json",    [VAE] = "vae/config.json",
        [SIGMAS] = "scheduler/scheduler_config.json", [INDEX] = "model_index.json",
    };
    bool ok = true;
    for (int i = 0; ok && i < N_FILES; i++) {
        char *path = xasprintf("%s/%s", model_dir, PATHS[i]);
        if (!may_lack || file_exists(path)) {
            struct json *j = json_read_file(path, err);
            ok = j != NULL;
            if (ok && json_type(j) != JSON_OBJECT) {
                ok = fail(err, ERR_INVALID, "must hold an object") || error_prefix(err, "%s", path);
            }
            ok = ok && (read_one(c, (enum config_file)i, j, err) || error_prefix(err, "%s", path));
            ok = ok &&
                 (i > VAE || read_quant(&c->quant[i], j, err) || error_prefix(err, "%s", path));
            if (ok && i <= VAE) {
                c->weights[i] = weights_dtype(j);
            }
            json_free(j);
        }
        if (ok && i == TRANSFORMER && single != NULL) {
            ok = take_single(c, single, err) || error_prefix(err, "%s", model_dir);
        }
        free(path);
    }
    return ok && (check_parts(c, err) || error_prefix(err, "%s", model_dir));
}

bool flux_config_read(struct flux_config *c, const char *model_dir, struct error *err)
{
    *c = (struct flux_config){0};
    return read_folder(c, model_dir, false, NULL, err);
}

bool flux_config_complete(struct flux_config *c, const char *model_dir,
                          const struct transformer_config *single, struct error *err)
{
    return read_folder(c, model_dir, true, single, err);
}

int64_t flux_config_latent_px(const struct flux_config *c)
{
    return INT64_C(1) << (c->vae.n_levels - 1);
}

int64_t flux_config_token_px(const struct flux_config *c) { return 2 * flux_config_latent_px(c); }
