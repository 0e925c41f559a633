/* Configs that the pipeline can't serve are refused with file, key and value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "flux/config.h"
#include "flux/flux_known.h"
#include "tests/flux/folder.h"

#include <cmocka.h> /* last: it defines fail */

#define CONFIGS "tests/data/configs/FLUX.1-dev-configs"

static void the_real_configs_are_understood(void **state)
{
    (void)state;
    struct flux_config c;
    struct error err = {0};
    assert_true(flux_config_read(&c, CONFIGS, &err));
    assert_int_equal(c.clip.width, 768);
    assert_int_equal(c.t5.mlp_width, 10240);
    assert_int_equal(c.transformer.n_double, 19);
    assert_int_equal(c.transformer.n_single, 38);
    assert_true(c.transformer.has_guidance && c.sigmas.is_dynamic);
    assert_int_equal(flux_config_token_px(&c), 16);
    assert_true(flux_config_read(&c, "tests/data/configs/FLUX.1-schnell-configs", &err));
    assert_false(c.transformer.has_guidance || c.sigmas.is_dynamic);
}

static void assert_same_config(const struct flux_config *a, const struct flux_config *b)
{
    assert_memory_equal(&a->clip, &b->clip, offsetof(struct clip_config, act));
    assert_int_equal(a->clip.act, b->clip.act);
    assert_memory_equal(&a->t5, &b->t5, offsetof(struct t5_config, act));
    assert_int_equal(a->t5.act, b->t5.act);
    assert_memory_equal(&a->transformer, &b->transformer,
                        offsetof(struct transformer_config, has_guidance));
    assert_int_equal(a->transformer.has_guidance, b->transformer.has_guidance);
    assert_memory_equal(&a->vae, &b->vae, offsetof(struct vae_config, n_levels));
    assert_int_equal(a->vae.n_levels, b->vae.n_levels);
    assert_int_equal(a->vae.layers_per_block, b->vae.layers_per_block);
    assert_int_equal(a->vae.sample_size, b->vae.sample_size);
    assert_int_equal(a->vae.norm_groups, b->vae.norm_groups);
    assert_true(a->vae.scaling_factor == b->vae.scaling_factor);
    assert_true(a->vae.shift_factor == b->vae.shift_factor);
    assert_int_equal(a->vae.has_quant_conv, b->vae.has_quant_conv);
    assert_int_equal(a->vae.has_post_quant_conv, b->vae.has_post_quant_conv);
    assert_int_equal(a->vae.has_mid_attention, b->vae.has_mid_attention);
    assert_memory_equal(&a->sigmas, &b->sigmas, offsetof(struct sigmas_config, is_dynamic));
    assert_int_equal(a->sigmas.is_dynamic, b->sigmas.is_dynamic);
    assert_int_equal(a->sigmas.is_linear, b->sigmas.is_linear);
    assert_int_equal(a->usual_steps, b->usual_steps);
    assert_true(a->usual_guidance == b->usual_guidance);
    assert_memory_equal(a->weights, b->weights, sizeof a->weights);
}

static void built_in_configs_are_the_published_ones(void **state)
{
    (void)state;
    static const struct {
        const char *name, *folder;
        int64_t t5_length;
    } CASES[] = {
        {"black-forest-labs/FLUX.1-dev", CONFIGS, 512},
        {"black-forest-labs/FLUX.1-schnell", "tests/data/configs/FLUX.1-schnell-configs", 256}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct flux_config known, read;
        struct error err = {0};
        int64_t t5_length = 0;
        assert_true(flux_known_config(&known, &t5_length, CASES[i].name));
        assert_true(flux_config_read(&read, CASES[i].folder, &err));
        assert_same_config(&known, &read);
        assert_int_equal(t5_length, CASES[i].t5_length);
    }
    assert_false(flux_known_config(NULL, NULL, "black-forest-labs/FLUX.2-dev"));
}

/* An edit of one file, and what the error must say beside the file's name. */
static const struct {
    const char *file, *from, *to, *reason;
} EDITS[] = {
    {"transformer/config.json", "\"num_layers\": 19", "\"num_layers\": \"many\"", "num_layers"},
    {"transformer/config.json", "\"num_layers\": 19", "\"num_layers\": -1", "num_layers"},
    {"transformer/config.json", "\"patch_size\": 1", "\"patch_size\": 2", "patch_size"},
    {"transformer/config.json", "FluxTransformer2DModel", "UNet2DModel", "UNet2DModel"},
    {"transformer/config.json", "    56,", "    54,", "axes_dims_rope"},
    {"transformer/config.json", "    56,", "    55,", "axes_dims_rope"},
    {"transformer/config.json", "    16,", "    \"x\",", "axes_dims_rope[0]"},
    {"transformer/config.json", "\"in_channels\": 64", "\"in_channels\": 66", "in_channels"},
    {"transformer/config.json", "\"in_channels\": 64", "\"in_channels\": 128", "latent_channels"},
    {"transformer/config.json", "\"joint_attention_dim\": 4096", "\"joint_attention_dim\": 99",
     "joint_attention_dim 99"},
    {"transformer/config.json", "\"pooled_projection_dim\": 768", "\"pooled_projection_dim\": 9",
     "pooled_projection_dim 9"},
    {"text_encoder/config.json", "quick_gelu", "swish9", "swish9"},
    {"text_encoder/config.json", "\"num_attention_heads\": 12", "\"num_attention_heads\": 11",
     "num_attention_heads 11"},
    {"text_encoder/config.json", "\"vocab_size\": 49408", "\"vocab\": 49408", "vocab_size"},
    {"text_encoder_2/config.json", "gated-gelu", "relu", "feed_forward_proj 'relu'"},
    {"vae/config.json", "\"act_fn\": \"silu\"", "\"act_fn\": \"mish\"", "act_fn 'mish'"},
    {"vae/config.json", "\"norm_num_groups\": 32", "\"norm_num_groups\": 48", "norm_num_groups 48"},
    {"vae/config.json", "\"scaling_factor\": 0.3611", "\"scaling_factor\": 0", "scaling_factor"},
    {"vae/config.json", "128,", "null,", "block_out_channels[0]"},
    {"scheduler/scheduler_config.json", "FlowMatchEulerDiscreteScheduler", "DDIMScheduler",
     "DDIMScheduler"},
    {"scheduler/scheduler_config.json", "\"shift\": 3.0", "\"use_karras_sigmas\": true",
     "use_karras_sigmas"},
    {"scheduler/scheduler_config.json", "\"shift\": 3.0", "\"time_shift_type\": \"cubic\"",
     "cubic"},
    {"scheduler/scheduler_config.json", "\"shift\": 3.0", "\"shift_terminal\": 0.1",
     "shift_terminal"},
    {"model_index.json", "FluxPipeline", "StableDiffusionPipeline", "StableDiffusionPipeline"},
    {"model_index.json", "{", "[", "line 2"},
    {"model_index.json", "{", "{\"_num_inference_steps\": 0,", "_num_inference_steps"},
    {"model_index.json", "{", "{\"_guidance_scale\": \"high\",", "_guidance_scale"},
};

static void what_can_not_be_served_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof EDITS / sizeof EDITS[0]; i++) {
        char *folder = folder_copy(CONFIGS);
        struct flux_config c;
        struct error err = {0};
        folder_edit(folder, EDITS[i].file, EDITS[i].from, EDITS[i].to);
        bool ok = flux_config_read(&c, folder, &err);
        bool names_reason = strstr(err.text, EDITS[i].reason) != NULL;
        if (ok || !names_reason) {
            fail_msg("%s -> %s: '%s' does not name '%s'", EDITS[i].from, EDITS[i].to, err.text,
                     EDITS[i].reason);
        }
        folder_delete(folder);
    }
}

static void a_model_may_say_what_it_is_made_for(void **state)
{
    (void)state;
    char *folder = folder_copy(CONFIGS);
    struct flux_config c;
    struct error err = {0};
    assert_true(flux_config_read(&c, folder, &err));
    assert_int_equal(c.usual_steps, 28);
    assert_true(c.usual_guidance == 3.5);
    folder_edit(folder, "model_index.json", "{",
                "{\"_num_inference_steps\": 8, \"_guidance_scale\": 2.5,");
    assert_true(flux_config_read(&c, folder, &err));
    assert_int_equal(c.usual_steps, 8);
    assert_true(c.usual_guidance == 2.5);
    folder_delete(folder);
}

static void a_missing_config_is_named(void **state)
{
    (void)state;
    char *folder = folder_copy(CONFIGS);
    struct flux_config c;
    struct error err = {0};
    folder_remove(folder, "vae");
    assert_false(flux_config_read(&c, folder, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "vae/config.json"));
    folder_delete(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_real_configs_are_understood),
        cmocka_unit_test(built_in_configs_are_the_published_ones),
        cmocka_unit_test(what_can_not_be_served_is_refused_by_name),
        cmocka_unit_test(a_model_may_say_what_it_is_made_for),
        cmocka_unit_test(a_missing_config_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
