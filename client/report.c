#include "client/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* Equal texts mostly are the same one (kept.h). */
static bool is_same_text(const char *a, const char *b) { return a == b || strcmp(a, b) == 0; }

static bool is_same_failure(const struct record *a, const struct record *b)
{
    return a->error.code == b->error.code && is_same_text(a->error.type, b->error.type) &&
           is_same_text(a->error.message, b->error.message);
}

static void group_failures(struct report_phase *p)
{
    for (size_t i = 0; i < p->n_records; i++) {
        const struct record *r = p->records[i];
        kept_pass(p->kept, i);
        if (record_succeeded(r))
            continue;
        size_t at = 0;
        while (at < p->n_failures && !is_same_failure(p->failures[at].first, r))
            at++;
        if (at == p->n_failures) {
            p->failures = xrealloc(p->failures, (at + 1) * sizeof *p->failures);
            p->failures[p->n_failures++] = (struct report_failure){.first = r};
        }
        p->failures[at].count++;
    }
}

static void leave_out_canceled(struct report_phase *p)
{
    p->chosen = xcalloc(p->n_flights, sizeof *p->chosen);
    for (size_t i = 0; i < p->n_flights; i++) {
        kept_pass(p->kept, i);
        if (!record_was_canceled(p->flights[i]))
            p->chosen[p->n_records++] = p->flights[i];
    }
    p->records = p->chosen;
}

/* A phase ends before the next one begins, so its requests stand together. */
static void find_requests(struct report_phase *p, int index, struct record *const *all,
                          size_t n_all)
{
    size_t first = 0, n_canceled = 0;
    while (first < n_all && all[first]->phase != index)
        kept_pass(p->kept, first++);
    for (size_t i = first; i < n_all && all[i]->phase == index; i++) {
        kept_pass(p->kept, i);
        p->n_flights++;
        n_canceled += record_was_canceled(all[i]);
    }
    p->flights = all + first;
    if (n_canceled > 0) {
        leave_out_canceled(p);
    } else {
        p->records = p->flights;
        p->n_records = p->n_flights;
    }
}

void report_phase_fill(struct report_phase *p, int index, struct record *const *all, size_t n_all,
                       bool has_objectives)
{
    find_requests(p, index, all, n_all);
    struct metrics_input in = {
        .records = p->records,
        .n_records = p->n_records,
        .flights = p->flights,
        .n_flights = p->n_flights,
        .kept = p->kept,
        .start_ns = p->load.start_ns,
        .end_ns = p->load.end_ns,
        .n_canceled = p->load.n_canceled,
        .n_unsent = p->load.n_unsent,
        .is_replay = p->is_replay,
        .n_held = p->load.n_held,
        .held_ns = p->load.held_ns,
        .has_objectives = has_objectives,
    };
    metrics_compute(&p->metrics, &in);
    group_failures(p);
}

/* The requests that started in [from_ns, to_ns). */
static void fill_slice(struct report_slice *s, const struct report_phase *p, bool has_objectives)
{
    struct record **chosen = xcalloc(p->n_records, sizeof *chosen);
    size_t n = 0;
    for (size_t i = 0; i < p->n_records; i++) {
        int64_t at_ns = p->records[i]->start_ns;
        kept_pass(p->kept, i);
        if (at_ns >= s->start_ns && at_ns < s->end_ns)
            chosen[n++] = p->records[i];
    }
    struct metrics_input in = {
        .records = chosen,
        .n_records = n,
        .flights = p->flights,
        .n_flights = p->n_flights,
        .kept = p->kept,
        .start_ns = s->start_ns,
        .end_ns = s->end_ns,
        .has_objectives = has_objectives,
        .is_slice = true,
    };
    metrics_compute(&s->metrics, &in);
    free(chosen);
}

bool report_make_slices(struct report *r, int64_t slice_ns, struct error *err)
{
    const struct report_phase *p = report_main_phase(r);
    if (p->n_records == 0)
        return true;
    int64_t first_ns = INT64_MAX, last_ns = 0;
    for (size_t i = 0; i < p->n_records; i++) {
        const struct record *record = p->records[i];
        kept_pass(p->kept, i);
        first_ns = record->start_ns < first_ns ? record->start_ns : first_ns;
        last_ns = record->end_ns > last_ns ? record->end_ns : last_ns;
    }
    size_t n = (size_t)((last_ns - first_ns + slice_ns - 1) / slice_ns);
    n = n ? n : 1;
    if (n > REPORT_MAX_SLICES)
        return fail_field(err, "--slice-duration",
                          "--slice-duration %g makes %zu slices of this run: the most are %d",
                          clock_seconds(slice_ns), n, REPORT_MAX_SLICES);
    r->slices = xcalloc(n, sizeof *r->slices);
    for (; r->n_slices < n; r->n_slices++) {
        struct report_slice *s = &r->slices[r->n_slices];
        s->start_ns = first_ns + (int64_t)r->n_slices * slice_ns;
        s->end_ns = s->start_ns + slice_ns;
        s->is_complete = s->end_ns <= last_ns;
        if (!s->is_complete)
            s->end_ns = last_ns > s->start_ns ? last_ns : s->start_ns + 1;
        fill_slice(s, p, r->options->n_objectives > 0);
    }
    return true;
}

const struct report_phase *report_main_phase(const struct report *r)
{
    return &r->phases[r->n_phases - 1];
}

void report_free(struct report *r)
{
    for (size_t i = 0; i < r->n_phases; i++) {
        metrics_free(&r->phases[i].metrics);
        free(r->phases[i].chosen);
        free(r->phases[i].failures);
    }
    for (size_t i = 0; i < r->n_slices; i++)
        metrics_free(&r->slices[i].metrics);
    free(r->phases);
    free(r->slices);
}
