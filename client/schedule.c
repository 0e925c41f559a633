#include "client/schedule.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"

struct moment {
    double at_ms;
    size_t entry;
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

static bool gather(struct moment *moments, size_t *n, const struct prompts *prompts,
                   const struct schedule_window *window, const char *path, struct error *err)
{
    for (size_t i = 0; i < prompts->n_entries; i++) {
        const struct prompts_entry *e = &prompts->entries[i];
        if (!e->has_timestamp)
            return fail_field(err, "timestamp",
                              "%s:%zu: no timestamp: --fixed-schedule needs one in each row, in ms",
                              path, e->line);
        if (is_within(window, e->timestamp_ms))
            moments[(*n)++] = (struct moment){e->timestamp_ms, i};
    }
    if (*n == 0)
        return fail_field(err, "--fixed-schedule-start-offset",
                          "%s has no timestamp between --fixed-schedule-start-offset and "
                          "--fixed-schedule-end-offset",
                          path);
    return true;
}

bool schedule_make(struct schedule *s, const struct prompts *prompts,
                   const struct schedule_window *window, const char *path, struct error *err)
{
    struct moment *moments = xcalloc(prompts->n_entries, sizeof *moments);
    size_t n = 0;
    bool ok = gather(moments, &n, prompts, window, path, err);
    if (ok) {
        qsort(moments, n, sizeof *moments, by_time);
        double zero_ms = window->has_start ? (double)window->start_ms : moments[0].at_ms;
        schedule_reserve(s, n);
        for (size_t i = 0; i < n; i++) {
            s->due_ns[i] = (int64_t)round((moments[i].at_ms - zero_ms) * (double)NS_PER_MS);
            s->entry[i] = moments[i].entry;
            s->correlation[i] = prompts->entries[s->entry[i]].correlation;
        }
    }
    free(moments);
    return ok;
}

void schedule_reserve(struct schedule *s, size_t n)
{
    *s = (struct schedule){.due_ns = xcalloc(n, sizeof *s->due_ns),
                           .entry = xcalloc(n, sizeof *s->entry),
                           .follows = xcalloc(n, sizeof *s->follows),
                           .correlation = xcalloc(n, sizeof *s->correlation),
                           .names = xcalloc(n, sizeof *s->names),
                           .n = n};
}

void schedule_free(struct schedule *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->names[i]);
    free(s->due_ns);
    free(s->entry);
    free(s->follows);
    free((void *)s->correlation);
    free(s->names);
    *s = (struct schedule){0};
}
