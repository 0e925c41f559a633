#include "client/sweep_grid.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "client/options_table.h"

#define FIELD_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

/* Short names for fields of the request. */
static const struct {
    const char *name, *field;
} FIELDS[] = {{"steps", "num_inference_steps"}};

/* Options that belong to the whole command. */
static const char *const FIXED[] = {"--artifact-dir", "--profile-export-prefix"};

/* ---- adding --------------------------------------------------------------------------------- */

static const struct option *find_option(const char *name)
{
    char *dashed = xasprintf("--%s", name);
    const struct option *row = options_find(dashed, strlen(dashed));
    free(dashed);
    return row;
}

static bool set_key(struct sweep_axis *a, bool has_dashes, struct error *err)
{
    const struct option *row = find_option(a->name);
    a->is_field = !row;
    for (size_t i = 0; row && i < sizeof FIXED / sizeof FIXED[0]; i++) {
        if (strcmp(row->name, FIXED[i]) == 0)
            return fail_field(err, "--over", "--over %s: it is the same for the whole sweep",
                              a->name);
    }
    if (!row && (has_dashes || !*a->name || a->name[strspn(a->name, FIELD_CHARS)]))
        return fail_field(err, "--over",
                          "--over %s: is neither an option of profile nor a field's name", a->name);
    a->key = xstrdup(row ? row->name : a->name);
    for (size_t i = 0; !row && i < sizeof FIELDS / sizeof FIELDS[0]; i++) {
        if (strcmp(a->name, FIELDS[i].name) == 0) {
            free(a->key);
            a->key = xstrdup(FIELDS[i].field);
        }
    }
    return true;
}

static bool add_value(struct sweep_axis *a, const char *text, size_t size, struct error *err)
{
    if (size == 0)
        return fail_field(err, "--over", "--over %s: a value is empty: must be V1,V2,...", a->name);
    char *value = xstrndup(text, size);
    a->values = xrealloc(a->values, (a->n_values + 1) * sizeof *a->values);
    a->values[a->n_values++] = value;
    for (size_t i = 0; i + 1 < a->n_values; i++) {
        if (strcmp(a->values[i], value) == 0)
            return fail_field(err, "--over", "--over %s: the value %s is given twice", a->name,
                              value);
    }
    return true;
}

bool sweep_grid_add(struct sweep_grid *g, const char *text, struct error *err)
{
    size_t n_name = strcspn(text, "=");
    bool has_dashes = strncmp(text, "--", 2) == 0;
    size_t skip = has_dashes ? 2 : 0;
    if (!text[n_name])
        return fail_field(err, "--over", "--over '%s': must be NAME=V1,V2,...", text);
    if (g->n_axes == SWEEP_MAX_AXES)
        return fail_field(err, "--over", "--over: at most %d of them", SWEEP_MAX_AXES);
    struct sweep_axis *a = &g->axes[g->n_axes++];
    a->name = xstrndup(text + skip, n_name - skip);
    if (!set_key(a, has_dashes, err))
        return false;
    for (size_t i = 0; i + 1 < g->n_axes; i++) {
        if (strcmp(g->axes[i].key, a->key) == 0)
            return fail_field(err, "--over", "--over %s is given twice", a->name);
    }
    for (const char *p = text + n_name; p && *p;) {
        size_t n = strcspn(++p, ",");
        if (!add_value(a, p, n, err))
            return false;
        p += n;
    }
    return true;
}

void sweep_grid_free(struct sweep_grid *g)
{
    for (size_t i = 0; i < g->n_axes; i++) {
        for (size_t k = 0; k < g->axes[i].n_values; k++)
            free(g->axes[i].values[k]);
        free(g->axes[i].values);
        free(g->axes[i].name);
        free(g->axes[i].key);
    }
    *g = (struct sweep_grid){0};
}

/* ---- points --------------------------------------------------------------------------------- */

size_t sweep_grid_size(const struct sweep_grid *g)
{
    size_t n = 1;
    for (size_t i = 0; i < g->n_axes; i++)
        n = n > SIZE_MAX / g->axes[i].n_values ? SIZE_MAX : n * g->axes[i].n_values;
    return n;
}

size_t sweep_grid_at(const struct sweep_grid *g, size_t point, size_t axis)
{
    for (size_t i = g->n_axes - 1; i > axis; i--)
        point /= g->axes[i].n_values;
    return point % g->axes[axis].n_values;
}

const char *sweep_grid_value(const struct sweep_grid *g, size_t point, size_t axis)
{
    return g->axes[axis].values[sweep_grid_at(g, point, axis)];
}

void sweep_grid_set(const struct sweep_grid *g, size_t point, struct runs_args *args)
{
    for (size_t i = 0; i < g->n_axes; i++) {
        const struct sweep_axis *a = &g->axes[i];
        const char *value = sweep_grid_value(g, point, i);
        if (a->is_field) {
            char *pair = xasprintf("%s:%s", a->key, value);
            runs_args_set(args, "--extra-inputs", pair);
            free(pair);
        } else {
            runs_args_set(args, a->key, value);
        }
    }
}

bool sweep_grid_is_numeric(const struct sweep_axis *a)
{
    for (size_t i = 0; i < a->n_values; i++) {
        char *end;
        double value = strtod(a->values[i], &end);
        if (*end || !isfinite(value))
            return false;
    }
    return true;
}
