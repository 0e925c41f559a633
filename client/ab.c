#include "client/ab.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/ab_order.h"
#include "client/artifacts.h"
#include "client/compare.h"
#include "client/compare_stats.h"
#include "client/runs.h"

#define DEFAULT_RUNS 5

struct ab_options {
    const char *a, *b;
    int64_t n_runs;
    int order; /* enum ab_order */
    double pause_s;
    /* for compare */
    struct arg_list metrics, allowed;
    const char *tolerance, *format, *seed;
};

#define AT(field) offsetof(struct ab_options, field)

/* clang-format off */
static const struct option OPTIONS[] = {
    {"--a", NULL, "URL", ARG_STRING, AT(a), .group = "Targets",
     .help = "base address of the server to compare with; required"},
    {"--b", NULL, "URL", ARG_STRING, AT(b), .help = "base address of the other server; required"},
    {"--runs", NULL, "N", ARG_INT, AT(n_runs), 1, COMPARE_MAX_RUNS, .help = "runs of each; default 5"},
    {"--order", NULL, "ORDER", ARG_CHOICE, AT(order), .choices = "abba|random",
     .help = "abba (default): A B, B A, ...; random: each pair in an order drawn by --random-seed"},
    {"--pause", NULL, "S", ARG_DOUBLE, AT(pause_s), 0, 1e6, .help = RUNS_PAUSE_HELP},
    {"--metric", NULL, "TAG", ARG_LIST, AT(metrics), .group = "Comparison, as for compare",
     .help = "metric of a request to compare; default request_latency"},
    {"--tolerance", NULL, "P%", ARG_STRING, AT(tolerance), .help = "a change up to that is none (default 5%)"},
    {"--allow-diff", NULL, "PATH", ARG_LIST, AT(allowed),
     .help = "a member of the manifests that may differ too, besides config.endpoint.urls and server.build"},
    {"--format", NULL, "F", ARG_STRING, AT(format), .help = "text, json, markdown or junit"},
    {"--seed", NULL, "N", ARG_STRING, AT(seed), .help = "of the bootstrap (default 0)"},
};
/* clang-format on */
#define N_OPTIONS (sizeof OPTIONS / sizeof OPTIONS[0])

struct ab {
    struct runs runs;
    struct ab_options options;
    struct runs_args sides[2];   /* owned: command lines of A and B */
    struct runs_args comparison; /* owned: the words of `compare A B` */
    bool is_b[2 * COMPARE_MAX_RUNS];
    struct runs_result results[2 * COMPARE_MAX_RUNS]; /* owned */
    size_t n_results, n_of[2];
};

/* ---- options -------------------------------------------------------------------------------- */

static void push_pair(struct runs_args *words, const char *name, const char *value)
{
    if (!value)
        return;
    char *word = xasprintf("%s=%s", name, value);
    runs_args_push(words, word);
    free(word);
}

static void make_comparison(struct ab *ab, const char *dir)
{
    const struct ab_options *o = &ab->options;
    char *base = xasprintf("%s/a", dir), *new = xasprintf("%s/b", dir);
    runs_args_free(&ab->comparison);
    runs_args_push(&ab->comparison, base);
    runs_args_push(&ab->comparison, new);
    push_pair(&ab->comparison, "--allow-diff", "config.endpoint.urls");
    push_pair(&ab->comparison, "--allow-diff", "server.build");
    for (size_t i = 0; i < o->allowed.n_items; i++)
        push_pair(&ab->comparison, "--allow-diff", o->allowed.items[i]);
    for (size_t i = 0; i < o->metrics.n_items; i++)
        push_pair(&ab->comparison, "--metric", o->metrics.items[i]);
    push_pair(&ab->comparison, "--tolerance", o->tolerance);
    push_pair(&ab->comparison, "--format", o->format);
    push_pair(&ab->comparison, "--seed", o->seed);
    free(base);
    free(new);
}

static int compare(const struct ab *ab, enum compare_until until, struct json **out)
{
    return compare_run((int)ab->comparison.n_items, ab->comparison.items, 0, until, out);
}

static bool check_own(const struct ab *ab, struct error *err)
{
    static const struct {
        const char *name, *text;
    } REFUSED[] = {
        {"--url", "is set by --a and --b"},
        {"--profile-export-prefix", "is not for ab: the comparison looks for the standard names"},
    };
    const char *const urls[] = {ab->options.a, ab->options.b};
    for (size_t k = 0; k < 2; k++) {
        if (!urls[k])
            return fail_field(err, OPTIONS[k].name, "%s is required: the address of a server",
                              OPTIONS[k].name);
    }
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        if (runs_args_has(&ab->runs.base, REFUSED[i].name))
            return fail_field(err, REFUSED[i].name, "%s %s", REFUSED[i].name, REFUSED[i].text);
    }
    return true;
}

/* The command line of a side, from that of all runs as it is now. */
static void make_side(struct ab *ab, size_t side)
{
    struct runs_args *args = &ab->sides[side];
    runs_args_free(args);
    runs_args_append(args, &ab->runs.base);
    runs_args_set(args, "--url", side == 0 ? ab->options.a : ab->options.b);
}

static bool check_side(struct ab *ab, size_t side, struct options *example, struct error *err)
{
    make_side(ab, side);
    return runs_check(&ab->sides[side], example, err) &&
           (example->export_level > EXPORT_SUMMARY ||
            fail_field(err, "--export-level",
                       "--export-level is summary: the comparison needs "
                       "records"));
}

static bool prepare(struct ab *ab, struct error *err)
{
    struct options example[2] = {0};
    bool ok = check_own(ab, err) && check_side(ab, 0, &example[0], err) &&
              check_side(ab, 1, &example[1], err) && runs_open(&ab->runs, &example[0], err);
    for (size_t k = 0; ok && k < 2; k++) {
        char *dir = xasprintf("%s/%c", ab->runs.dir, "ab"[k]);
        runs_clear(dir, &example[k]);
        make_side(ab, k); /* now with the seed */
        free(dir);
    }
    options_free(&example[0]);
    options_free(&example[1]);
    return ok;
}

/* ---- runs ----------------------------------------------------------------------------------- */

/* Takes the comparison, which may be NULL. */
static bool write_json(const struct ab *ab, struct json *comparison, struct error *err)
{
    struct json *root = runs_json(&ab->runs), *runs = json_new_array();
    json_set(root, "a", json_new_string(ab->options.a));
    json_set(root, "b", json_new_string(ab->options.b));
    json_set(root, "runs_wanted", json_new_int(2 * ab->options.n_runs));
    json_set(root, "runs_made", json_new_int((int64_t)ab->n_results));
    if (comparison)
        json_set(root, "comparison", comparison);
    for (size_t i = 0; i < ab->n_results; i++)
        json_push(runs, runs_json_result(&ab->results[i]));
    json_set(root, "runs", runs);
    return runs_write_json(&ab->runs, "ab.json", root, err);
}

/* A run that does not count must not lie where the comparison looks. There is one at most. */
static void put_aside(const struct ab *ab, const char *name)
{
    char *from = xasprintf("%s/%s", ab->runs.dir, name);
    char *to = xasprintf("%s/uncounted_run", ab->runs.dir);
    artifacts_remove(&(struct options){.run_dir = to}); /* of an earlier command */
    if (file_exists(from) && rename(from, to) != 0)
        artifacts_remove(&(struct options){.run_dir = from});
    free(from);
    free(to);
}

static bool make_run(struct ab *ab)
{
    char name[32];
    size_t side = ab->is_b[ab->n_results];
    struct runs_result *result = &ab->results[ab->n_results];
    snprintf(name, sizeof name, "%c/run_%04zu", "ab"[side], ab -> n_of[side] + 1);
    if (!runs_make(&ab->runs, name, &ab->sides[side], result) ||
        !runs_need_success(&ab->runs, result)) {
        runs_result_free(result);
        put_aside(ab, name);
        return false;
    }
    ab->n_of[side]++;
    ab->n_results++;
    return true;
}

/* Once both sides have a run, what differs between them is known: the others need not be made when
 * they can't be compared. */
static int make_runs(struct ab *ab, struct error *err)
{
    size_t n_wanted = 2 * (size_t)ab->options.n_runs;
    int code = 0;
    bool goes_on = true, ok = true;
    ab_order_fill(ab->is_b, n_wanted / 2, (enum ab_order)ab->options.order, ab->runs.seed);
    while (ok && goes_on && code == 0 && ab->n_results < n_wanted) {
        goes_on = make_run(ab);
        if (goes_on && ab->n_results == 2 && (code = compare(ab, COMPARE_FILES, NULL)) != 0)
            runs_stop(&ab->runs, "the first two runs can't be compared");
        ok = write_json(ab, NULL, err);
    }
    if (code != 0 || !ok || ab->n_of[0] == 0 || ab->n_of[1] == 0)
        return code;
    struct json *comparison = NULL;
    code = compare(ab, COMPARE_VERDICT, &comparison);
    write_json(ab, comparison, err);
    return code;
}

static int run(struct ab *ab)
{
    struct error err = {0};
    int verdict = make_runs(ab, &err);
    int code = runs_conclude(&ab->runs, ab->n_results, "runs");
    if (err.code != ERR_NONE)
        return runs_break(&err);
    bool is_judged = ab->n_results == 2 * (size_t)ab->options.n_runs; /* else it is a preview */
    bool is_refused = verdict == 2 || verdict == COMPARE_NOT_COMPARABLE;
    return is_refused || (is_judged && verdict != 0) ? verdict : code;
}

int ab_main(int argc, char **argv, int first)
{
    struct ab *ab = xcalloc(1, sizeof *ab);
    struct error err = {0};
    int code = 0;
    ab->options.n_runs = DEFAULT_RUNS;
    bool ok =
        runs_read(&ab->runs, "ab", OPTIONS, N_OPTIONS, argc, argv, first, &ab->options, NULL, &err);
    ab->runs.pause_s = ab->options.pause_s;
    if (ok) {
        make_comparison(ab, "."); /* for its options only */
        code = compare(ab, COMPARE_OPTIONS, NULL);
    }
    if (code == 0) {
        ok = ok && prepare(ab, &err);
        if (ok)
            make_comparison(ab, ab->runs.dir);
        code = ok ? run(ab) : runs_fail("ab", &err);
    }
    for (size_t i = 0; i < ab->n_results; i++)
        runs_result_free(&ab->results[i]);
    for (size_t k = 0; k < 2; k++)
        runs_args_free(&ab->sides[k]);
    runs_args_free(&ab->comparison);
    args_free(&ab->options.metrics);
    args_free(&ab->options.allowed);
    runs_close(&ab->runs);
    free(ab);
    return code;
}

void ab_help(void)
{
    args_help(
        "fluxperf ab --a URL --b URL [option...] [option of profile...]",
        "Make runs against two servers in turn and tell whether B is slower than A, as "
        "compare does. Exit codes: 0 pass or improved, 3 regressed, 4 inconclusive, 5 the "
        "runs are not comparable, 1 a request failed or the command ended early." RUNS_SEE_PROFILE,
        OPTIONS, N_OPTIONS);
}
