#include "client/determinism.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/data_set.h"

#define EXIT_DIFFERENT 3
#define DEFAULT_PROMPTS "4" /* made-up ones */
#define DEFAULT_SEED 1
#define MAX_N 64

struct determinism_options {
    int64_t n_repeats, concurrency, n, seed;
    bool expects_seeds;
    double pause_s;
};

#define AT(field) offsetof(struct determinism_options, field)

static const struct option OPTIONS[] = {
    {"--image-seed", NULL, "N", ARG_INT, AT(seed), 0, 9e15, .group = "Options",
     .help = "seed sent in each request; default 1"},
    {"--repeats", NULL, "N", ARG_INT, AT(n_repeats), 1, 100,
     .help = "how often to ask for the same again, one request at a time; default 1"},
    {"--at-once", NULL, "N", ARG_INT, AT(concurrency), 1, 1000,
     .help = "requests in flight when they are made under concurrency; default 4, 1 leaves it out"},
    {"--images", NULL, "N", ARG_INT, AT(n), 1, MAX_N,
     .help = "pictures a request (n) when there are several; default 2, 1 leaves it out"},
    {"--expect-seeds", NULL, NULL, ARG_FLAG, AT(expects_seeds),
     .help = "image i of n must be the one that seed + i gives alone, as fluxserve has it"},
    {"--pause", NULL, "S", ARG_DOUBLE, AT(pause_s), 0, 1e6, .help = RUNS_PAUSE_HELP},
};
#define N_OPTIONS (sizeof OPTIONS / sizeof OPTIONS[0])

/* ---- the plan ------------------------------------------------------------------------------- */

static size_t add_plan(struct determinism *d, struct determinism_plan plan)
{
    d->plans = xrealloc(d->plans, (d->n_plans + 1) * sizeof *d->plans);
    d->plans[d->n_plans] = plan;
    return d->n_plans++;
}

static void add_check(struct determinism *d, struct determinism_check check)
{
    d->checks = xrealloc(d->checks, (d->n_checks + 1) * sizeof *d->checks);
    d->checks[d->n_checks++] = check;
}

static void plan_seeds(struct determinism *d, const struct determinism_options *o, size_t several)
{
    for (int i = 1; o->expects_seeds && i < o->n; i++) {
        size_t at = add_plan(
            d, (struct determinism_plan){xasprintf("alone, seed + %d", i), 1, 1, 1, o->seed + i});
        add_check(d,
                  (struct determinism_check){
                      .name = xasprintf("image %d of %" PRId64 ", against seed + %d", i, o->n, i),
                      .reference = at,
                      .other = several,
                      .other_index = i});
    }
}

static void make_plan(struct determinism *d, const struct determinism_options *o)
{
    add_plan(d, (struct determinism_plan){xstrdup("alone"), 1, 1, 1, o->seed});
    for (int64_t i = 0; i < o->n_repeats; i++) {
        size_t at =
            add_plan(d, (struct determinism_plan){xstrdup("alone, again"), 1, 1, 1, o->seed});
        add_check(d, (struct determinism_check){.name = xstrdup("alone, again"),
                                                .other = at,
                                                .reference_index = DETERMINISM_ANY,
                                                .other_index = DETERMINISM_ANY});
    }
    if (o->concurrency > 1) {
        char *name = xasprintf("%" PRId64 " at once", o->concurrency);
        size_t at = add_plan(
            d, (struct determinism_plan){name, o->concurrency, o->concurrency, 1, o->seed});
        add_check(d, (struct determinism_check){.name = xstrdup(name),
                                                .other = at,
                                                .reference_index = DETERMINISM_ANY,
                                                .other_index = DETERMINISM_ANY});
    }
    if (o->n < 2)
        return;
    char *name = xasprintf("n = %" PRId64, o->n);
    size_t first = add_plan(d, (struct determinism_plan){name, 1, 1, o->n, o->seed});
    size_t again =
        add_plan(d, (struct determinism_plan){xasprintf("%s, again", name), 1, 1, o->n, o->seed});
    add_check(d,
              (struct determinism_check){.name = xasprintf("first of %s", name), .other = first});
    add_check(d, (struct determinism_check){.name = xasprintf("%s, again", name),
                                            .reference = first,
                                            .other = again,
                                            .reference_index = DETERMINISM_ANY,
                                            .other_index = DETERMINISM_ANY});
    plan_seeds(d, o, first);
}

/* ---- before the first run ------------------------------------------------------------------- */

static void set_int(struct runs_args *args, const char *name, const char *field, int64_t value)
{
    char *text = xasprintf("%s%" PRId64, field, value);
    runs_args_set(args, name, text);
    free(text);
}

static void make_args(const struct determinism *d, const struct determinism_plan *plan,
                      struct runs_args *args)
{
    *args = (struct runs_args){0};
    runs_args_append(args, &d->runs.base);
    runs_args_set(args, "--export-level", "raw");
    set_int(args, "--concurrency", "", plan->concurrency);
    set_int(args, "--request-count", "", d->n_prompts * plan->n_per_prompt);
    set_int(args, "--extra-inputs", "seed:", plan->seed);
    set_int(args, "--extra-inputs", "n:", plan->n);
}

static bool refuse_options(const struct determinism *d, struct error *err)
{
    static const char *const REFUSED[] = {"--concurrency",       "--request-rate",
                                          "--request-count",     "--export-level",
                                          "--fixed-schedule",    "--benchmark-duration",
                                          "--user-centric-rate", "--profile-export-prefix"};
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        if (runs_args_has(&d->runs.base, REFUSED[i]))
            return fail_field(err, REFUSED[i], "%s is chosen by determinism itself", REFUSED[i]);
    }
    return true;
}

/* Prompts are told apart by their conversation_id, which a row of a file may choose. */
static bool check_names(const struct prompts *p, struct error *err)
{
    size_t a, b;
    bool found;
    if (!prompts_twins(p, false, &found, &a, &b, err))
        return false;
    if (!found)
        return true;
    struct prompts_reader reader = prompts_reader(p);
    fail(err, ERR_INVALID,
         "--input-file: two rows have the session_id '%s', by which pictures are told apart",
         prompts_at(&reader, a).session_id);
    prompts_reader_free(&reader);
    return false;
}

static bool count_prompts(struct determinism *d, const struct options *example, struct error *err)
{
    struct data_set data = {0};
    bool ok = data_set_open(&data, example, err) && check_names(&data.prompts, err);
    d->n_prompts = (int64_t)data.prompts.n_entries;
    data_set_close(&data);
    return ok;
}

/* What the command sends itself. */
static bool refuse_fields(const struct determinism *d, struct error *err)
{
    static const char *const FIELDS[][2] = {{"seed", "--image-seed"}, {"n", "--images"}};
    struct options given = {0};
    bool ok = runs_check(&d->runs.base, &given, err);
    for (size_t i = 0; ok && i < sizeof FIELDS / sizeof FIELDS[0]; i++) {
        if (fields_get(&given.extra, FIELDS[i][0]))
            ok = fail_field(err, "--extra-inputs", "--extra-inputs %s: %s sets it", FIELDS[i][0],
                            FIELDS[i][1]);
    }
    options_free(&given);
    return ok;
}

static bool prepare(struct determinism *d, struct error *err)
{
    struct options example = {0};
    struct runs_args args;
    bool is_made_up = !runs_args_has(&d->runs.base, "--input-file");
    if (!refuse_options(d, err) || !refuse_fields(d, err))
        return false;
    if (is_made_up && !runs_args_has(&d->runs.base, "--num-prompts"))
        runs_args_set(&d->runs.base, "--num-prompts", DEFAULT_PROMPTS);
    d->n_prompts = 1; /* until they are counted */
    make_args(d, &d->plans[0], &args);
    bool ok = runs_check(&args, &example, err) && runs_open(&d->runs, &example, err);
    options_free(&example);
    runs_args_free(&args);
    if (!ok)
        return false;
    make_args(d, &d->plans[0], &args); /* with the seed, so that the rows have their names */
    example = (struct options){0};
    ok = runs_check(&args, &example, err) && count_prompts(d, &example, err);
    options_free(&example);
    runs_args_free(&args);
    return ok;
}

/* ---- runs ----------------------------------------------------------------------------------- */

static bool make_run(struct determinism *d, struct error *err)
{
    char name[32];
    struct runs_args args;
    struct runs_result *result = &d->results[d->n_results];
    snprintf(name, sizeof name, "run_%04zu", d->n_results + 1);
    fprintf(stderr, "fluxperf: determinism: %s\n", d->plans[d->n_results].name);
    make_args(d, &d->plans[d->n_results], &args);
    bool ok = runs_make(&d->runs, name, &args, result) && runs_need_success(&d->runs, result);
    runs_args_free(&args);
    if (!ok) {
        runs_result_free(result);
        return false;
    }
    char *dir = xasprintf("%s/%s", d->runs.dir, name);
    ok = determinism_run_read(&d->pictures[d->n_results++], dir, err);
    free(dir);
    return ok;
}

/* A distance that can't be told is no failure: the hashes say already that they differ. */
static struct determinism_distance distance_of(const struct determinism *d,
                                               const struct determinism_check *c,
                                               const struct determinism_pair *pair)
{
    struct image a = {0}, b = {0};
    struct determinism_distance distance = {0};
    if (determinism_run_decode(&d->pictures[c->reference], pair->reference, &a, NULL) &&
        determinism_run_decode(&d->pictures[c->other], pair->other, &b, NULL))
        distance = determinism_measure(&a, &b);
    image_free(&a);
    image_free(&b);
    return distance;
}

static void compare(const struct determinism *d, struct determinism_check *c,
                    const struct determinism_picture *other)
{
    size_t index =
        c->reference_index == DETERMINISM_ANY ? other->index : (size_t)c->reference_index;
    const struct determinism_picture *reference =
        determinism_run_find(&d->pictures[c->reference], other->prompt, index);
    if (!reference)
        return;
    struct determinism_pair pair = {.reference = reference, .other = other};
    bool is_equal = strcmp(reference->sha256, other->sha256) == 0;
    c->n_pairs++;
    c->n_equal += is_equal ? 1 : 0;
    if (is_equal)
        return;
    size_t n_differing = c->n_pairs - c->n_equal;
    pair.distance = distance_of(d, c, &pair);
    c->pairs = xrealloc(c->pairs, n_differing * sizeof *c->pairs);
    c->pairs[n_differing - 1] = pair;
}

static void make_check(const struct determinism *d, struct determinism_check *c)
{
    const struct determinism_plan *plan = &d->plans[c->other];
    const struct determinism_run *run = &d->pictures[c->other];
    int64_t n_per_request = c->other_index == DETERMINISM_ANY ? plan->n : 1;
    size_t n_wanted = (size_t)(d->n_prompts * plan->n_per_prompt * n_per_request);
    for (size_t i = 0; i < run->n_pictures; i++) {
        if (c->other_index == DETERMINISM_ANY || run->pictures[i].index == (size_t)c->other_index)
            compare(d, c, &run->pictures[i]);
    }
    c->n_missing = n_wanted > c->n_pairs ? n_wanted - c->n_pairs : 0;
    c->is_made = true;
}

static void make_checks(struct determinism *d)
{
    for (size_t i = 0; i < d->n_checks; i++) {
        struct determinism_check *c = &d->checks[i];
        if (!c->is_made && c->reference < d->n_results && c->other < d->n_results)
            make_check(d, c);
    }
}

static int conclude(const struct determinism *d)
{
    bool differ = false, is_missing = false;
    for (size_t i = 0; i < d->n_checks; i++) {
        differ = differ || d->checks[i].n_equal < d->checks[i].n_pairs;
        is_missing = is_missing || d->checks[i].n_missing > 0;
    }
    int code = runs_conclude(&d->runs, d->n_results, "runs");
    if (is_missing)
        fputs("fluxperf: determinism: pictures are missing: requests failed, or the answers had "
              "fewer than n\n",
              stderr);
    if (d->runs.reason[0])
        return code;
    return differ ? EXIT_DIFFERENT : is_missing ? 1 : code;
}

static int run(struct determinism *d)
{
    struct error err = {0};
    struct buf out = {0};
    bool goes_on = true, ok = true;
    d->results = xcalloc(d->n_plans, sizeof *d->results);
    d->pictures = xcalloc(d->n_plans, sizeof *d->pictures);
    while (ok && goes_on && d->n_results < d->n_plans) {
        goes_on = make_run(d, &err);
        make_checks(d);
        ok = err.code == ERR_NONE && determinism_write_json(d, &err);
    }
    determinism_print(&out, d);
    fputs(out.data, stdout);
    buf_free(&out);
    int code = conclude(d);
    return ok ? code : runs_break(&err);
}

static void free_all(struct determinism *d)
{
    for (size_t i = 0; i < d->n_results; i++) {
        runs_result_free(&d->results[i]);
        determinism_run_free(&d->pictures[i]);
    }
    for (size_t i = 0; i < d->n_checks; i++) {
        free(d->checks[i].name);
        free(d->checks[i].pairs);
    }
    for (size_t i = 0; i < d->n_plans; i++)
        free(d->plans[i].name);
    free(d->results);
    free(d->pictures);
    free(d->checks);
    free(d->plans);
    runs_close(&d->runs);
}

int determinism_main(int argc, char **argv, int first)
{
    struct determinism d = {0};
    struct determinism_options o = {.n_repeats = 1, .concurrency = 4, .n = 2, .seed = DEFAULT_SEED};
    struct error err = {0};
    bool ok =
        runs_read(&d.runs, "determinism", OPTIONS, N_OPTIONS, argc, argv, first, &o, NULL, &err);
    make_plan(&d, &o);
    d.runs.pause_s = o.pause_s;
    int code = ok && prepare(&d, &err) ? run(&d) : runs_fail("determinism", &err);
    free_all(&d);
    return code;
}

void determinism_help(void)
{
    args_help("fluxperf determinism [option...] [option of profile...]",
              "Ask for the same pictures alone, again, under concurrency and as several of one "
              "request, and tell whether they are equal byte by byte, else how far apart. Exit "
              "codes: 0 equal, 3 not equal, 1 a request failed or the command ended "
              "early." RUNS_SEE_PROFILE,
              OPTIONS, N_OPTIONS);
}
