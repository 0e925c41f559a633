/* What `fluxperf determinism` tells: the table, and determinism.json. */
#include <math.h>
#include <stdlib.h>

#include "client/determinism.h"
#include "client/report_html_chart.h"
#include "client/table.h"

double determinism_least_psnr(const struct determinism_check *c)
{
    double least = NAN;
    for (size_t i = 0; i < c->n_pairs - c->n_equal; i++) {
        if (c->pairs[i].distance.is_known)
            least = fmin(least, c->pairs[i].distance.psnr_db); /* passes NaN over */
    }
    return least;
}

int determinism_max_difference(const struct determinism_check *c)
{
    int most = -1;
    for (size_t i = 0; i < c->n_pairs - c->n_equal; i++) {
        const struct determinism_distance *d = &c->pairs[i].distance;
        most = d->is_known && d->max_difference > most ? d->max_difference : most;
    }
    return most;
}

static const char *verdict_of(const struct determinism_check *c)
{
    return !c->is_made               ? "not made"
           : c->n_equal < c->n_pairs ? "different"
           : c->n_missing > 0        ? "incomplete"
                                     : "equal";
}

/* ---- the table ------------------------------------------------------------------------------ */

#define N_COLUMNS 6

static void add_row(struct table *t, const struct determinism_check *c)
{
    char **cells = xcalloc(N_COLUMNS, sizeof *cells);
    struct buf psnr = {0};
    double least = determinism_least_psnr(c);
    int most = determinism_max_difference(c);
    if (isinf(least))
        buf_puts(&psnr, "equal pixels");
    else
        report_html_number(&psnr, least);
    cells[0] = xstrdup(c->name);
    cells[1] = xstrdup(verdict_of(c));
    cells[2] = xasprintf("%zu", c->n_pairs);
    cells[3] = xasprintf("%zu", c->n_equal);
    cells[4] = psnr.data; /* the table's, as from malloc */
    cells[5] = most < 0 ? xstrdup("–") : xasprintf("%d", most);
    table_add_row(t, cells);
}

void determinism_print(struct buf *out, const struct determinism *d)
{
    static const char *const HEADS[N_COLUMNS] = {"Pictures made", "Verdict",       "Pairs", "Equal",
                                                 "Least PSNR dB", "Max difference"};
    struct table t = {.title = "The same seed, against the same made alone",
                      .heads = HEADS,
                      .n_columns = N_COLUMNS,
                      .is_left = {true, true}};
    for (size_t i = 0; i < d->n_checks; i++)
        add_row(&t, &d->checks[i]);
    table_print(out, &t);
    runs_print_file(out, &d->runs, "JSON Export", "determinism.json");
    table_free(&t);
}

/* ---- determinism.json ----------------------------------------------------------------------- */

static struct json *picture_of(const struct determinism *d, size_t run,
                               const struct determinism_picture *p)
{
    struct json *o = json_new_object();
    json_set(o, "run", json_new_string(d->results[run].name));
    json_set(o, "x_request_id", json_new_string(p->request_id));
    json_set(o, "index", json_new_int((int64_t)p->index));
    json_set(o, "sha256", json_new_string(p->sha256));
    return o;
}

static struct json *pair_of(const struct determinism *d, const struct determinism_check *c,
                            const struct determinism_pair *pair)
{
    struct json *o = json_new_object();
    json_set(o, "conversation_id", json_new_string(pair->other->prompt));
    json_set(o, "reference", picture_of(d, c->reference, pair->reference));
    json_set(o, "other", picture_of(d, c->other, pair->other));
    if (pair->distance.is_known) {
        json_set(o, "psnr_db", json_new_double(pair->distance.psnr_db)); /* infinite: null */
        json_set(o, "max_difference", json_new_int(pair->distance.max_difference));
        json_set(o, "differing_pixels", json_new_double(pair->distance.share));
    }
    return o;
}

static struct json *check_of(const struct determinism *d, const struct determinism_check *c)
{
    struct json *o = json_new_object(), *pairs = json_new_array();
    json_set(o, "name", json_new_string(c->name));
    json_set(o, "verdict", json_new_string(verdict_of(c)));
    json_set(o, "pairs", json_new_int((int64_t)c->n_pairs));
    json_set(o, "equal", json_new_int((int64_t)c->n_equal));
    json_set(o, "missing", json_new_int((int64_t)c->n_missing));
    for (size_t i = 0; i < c->n_pairs - c->n_equal; i++)
        json_push(pairs, pair_of(d, c, &c->pairs[i]));
    json_set(o, "different", pairs);
    return o;
}

bool determinism_write_json(const struct determinism *d, struct error *err)
{
    struct json *root = runs_json(&d->runs), *checks = json_new_array(), *runs = json_new_array();
    json_set(root, "prompts", json_new_int(d->n_prompts));
    for (size_t i = 0; i < d->n_checks; i++)
        json_push(checks, check_of(d, &d->checks[i]));
    json_set(root, "checks", checks);
    for (size_t i = 0; i < d->n_results; i++) {
        struct json *run = runs_json_result(&d->results[i]);
        json_set(run, "what", json_new_string(d->plans[i].name));
        json_set(run, "image_seed", json_new_int(d->plans[i].seed));
        json_set(run, "n", json_new_int(d->plans[i].n));
        json_push(runs, run);
    }
    json_set(root, "runs", runs);
    return runs_write_json(&d->runs, "determinism.json", root, err);
}
