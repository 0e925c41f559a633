/* A model on all ranks of a team: each loads it on its back end and runs the pipeline, at once. */
#include <stdio.h>

#include "flux/model.h"

bool flux_check_heads(const struct flux_config *c, int n, struct error *err)
{
    int64_t heads = c->transformer.n_heads;
    if (n <= 1 || heads % n == 0) {
        return true;
    }
    char possible[64] = "1";
    for (int i = 2, end = 1; i <= SHARE_MAX && i <= heads; i++) {
        if (heads % i == 0) {
            end += snprintf(possible + end, sizeof possible - (size_t)end, ", %d", i);
        }
    }
    return fail_field(
        err, "ulysses_degree",
        "ulysses_degree %d: the model has %lld heads of attention, which can be split "
        "by %s",
        n, (long long)heads, possible);
}

/* What the ranks of a team do at once; each has its own result. */
struct opening {
    const struct team *team;
    const char *model;
    const struct flux_load *load;
    struct flux *opened[SHARE_MAX];
    struct error errors[SHARE_MAX];
};

static void open_rank(void *ctx, int rank)
{
    struct opening *o = ctx;
    (void)flux_open_alone(&o->opened[rank], team_backend(o->team, rank), o->model, o->load,
                          &o->errors[rank]);
}

bool flux_open_as(struct flux **out, struct backend *b, const char *model,
                  const struct flux_load *load, struct error *err)
{
    static const struct flux_load CHECKPOINT = {0};
    load = load != NULL ? load : &CHECKPOINT;
    if (b->team == NULL) {
        return flux_open_alone(out, b, model, load, err);
    }
    *out = NULL;
    struct opening o = {.team = b->team, .model = model, .load = load};
    team_run(b->team, open_rank, &o);
    struct flux *f = o.opened[0];
    bool ok = f != NULL;
    for (int rank = 1; rank < team_size(b->team); rank++) {
        ok = ok && o.opened[rank] != NULL;
    }
    for (int rank = 0; rank < team_size(b->team); rank++) {
        if (!ok) {
            flux_close(o.opened[rank]);
        } else if (rank > 0) {
            f->mates[rank] = o.opened[rank];
        }
        if (o.errors[rank].code != ERR_NONE && err != NULL && err->code == ERR_NONE) {
            *err = o.errors[rank];
        }
    }
    *out = ok ? f : NULL;
    return ok;
}

struct generating {
    struct flux *model;
    const struct flux_spec *spec;
    const struct flux_hooks *hooks;
    struct flux_result results[SHARE_MAX];
    struct error errors[SHARE_MAX];
    bool is_follower[SHARE_MAX];
};

static void generate_rank(void *ctx, int rank)
{
    struct generating *g = ctx;
    struct flux *f = rank == 0 ? g->model : g->model->mates[rank];
    (void)flux_generate_alone(f, g->spec, rank == 0 ? g->hooks : NULL, &g->results[rank],
                              &g->is_follower[rank], &g->errors[rank]);
}

/* The error of the rank that stopped first. */
static bool first_error(const struct generating *g, int n, struct error *err)
{
    const struct error *found = &g->errors[0];
    for (int rank = n - 1; rank >= 0; rank--) {
        if (g->errors[rank].code != ERR_NONE && !g->is_follower[rank]) {
            found = &g->errors[rank];
        }
    }
    if (found->code != ERR_NONE) {
        *err = *found;
    }
    return found->code == ERR_NONE;
}

bool flux_generate(struct flux *f, const struct flux_spec *spec, const struct flux_hooks *hooks,
                   struct flux_result *result, struct error *err)
{
    struct error own = {0};
    bool follows;
    err = err != NULL ? err : &own;
    *result = (struct flux_result){0};
    if (!flux_check(f, spec, err)) {
        return false;
    }
    struct team *team = f->backend->team;
    if (team == NULL) {
        return flux_generate_alone(f, spec, hooks, result, &follows, err);
    }
    if (hooks != NULL && hooks->dump != NULL) {
        return fail_field(err, "dump",
                          "dump of tensors: not of an image that is made by %d devices",
                          team_size(team));
    }
    if (hooks != NULL && hooks->profile != NULL) {
        return fail_field(err, "profile",
                          "profile of steps: not of an image that is made by %d devices",
                          team_size(team));
    }
    struct generating g = {.model = f, .spec = spec, .hooks = hooks};
    team_run(team, generate_rank, &g);
    bool ok = first_error(&g, team_size(team), err);
    for (int rank = ok ? 1 : 0; rank < team_size(team); rank++) {
        flux_result_free(&g.results[rank]);
    }
    *result = g.results[0];
    return ok;
}
