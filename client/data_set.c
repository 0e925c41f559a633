#include "client/data_set.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "client/edit.h"
#include "client/prompts_file.h"
#include "client/users.h"

#define MAX_PLANNED 1e8                  /* requests of users; some 4 GB */
#define SCHEDULED_NAME "fixed-schedule-" /* before the session's, as AIPerf names its requests */

static bool read_file(struct data_set *d, const struct options *o, struct error *err)
{
    struct prompts *p = &d->prompts;
    if (!prompts_read(p, o->input_file, (enum prompts_format)o->dataset_format,
                      o->kind->takes_images, err))
        return false;
    if (o->dataset_format == PROMPTS_RANDOM_POOL)
        prompts_draw(p, (size_t)o->n_entries, o->seed);
    for (size_t i = 0; i < p->n_entries && !d->tokens; i++) {
        if (!p->entries[i].text)
            return fail_field(
                err, "--tokenizer",
                "%s:%zu: input_length: --tokenizer none can't make prompts of a length",
                o->input_file, p->entries[i].line);
    }
    prompts_make_texts(p, o->seed, d->tokens);
    if (!o->is_fixed_schedule && p->entries[0].has_timestamp)
        log_warning("the timestamps of %s are not used without --fixed-schedule", o->input_file);
    return true;
}

static bool make_schedule(struct data_set *d, const struct options *o, struct error *err)
{
    const struct schedule_window window = {
        .has_start = options_given(o, "--fixed-schedule-start-offset"),
        .has_end = options_given(o, "--fixed-schedule-end-offset"),
        .start_ms = o->schedule_start_ms,
        .end_ms = o->schedule_end_ms};
    for (size_t i = 0; i < d->prompts.n_entries; i++) {
        struct prompts_entry *e = &d->prompts.entries[i];
        e->correlation = xasprintf(SCHEDULED_NAME "%s", e->session_id);
    }
    return schedule_make(&d->schedule, &d->prompts, &window, o->input_file, err);
}

/* The form of one edit; its picture is read, or made up when the row has none. */
static bool make_form(struct prompts_entry *e, const struct data_set *d, const struct options *o,
                      struct edit_image_maker *maker, struct error *err)
{
    struct buf file = {0};
    struct edit_form form = {0};
    bool is_url = e->image && edit_image_is_url(e->image);
    struct edit_input in = {e->text, o->model, is_url ? e->image : NULL, &file};
    bool ok = is_url || (e->image ? edit_image_read(&file, e->image, err)
                                  : edit_image_make(maker, &file, err));
    ok = ok && edit_form_make(&form, &in, &o->extra, &e->extra, err);
    buf_free(&file);
    e->body = form.body;
    e->json = form.json;
    e->content_type = form.content_type;
    if (ok && d->tokens)
        e->isl = tokens_count(d->tokens, e->text, strlen(e->text));
    return ok || (e->line ? error_prefix(err, "%s:%zu", o->input_file, e->line) : false);
}

static bool make_forms(struct data_set *d, const struct options *o, struct error *err)
{
    struct edit_image_maker *maker = xmalloc(sizeof *maker); /* too large for a stack */
    bool ok = true;
    edit_image_maker_init(maker, &o->image_shape, o->seed);
    prompts_name(&d->prompts, o->has_seed);
    for (size_t i = 0; ok && i < d->prompts.n_entries; i++)
        ok = make_form(&d->prompts.entries[i], d, o, maker, err);
    free(maker);
    return ok;
}

static void make_sessions(struct data_set *d, const struct options *o)
{
    prompts_make_sessions(&d->prompts, (size_t)o->n_entries, floor(o->turns_mean),
                          floor(o->turns_std), o->seed); /* whole numbers, as AIPerf takes them */
    prompts_fill(&d->prompts, o->isl_mean, o->isl_std, o->seed, d->tokens);
}

/* Requests of users that are due: as many as asked for, or as the duration has room for. */
static size_t count_planned(const struct options *o)
{
    double n = o->duration_s > 0 ? ceil(o->duration_s * o->user_rate_hz) : INFINITY;
    n = o->n_wanted > 0 ? fmin(n, (double)o->n_wanted) : n;
    return (size_t)fmin(n, MAX_PLANNED);
}

static bool make(struct data_set *d, const struct options *o, struct error *err)
{
    if (!tokens_open(&d->tokens, o->tokenizer, err))
        return false;
    if (strcmp(o->tokenizer, "builtin") == 0)
        log_info("--tokenizer builtin is gpt2 here; AIPerf's counts with another vocabulary");
    if (o->user_rate_hz > 0)
        make_sessions(d, o);
    else if (!o->input_file)
        prompts_make(&d->prompts, (size_t)o->n_entries, o->isl_mean, o->isl_std, o->seed,
                     d->tokens);
    else if (!read_file(d, o, err))
        return false;
    if (o->kind->takes_images) {
        if (!make_forms(d, o, err))
            return false;
    } else {
        prompts_finish(&d->prompts, d->tokens, o->has_seed, o->model, &o->extra);
    }
    if (o->user_rate_hz > 0)
        users_plan(&d->schedule, &d->prompts, o->n_users, o->user_rate_hz, count_planned(o));
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
    d->tokens = NULL;
}
