/* Parameters asked for by diffusers names in files of other names and formats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "flux/bfl_names.h"
#include "flux/checkpoint.h"
#include "tests/flux/folder.h"

#include <cmocka.h> /* last: it defines fail */

static void transformer_names_have_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *ours, *theirs;
        int first, count, of;
        bool swaps;
    } CASES[] = {
        {"x_embedder.weight", "img_in.weight", 0, 1, 1, false},
        {"time_text_embed.guidance_embedder.linear_2.bias", "guidance_in.out_layer.bias", 0, 1, 1,
         false},
        {"norm_out.linear.weight", "final_layer.adaLN_modulation.1.weight", 0, 1, 1, true},
        {"proj_out.bias", "final_layer.linear.bias", 0, 1, 1, false},
        {"transformer_blocks.18.attn.to_k.weight", "double_blocks.18.img_attn.qkv.weight", 1, 1, 3,
         false},
        {"transformer_blocks.0.attn.add_v_proj.bias", "double_blocks.0.txt_attn.qkv.bias", 2, 1, 3,
         false},
        {"transformer_blocks.3.attn.norm_added_k.weight",
         "double_blocks.3.txt_attn.norm.key_norm.scale", 0, 1, 1, false},
        {"transformer_blocks.3.ff_context.net.0.proj.weight", "double_blocks.3.txt_mlp.0.weight", 0,
         1, 1, false},
        {"single_transformer_blocks.37.proj_mlp.weight", "single_blocks.37.linear1.weight", 3, 4, 7,
         false},
        {"single_transformer_blocks.2.attn.norm_q.weight", "single_blocks.2.norm.query_norm.scale",
         0, 1, 1, false},
    };
    struct bfl_place p;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        assert_true(bfl_transformer_place(&p, CASES[i].ours));
        assert_string_equal(p.name, CASES[i].theirs);
        assert_int_equal(p.first, CASES[i].first);
        assert_int_equal(p.count, CASES[i].count);
        assert_int_equal(p.of, CASES[i].of);
        assert_true(p.swaps_halves == CASES[i].swaps);
    }
    assert_false(bfl_transformer_place(&p, "transformer_blocks.x.attn.to_k.weight"));
    assert_false(bfl_transformer_place(&p, "transformer_blocks.0.attn.to_kk.weight"));
    assert_false(bfl_transformer_place(&p, "x_embedder"));
    assert_false(bfl_transformer_place(&p, ""));
}

static void the_decoders_levels_count_the_other_way(void **state)
{
    (void)state;
    static const char *const CASES[][2] = {
        {"decoder.up_blocks.0.resnets.2.conv1.weight", "decoder.up.3.block.2.conv1.weight"},
        {"decoder.up_blocks.3.resnets.0.conv_shortcut.bias",
         "decoder.up.0.block.0.nin_shortcut.bias"},
        {"decoder.up_blocks.1.upsamplers.0.conv.weight", "decoder.up.2.upsample.conv.weight"},
        {"encoder.down_blocks.1.resnets.0.norm2.bias", "encoder.down.1.block.0.norm2.bias"},
        {"encoder.down_blocks.2.downsamplers.0.conv.bias", "encoder.down.2.downsample.conv.bias"},
        {"decoder.mid_block.resnets.1.norm1.weight", "decoder.mid.block_2.norm1.weight"},
        {"encoder.mid_block.attentions.0.to_out.0.weight", "encoder.mid.attn_1.proj_out.weight"},
        {"encoder.mid_block.attentions.0.group_norm.bias", "encoder.mid.attn_1.norm.bias"},
        {"encoder.conv_norm_out.weight", "encoder.norm_out.weight"},
        {"decoder.conv_in.bias", "decoder.conv_in.bias"},
        {"quant_conv.weight", "quant_conv.weight"},
    };
    struct bfl_place p;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        assert_true(bfl_vae_place(&p, CASES[i][0], 4));
        assert_string_equal(p.name, CASES[i][1]);
    }
    assert_false(bfl_vae_place(&p, "decoder.up_blocks.4.resnets.0.conv1.weight", 4));
    assert_false(bfl_vae_place(&p, "decoder.up_blocks.0.attentions.0.to_q.weight", 4));
}

/* --- files ------------------------------------------------------------------------------------*/

/* Write a safetensors file; header without its length, data 0, 1, 2, ... as f32. */
static char *write_file(const char *folder, const char *name, const char *header, int n_values)
{
    struct buf b = {0};
    uint64_t length = strlen(header);
    size_t padding = (8 - length % 8) % 8;
    for (int i = 0; i < 8; i++) {
        buf_putc(&b, (char)((length + padding) >> (8 * i) & 0xff));
    }
    buf_puts(&b, header);
    buf_append(&b, "        ", padding);
    for (int i = 0; i < n_values; i++) {
        float x = (float)i;
        buf_append(&b, &x, sizeof x);
    }
    folder_write(folder, name, b.data, b.size);
    buf_free(&b);
    return xasprintf("%s/%s", folder, name);
}

static const char SMALL[] =
    "{\"P.vector_in.in_layer.weight\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
    "\"P.double_blocks.0.img_attn.qkv.weight\":{\"dtype\":\"F32\",\"shape\":[6,2],"
    "\"data_offsets\":[4,52]},"
    "\"P.double_blocks.1.img_attn.qkv.weight\":{\"dtype\":\"F32\",\"shape\":[5,2],"
    "\"data_offsets\":[4,44]},"
    "\"P.final_layer.adaLN_modulation.1.bias\":{\"dtype\":\"F32\",\"shape\":[4],"
    "\"data_offsets\":[52,68]},"
    "\"P.final_layer.adaLN_modulation.1.weight\":{\"dtype\":\"F32\",\"shape\":[3,1],"
    "\"data_offsets\":[52,64]}}";

/* SMALL with a prefix in place of "P.". */
static char *with_prefix(const char *prefix)
{
    struct buf b = {0};
    for (const char *at = SMALL; *at != '\0';) {
        bool is_prefix = strncmp(at, "\"P.", 3) == 0;
        buf_append(&b, at, 1);
        buf_puts(&b, is_prefix ? prefix : "");
        at += is_prefix ? 3 : 1;
    }
    char *text = xstrdup(b.data);
    buf_free(&b);
    return text;
}

static void fused_rows_are_windows_and_halves_change_places(void **state)
{
    (void)state;
    static const char *const PREFIXES[] = {"", "model.diffusion_model."};
    for (int i = 0; i < 2; i++) {
        char *folder = folder_new(), *header = with_prefix(PREFIXES[i]);
        char *path = write_file(folder, "m.safetensors", header, 17);
        struct checkpoint c;
        struct stored q, v, again;
        struct error err = {0};
        assert_true(checkpoint_open_file(&c, path, TRANSFORMER, &err));
        assert_true(checkpoint_find(&c, "transformer_blocks.0.attn.to_q.weight", &q, &err));
        assert_true(checkpoint_find(&c, "transformer_blocks.0.attn.to_v.weight", &v, &err));
        assert_int_equal(v.window.dims[0], 2);
        assert_int_equal(v.window.dims[1], 2);
        /* one tensor, not copied */
        assert_ptr_equal(v.window.data, (char *)q.window.data + 4 * 2 * sizeof(float));
        assert_true(((const float *)v.window.data)[0] == 9);

        float halves[4];
        assert_true(checkpoint_find(&c, "norm_out.linear.bias", &again, &err));
        stored_decode(&again, halves, DTYPE_F32);
        assert_true(halves[0] == 15 && halves[1] == 16 && halves[2] == 13 && halves[3] == 14);

        assert_false(checkpoint_has(&c, "x_embedder.weight"));
        assert_false(checkpoint_find(&c, "transformer_blocks.1.attn.to_q.weight", &again, &err));
        assert_non_null(strstr(err.text, "double_blocks.1.img_attn.qkv.weight: 5 rows"));
        err = (struct error){0};
        assert_false(checkpoint_find(&c, "norm_out.linear.weight", &again, &err));
        assert_non_null(strstr(err.text, "3 rows have no halves"));
        checkpoint_close(&c);
        free(path);
        free(header);
        folder_delete(folder);
    }
}

static void a_file_without_the_part_says_what_was_looked_for(void **state)
{
    (void)state;
    char *folder = folder_new(), *header = with_prefix("");
    char *path = write_file(folder, "m.safetensors", header, 17);
    struct checkpoint c;
    struct error err = {0};
    assert_false(checkpoint_open_file(&c, path, VAE, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "m.safetensors: holds no autoencoder"));
    assert_non_null(strstr(err.text, "decoder.up.0.block.0.norm1.weight"));
    err = (struct error){0};
    assert_false(checkpoint_open_file(&c, FLUXBENCH_SOURCE_DIR "/tests/data/gguf/formats.gguf",
                                      TRANSFORMER, &err));
    assert_non_null(strstr(err.text, "formats.gguf: holds no FLUX.1 transformer"));
    assert_non_null(strstr(err.text, "general.architecture is 'flux'"));
    free(path);
    free(header);
    folder_delete(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transformer_names_have_their_place),
        cmocka_unit_test(the_decoders_levels_count_the_other_way),
        cmocka_unit_test(fused_rows_are_windows_and_halves_change_places),
        cmocka_unit_test(a_file_without_the_part_says_what_was_looked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
