#include "client/capacity_search.h"

#include <math.h>

#define FIGURES 1e3 /* loads that are no whole numbers have four */

void capacity_search_init(struct capacity_search *s, const struct capacity_settings *settings)
{
    *s = (struct capacity_search){.settings = *settings, .load = settings->start, .is_open = true};
}

/* ---- choosing ------------------------------------------------------------------------------- */

static double tidy(const struct capacity_search *s, double load)
{
    if (s->settings.is_integer)
        return floor(load);
    double unit = pow(10, floor(log10(load))) / FIGURES;
    return round(load / unit) * unit;
}

/* The middle of a gap that is still too wide; false: it is closed. */
static bool halve(const struct capacity_search *s, double low, double high, double *load)
{
    if (low <= 0 || high <= 0 || high <= low * (1 + s->settings.resolution))
        return false;
    *load = tidy(s, (low + high) / 2);
    return *load > low && *load < high;
}

static double at_most(double a, double b) { return a <= 0 || (b > 0 && b < a) ? b : a; }

static bool choose(const struct capacity_search *s, double *load)
{
    const struct capacity_settings *o = &s->settings;
    double highest = fmax(s->holds, s->uncertain_to);
    double lowest = at_most(s->uncertain_from, s->fails);
    if (s->fails <= 0 && highest < o->most) {
        *load = fmin(2 * highest, o->most);
        return true;
    }
    if (s->holds <= 0 && lowest > o->least) {
        *load = fmax(tidy(s, lowest / 2), o->least);
        return true;
    }
    return halve(s, s->holds, lowest, load) || halve(s, s->uncertain_to, s->fails, load);
}

bool capacity_search_next(struct capacity_search *s, double *load)
{
    if (!s->is_open) {
        if (!choose(s, &s->load))
            return false;
        s->n_runs = 0;
        s->is_open = true;
    }
    *load = s->load;
    return true;
}

/* ---- learning ------------------------------------------------------------------------------- */

/* A clear verdict beats the uncertainty on its own side of it. */
static void forget_uncertain(struct capacity_search *s)
{
    bool is_below = s->holds > 0 && s->uncertain_to <= s->holds;
    bool is_above = s->fails > 0 && s->uncertain_from >= s->fails;
    if (is_below || is_above)
        s->uncertain_from = s->uncertain_to = 0;
}

void capacity_search_take(struct capacity_search *s, enum capacity_verdict verdict)
{
    s->n_runs++;
    if (verdict == CAPACITY_UNCERTAIN && s->n_runs < s->settings.max_runs)
        return; /* the same load again */
    s->is_open = false;
    if (verdict == CAPACITY_HOLDS) {
        s->holds = fmax(s->holds, s->load);
    } else if (verdict == CAPACITY_FAILS) {
        s->fails = at_most(s->fails, s->load);
    } else {
        s->uncertain_from = at_most(s->uncertain_from, s->load);
        s->uncertain_to = fmax(s->uncertain_to, s->load);
    }
    forget_uncertain(s);
}
