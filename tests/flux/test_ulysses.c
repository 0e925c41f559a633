/* One picture by several ranks of the CPU back end: the same as by one, at sizes whose tokens don't
 * divide, and clear answers where it can't be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "flux/flux.h"
#include "flux/ulysses.h"
#include "tensor/team.h"

#include <cmocka.h> /* last: it defines fail */

#define FOUR_HEADS "models/flux-tiny"
#define THREE_HEADS "models/tiny-flux-dev"

/* --- worlds -----------------------------------------------------------------------------------*/

struct world {
    struct backend *backend; /* of rank 0, or alone */
    struct flux *flux;
};

static struct backend *open_ranks(int n, enum dtype compute)
{
    struct cpu_options options = {.compute = compute, .threads = n};
    struct backend *b;
    struct error err = {0};
    if (!cpu_open_team(&b, &options, n, &err)) {
        fail_msg("%s", err.text);
    }
    return b;
}

static struct world open_world(const char *model, int n, enum dtype compute)
{
    struct world w = {.backend = open_ranks(n, compute)};
    struct error err = {0};
    if (!flux_open(&w.flux, w.backend, model, &err)) {
        fail_msg("%s", err.text);
    }
    return w;
}

static void close_world(struct world *w)
{
    flux_close(w->flux);
    backend_close(w->backend);
}

static struct flux_spec spec_of(const struct world *w, int columns, int rows, int words)
{
    static const uint64_t SEED[] = {5};
    static const char *const PROMPT[] = {"a red robot"};
    struct flux_spec s = flux_spec_default(w->flux);
    s.prompts = PROMPT;
    s.n_prompts = 1;
    s.width_px = columns * flux_info(w->flux)->size_multiple_px;
    s.height_px = rows * flux_info(w->flux)->size_multiple_px;
    s.steps = 2;
    s.max_sequence_length = words;
    s.seeds = SEED;
    s.n_seeds = 1;
    return s;
}

static struct flux_result generate(const struct world *w, const struct flux_spec *spec)
{
    struct flux_result r;
    struct error err = {0};
    if (!flux_generate(w->flux, spec, NULL, &r, &err)) {
        fail_msg("%s", err.text);
    }
    return r;
}

/* --- pictures ---------------------------------------------------------------------------------*/

static void expect_close(const struct flux_result *a, const struct flux_result *b, int most,
                         double most_mean)
{
    int64_t n = (int64_t)a->n_images * a->width_px * a->height_px * 3, sum = 0, largest = 0;
    assert_int_equal(a->n_images, b->n_images);
    assert_int_equal(a->width_px, b->width_px);
    assert_int_equal(a->height_px, b->height_px);
    for (int64_t i = 0; i < n; i++) {
        int64_t diff = labs((long)a->rgb[i] - (long)b->rgb[i]);
        largest = diff > largest ? diff : largest;
        sum += diff;
    }
    double mean = (double)sum / (double)n;
    if (largest > most || mean > most_mean) {
        fail_msg("pixels differ by up to %lld, by %.3f on average", (long long)largest, mean);
    }
}

/* Grids and texts of which no degree has an even share. */
static const struct {
    const char *model;
    int degree, columns, rows, words, batch;
} CASES[] = {
    {FOUR_HEADS, 2, 3, 3, 33, 1}, {FOUR_HEADS, 4, 2, 2, 4, 1},   {FOUR_HEADS, 4, 3, 2, 21, 1},
    {FOUR_HEADS, 4, 1, 5, 7, 2},  {THREE_HEADS, 3, 5, 7, 32, 1}, {THREE_HEADS, 3, 4, 2, 5, 2},
};

#ifdef __SANITIZE_THREAD__ /* which takes 20 times as long; the threads meet in each case alike */
enum { EVERY = 3 };
#else
enum { EVERY = 1 };
#endif

/* Within the bounds that the reference pictures of each type have. */
static void compare(size_t i, enum dtype compute, int most, double most_mean)
{
    struct world one = open_world(CASES[i].model, 1, compute);
    struct world many = open_world(CASES[i].model, CASES[i].degree, compute);
    struct flux_spec s = spec_of(&one, CASES[i].columns, CASES[i].rows, CASES[i].words);
    s.images_per_prompt = CASES[i].batch;
    struct flux_result want = generate(&one, &s), got = generate(&many, &s);
    expect_close(&got, &want, most, most_mean);
    assert_int_equal(got.scratch_bytes, many.backend->scratch.peak);
    assert_int_equal(got.n_step_times, want.n_step_times);
    if (i == 0) { /* and always the same */
        flux_result_free(&want);
        want = generate(&many, &s);
        expect_close(&got, &want, 0, 0);
    }
    flux_result_free(&want);
    flux_result_free(&got);
    close_world(&one);
    close_world(&many);
}

static void ranks_make_the_same_picture_in_f32(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i += EVERY) {
        compare(i, DTYPE_F32, 1, 0.005);
    }
}

static void ranks_make_the_same_picture_in_bf16(void **state)
{
    (void)state;
    for (size_t i = 2; i < sizeof CASES / sizeof CASES[0]; i += 2 * EVERY) {
        compare(i, DTYPE_BF16, 21, 2.1);
    }
}

static void guidance_input_picture_and_groups_are_shared_too(void **state)
{
    (void)state;
    struct world one = open_world(FOUR_HEADS, 1, DTYPE_F32);
    struct world many = open_world(FOUR_HEADS, 2, DTYPE_F32);
    struct flux_spec s = spec_of(&one, 3, 1, 20);
    const char *const not_this[] = {"a blue kitten"};
    uint8_t *init = calloc((size_t)s.width_px * (size_t)s.height_px, 3);
    for (int i = 0; i < s.width_px * s.height_px * 3; i++) {
        init[i] = (uint8_t)(i / 7);
    }
    s.negative_prompts = not_this;
    s.true_cfg_scale = 3;
    s.init_rgb = init;
    s.strength = 0.7;
    s.steps = 4;
    s.images_per_prompt = 3;
    s.max_batch = 2; /* two groups: the other ranks wait while rank 0 decodes the first */
    struct flux_result want = generate(&one, &s), got = generate(&many, &s);
    expect_close(&got, &want, 1, 0.005);
    assert_int_equal(got.n_step_times, want.n_step_times);
    flux_result_free(&want);
    flux_result_free(&got);
    free(init);
    close_world(&one);
    close_world(&many);
}

/* --- what can't be ----------------------------------------------------------------------------*/

static void expect_refusal(const struct world *w, const struct flux_spec *s, const char *field,
                           const char *text)
{
    struct error err = {0};
    struct flux_result r;
    assert_false(flux_generate(w->flux, s, NULL, &r, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, field);
    if (strstr(err.text, text) == NULL) {
        fail_msg("'%s' does not name '%s'", err.text, text);
    }
}

static void fewer_tokens_than_ranks_are_refused(void **state)
{
    (void)state;
    struct world w = open_world(FOUR_HEADS, 4, DTYPE_F32);
    struct flux_spec s = spec_of(&w, 3, 1, 32);
    expect_refusal(&w, &s, "size", "size 192x64 is 3 tokens of 64x64 pixels: must be at least 4");
    s = spec_of(&w, 4, 4, 3);
    expect_refusal(&w, &s, "max_sequence_length", "must be from 4 to 512");
    struct flux_dump *dump = flux_dump_new();
    struct flux_hooks hooks = {.dump = dump};
    struct flux_result r;
    struct error err = {0};
    s = spec_of(&w, 4, 4, 8);
    assert_false(flux_generate(w.flux, &s, &hooks, &r, &err));
    assert_string_equal(err.field, "dump");
    flux_dump_free(dump);
    close_world(&w);
}

static void heads_that_do_not_divide_are_refused(void **state)
{
    (void)state;
    struct backend *b = open_ranks(2, DTYPE_F32);
    struct flux *f = NULL;
    struct error err = {0};
    assert_false(flux_open(&f, b, THREE_HEADS, &err));
    assert_null(f);
    assert_string_equal(err.field, "ulysses_degree");
    assert_string_equal(err.text, "ulysses_degree 2: the model has 3 heads of attention, which can "
                                  "be split by 1, 3");
    backend_close(b);
}

/* --- stopping ---------------------------------------------------------------------------------*/

struct stop {
    enum flux_stage stage;
    int step;
    struct team *team; /* to break, instead of saying no */
};

static bool stop_there(void *ctx, enum flux_stage stage, int row, int step)
{
    const struct stop *s = ctx;
    (void)row;
    bool is_there = stage == s->stage && step == s->step;
    if (is_there && s->team != NULL) {
        team_break(s->team);
    }
    return !is_there || s->team != NULL;
}

static void all_ranks_stop_when_a_picture_is_cancelled(void **state)
{
    (void)state;
    static const struct stop STOPS[] = {
        {FLUX_STAGE_TEXT, 0, NULL}, {FLUX_STAGE_STEP, 1, NULL}, {FLUX_STAGE_VAE, 0, NULL}};
    struct world w = open_world(FOUR_HEADS, 2, DTYPE_F32);
    struct flux_spec s = spec_of(&w, 3, 3, 8);
    for (size_t i = 0; i < sizeof STOPS / sizeof STOPS[0]; i++) {
        struct stop stop = STOPS[i];
        struct flux_hooks hooks = {.ctx = &stop, .may_continue = stop_there};
        struct flux_result r;
        struct error err = {0};
        assert_false(flux_generate(w.flux, &s, &hooks, &r, &err));
        assert_int_equal(err.code, ERR_CANCELED);
        assert_null(r.rgb);
        r = generate(&w, &s); /* and can make the next one */
        flux_result_free(&r);
    }
    close_world(&w);
}

/* A fault that leaves the back end usable. */
static void an_error_of_one_rank_is_the_pictures(void **state)
{
    (void)state;
    struct world w = open_world(FOUR_HEADS, 2, DTYPE_F32);
    struct backend *other = team_backend(w.backend->team, 1);
    struct flux_spec s = spec_of(&w, 3, 3, 8);
    struct flux_result r;
    struct error err = {0};
    other->fault = (struct error){.code = ERR_DEVICE, .text = "rank 1 has a fault"};
    assert_false(flux_generate(w.flux, &s, NULL, &r, &err));
    assert_int_equal(err.code, ERR_DEVICE);
    assert_string_equal(err.text, "text encoding: rank 1 has a fault");
    r = generate(&w, &s);
    flux_result_free(&r);
    close_world(&w);
}

static void a_broken_team_makes_no_picture_and_does_not_hang(void **state)
{
    (void)state;
    struct world w = open_world(FOUR_HEADS, 4, DTYPE_F32);
    struct flux_spec s = spec_of(&w, 3, 3, 8);
    struct stop stop = {FLUX_STAGE_STEP, 1, w.backend->team};
    struct flux_hooks hooks = {.ctx = &stop, .may_continue = stop_there};
    for (int i = 0; i < 2; i++) {
        struct flux_result r;
        struct error err = {0};
        assert_false(flux_generate(w.flux, &s, &hooks, &r, &err));
        assert_int_equal(err.code, ERR_DEVICE);
    }
    close_world(&w);
}

/* --- shares -----------------------------------------------------------------------------------*/

static void spans_cover_everything_once(void **state)
{
    (void)state;
    for (int n = 1; n <= SHARE_MAX; n++) {
        for (int64_t all = n; all < 40; all++) {
            int64_t next = 0;
            for (int rank = 0; rank < n; rank++) {
                struct span s = span_of((struct share){rank, n}, all);
                assert_int_equal(s.start, next);
                assert_true(s.count >= all / n && s.count <= all / n + 1);
                next += s.count;
            }
            assert_int_equal(next, all);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_cover_everything_once),
        cmocka_unit_test(ranks_make_the_same_picture_in_f32),
        cmocka_unit_test(ranks_make_the_same_picture_in_bf16),
        cmocka_unit_test(guidance_input_picture_and_groups_are_shared_too),
        cmocka_unit_test(fewer_tokens_than_ranks_are_refused),
        cmocka_unit_test(heads_that_do_not_divide_are_refused),
        cmocka_unit_test(all_ranks_stop_when_a_picture_is_cancelled),
        cmocka_unit_test(an_error_of_one_rank_is_the_pictures),
        cmocka_unit_test(a_broken_team_makes_no_picture_and_does_not_hang),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
