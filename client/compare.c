#include "client/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "base/json.h"
#include "client/compare_files.h"
#include "client/manifest.h"

#define MAX_METRICS 16
#define EXIT_REGRESSED 3
#define EXIT_INCONCLUSIVE 4

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_MARKDOWN, FORMAT_JUNIT };

struct compare_options {
    struct arg_list metrics, allowed;
    const char *tolerance_text;
    int64_t seed;
    int format;
};

static const struct option OPTIONS[] = {
    {"--metric", NULL, "TAG", ARG_LIST, offsetof(struct compare_options, metrics),
     .group = "Options", .help = "metric of a request to compare; default request_latency"},
    {"--tolerance", NULL, "P%", ARG_STRING, offsetof(struct compare_options, tolerance_text),
     .help = "a change up to that is none (default 5%)"},
    {"--allow-diff", NULL, "PATH", ARG_LIST, offsetof(struct compare_options, allowed),
     .help = "a member of the manifests that may differ, with all below it"},
    {"--format", NULL, "F", ARG_CHOICE, offsetof(struct compare_options, format),
     .choices = "text|json|markdown|junit", .help = "text, json, markdown or junit"},
    {"--seed", NULL, "N", ARG_INT, offsetof(struct compare_options, seed), .min = 0, .max = 1e15,
     .help = "of the bootstrap (default 0)"},
};
#define N_OPTIONS (sizeof OPTIONS / sizeof OPTIONS[0])

struct comparison {
    struct compare_options options;
    const struct metric *metrics[MAX_METRICS];
    size_t n_metrics;
    double tolerance;
    struct compare_inputs base, new;
    struct compare_result results[MAX_METRICS];
    struct compare_requests base_requests, new_requests; /* of all runs of a side */
    double failure_p;
    enum verdict failures; /* regressed: the new side fails more, beyond chance */
    enum verdict verdict;  /* the worst */
    size_t n_differences;  /* of manifests, not allowed */
};

static const char *const VERDICTS[] = {[VERDICT_PASS] = "pass",
                                       [VERDICT_IMPROVED] = "improved",
                                       [VERDICT_INCONCLUSIVE] = "inconclusive",
                                       [VERDICT_REGRESSED] = "regressed"};

void compare_help(void)
{
    args_help("fluxperf compare BASE NEW [option...]",
              "Compare runs of `fluxperf profile`. BASE and NEW are each a profile_export.jsonl, "
              "the directory of a run, or a directory of such directories. Exit codes: 0 pass or "
              "improved, 3 regressed, 4 inconclusive, 5 the runs are not comparable.",
              OPTIONS, N_OPTIONS);
}

/* ---- options -------------------------------------------------------------------------------- */

static bool check_options(struct comparison *c, struct error *err)
{
    const struct compare_options *o = &c->options;
    char *end;
    double percent = strtod(o->tolerance_text, &end);
    if (end == o->tolerance_text || strcmp(end, "%") != 0 || !(percent >= 0 && percent < 100))
        return fail_field(err, "--tolerance", "--tolerance '%s' must be a percentage such as 5%%",
                          o->tolerance_text);
    c->tolerance = percent / 100;
    if (o->metrics.n_items > MAX_METRICS)
        return fail_field(err, "--metric", "--metric: at most %d", MAX_METRICS);
    for (size_t i = 0; i < o->metrics.n_items; i++) {
        const struct metric *m = metric_find(o->metrics.items[i]);
        if (!m || !m->in_jsonl)
            return fail_field(err, "--metric",
                              "--metric '%s' is in no record line; one that is: "
                              "request_latency",
                              o->metrics.items[i]);
        c->metrics[c->n_metrics++] = m;
    }
    if (c->n_metrics == 0)
        c->metrics[c->n_metrics++] = metric_find("request_latency");
    return true;
}

/* ---- manifests ------------------------------------------------------------------------------ */

/* Members that a manifest lacks when they are not known: allowing one is no mistake. */
static bool may_lack(const char *path)
{
    static const char *const PATHS[] = {"manifest",      "server.build",   "server.model",
                                        "calibration",   "host.cpu",       "host.memory",
                                        "host.governor", "host.gpu_driver"};
    for (size_t i = 0; i < sizeof PATHS / sizeof PATHS[0]; i++) {
        if (strcmp(path, PATHS[i]) == 0)
            return true;
    }
    return false;
}

static bool any_has(const struct compare_inputs *side, const char *path)
{
    for (size_t i = 0; i < side->n_items; i++) {
        if (manifest_has(side->items[i].manifest, path))
            return true;
    }
    return false;
}

static bool check_allowed(const struct comparison *c, struct error *err)
{
    for (size_t i = 0; i < c->options.allowed.n_items; i++) {
        const char *path = c->options.allowed.items[i];
        if (!may_lack(path) && !any_has(&c->base, path) && !any_has(&c->new, path))
            return fail_field(err, "--allow-diff",
                              "--allow-diff '%s' is in no " MANIFEST_FILE
                              " of these runs; like server.build it must be a member of one",
                              path);
    }
    return true;
}

static bool is_allowed(const struct comparison *c, const char *path)
{
    for (size_t i = 0; i < c->options.allowed.n_items; i++) {
        const char *allowed = c->options.allowed.items[i];
        size_t n = strlen(allowed);
        if (strncmp(path, allowed, n) == 0 && (path[n] == '\0' || path[n] == '.'))
            return true;
    }
    return false;
}

static void on_difference(void *self, const char *path, const char *a, const char *b)
{
    struct comparison *c = self;
    if (is_allowed(c, path))
        return;
    c->n_differences++;
    fprintf(stderr, "fluxperf: the runs differ in %s: %s and %s\n", path, a ? a : "nothing",
            b ? b : "nothing");
}

/* Every run against the first one: of a side too, all must have been made alike. */
static void check_manifests(struct comparison *c)
{
    const struct compare_inputs *sides[] = {&c->base, &c->new};
    const struct compare_input *first = &c->base.items[0];
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < sides[k]->n_items; i++) {
            const struct compare_input *in = &sides[k]->items[i];
            if (in->manifest && first->manifest)
                manifest_compare(first->manifest, in->manifest, on_difference, c);
            else if (!in->manifest && !is_allowed(c, "manifest")) {
                c->n_differences++;
                fprintf(stderr, "fluxperf: %s has no " MANIFEST_FILE " beside it\n", in->path);
            }
        }
    }
    if (c->n_differences > 0)
        fputs("fluxperf: the runs are not comparable; name what may differ with --allow-diff "
              "(\"manifest\" for a missing file)\n",
              stderr);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static void take_metric(struct compare_run *runs, const struct compare_inputs *in, size_t metric)
{
    for (size_t i = 0; i < in->n_items; i++)
        runs[i] = in->items[i].runs[metric];
}

static struct compare_requests count_requests(const struct compare_inputs *in)
{
    struct compare_requests all = {0};
    for (size_t i = 0; i < in->n_items; i++) {
        all.n += in->items[i].requests.n;
        all.n_failed += in->items[i].requests.n_failed;
    }
    return all;
}

static void compare_failures(struct comparison *c)
{
    c->base_requests = count_requests(&c->base);
    c->new_requests = count_requests(&c->new);
    c->failure_p = compare_failure_test(c->base_requests, c->new_requests);
    c->failures = c->verdict = compare_judge_failures(c->failure_p);
}

static void compare_all(struct comparison *c)
{
    const struct compare_settings settings = {c->tolerance, c->n_metrics, c->options.seed};
    for (size_t i = 0; i < c->n_metrics; i++) {
        struct compare_run base[COMPARE_MAX_RUNS], new[COMPARE_MAX_RUNS];
        take_metric(base, &c->base, i);
        take_metric(new, &c->new, i);
        compare_measure(&c->results[i], (struct compare_side){base, c->base.n_items},
                        (struct compare_side){new, c->new.n_items}, &settings);
    }
    compare_adjust(c->results, c->n_metrics);
    compare_failures(c);
    for (size_t i = 0; i < c->n_metrics; i++) {
        struct compare_result *r = &c->results[i];
        r->verdict = compare_judge(r, c->tolerance, c->metrics[i]->is_larger_better);
        if (r->verdict > c->verdict)
            c->verdict = r->verdict;
    }
}

/* ---- output --------------------------------------------------------------------------------- */

static bool has_failures(const struct comparison *c)
{
    return c->base_requests.n_failed + c->new_requests.n_failed > 0;
}

/* In words, without a newline: appended. */
static void put_failures(struct buf *out, const struct comparison *c)
{
    const struct compare_requests *base = &c->base_requests, *new = &c->new_requests;
    buf_printf(out, "failed requests: base %zu of %zu, new %zu of %zu (Fisher's exact test p %.4f)",
               base->n_failed, base->n, new->n_failed, new->n, c->failure_p);
    buf_puts(out, c->failures == VERDICT_REGRESSED ? ": regressed, the new side fails more"
                                                   : ": no more on the new side than by chance");
    buf_puts(out, "; the metrics are of the requests that succeeded");
}

static void print_p(struct buf *out, double p)
{
    if (isnan(p))
        buf_puts(out, "too few runs");
    else
        buf_printf(out, "%.4f", p);
}

static void print_rows(struct buf *out, const struct comparison *c, bool is_markdown)
{
    const char *bar = is_markdown ? " | " : "  ", *edge = is_markdown ? "| " : "";
    const char *end = is_markdown ? " |\n" : "\n";
    buf_printf(out, "%s%-24s%s%12s%s%12s%s%8s%s%-18s%s%-12s%s%10s%s%s%s", edge, "metric", bar,
               "base", bar, "new", bar, "ratio", bar, "95 % interval", bar, "rank test p", bar,
               "detectable", bar, "verdict", end);
    if (is_markdown)
        buf_puts(out, "|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < c->n_metrics; i++) {
        const struct compare_result *r = &c->results[i];
        struct buf p = {0};
        char *interval = xasprintf("%.4f .. %.4f", r->ratio_low, r->ratio_high);
        print_p(&p, r->p_adjusted);
        buf_printf(out, "%s%-24s%s%12.3f%s%12.3f%s%8.4f%s%-18s%s%-12s%s%9.2f%%%s%s%s", edge,
                   c->metrics[i]->tag, bar, r->base, bar, r->new, bar, r->ratio, bar, interval, bar,
                   p.data, bar, 100 * r->detectable, bar, VERDICTS[r->verdict], end);
        free(interval);
        buf_free(&p);
    }
}

static void print_text(struct buf *out, const struct comparison *c)
{
    bool is_markdown = c->options.format == FORMAT_MARKDOWN;
    print_rows(out, c, is_markdown);
    buf_printf(out, "%s%s: %zu and %zu runs, tolerance %g %%\n", is_markdown ? "\n" : "",
               VERDICTS[c->verdict], c->base.n_items, c->new.n_items, 100 * c->tolerance);
    if (has_failures(c)) {
        buf_puts(out, is_markdown ? "\n" : "");
        put_failures(out, c);
        buf_putc(out, '\n');
    }
}

static struct json *failures_json(const struct comparison *c)
{
    struct json *o = json_new_object();
    json_set(o, "base_failed", json_new_int((int64_t)c->base_requests.n_failed));
    json_set(o, "base_requests", json_new_int((int64_t)c->base_requests.n));
    json_set(o, "new_failed", json_new_int((int64_t)c->new_requests.n_failed));
    json_set(o, "new_requests", json_new_int((int64_t)c->new_requests.n));
    json_set(o, "p_value", json_new_double(c->failure_p));
    json_set(o, "verdict", json_new_string(VERDICTS[c->failures]));
    return o;
}

static struct json *make_json(const struct comparison *c)
{
    struct json *root = json_new_object(), *list = json_new_array();
    json_set(root, "verdict", json_new_string(VERDICTS[c->verdict]));
    json_set(root, "tolerance", json_new_double(c->tolerance));
    json_set(root, "confidence", json_new_double(COMPARE_CONFIDENCE));
    json_set(root, "seed", json_new_int(c->options.seed));
    json_set(root, "base_runs", json_new_int((int64_t)c->base.n_items));
    json_set(root, "new_runs", json_new_int((int64_t)c->new.n_items));
    if (has_failures(c))
        json_set(root, "failed_requests", failures_json(c));
    for (size_t i = 0; i < c->n_metrics; i++) {
        const struct compare_result *r = &c->results[i];
        struct json *o = json_new_object();
        json_set(o, "metric", json_new_string(c->metrics[i]->tag));
        json_set(o, "unit", json_new_string(c->metrics[i]->unit));
        json_set(o, "base", json_new_double(r->base));
        json_set(o, "new", json_new_double(r->new));
        json_set(o, "ratio", json_new_double(r->ratio));
        json_set(o, "ratio_low", json_new_double(r->ratio_low));
        json_set(o, "ratio_high", json_new_double(r->ratio_high));
        json_set(o, "p_value", json_new_double(r->p_value)); /* NaN becomes null */
        json_set(o, "p_adjusted", json_new_double(r->p_adjusted));
        json_set(o, "minimum_detectable_effect", json_new_double(r->detectable));
        json_set(o, "verdict", json_new_string(VERDICTS[r->verdict]));
        json_push(list, o);
    }
    json_set(root, "metrics", list);
    return root;
}

static void print_json(struct buf *out, const struct comparison *c)
{
    struct json *root = make_json(c);
    json_print(out, root, 2);
    buf_putc(out, '\n');
    json_free(root);
}

/* All of these words are ours: nothing in here needs escaping. */
static void print_case(struct buf *out, const char *name, enum verdict verdict, const char *text)
{
    static const char *const ELEMENTS[] = {[VERDICT_PASS] = "system-out",
                                           [VERDICT_IMPROVED] = "system-out",
                                           [VERDICT_INCONCLUSIVE] = "skipped",
                                           [VERDICT_REGRESSED] = "failure"};
    const char *element = ELEMENTS[verdict];
    buf_printf(out, "  <testcase classname=\"fluxperf\" name=\"%s\">", name);
    if (verdict >= VERDICT_INCONCLUSIVE)
        buf_printf(out, "<%s message=\"%s\"/>", element, text);
    else
        buf_printf(out, "<%s>%s</%s>", element, text, element);
    buf_puts(out, "</testcase>\n");
}

static void print_junit(struct buf *out, const struct comparison *c)
{
    size_t n_regressed = c->failures == VERDICT_REGRESSED, n_inconclusive = 0;
    for (size_t i = 0; i < c->n_metrics; i++) {
        n_regressed += c->results[i].verdict == VERDICT_REGRESSED;
        n_inconclusive += c->results[i].verdict == VERDICT_INCONCLUSIVE;
    }
    buf_printf(out,
               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"fluxperf compare\" "
               "tests=\"%zu\" failures=\"%zu\" skipped=\"%zu\">\n",
               c->n_metrics + has_failures(c), n_regressed, n_inconclusive);
    for (size_t i = 0; i < c->n_metrics; i++) {
        const struct compare_result *r = &c->results[i];
        char *text = xasprintf("%s: new / base = %.4f (%.4f .. %.4f), detectable %.2f %%",
                               VERDICTS[r->verdict], r->ratio, r->ratio_low, r->ratio_high,
                               100 * r->detectable);
        print_case(out, c->metrics[i]->tag, r->verdict, text);
        free(text);
    }
    if (has_failures(c)) {
        struct buf text = {0};
        put_failures(&text, c);
        print_case(out, "failed_requests", c->failures, text.data);
        buf_free(&text);
    }
    buf_puts(out, "</testsuite>\n");
}

static void print(const struct comparison *c)
{
    struct buf out = {0};
    if (c->options.format == FORMAT_JSON)
        print_json(&out, c);
    else if (c->options.format == FORMAT_JUNIT)
        print_junit(&out, c);
    else
        print_text(&out, c);
    fputs(out.data, stdout);
    buf_free(&out);
    if (has_failures(c)) {
        put_failures(&out, c);
        fprintf(stderr, "fluxperf: %s\n", out.data);
        buf_free(&out);
    }
}

/* ---- the command ---------------------------------------------------------------------------- */

static bool prepare(struct comparison *c, const struct arg_list *names, enum compare_until until,
                    struct error *err)
{
    if (names->n_items != 2)
        return fail(err, ERR_INVALID, "compare takes BASE and NEW, not %zu arguments",
                    names->n_items);
    if (!check_options(c, err))
        return false;
    return until == COMPARE_OPTIONS ||
           (compare_read(&c->base, names->items[0], c->metrics, c->n_metrics, err) &&
            compare_read(&c->new, names->items[1], c->metrics, c->n_metrics, err) &&
            check_allowed(c, err));
}

static int conclude(struct comparison *c, enum compare_until until, struct json **out)
{
    if (until >= COMPARE_FILES)
        check_manifests(c);
    if (c->n_differences > 0)
        return COMPARE_NOT_COMPARABLE;
    if (until < COMPARE_VERDICT)
        return 0;
    compare_all(c);
    print(c);
    if (out)
        *out = make_json(c);
    return c->verdict == VERDICT_REGRESSED      ? EXIT_REGRESSED
           : c->verdict == VERDICT_INCONCLUSIVE ? EXIT_INCONCLUSIVE
                                                : 0;
}

int compare_run(int argc, char **argv, int first, enum compare_until until, struct json **out)
{
    struct comparison *c = xcalloc(1, sizeof *c);
    struct arg_list names = {0};
    struct error err = {0};
    int code;
    c->options.tolerance_text = "5%";
    if (args_parse(OPTIONS, N_OPTIONS, argc, argv, first, &c->options, &names, NULL, &err) &&
        prepare(c, &names, until, &err)) {
        code = conclude(c, until, out);
    } else {
        code = error_exit_code(err.code);
        fprintf(stderr, "fluxperf: error: %s\n", err.text);
        if (code == 2)
            fputs("fluxperf: see fluxperf compare --help\n", stderr);
    }
    compare_inputs_free(&c->base);
    compare_inputs_free(&c->new);
    args_free(&names);
    args_free(&c->options.metrics);
    args_free(&c->options.allowed);
    free(c);
    return code;
}

int compare_main(int argc, char **argv, int first)
{
    return compare_run(argc, argv, first, COMPARE_VERDICT, NULL);
}
