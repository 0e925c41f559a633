/* The autoencoder in tiles: near the whole, equal to it where one tile is enough, and cheaper. That
 * the tiles fade into each other as diffusers' do is what the golden cases dev_vae_tiles* show. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "flux/flux.h"

#include <cmocka.h> /* last: it defines fail */

#define MODEL "models/flux-tiny" /* trained: a tile of it knows what the picture is like */
enum { SIDE = 512, PICTURE = SIDE * SIDE * 3 };

/* A picture of SIDE pixels in tiles of tile_px; the caller frees the result. */
static struct flux_result picture(int64_t tile_px)
{
    struct backend *b = NULL;
    struct flux *f = NULL;
    struct flux_result r = {0};
    struct error err = {0};
    struct flux_load load = {.memory.vae_tile_px = tile_px};
    if (!cpu_open(&b, &(struct cpu_options){.compute = DTYPE_F32}, &err) ||
        !flux_open_as(&f, b, MODEL, &load, &err)) {
        fail_msg("%s", err.text);
    }
    struct flux_spec s = flux_spec_default(f);
    s.prompts = (const char *const[]){"a red square"};
    s.n_prompts = 1;
    s.width_px = s.height_px = SIDE;
    s.steps = 2;
    s.seeds = (const uint64_t[]){3};
    s.n_seeds = 1;
    if (!flux_generate(f, &s, NULL, &r, &err)) {
        fail_msg("%s", err.text);
    }
    flux_close(f);
    backend_close(b);
    return r;
}

static double mean_difference(const struct flux_result *a, const struct flux_result *b)
{
    double sum = 0;
    for (int i = 0; i < PICTURE; i++) {
        sum += abs(a->rgb[i] - b->rgb[i]);
    }
    return sum / PICTURE;
}

/* The mean step from one pixel to the next, where each part of a tile begins. */
static double step_at(const struct flux_result *r, int64_t every)
{
    double sum = 0;
    int n = 0;
    for (int y = 0; y < SIDE; y++) {
        for (int x = (int)every; x < SIDE; x += (int)every) {
            for (int c = 0; c < 3; c++, n++) {
                const uint8_t *p = r->rgb + ((size_t)y * SIDE + (size_t)x) * 3 + c;
                sum += abs(p[0] - p[-3]);
            }
        }
    }
    return sum / n;
}

static void tiles_are_near_the_whole_without_seams(void **state)
{
    (void)state;
    enum { TILE = 384, PART = TILE / 4 * 3 }; /* an edge of the square is near 384 */
    struct flux_result whole = picture(0), tiled = picture(TILE);
    assert_memory_not_equal(whole.rgb, tiled.rgb, PICTURE);
    assert_true(mean_difference(&whole, &tiled) < 2.0);
    double seam = step_at(&tiled, PART), usual = step_at(&whole, PART);
    if (seam > usual + 0.5) {
        fail_msg("a step of %.2f where the whole picture has %.2f", seam, usual);
    }
    assert_true(tiled.scratch_bytes < whole.scratch_bytes);
    flux_result_free(&whole);
    flux_result_free(&tiled);
}

static void a_picture_within_one_tile_is_the_same(void **state)
{
    (void)state;
    struct flux_result whole = picture(0), tiled = picture(SIDE);
    struct flux_result of_model = picture(FLUX_TILE_OF_MODEL); /* its sample_size is SIDE */
    assert_memory_equal(whole.rgb, tiled.rgb, PICTURE);
    assert_memory_equal(whole.rgb, of_model.rgb, PICTURE);
    assert_int_equal(whole.scratch_bytes, tiled.scratch_bytes);
    flux_result_free(&whole);
    flux_result_free(&tiled);
    flux_result_free(&of_model);
}

static struct flux_plan plan_of(int side_px, int64_t tile_px)
{
    struct flux_plan p;
    struct error err = {0};
    struct flux_plan_query q = {.width_px = side_px,
                                .height_px = side_px,
                                .compute = DTYPE_BF16,
                                .load.memory.vae_tile_px = tile_px};
    assert_true(flux_plan("black-forest-labs/FLUX.1-dev", &q, &p, &err));
    return p;
}

static void the_plan_knows_the_smaller_peak(void **state)
{
    (void)state;
    struct flux_plan whole = plan_of(2048, 0), of_model = plan_of(2048, FLUX_TILE_OF_MODEL);
    struct flux_plan small = plan_of(1024, 512), one = plan_of(1024, 0);
    assert_int_equal(whole.vae_tile_px, 0);
    assert_int_equal(of_model.vae_tile_px, 1024);
    assert_true(of_model.scratch_bytes < whole.scratch_bytes / 3);
    assert_true(small.scratch_bytes < one.scratch_bytes / 3);
    assert_true(small.parts[3].flops > one.parts[3].flops); /* overlaps are decoded twice */
}

static void impossible_tiles_are_refused(void **state)
{
    (void)state;
    static const int64_t BAD[] = {1, 100, 16, 8224, -2};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct flux_plan p;
        struct error err = {0};
        struct flux_plan_query q = {.load.memory.vae_tile_px = BAD[i]};
        assert_false(flux_plan("black-forest-labs/FLUX.1-dev", &q, &p, &err));
        assert_string_equal(err.field, "vae_tile_size");
        assert_non_null(strstr(err.text, "multiple of 32"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_are_near_the_whole_without_seams),
        cmocka_unit_test(a_picture_within_one_tile_is_the_same),
        cmocka_unit_test(the_plan_knows_the_smaller_peak),
        cmocka_unit_test(impossible_tiles_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
