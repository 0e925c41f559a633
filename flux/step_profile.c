/* Steps of the first group of rows are profiled; those of later groups are like them. */
#include "flux/step_profile.h"

#include <ctype.h>
#include <stdlib.h>

#include "tensor/profile.h"

/* A step's number at text; the first character behind it, or NULL. */
static const char *read_step(const char *text, int *step)
{
    char *end = NULL;
    long value = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : -1;
    *step = (int)value;
    return value >= 0 && value < FLUX_MAX_STEPS ? end : NULL;
}

bool step_profile_parse(struct step_profile *p, const char *field, const char *text,
                        struct error *err)
{
    *p = (struct step_profile){0};
    const char *end = read_step(text, &p->first);
    p->last = p->first;
    if (end != NULL && *end == ':') {
        end = read_step(end + 1, &p->last);
    }
    if (end != NULL && *end == '\0' && p->first <= p->last) {
        return true;
    }
    return fail_field(err, field,
                      "%s '%s': must be FIRST:LAST or one step, as in 1:5 for the second to the "
                      "sixth of at most %d",
                      field, text, FLUX_MAX_STEPS);
}

void step_profile_free(struct step_profile *p)
{
    profile_free(p->profile);
    *p = (struct step_profile){0};
}

void step_profile_before(struct step_profile *p, struct backend *b, int step)
{
    if (p == NULL) {
        return;
    }
    if (step > p->last) {
        step_profile_stop(p);
    }
    if (step == p->first) {
        p->profile = p->profile != NULL ? p->profile : profile_new();
        p->running = b;
        backend_record(b, true);
        profile_begin(p->profile, b);
    }
    p->n_steps += p->running != NULL ? 1 : 0;
}

void step_profile_stop(struct step_profile *p)
{
    if (p == NULL || p->running == NULL) {
        return;
    }
    profile_end(p->profile);
    backend_record(p->running, false);
    p->running = NULL;
}

void step_profile_print(const struct step_profile *p, const struct flux_result *result,
                        struct buf *out)
{
    double profiled_s = 0, others_s = 0;
    int n_profiled = 0, n_others = 0;
    if (p->n_steps == 0) {
        return;
    }
    for (int i = 0; i < result->n_step_times; i++) {
        bool is_profiled = i < result->steps_run && i >= p->first && i <= p->last;
        *(is_profiled ? &profiled_s : &others_s) += result->step_s[i];
        *(is_profiled ? &n_profiled : &n_others) += 1;
    }
    profile_print(p->profile, out);
    buf_printf(out, "%d profiled step%s from step %d on: %.4f s each", n_profiled,
               n_profiled == 1 ? "" : "s", p->first, profiled_s / (n_profiled ? n_profiled : 1));
    if (n_others > 0) {
        buf_printf(out, "; the %d other%s %.4f s each", n_others, n_others == 1 ? "" : "s",
                   others_s / n_others);
    }
    buf_puts(out, "\n");
}
