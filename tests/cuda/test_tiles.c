/* The autoencoder in tiles on the device: the CPU's picture, in the step memory that was planned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "cuda/cuda.h"
#include "flux/flux.h"
#include "tests/cuda_sim/vgpu.h"

#include <cmocka.h> /* last: it defines fail */

#define MODEL "models/tiny-flux-dev"
enum { SIDE = 48, TILE = 32, PICTURE = SIDE * SIDE * 3 };

/* Image to image, so that the encoder runs in tiles too. */
static struct flux_result picture(struct backend *b, int64_t tile_px)
{
    static uint8_t init[PICTURE];
    struct flux *f = NULL;
    struct flux_result r = {0};
    struct error err = {0};
    struct flux_load load = {.memory.vae_tile_px = tile_px};
    if (!flux_open_as(&f, b, MODEL, &load, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < PICTURE; i++)
        init[i] = (uint8_t)(i * 7 / 3);
    struct flux_spec s = flux_spec_default(f);
    s.prompts = (const char *const[]){"a red fox"};
    s.n_prompts = 1;
    s.width_px = s.height_px = SIDE;
    s.steps = 2;
    s.max_sequence_length = 16;
    s.seeds = (const uint64_t[]){5};
    s.n_seeds = 1;
    s.init_rgb = init;
    s.strength = 0.5;
    if (!flux_generate(f, &s, NULL, &r, &err))
        fail_msg("%s", err.text);
    assert_int_equal(b->scratch.peak, r.scratch_bytes);
    flux_close(f);
    backend_close(b);
    return r;
}

static struct backend *open_cpu(void)
{
    struct backend *b = NULL;
    struct error err = {0};
    assert_true(cpu_open(&b, &(struct cpu_options){.threads = 1, .compute = DTYPE_F32}, &err));
    return b;
}

static void tiles_on_the_device_are_the_cpus(void **state)
{
    (void)state;
    struct backend *cuda = NULL;
    struct error err = {0};
    vgpu_options.checks = VGPU_CHECK_MEMORY;
    assert_true(cuda_open(&cuda, &(struct cuda_options){.compute = DTYPE_F32}, &err));
    struct flux_result got = picture(cuda, TILE), want = picture(open_cpu(), TILE);
    struct flux_result whole = picture(open_cpu(), 0);
    for (int i = 0; i < PICTURE; i++) {
        if (abs(got.rgb[i] - want.rgb[i]) > 1)
            fail_msg("byte %d is %d, want %d", i, got.rgb[i], want.rgb[i]);
    }
    assert_memory_not_equal(want.rgb, whole.rgb, PICTURE);
    assert_int_equal(vgpu_all_faults(), 0);
    flux_result_free(&got);
    flux_result_free(&want);
    flux_result_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_on_the_device_are_the_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
