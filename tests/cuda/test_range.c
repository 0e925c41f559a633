/* What tools see: NVTX ranges among the launches that they name, and the profiler's switch around
 * the profiled steps. The program is its own NVTX tool. */
#include <stdint.h>

/* The header looks for it, and wants its declaration from the tool. */
#define NVTX_STATIC_INJECTION_IMPL
extern int (*InitializeInjectionNvtx2_fnptr)(const void *(*get)(uint32_t));
#include <nvtx3/nvToolsExt.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flux/step_profile.h"
#include "tensor/ops.h"
#include "tensor/profile.h"
#include "tests/cuda/world.h"
#include "tests/cuda_sim/runtime.h"

#include <cmocka.h>

enum { MAX_TEXT = 4096 };

/* --- the tool ---------------------------------------------------------------------------------*/

static char heard[MAX_TEXT]; /* "(name launches launches)", nested */
static int depth;
static bool is_deaf;

static void note(const char *format, ...)
{
    static uint64_t launches;
    size_t used = strlen(heard);
    uint64_t now = runtime_counters().launches;
    va_list list;
    va_start(list, format);
    if (now > launches)
        used += (size_t)snprintf(heard + used, MAX_TEXT - used, "%d ", (int)(now - launches));
    launches = now;
    vsnprintf(heard + used, MAX_TEXT - used, format, list);
    va_end(list);
}

static int NVTX_API push(const char *name)
{
    note("(%s ", name);
    depth++;
    return is_deaf ? NVTX_NO_PUSH_POP_TRACKING : depth - 1;
}

static int NVTX_API pop(void)
{
    note(") ");
    return --depth;
}

static int NVTX_API attach(NvtxGetExportTableFunc_t get)
{
    const NvtxExportTableCallbacks *callbacks = get(NVTX_ETID_CALLBACKS);
    NvtxFunctionTable table = NULL;
    unsigned n = 0;
    if (!callbacks || !callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &n) ||
        n <= NVTX_CBID_CORE_RangePop)
        return 0;
    *table[NVTX_CBID_CORE_RangePushA] = (NvtxFunctionPointer)push;
    *table[NVTX_CBID_CORE_RangePop] = (NvtxFunctionPointer)pop;
    return 1;
}

NvtxInitializeInjectionNvtxFunc_t InitializeInjectionNvtx2_fnptr = attach;

/* --- a back end to watch ----------------------------------------------------------------------*/

static int open_world(void **state)
{
    struct error err = {0};
    *state = world_open(&err);
    if (!*state)
        fail_msg("%s", err.text);
    note("");
    heard[0] = '\0';
    return 0;
}

static int close_world(void **state)
{
    world_close(*state);
    is_deaf = false;
    return 0;
}

/* As a step does: the host's part first, blocks in the middle, an end with a factor of its own. */
static void run_step(struct world *w, int step)
{
    float host[N] = {0};
    backend_range_begin(w->b, "step", step);
    backend_upload(w->b, w->x, host);
    op_copy(w->b, w->sum, w->x);
    for (int block = 0; block < 2; block++) {
        backend_range_begin(w->b, "double", block);
        for (int i = 0; i < ADDITIONS; i++)
            op_add(w->b, w->sum, w->sum, w->x);
        backend_range_end(w->b);
    }
    op_axpy(w->b, w->sum, (float)step, w->x);
    assert_true(backend_sync(w->b, NULL));
    backend_range_end(w->b);
    assert_int_equal(vgpu_all_faults(), 0);
}

/* --- claims -----------------------------------------------------------------------------------*/

static void blocks_that_run_plainly_have_their_launches(void **state)
{
    run_step(*state, 3);
    assert_string_equal(heard, "(step 3 1 (double 0 20 ) (double 1 20 ) 1 ) ");
}

static void a_replayed_step_is_one_range(void **state)
{
    for (int i = 0; i < 3; i++) {
        heard[0] = '\0';
        run_step(*state, i);
    }
    /* launches of the graph's kernels are the graph's */
    assert_string_equal(heard, "(step 2 (graph of operations 45 ) 1 ) ");
    assert_int_equal(depth, 0);
}

static void ranges_stay_balanced_when_a_graph_begins_within_one(void **state)
{
    struct world *w = *state;
    float host[N] = {0};
    backend_upload(w->b, w->x, host);
    for (int k = 0; k < 4; k++) {
        heard[0] = '\0';
        backend_range_begin(w->b, "outer", -1); /* nothing waits: heard at once */
        for (int i = 0; i < ADDITIONS; i++)
            op_add(w->b, w->sum, w->x, w->x);
        backend_range_end(w->b);
        backend_range_begin(w->b, "next", -1);
        backend_upload(w->b, w->x, host);
        backend_range_end(w->b);
        assert_int_equal(depth, 0);
    }
    assert_string_equal(heard, "(outer (graph of operations 22 ) ) (next ) ");
}

static void without_a_tool_nothing_is_noted(void **state)
{
    struct world *w = *state;
    struct backend *b = NULL;
    is_deaf = true;
    assert_true(cuda_open(&b, &(struct cuda_options){.compute = DTYPE_F32}, NULL));
    assert_null(b->ops->range_begin);
    assert_null(b->ops->range_end);
    assert_non_null(w->b->ops->range_begin);
    backend_close(b);
}

static void a_profile_names_blocks_and_switches_the_tool_on_for_its_steps(void **state)
{
    struct world *w = *state;
    struct step_profile p;
    struct error err = {0};
    int n_rows = 0, n_recorded = 0, first = -1, last = -1;
    assert_true(step_profile_parse(&p, "--profile-steps", "2:3", &err));
    runtime_log_begin();
    for (int i = 0; i < 6; i++) {
        step_profile_before(&p, w->b, i);
        heard[0] = '\0';
        run_step(w, i);
        if (i == 2 || i == 3)
            assert_non_null(strstr(heard, "1 (double 0 20 ) (double 1 20 ) 1 ) "));
    }
    step_profile_stop(&p);
    const struct runtime_event *events;
    int n = (int)runtime_log_end(&events), kernels = 0;
    for (int i = 0; i < n; i++) {
        kernels += events[i].kind == RUNTIME_KERNEL;
        if (events[i].is_recorded && events[i].kind == RUNTIME_KERNEL) {
            first = first < 0 ? kernels - 1 : first;
            last = kernels - 1;
            n_recorded++;
        }
    }
    assert_int_equal(kernels, 6 * 42); /* also those in graphs */
    assert_int_equal(first, 2 * 42);
    assert_int_equal(last, 4 * 42 - 1);
    assert_int_equal(n_recorded, 2 * 42);
    const struct profile_row *rows = profile_rows(p.profile, &n_rows);
    assert_int_equal(n_rows, 3);
    assert_string_equal(rows[1].range, "double");
    assert_string_equal(rows[1].op, "add");
    assert_int_equal(rows[1].calls, 2 * 2 * ADDITIONS);
    assert_true(rows[1].seconds > 0);
    step_profile_free(&p);
}

static void steps_are_replayed_again_after_a_profile(void **state)
{
    struct world *w = *state;
    struct step_profile p;
    assert_true(step_profile_parse(&p, "--profile-steps", "3", NULL));
    uint64_t before = 0;
    for (int i = 0; i < 6; i++) {
        step_profile_before(&p, w->b, i);
        before = runtime_counters().graph_launches;
        run_step(w, i);
        assert_int_equal(runtime_counters().graph_launches - before, i > 0 && i != 3 ? 1 : 0);
    }
    step_profile_stop(&p);
    step_profile_free(&p);
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        CLAIM(blocks_that_run_plainly_have_their_launches),
        CLAIM(a_replayed_step_is_one_range),
        CLAIM(ranges_stay_balanced_when_a_graph_begins_within_one),
        CLAIM(without_a_tool_nothing_is_noted),
        CLAIM(a_profile_names_blocks_and_switches_the_tool_on_for_its_steps),
        CLAIM(steps_are_replayed_again_after_a_profile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
