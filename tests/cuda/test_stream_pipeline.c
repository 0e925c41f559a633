/* The pipeline with streamed weights: the same picture, and as much less device memory as the plan
 * says. The golden cases run it too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cuda.h"
#include "flux/flux.h"
#include "tests/cuda_sim/runtime.h"
#include "tests/cuda_sim/vgpu.h"

#include <cmocka.h> /* last: it defines fail */

#define MODEL "models/tiny-flux-dev"
enum { SIDE = 32, SEQUENCE = 16, PICTURE = SIDE * SIDE * 3, SLACK = 64 << 10 };

struct outcome {
    uint8_t rgb[PICTURE];
    size_t peak_bytes;
    uint64_t host_syncs, graph_launches;
};

static struct outcome run(struct flux_memory memory, bool is_dummy)
{
    struct backend *b = NULL;
    struct flux *f = NULL;
    struct flux_result r = {0};
    struct error err = {0};
    struct outcome o;
    vgpu_options.checks = VGPU_CHECK_MEMORY;
    runtime_reset_peak();
    if (!cuda_open(&b, &(struct cuda_options){.compute = DTYPE_BF16}, &err) ||
        !flux_open_as(&f, b, MODEL, &(struct flux_load){.memory = memory, .is_dummy = is_dummy},
                      &err)) {
        fail_msg("%s", err.text);
    }
    struct flux_spec s = flux_spec_default(f);
    s.prompts = (const char *const[]){"a red fox"};
    s.n_prompts = 1;
    s.width_px = s.height_px = SIDE;
    s.steps = 3;
    s.max_sequence_length = SEQUENCE;
    s.seeds = (const uint64_t[]){5};
    s.n_seeds = 1;
    struct runtime_counters before = runtime_counters();
    if (!flux_generate(f, &s, NULL, &r, &err)) {
        fail_msg("%s", err.text);
    }
    memcpy(o.rgb, r.rgb, sizeof o.rgb);
    o.peak_bytes = runtime_counters().peak_bytes;
    o.host_syncs = runtime_counters().host_syncs - before.host_syncs;
    o.graph_launches = runtime_counters().graph_launches - before.graph_launches;
    flux_result_free(&r);
    flux_close(f);
    backend_close(b);
    assert_int_equal(vgpu_all_faults(), 0);
    return o;
}

/* Less than nothing where one table is most of a tiny encoder. */
static int64_t saved_by_plan(struct flux_memory memory)
{
    struct flux_plan p;
    struct error err = {0};
    struct flux_plan_query q = {.width_px = SIDE,
                                .height_px = SIDE,
                                .max_sequence_length = SEQUENCE,
                                .compute = DTYPE_BF16,
                                .load.memory = memory};
    assert_true(flux_plan(MODEL, &q, &p, &err));
    assert_true(p.streamed_bytes > 0 && p.stream_buffer_bytes > 0);
    return (int64_t)p.streamed_bytes - (int64_t)p.stream_buffer_bytes;
}

static void streaming_saves_what_was_planned_and_changes_nothing(void **state)
{
    (void)state;
    static const struct flux_memory WISHES[] = {
        {.streams_text_encoders = true},
        {.streams_text_encoders = true, .is_pinned = true},
        {.streams_transformer = true, .is_pinned = true},
        {.streams_text_encoders = true, .streams_transformer = true, .is_pinned = true},
    };
    struct outcome whole = run((struct flux_memory){0}, false);
    for (size_t i = 0; i < sizeof WISHES / sizeof WISHES[0]; i++) {
        struct outcome o = run(WISHES[i], false);
        int64_t saved = (int64_t)whole.peak_bytes - (int64_t)o.peak_bytes;
        int64_t planned = saved_by_plan(WISHES[i]);
        assert_memory_equal(o.rgb, whole.rgb, PICTURE);
        assert_int_equal(o.host_syncs, whole.host_syncs); /* nobody waits for a copy */
        if (saved + SLACK < planned || saved > planned + SLACK) {
            fail_msg("%lld bytes less on the device, planned %lld", (long long)saved,
                     (long long)planned);
        }
        assert_true(saved > 0 || !WISHES[i].streams_transformer);
        /* Steps are graphs unless they are streamed. */
        assert_true(WISHES[i].streams_transformer ? o.graph_launches < whole.graph_launches
                                                  : o.graph_launches == whole.graph_launches);
    }
}

/* Those in host memory are made there, the others on the device. */
static void made_up_weights_do_not_depend_on_where_they_are(void **state)
{
    (void)state;
    static const struct flux_memory ALL = {.streams_text_encoders = true,
                                           .streams_transformer = true};
    struct outcome whole = run((struct flux_memory){0}, true), streamed = run(ALL, true);
    assert_memory_equal(whole.rgb, streamed.rgb, PICTURE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_up_weights_do_not_depend_on_where_they_are),
        cmocka_unit_test(streaming_saves_what_was_planned_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
