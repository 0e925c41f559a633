#include "client/schedule.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"

#define MOMENTS_PASS 65536 /* moments read between two trims */

/* ---- lists ---------------------------------------------------------------------------------- */

enum list { DUE, ENTRY, USER, FOLLOWS, N_LISTS };

void schedule_init(struct schedule *s, const char *dir, int64_t n_places)
{
    *s = (struct schedule){.n_places = n_places};
    for (size_t i = 0; i < N_LISTS; i++)
        s->lists[i].dir = dir;
}

bool schedule_put(struct schedule *s, int64_t due_ns, uint64_t entry, int64_t user, bool follows,
                  struct error *err)
{
    s->n++;
    bool ok = spill_append(&s->lists[DUE], &due_ns, sizeof due_ns, err) &&
              spill_append(&s->lists[ENTRY], &entry, sizeof entry, err);
    return ok &&
           (s->n_places == 0 || (spill_append(&s->lists[USER], &user, sizeof user, err) &&
                                 spill_append(&s->lists[FOLLOWS], &follows, sizeof follows, err)));
}

bool schedule_done(struct schedule *s, struct error *err)
{
    for (size_t i = 0; i < N_LISTS; i++) {
        if (!spill_done(&s->lists[i], err))
            return false;
    }
    s->due_ns = (const void *)s->lists[DUE].at;
    s->entry = (const void *)s->lists[ENTRY].at;
    s->user = s->n_places > 0 ? (const void *)s->lists[USER].at : NULL;
    s->follows = s->n_places > 0 ? (const void *)s->lists[FOLLOWS].at : NULL;
    return true;
}

void schedule_trim(const struct schedule *s)
{
    for (size_t i = 0; i < N_LISTS; i++)
        spill_trim(&s->lists[i]);
}

void schedule_free(struct schedule *s)
{
    for (size_t i = 0; i < N_LISTS; i++)
        spill_close(&s->lists[i]);
    *s = (struct schedule){0};
}

/* ---- fixed ---------------------------------------------------------------------------------- */

struct moment {
    double at_ms;
    uint64_t entry;
};

static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    if (x->at_ms < y->at_ms || x->at_ms > y->at_ms)
        return x->at_ms < y->at_ms ? -1 : 1;
    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

static bool is_within(const struct schedule_window *w, double at_ms)
{
    return (!w->has_start || at_ms >= (double)w->start_ms) &&
           (!w->has_end || at_ms <= (double)w->end_ms);
}

static bool add_moment(struct spill *moments, const struct prompts_entry *e, size_t i,
                       const struct schedule_window *window, const char *path, struct error *err)
{
    const struct moment moment = {e->timestamp_ms, i};
    if (!e->has_timestamp)
        return fail_field(err, "timestamp",
                          "%s:%zu: no timestamp: --fixed-schedule needs one in each row, in ms",
                          path, e->line);
    return !is_within(window, e->timestamp_ms) ||
           spill_append(moments, &moment, sizeof moment, err);
}

static bool gather(struct spill *moments, const struct prompts *prompts,
                   const struct schedule_window *window, const char *path, struct error *err)
{
    struct prompts_reader reader = prompts_reader(prompts);
    bool ok = true;
    for (size_t i = 0; ok && i < prompts->n_entries; i++) {
        const struct prompts_entry e = prompts_at(&reader, i);
        ok = add_moment(moments, &e, i, window, path, err);
    }
    prompts_reader_free(&reader);
    if (ok && moments->size == 0)
        return fail_field(err, "--fixed-schedule-start-offset",
                          "%s has no timestamp between --fixed-schedule-start-offset and "
                          "--fixed-schedule-end-offset",
                          path);
    return ok && spill_done(moments, err);
}

bool schedule_make(struct schedule *s, const struct prompts *prompts,
                   const struct schedule_window *window, const char *path, const char *dir,
                   struct error *err)
{
    struct spill list = {.dir = dir};
    bool ok = gather(&list, prompts, window, path, err) &&
              spill_sort(&list, sizeof(struct moment), by_time, err);
    const struct moment *moments = (const void *)list.at;
    double zero_ms = !ok ? 0 : window->has_start ? (double)window->start_ms : moments[0].at_ms;
    schedule_init(s, dir, 0);
    for (size_t i = 0; ok && i < list.size / sizeof *moments; i++) {
        double at_ms = moments[i].at_ms - zero_ms;
        ok = schedule_put(s, (int64_t)round(at_ms * (double)NS_PER_MS), moments[i].entry, 0, false,
                          err);
        if (i % MOMENTS_PASS == 0)
            spill_trim(&list);
    }
    spill_close(&list);
    return ok && schedule_done(s, err);
}
