/* Images by several simulated devices: the same as by one, through graphs that all ranks capture
 * and launch together, and no rank waits for one that has failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cuda_internal.h"
#include "flux/flux.h"
#include "tensor/ops.h"
#include "tensor/team.h"
#include "tests/cuda_sim/nccl_sim.h"
#include "tests/cuda_sim/runtime.h"
#include "tests/cuda_sim/vgpu.h"

#include <cmocka.h> /* last: it defines fail */

#define MODEL "models/tiny-flux-dev"
enum { DEGREE = 3, SIDE = 32, SEQUENCE = 5, STEPS = 3, PICTURE = SIDE * SIDE * 3 };

/* --- worlds -----------------------------------------------------------------------------------*/

struct world {
    struct backend *backend;
    struct flux *flux;
};

static struct world open_world(int n)
{
    struct world w = {NULL};
    struct error err = {0};
    vgpu_options.checks = VGPU_CHECK_MEMORY;
    vgpu_faults_reset();
    runtime_options()->n_devices = 4;
    if (!cuda_open_team(&w.backend, &(struct cuda_options){.compute = DTYPE_F32}, n, &err) ||
        !flux_open(&w.flux, w.backend, MODEL, &err)) {
        fail_msg("%s", err.text);
    }
    return w;
}

static void close_world(struct world *w)
{
    flux_close(w->flux);
    backend_close(w->backend);
}

static bool generate(const struct world *w, struct flux_result *r, struct error *err)
{
    struct flux_spec s = flux_spec_default(w->flux);
    s.prompts = (const char *const[]){"a red fox"};
    s.n_prompts = 1;
    s.width_px = s.height_px = SIDE;
    s.steps = STEPS;
    s.max_sequence_length = SEQUENCE;
    s.seeds = (const uint64_t[]){5};
    s.n_seeds = 1;
    return flux_generate(w->flux, &s, NULL, r, err);
}

static void generate_picture(const struct world *w, uint8_t *rgb)
{
    struct flux_result r;
    struct error err = {0};
    if (!generate(w, &r, &err)) {
        fail_msg("%s", err.text);
    }
    memcpy(rgb, r.rgb, PICTURE);
    flux_result_free(&r);
}

/* Of the ranks together: far enough to be in the middle of a step. */
enum { KERNELS_BEFORE = 900, GROUPS_BEFORE = 17 };

static void expect_failure(const struct world *w, const char *text)
{
    struct flux_result r;
    struct error err = {0};
    assert_false(generate(w, &r, &err));
    assert_int_equal(err.code, ERR_DEVICE);
    if (strstr(err.text, text) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, text);
    }
}

/* --- pictures ---------------------------------------------------------------------------------*/

/* What the team makes of the wish: by the first test, for the later ones. */
static uint8_t picture[PICTURE];

/* Of one step: two exchanges for each of the blocks. */
static uint64_t exchanges_of_a_step(void)
{
    struct flux_plan p;
    struct error err = {0};
    assert_true(flux_plan(MODEL, &(struct flux_plan_query){.compute = DTYPE_F32}, &p, &err));
    return 2 * (uint64_t)(p.n_double + p.n_single);
}

static uint64_t planned_bytes_of_rank_0(void)
{
    struct flux_plan p;
    struct error err = {0};
    const struct flux_plan_query query = {.width_px = SIDE,
                                          .height_px = SIDE,
                                          .max_sequence_length = SEQUENCE,
                                          .compute = DTYPE_F32,
                                          .n_devices = DEGREE};
    assert_true(flux_plan(MODEL, &query, &p, &err));
    return (uint64_t)p.exchanged_bytes_per_step;
}

/* The first step runs plainly, the second is captured, later ones are launched; the exchange that
 * gathers the picture never is in a graph. Decoding makes rank 0's working memory grow, so graphs
 * that last begin with the second picture. Rank 0 has a token more of the picture and of the text
 * than the last rank, and sends more. */
static void steps_with_exchanges_become_graphs(void **state)
{
    const struct world *many = *state;
    uint8_t want[PICTURE], got[PICTURE];
    struct world one = open_world(1);
    generate_picture(&one, want);
    close_world(&one);
    struct nccl_counters before = nccl_counters();
    uint64_t graphs = runtime_counters().graph_launches, each = exchanges_of_a_step();
    generate_picture(many, picture);
    struct nccl_counters after = nccl_counters();
    assert_int_equal(after.exchanges - before.exchanges, DEGREE * (STEPS * each + 1));
    assert_int_equal(after.captured - before.captured, DEGREE * (STEPS - 1) * each);
    assert_true(runtime_counters().graph_launches - graphs >= DEGREE * (STEPS - 1));
    for (int i = 0; i < PICTURE; i++) {
        assert_in_range(picture[i] + 1, want[i], want[i] + 2);
    }
    uint64_t sent = after.bytes - before.bytes, planned = planned_bytes_of_rank_0() * STEPS;
    assert_true(sent < DEGREE * planned && sent > (DEGREE - 1) * planned);

    generate_picture(many, got);
    assert_memory_equal(got, picture, PICTURE);
    after = nccl_counters();
    generate_picture(many, got);
    assert_memory_equal(got, picture, PICTURE);
    assert_int_equal(nccl_counters().captured - after.captured, DEGREE * STEPS * each);
    assert_int_equal(vgpu_all_faults(), 0);
}

/* One rank alone has dropped its graphs, as growing memory does: all of them capture anew. */
static void ranks_capture_again_when_one_has_to(void **state)
{
    const struct world *many = *state;
    uint8_t got[PICTURE];
    cuda_replay_forget((struct cuda *)team_backend(many->backend->team, 1));
    uint64_t before = nccl_counters().captured;
    generate_picture(many, got);
    assert_memory_equal(got, picture, PICTURE);
    assert_int_equal(nccl_counters().captured - before,
                     DEGREE * (STEPS - 1) * exchanges_of_a_step());
    assert_int_equal(vgpu_all_faults(), 0);
}

/* --- faults -----------------------------------------------------------------------------------*/

static void a_kernel_that_fails_ends_one_picture(void **state)
{
    const struct world *many = *state;
    uint8_t got[PICTURE];
    runtime_plant_failure(cudaErrorLaunchFailure, KERNELS_BEFORE, false);
    expect_failure(many, "unspecified launch failure");
    assert_false(cuda_is_lost(many->backend));
    generate_picture(many, got);
    assert_memory_equal(got, picture, PICTURE);
}

static void an_exchange_that_fails_ends_the_team(void **state)
{
    (void)state;
    struct world many = open_world(DEGREE);
    uint64_t aborts = nccl_counters().aborts;
    nccl_plant_failure(GROUPS_BEFORE);
    expect_failure(&many, "NCCL: unhandled system error");
    assert_true(cuda_is_lost(many.backend));
    assert_int_equal(nccl_counters().aborts - aborts, DEGREE);
    expect_failure(&many, "another device of this image has stopped");
    close_world(&many);
}

/* In the plain run of a step, and in a graph. */
static void a_lost_device_ends_the_team(void **state)
{
    (void)state;
    for (int is_replayed = 0; is_replayed < 2; is_replayed++) {
        uint8_t rgb[PICTURE];
        struct world many = open_world(DEGREE);
        if (is_replayed)
            generate_picture(&many, rgb);
        runtime_plant_failure(cudaErrorIllegalAddress, KERNELS_BEFORE, true);
        expect_failure(&many, "an illegal memory access was encountered");
        assert_true(cuda_is_lost(many.backend));
        expect_failure(&many, "");
        close_world(&many);
        for (int i = 0; i < DEGREE; i++) {
            (void)cudaSetDevice(i);
            (void)cudaDeviceReset();
        }
        (void)cudaSetDevice(0);
    }
}

static void devices_that_are_not_there_are_refused(void **state)
{
    (void)state;
    struct backend *b = NULL;
    struct error err = {0};
    runtime_options()->n_devices = 4;
    assert_false(cuda_open_team(&b, &(struct cuda_options){.compute = DTYPE_F32, .device_id = 2},
                                DEGREE, &err));
    assert_null(b);
    assert_string_equal(err.field, "device-id");
    assert_non_null(strstr(err.text, "device 4: must be 0 to 3"));
}

static void the_team_is_named_in_the_log(void **state)
{
    const struct world *many = *state;
    assert_memory_equal(many->backend->device, "devices 0 to 2: simulated", 25);
}

static int open_team(void **state)
{
    static struct world team;
    team = open_world(DEGREE);
    *state = &team;
    return 0;
}

/* All that was sent has been received, or a fault is reported. */
static int close_team(void **state)
{
    close_world(*state);
    return vgpu_all_faults();
}

int main(void)
{
    const struct CMUnitTest usable[] = {
        cmocka_unit_test(the_team_is_named_in_the_log),
        cmocka_unit_test(steps_with_exchanges_become_graphs),
        cmocka_unit_test(ranks_capture_again_when_one_has_to),
        cmocka_unit_test(a_kernel_that_fails_ends_one_picture),
    };
    const struct CMUnitTest lost[] = {
        cmocka_unit_test(an_exchange_that_fails_ends_the_team),
        cmocka_unit_test(a_lost_device_ends_the_team),
        cmocka_unit_test(devices_that_are_not_there_are_refused),
    };
    int n_failed = cmocka_run_group_tests(usable, open_team, close_team);
    return n_failed + cmocka_run_group_tests(lost, NULL, NULL);
}
