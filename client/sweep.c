#include "client/sweep.h"

#include <stdio.h>
#include <stdlib.h>

struct sweep_options {
    struct arg_list over;
    double pause_s;
};

static const struct option OPTIONS[] = {
    {"--over", NULL, "NAME=V1,V2,...", ARG_LIST, offsetof(struct sweep_options, over),
     .group = "Options",
     .help = "values of an option of profile, or of a field of the request such as size, steps or "
             "n; of several every combination is made"},
    {"--pause", NULL, "S", ARG_DOUBLE, offsetof(struct sweep_options, pause_s), 0, 1e6,
     .help = RUNS_PAUSE_HELP},
};
#define N_OPTIONS (sizeof OPTIONS / sizeof OPTIONS[0])

/* ---- before the first run ------------------------------------------------------------------- */

static void make_args(const struct sweep *s, size_t point, struct runs_args *args)
{
    *args = (struct runs_args){0};
    runs_args_append(args, &s->runs.base);
    sweep_grid_set(&s->grid, point, args);
}

static bool read_grid(struct sweep *s, const struct arg_list *over, struct error *err)
{
    if (over->n_items == 0)
        return fail_field(err, "--over", "--over is required: NAME=V1,V2,...");
    for (size_t i = 0; i < over->n_items; i++) {
        if (!sweep_grid_add(&s->grid, over->items[i], err))
            return false;
        const struct sweep_axis *a = &s->grid.axes[i];
        if (!a->is_field && runs_args_has(&s->runs.base, a->key))
            return fail_field(err, "--over", "%s is given and varied by --over too", a->key);
    }
    s->n_wanted = sweep_grid_size(&s->grid);
    return s->n_wanted <= SWEEP_MAX_POINTS ||
           fail_field(err, "--over", "--over: the grid has more than %d points", SWEEP_MAX_POINTS);
}

/* Every point is checked: the last one should not be the one to find a wrong value. */
static bool check_points(struct sweep *s, struct error *err)
{
    bool ok = true;
    for (size_t i = s->n_wanted; ok && i-- > 0;) {
        struct options example = {0};
        struct runs_args args;
        make_args(s, i, &args);
        ok = runs_check(&args, &example, err) && (i > 0 || runs_open(&s->runs, &example, err));
        options_free(&example);
        runs_args_free(&args);
    }
    return ok;
}

static void tell_fields(const struct sweep *s)
{
    for (size_t i = 0; i < s->grid.n_axes; i++) {
        const struct sweep_axis *a = &s->grid.axes[i];
        if (a->is_field)
            fprintf(stderr,
                    "fluxperf: sweep: %s is no option of profile: it is varied as the "
                    "field %s of the request\n",
                    a->name, a->key);
    }
}

/* ---- runs ----------------------------------------------------------------------------------- */

/* A point whose requests all fail is a result; the rest of the grid may do better. */
static bool make_point(struct sweep *s)
{
    char name[32];
    struct runs_args args;
    struct runs_result *result = &s->results[s->n_results];
    snprintf(name, sizeof name, "run_%04zu", s->n_results + 1);
    make_args(s, s->n_results, &args);
    bool ok = runs_make(&s->runs, name, &args, result);
    runs_args_free(&args);
    if (ok)
        s->n_results++;
    else
        runs_result_free(result);
    return ok;
}

static int run(struct sweep *s)
{
    struct error err = {0};
    struct buf out = {0};
    bool goes_on = true, ok = true;
    s->results = xcalloc(s->n_wanted, sizeof *s->results);
    while (ok && goes_on && s->n_results < s->n_wanted) {
        goes_on = make_point(s);
        ok = sweep_write_json(s, &err) && sweep_write_csv(s, &err);
    }
    ok = ok && sweep_write_html(s, &err);
    sweep_print(&out, s);
    runs_print_file(&out, &s->runs, "JSON Export", "sweep.json");
    runs_print_file(&out, &s->runs, "CSV Export", "sweep.csv");
    runs_print_file(&out, &s->runs, "Report", "sweep.html");
    fputs(out.data, stdout);
    buf_free(&out);
    int code = runs_conclude(&s->runs, s->n_results, "points");
    return ok ? code : runs_break(&err);
}

int sweep_main(int argc, char **argv, int first)
{
    struct sweep s = {0};
    struct sweep_options o = {0};
    struct error err = {0};
    bool ok = runs_read(&s.runs, "sweep", OPTIONS, N_OPTIONS, argc, argv, first, &o, NULL, &err) &&
              read_grid(&s, &o.over, &err) && check_points(&s, &err);
    s.runs.pause_s = o.pause_s;
    if (ok)
        tell_fields(&s);
    int code = ok ? run(&s) : runs_fail("sweep", &err);
    for (size_t i = 0; i < s.n_results; i++)
        runs_result_free(&s.results[i]);
    free(s.results);
    sweep_grid_free(&s.grid);
    args_free(&o.over);
    runs_close(&s.runs);
    return code;
}

void sweep_help(void)
{
    args_help("fluxperf sweep --over NAME=V1,V2,... [option...] [option of profile...]",
              "Make a run at every combination of values, and put them into one table, sweep.csv, "
              "sweep.json and a page with charts, sweep.html." RUNS_SEE_PROFILE,
              OPTIONS, N_OPTIONS);
}
