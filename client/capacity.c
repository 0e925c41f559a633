#include "client/capacity.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/compare_files.h"

#define EXIT_FAILS 3
#define EXIT_UNCERTAIN 4

#define MAX_CONCURRENCY 1024 /* without --max */
#define MAX_RATE_HZ 4096
#define LEAST_RATE_HZ (1.0 / 1024) /* without --min */
#define ROUNDS 8                   /* requests of a point for each one in flight */
#define RATE_SECONDS 10            /* of arrivals at a point */

enum search_over { OVER_CONCURRENCY, OVER_RATE };

struct capacity_options {
    struct arg_list slos;
    int over; /* enum search_over */
    double min, max, resolution_percent, pause_s;
    int64_t max_runs;
};

#define AT(field) offsetof(struct capacity_options, field)

static const struct option OPTIONS[] = {
    {"--slo", NULL, "TAG_pRANK:LIMIT", ARG_LIST, AT(slos), .group = "Options",
     .help = "objective, like request_latency_p95:2000 (ms); required"},
    {"--search", NULL, "LOAD", ARG_CHOICE, AT(over), .choices = "concurrency|request-rate",
     .help = "the option to raise: concurrency (default) or request-rate"},
    {"--min", NULL, "L", ARG_DOUBLE, AT(min), 1e-3, 1e6,
     .help = "the first load and the least one to try; default: begin with 1"},
    {"--max", NULL, "L", ARG_DOUBLE, AT(max), 1e-3, 1e6,
     .help = "the greatest load to try; default 1024 in flight, 4096 per second"},
    {"--resolution", NULL, "PERCENT", ARG_DOUBLE, AT(resolution_percent), 0.1, 100,
     .help = "end when the load that fails is so close to the one that holds; default 5"},
    {"--max-runs", NULL, "N", ARG_INT, AT(max_runs), 1, 100,
     .help = "runs of one load before it is called uncertain; default 3"},
    {"--pause", NULL, "S", ARG_DOUBLE, AT(pause_s), 0, 1e6, .help = RUNS_PAUSE_HELP},
};
#define N_OPTIONS (sizeof OPTIONS / sizeof OPTIONS[0])

static const char *const OPTION_OF[] = {"--concurrency", "--request-rate"};

/* ---- before the first run ------------------------------------------------------------------- */

static bool read_slos(struct capacity *c, const struct capacity_options *o, struct error *err)
{
    if (o->slos.n_items == 0)
        return fail_field(err, "--slo", "--slo is required, like request_latency_p95:2000");
    if (o->slos.n_items > CAPACITY_MAX_SLOS)
        return fail_field(err, "--slo", "--slo: at most %d", CAPACITY_MAX_SLOS);
    for (; c->n_slos < o->slos.n_items; c->n_slos++) {
        if (!capacity_slo_parse(&c->slos[c->n_slos], o->slos.items[c->n_slos], o->over == OVER_RATE,
                                err))
            return false;
    }
    return true;
}

static bool read_search(struct capacity *c, const struct capacity_options *o, struct error *err)
{
    bool is_rate = o->over == OVER_RATE;
    struct capacity_settings s = {
        .least = o->min > 0 ? o->min
                 : is_rate  ? LEAST_RATE_HZ
                            : 1,
        .most = o->max > 0 ? o->max
                : is_rate  ? MAX_RATE_HZ
                           : MAX_CONCURRENCY,
        .is_integer = !is_rate,
        .resolution = o->resolution_percent / 100,
        .max_runs = (int)o->max_runs,
    };
    s.start = o->min > 0 ? o->min : fmin(1, s.most);
    if (!is_rate && (s.least != floor(s.least) || s.most != floor(s.most)))
        return fail_field(err, "--min",
                          "--min and --max must be whole numbers of requests in "
                          "flight");
    if (s.least > s.most)
        return fail_field(err, "--max", "--max is %g: must not be below the least load, %g", s.most,
                          s.least);
    capacity_search_init(&c->search, &s);
    c->over = OPTION_OF[o->over] + 2;
    return true;
}

static bool refuse_options(const struct capacity *c, const struct capacity_options *o,
                           struct error *err)
{
    static const char *const REFUSED[] = {
        "--request-rate", "--profile-export-prefix", "--user-centric-rate", "--fixed-schedule",
        "--request-cancellation-rate"}; /* would look like overload */
    if (runs_args_has(&c->runs.base, OPTION_OF[o->over]))
        return fail_field(err, OPTION_OF[o->over], "%s is what is searched for",
                          OPTION_OF[o->over]);
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        if (runs_args_has(&c->runs.base, REFUSED[i]))
            return fail_field(err, REFUSED[i], "%s is not for this search", REFUSED[i]);
    }
    return true;
}

/* Requests of a point: enough for each percentile and for the load to settle. */
static int64_t count_requests(const struct capacity *c, double load)
{
    double n = c->search.settings.is_integer ? ROUNDS * load : ceil(RATE_SECONDS * load);
    for (size_t i = 0; i < c->n_slos; i++)
        n = fmax(n, (double)capacity_slo_needs(&c->slos[i]));
    return (int64_t)n;
}

static void make_args(const struct capacity *c, double load, struct runs_args *args)
{
    char text[40];
    *args = (struct runs_args){0};
    runs_args_append(args, &c->runs.base);
    snprintf(text, sizeof text, "%.10g", load);
    runs_args_set(args, OPTION_OF[c->search.settings.is_integer ? OVER_CONCURRENCY : OVER_RATE],
                  text);
    if (!runs_args_has(args, "--request-count") && !runs_args_has(args, "--benchmark-duration")) {
        snprintf(text, sizeof text, "%" PRId64, count_requests(c, load));
        runs_args_set(args, "--request-count", text);
    }
    if (c->runs.dir) { /* opened: the seed is known. Runs of one load shall not all be alike */
        snprintf(text, sizeof text, "%" PRId64, c->runs.seed + (int64_t)c->runs.n_begun);
        runs_args_set(args, "--random-seed", text);
    }
}

static bool check_point(const struct capacity *c, const struct options *o, struct error *err)
{
    if (o->export_level == EXPORT_SUMMARY)
        return fail_field(err, "--export-level",
                          "--export-level is summary: the verdict needs records");
    for (size_t i = 0; i < c->n_slos && o->n_requests > 0; i++) {
        size_t n = quantile_needs(c->slos[i].rank);
        if ((size_t)o->n_requests < n)
            return fail_field(err, "--request-count",
                              "--request-count is %" PRId64 ": --slo %s needs %zu at least",
                              o->n_requests, c->slos[i].text, n);
    }
    return true;
}

/* Both ends of the range of loads; the first one gives seed and directory. */
static bool check_points(struct capacity *c, struct error *err)
{
    const double loads[] = {c->search.settings.most, c->search.settings.least};
    bool ok = true;
    for (size_t i = 0; ok && i < 2; i++) {
        struct options example = {0};
        struct runs_args args;
        make_args(c, loads[i], &args);
        ok = runs_check(&args, &example, err) && check_point(c, &example, err) &&
             (i == 0 || runs_open(&c->runs, &example, err));
        options_free(&example);
        runs_args_free(&args);
    }
    return ok;
}

/* ---- runs ----------------------------------------------------------------------------------- */

static struct capacity_load *find_load(struct capacity *c, double load)
{
    for (size_t i = 0; i < c->n_loads; i++) {
        if (c->loads[i].load == load)
            return &c->loads[i];
    }
    c->loads = xrealloc(c->loads, (c->n_loads + 1) * sizeof *c->loads);
    c->loads[c->n_loads] = (struct capacity_load){.load = load};
    return &c->loads[c->n_loads++];
}

static size_t count_of(const struct runs_result *r, const char *tag)
{
    double n = runs_value(r, tag, "avg");
    return n > 0 ? (size_t)n : 0;
}

/* Add the values of a run to the samples of its load. */
static bool read_values(const struct capacity *c, struct capacity_load *l,
                        const struct runs_result *result, struct error *err)
{
    const struct metric *metrics[CAPACITY_MAX_SLOS];
    struct compare_inputs in = {0};
    char *dir = xasprintf("%s/%s", c->runs.dir, result->name);
    for (size_t i = 0; i < c->n_slos; i++)
        metrics[i] = c->slos[i].metric;
    bool ok = result->n_succeeded == 0 || compare_read(&in, dir, metrics, c->n_slos, err);
    size_t n_lost = result->n_failed + count_of(result, "canceled_request_count") +
                    count_of(result, "unsent_request_count");
    for (size_t i = 0; ok && i < c->n_slos; i++) {
        const struct compare_run *run = in.n_items > 0 ? &in.items[0].runs[i] : NULL;
        capacity_sample_add(&l->samples[i], run ? run->values : NULL, run ? run->n : 0, n_lost);
    }
    l->n_requests += result->n_succeeded + n_lost;
    l->n_failed += n_lost;
    compare_inputs_free(&in);
    free(dir);
    return ok;
}

static void judge(const struct capacity *c, struct capacity_load *l)
{
    l->verdict = CAPACITY_HOLDS;
    for (size_t i = 0; i < c->n_slos; i++) {
        l->estimates[i] = capacity_slo_judge(&c->slos[i], &l->samples[i]);
        if (l->estimates[i].verdict > l->verdict)
            l->verdict = l->estimates[i].verdict;
    }
}

static void tell(const struct capacity *c, const struct capacity_load *l)
{
    static const char *const WORDS[] = {"holds", "is uncertain", "fails"};
    fprintf(stderr, "fluxperf: capacity: %s %g %s", c->over, l->load, WORDS[l->verdict]);
    for (size_t i = 0; i < c->n_slos; i++)
        fprintf(stderr, "%s %s: %.1f (%.1f .. %.1f)", i ? "," : ":", c->slos[i].text,
                l->estimates[i].value, l->estimates[i].low, l->estimates[i].high);
    fputc('\n', stderr);
}

static bool make_run(struct capacity *c, double load, struct error *err)
{
    char name[32];
    struct runs_args args;
    c->results = xrealloc(c->results, (c->n_results + 1) * sizeof *c->results);
    c->result_loads = xrealloc(c->result_loads, (c->n_results + 1) * sizeof *c->result_loads);
    struct runs_result *result = &c->results[c->n_results];
    snprintf(name, sizeof name, "run_%04zu", c->n_results + 1);
    make_args(c, load, &args);
    bool ok = runs_make(&c->runs, name, &args, result);
    runs_args_free(&args);
    if (!ok) {
        runs_result_free(result);
        return false;
    }
    c->result_loads[c->n_results++] = load;
    struct capacity_load *l = find_load(c, load);
    l->n_runs++;
    l->throughput_hz = runs_value(result, "request_throughput", "avg");
    if (!read_values(c, l, result, err))
        return false;
    judge(c, l);
    tell(c, l);
    capacity_search_take(&c->search, l->verdict);
    return true;
}

/* Failed requests are what overload looks like: unlike elsewhere they are no failure of the
 * command. */
static int conclude(const struct capacity *c)
{
    const struct capacity_search *s = &c->search;
    if (c->runs.reason[0]) {
        runs_conclude(&c->runs, c->n_results, "runs");
        return 1;
    }
    return s->holds > 0 ? 0 : s->uncertain_from > 0 ? EXIT_UNCERTAIN : EXIT_FAILS;
}

static int run(struct capacity *c)
{
    struct error err = {0};
    struct buf out = {0};
    double load;
    bool goes_on = true, ok = true;
    while (ok && goes_on && c->n_results < RUNS_MAX && capacity_search_next(&c->search, &load)) {
        goes_on = make_run(c, load, &err);
        ok = err.code == ERR_NONE && capacity_write(c, &err);
    }
    capacity_print(&out, c);
    fputs(out.data, stdout);
    buf_free(&out);
    int code = conclude(c);
    return ok ? code : runs_break(&err);
}

static void free_all(struct capacity *c)
{
    for (size_t i = 0; i < c->n_loads; i++) {
        for (size_t k = 0; k < CAPACITY_MAX_SLOS; k++)
            capacity_sample_free(&c->loads[i].samples[k]);
    }
    for (size_t i = 0; i < c->n_results; i++)
        runs_result_free(&c->results[i]);
    free(c->loads);
    free(c->results);
    free(c->result_loads);
    runs_close(&c->runs);
}

int capacity_main(int argc, char **argv, int first)
{
    struct capacity c = {0};
    struct capacity_options o = {.resolution_percent = 5, .max_runs = 3};
    struct error err = {0};
    bool ok =
        runs_read(&c.runs, "capacity", OPTIONS, N_OPTIONS, argc, argv, first, &o, NULL, &err) &&
        read_slos(&c, &o, &err) && read_search(&c, &o, &err) && refuse_options(&c, &o, &err) &&
        check_points(&c, &err);
    c.runs.pause_s = o.pause_s;
    int code = ok ? run(&c) : runs_fail("capacity", &err);
    args_free(&o.slos);
    free_all(&c);
    return code;
}

void capacity_help(void)
{
    args_help("fluxperf capacity --slo TAG_pRANK:LIMIT [option...] [option of profile...]",
              "Find the highest concurrency or request rate at which the objectives hold. A load "
              "counts as holding or failing only when the whole interval of its percentile says "
              "so. Exit codes: 0 found, 3 even the least load fails, 4 no load is certain to hold, "
              "1 ended early." RUNS_SEE_PROFILE,
              OPTIONS, N_OPTIONS);
}
