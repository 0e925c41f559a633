#include "client/timeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"

/* ---- columns -------------------------------------------------------------------------------- */

/* Drop every second column, but for the last one. */
static void thin(struct timeline *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_columns; i++) {
        if (i % 2 == 1 && i + 1 < t->n_columns)
            continue;
        t->at_ns[n] = t->at_ns[i];
        t->took_ns[n] = t->took_ns[i];
        for (size_t k = 0; k < t->n_series; k++)
            t->series[k].values[n] = t->series[k].values[i];
        n++;
    }
    t->n_columns = n;
    t->stride *= 2;
}

void timeline_begin(struct timeline *t, int64_t at_ns)
{
    t->stride = t->stride ? t->stride : 1;
    if (t->n_columns == TIMELINE_MAX_COLUMNS)
        thin(t);
    if (t->n_columns == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 64;
        t->at_ns = xrealloc(t->at_ns, t->capacity * sizeof *t->at_ns);
        t->took_ns = xrealloc(t->took_ns, t->capacity * sizeof *t->took_ns);
        t->scratch = xrealloc(t->scratch, t->capacity * sizeof *t->scratch);
        for (size_t k = 0; k < t->n_series; k++)
            t->series[k].values =
                xrealloc(t->series[k].values, t->capacity * sizeof *t->series[k].values);
    }
    t->took_ns[t->n_columns] = 0;
    t->at_ns[t->n_columns++] = at_ns;
    for (size_t k = 0; k < t->n_series; k++)
        t->series[k].values[t->n_columns - 1] = NAN;
    t->cursor = 0;
}

/* ---- series --------------------------------------------------------------------------------- */

static bool is_series(const struct timeline_series *s, const struct prometheus_sample *sample)
{
    if (s->n_labels != sample->n_labels || strcmp(s->name, sample->name) != 0)
        return false;
    for (size_t i = 0; i < s->n_labels; i++) {
        if (strcmp(s->labels[i].name, sample->labels[i].name) != 0 ||
            strcmp(s->labels[i].value, sample->labels[i].value) != 0)
            return false;
    }
    return true;
}

static struct timeline_series *add_series(struct timeline *t,
                                          const struct prometheus_sample *sample)
{
    if (t->n_series == TIMELINE_MAX_SERIES) {
        t->n_refused++;
        return NULL;
    }
    if ((t->n_series & (t->n_series - 1)) == 0) /* full at every power of two */
        t->series = xrealloc(t->series, (t->n_series ? 2 * t->n_series : 1) * sizeof *t->series);
    struct timeline_series *s = &t->series[t->n_series++];
    *s = (struct timeline_series){.name = xstrdup(sample->name), .n_labels = sample->n_labels};
    s->labels = xcalloc(s->n_labels + 1, sizeof *s->labels);
    for (size_t i = 0; i < s->n_labels; i++)
        s->labels[i] = (struct prometheus_label){xstrdup(sample->labels[i].name),
                                                 xstrdup(sample->labels[i].value)};
    s->values = xmalloc(t->capacity * sizeof *s->values);
    for (size_t i = 0; i < t->n_columns; i++)
        s->values[i] = NAN;
    return s;
}

void timeline_put(struct timeline *t, const struct prometheus_sample *sample)
{
    struct timeline_series *found = NULL;
    for (size_t i = 0; i < t->n_series && !found; i++) { /* from the cursor, around */
        struct timeline_series *s = &t->series[(t->cursor + i) % t->n_series];
        found = is_series(s, sample) ? s : NULL;
    }
    found = found ? found : add_series(t, sample);
    if (!found)
        return;
    found->values[t->n_columns - 1] = isfinite(sample->value) ? sample->value : NAN;
    t->cursor = (size_t)(found - t->series) + 1;
}

void timeline_put_one(struct timeline *t, const char *name, const char *label, const char *text,
                      double value)
{
    const struct prometheus_label labels[1] = {{label, text}};
    struct prometheus_sample sample = {
        .name = name, .labels = labels, .n_labels = label ? 1 : 0, .value = value};
    timeline_put(t, &sample);
}

const char *timeline_label(const struct timeline_series *s, const char *name)
{
    for (size_t i = 0; i < s->n_labels; i++) {
        if (strcmp(s->labels[i].name, name) == 0)
            return s->labels[i].value;
    }
    return NULL;
}

struct timeline_series *timeline_find(const struct timeline *t, const char *name, const char *label,
                                      const char *text)
{
    for (size_t i = 0; i < t->n_series; i++) {
        struct timeline_series *s = &t->series[i];
        const char *value = label ? timeline_label(s, label) : NULL;
        if (strcmp(s->name, name) == 0 && (!label || (value && strcmp(value, text) == 0)))
            return s;
    }
    return NULL;
}

/* ---- families ------------------------------------------------------------------------------- */

static struct timeline_family *family_named(const struct timeline *t, const char *name, size_t size)
{
    for (size_t i = 0; i < t->n_families; i++) {
        if (strlen(t->families[i].name) == size && memcmp(t->families[i].name, name, size) == 0)
            return &t->families[i];
    }
    return NULL;
}

static struct timeline_family *make_family(struct timeline *t, const char *name)
{
    struct timeline_family *f = family_named(t, name, strlen(name));
    if (f || t->n_families == TIMELINE_MAX_SERIES)
        return f;
    if ((t->n_families & (t->n_families - 1)) == 0)
        t->families =
            xrealloc(t->families, (t->n_families ? 2 * t->n_families : 1) * sizeof *t->families);
    f = &t->families[t->n_families++];
    *f = (struct timeline_family){.name = xstrdup(name)};
    return f;
}

void timeline_type(struct timeline *t, const char *family, enum prometheus_type type)
{
    struct timeline_family *f = make_family(t, family);
    if (f)
        f->type = type;
}

void timeline_help(struct timeline *t, const char *family, const char *text)
{
    struct timeline_family *f = make_family(t, family);
    if (f && !f->help)
        f->help = xstrdup(text);
}

const struct timeline_family *timeline_family_of(const struct timeline *t, const char *name)
{
    static const char *const TAILS[] = {"_bucket", "_sum", "_count", "_total"};
    size_t size = strlen(name);
    const struct timeline_family *f = family_named(t, name, size);
    for (size_t i = 0; i < sizeof TAILS / sizeof TAILS[0] && !f; i++) {
        size_t n = strlen(TAILS[i]);
        if (size <= n || strcmp(name + size - n, TAILS[i]) != 0)
            continue;
        f = family_named(t, name, size - n);
        bool has_parts = f && (f->type == PROMETHEUS_HISTOGRAM || f->type == PROMETHEUS_SUMMARY);
        bool is_counter = f && f->type == PROMETHEUS_COUNTER; /* OpenMetrics names it without */
        if (strcmp(TAILS[i], "_total") == 0 ? !is_counter : !has_parts)
            f = NULL;
    }
    return f;
}

/* ---- a whole text --------------------------------------------------------------------------- */

static void on_type(void *self, const char *family, enum prometheus_type type)
{
    timeline_type(self, family, type);
}

static void on_help(void *self, const char *family, const char *text)
{
    timeline_help(self, family, text);
}

static void on_sample(void *self, const struct prometheus_sample *sample)
{
    timeline_put(self, sample);
}

size_t timeline_scrape(struct timeline *t, int64_t at_ns, const char *text, size_t size)
{
    const struct prometheus_sink sink = {t, on_type, on_help, on_sample};
    timeline_begin(t, at_ns);
    return prometheus_parse(text, size, &sink);
}

void timeline_free(struct timeline *t)
{
    for (size_t i = 0; i < t->n_series; i++) {
        struct timeline_series *s = &t->series[i];
        for (size_t k = 0; k < s->n_labels; k++) {
            free((char *)s->labels[k].name);
            free((char *)s->labels[k].value);
        }
        free(s->labels);
        free(s->name);
        free(s->values);
    }
    for (size_t i = 0; i < t->n_families; i++) {
        free(t->families[i].name);
        free(t->families[i].help);
    }
    free(t->series);
    free(t->families);
    free(t->at_ns);
    free(t->took_ns);
    free(t->scratch);
    *t = (struct timeline){0};
}

/* ---- statistics ----------------------------------------------------------------------------- */

bool timeline_level(struct timeline *t, const struct timeline_series *s, int64_t from_ns,
                    int64_t to_ns, struct timeline_level *out)
{
    size_t n = 0;
    double before = NAN;
    for (size_t i = 0; i < t->n_columns; i++) {
        if (isnan(s->values[i]) || t->at_ns[i] > to_ns)
            continue;
        if (t->at_ns[i] < from_ns)
            before = s->values[i];
        else
            t->scratch[n++] = s->values[i];
    }
    if (n == 0 && isnan(before))
        return false;
    if (n == 0)
        t->scratch[n++] = before;
    out->last = t->scratch[n - 1];
    out->stats = stats_compute(t->scratch, n);
    if (n > 1)
        out->stats.std *= sqrt((double)n / (double)(n - 1));
    return true;
}

bool timeline_rise(const struct timeline *t, const struct timeline_series *s, int64_t from_ns,
                   int64_t to_ns, double *rise, double *seconds)
{
    size_t first = t->n_columns, last = t->n_columns; /* n_columns: none yet */
    for (size_t i = 0; i < t->n_columns; i++) {
        if (isnan(s->values[i]))
            continue;
        if (first == t->n_columns || t->at_ns[i] <= from_ns)
            first = i;
        if (last == t->n_columns || t->at_ns[last] < to_ns)
            last = i;
    }
    if (first == t->n_columns || last <= first)
        return false;
    double sum = 0, at = s->values[first];
    for (size_t i = first + 1; i <= last; i++) {
        if (isnan(s->values[i]))
            continue;
        sum += s->values[i] >= at ? s->values[i] - at : s->values[i];
        at = s->values[i];
    }
    *rise = sum;
    *seconds = clock_seconds(t->at_ns[last] - t->at_ns[first]);
    return *seconds > 0;
}
