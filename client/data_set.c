#include "client/data_set.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "client/prompts_file.h"
#include "client/users.h"

#define MAX_PLANNED 1e8                  /* requests of users; some 4 GB */
#define SCHEDULED_NAME "fixed-schedule-" /* before the session's, as AIPerf names its requests */

/* ---- entries -------------------------------------------------------------------------------- */

struct filling {
    struct prompts *prompts;
    struct draft_maker *maker;
};

static bool add(void *self, struct draft *d, struct error *err)
{
    struct filling *f = self;
    return draft_finish(f->maker, d, err) && prompts_put(f->prompts, d, err);
}

/* Rows of one session would be turns, each sent after the answer to the one before. */
static bool check_sessions(const struct prompts *p, const char *path, struct error *err)
{
    size_t a, b;
    bool found = false;
    if (p->n_named > 1 && !prompts_twins(p, true, &found, &a, &b, err))
        return false;
    if (!found)
        return true;
    struct prompts_reader readers[2] = {prompts_reader(p), prompts_reader(p)};
    const struct prompts_entry first = prompts_at(&readers[0], a);
    const struct prompts_entry second = prompts_at(&readers[1], b);
    fail_field(err, "session_id",
               "%s:%zu: session_id '%s' as in line %zu: a session of several rows is not supported",
               path, second.line, second.session_id, first.line);
    prompts_reader_free(&readers[0]);
    prompts_reader_free(&readers[1]);
    return false;
}

/* Whoever gives the rows timestamps may expect that they are used. */
static void warn_of_timestamps(const struct prompts *p, const char *path)
{
    struct prompts_reader reader = prompts_reader(p);
    if (prompts_at(&reader, 0).has_timestamp)
        log_warning("the timestamps of %s are not used without --fixed-schedule", path);
    prompts_reader_free(&reader);
}

static bool read_file(struct data_set *d, struct filling *f, const struct options *o,
                      struct error *err)
{
    const struct prompts_source source = {.path = o->input_file,
                                          .format = (enum prompts_format)o->dataset_format,
                                          .takes_images = o->kind->takes_images,
                                          .n_drawn = (size_t)o->n_entries,
                                          .seed = o->seed,
                                          .spill_dir = d->dir};
    if (!prompts_read(&source, add, f, err) || !prompts_done(&d->prompts, err) ||
        !check_sessions(&d->prompts, o->input_file, err))
        return false;
    if (!o->is_fixed_schedule)
        warn_of_timestamps(&d->prompts, o->input_file);
    return true;
}

static bool make_one(struct filling *f, struct random *lengths, const struct options *o,
                     size_t turn, struct error *err)
{
    struct draft d = {.turn = turn, .n_tokens = random_length(lengths, o->isl_mean, o->isl_std)};
    bool ok = add(f, &d, err);
    draft_free(&d);
    return ok;
}

/* Prompts of drawn lengths; for users, sessions of a drawn number of them. */
static bool make_up(struct data_set *d, struct filling *f, const struct options *o,
                    struct error *err)
{
    struct random lengths, turns;
    bool ok = true;
    random_init(&lengths, o->seed, "dataset.prompt.length");
    random_init(&turns, o->seed, "composer.conversation.turn_count");
    for (int64_t i = 0; ok && i < o->n_entries; i++) {
        int64_t n = o->user_rate_hz > 0 ? random_length(&turns, floor(o->turns_mean),
                                                        floor(o->turns_std)) /* whole, as AIPerf */
                                        : 1;
        for (int64_t k = 0; ok && k < n; k++)
            ok = make_one(f, &lengths, o, (size_t)k, err);
    }
    return ok && prompts_done(&d->prompts, err);
}

static bool fill(struct data_set *d, const struct options *o, struct error *err)
{
    const struct draft_options options = {.model = o->model,
                                          .extra = &o->extra,
                                          .tokens = d->tokens,
                                          .correlation_mark =
                                              o->is_fixed_schedule ? SCHEDULED_NAME : NULL,
                                          .shape = o->kind->takes_images ? &o->image_shape : NULL,
                                          .is_seeded = o->has_seed,
                                          .seed = o->seed};
    struct filling f = {&d->prompts, draft_maker_open(&options)};
    bool ok = o->input_file ? read_file(d, &f, o, err) : make_up(d, &f, o, err);
    draft_maker_close(f.maker);
    return ok;
}

/* ---- when they are due ---------------------------------------------------------------------- */

static bool make_schedule(struct data_set *d, const struct options *o, struct error *err)
{
    const struct schedule_window window = {
        .has_start = options_given(o, "--fixed-schedule-start-offset"),
        .has_end = options_given(o, "--fixed-schedule-end-offset"),
        .start_ms = o->schedule_start_ms,
        .end_ms = o->schedule_end_ms};
    return schedule_make(&d->schedule, &d->prompts, &window, o->input_file, d->dir, err);
}

/* Requests of users that are due: as many as asked for, or as the duration has room for. */
static size_t count_planned(const struct options *o)
{
    double n = o->duration_s > 0 ? ceil(o->duration_s * o->user_rate_hz) : INFINITY;
    n = o->n_wanted > 0 ? fmin(n, (double)o->n_wanted) : n;
    return (size_t)fmin(n, MAX_PLANNED);
}

/* ---- both ----------------------------------------------------------------------------------- */

/* The directory, or the nearest one above it that exists. */
static char *find_dir(const char *wanted)
{
    char *dir = xstrdup(wanted);
    while (!file_exists(dir)) {
        char *slash = strrchr(dir, '/');
        if (!slash) {
            free(dir);
            return xstrdup(".");
        }
        slash[slash == dir ? 1 : 0] = '\0';
    }
    return dir;
}

static bool make(struct data_set *d, const struct options *o, struct error *err)
{
    if (!tokens_open(&d->tokens, o->tokenizer, err))
        return false;
    if (strcmp(o->tokenizer, "builtin") == 0)
        log_info("--tokenizer builtin is gpt2 here; AIPerf's counts with another vocabulary");
    d->dir = find_dir(o->run_dir);
    prompts_init(&d->prompts, d->dir);
    if (!fill(d, o, err))
        return false;
    if (o->user_rate_hz > 0)
        return users_plan(&d->schedule, &d->prompts, o->n_users, o->user_rate_hz, count_planned(o),
                          d->dir, err);
    return !o->is_fixed_schedule || make_schedule(d, o, err);
}

bool data_set_open(struct data_set *d, const struct options *o, struct error *err)
{
    struct error why = {0};
    if (make(d, o, &why))
        return true;
    if (why.code == ERR_IO || why.code == ERR_NOT_FOUND) /* a file that an option or a row names */
        why.code = ERR_INVALID;
    if (err && err->code == ERR_NONE)
        *err = why;
    return false;
}

void data_set_close(struct data_set *d)
{
    schedule_free(&d->schedule);
    prompts_free(&d->prompts);
    tokens_close(d->tokens);
    free(d->dir);
    *d = (struct data_set){0};
}
