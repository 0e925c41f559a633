#include "client/telemetry_series.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "client/self_load.h"
#include "client/server_metrics.h"

struct builder {
    struct json *charts; /* the list */
    struct json *lines;  /* of the current chart, not yet in the list */
    const struct load_result *window;
};

/* ---- points --------------------------------------------------------------------------------- */

/* Means of what was seen in each of the equal parts of the window. */
struct bins {
    double sum[TELEMETRY_SERIES_POINTS];
    size_t n[TELEMETRY_SERIES_POINTS];
    double least, most;
};

static void add_point(struct bins *b, const struct load_result *w, int64_t at_ns, double value)
{
    double share = (double)(at_ns - w->start_ns) / (double)(w->end_ns - w->start_ns);
    if (!(share >= 0 && share <= 1) || isnan(value))
        return;
    size_t i = (size_t)(share * TELEMETRY_SERIES_POINTS);
    i = i < TELEMETRY_SERIES_POINTS ? i : TELEMETRY_SERIES_POINTS - 1;
    b->sum[i] += value;
    b->n[i]++;
    b->least = fmin(b->least, value);
    b->most = fmax(b->most, value);
}

/* The level at each look, or with is_rate the rise since the one before a second. */
static void fill(struct bins *b, const struct timeline *t, const struct timeline_series *s,
                 const struct load_result *w, bool is_rate)
{
    double before = NAN;
    int64_t before_ns = 0;
    *b = (struct bins){.least = INFINITY, .most = -INFINITY};
    for (size_t i = 0; i < t->n_columns; i++) {
        double value = s->values[i];
        if (isnan(value))
            continue;
        double seconds = clock_seconds(t->at_ns[i] - before_ns);
        /* looks at the edges of phases come close to the regular ones: rates over them are noise */
        if (is_rate && !isnan(before) && seconds < 0.02)
            continue;
        if (!is_rate)
            add_point(b, w, t->at_ns[i], value);
        else if (!isnan(before))
            add_point(b, w, t->at_ns[i], fmax(value - before, 0) / seconds);
        before = value;
        before_ns = t->at_ns[i];
    }
}

static struct json *points_of(const struct bins *b, const struct load_result *w, double scale)
{
    double width_s = clock_seconds(w->end_ns - w->start_ns) / TELEMETRY_SERIES_POINTS;
    struct json *points = json_new_array();
    for (size_t i = 0; i < TELEMETRY_SERIES_POINTS; i++) {
        if (b->n[i] == 0)
            continue;
        struct json *point = json_new_array();
        json_push(point, json_new_double(round(((double)i + 0.5) * width_s * 1e4) / 1e4));
        json_push(point, json_new_double(b->sum[i] / (double)b->n[i] * scale));
        json_push(points, point);
    }
    return points;
}

/* ---- charts --------------------------------------------------------------------------------- */

static void add_line(struct builder *c, const char *name, const struct bins *b, double scale)
{
    if (!(b->most >= b->least) || json_size(c->lines) == TELEMETRY_SERIES_LINES)
        return;
    struct json *line = json_new_object();
    json_set(line, "name", json_new_string(name));
    json_set(line, "points", points_of(b, c->window, scale));
    json_push(c->lines, line);
}

static void end_chart(struct builder *c, const char *title, const char *unit, const char *group)
{
    if (json_size(c->lines) == 0) {
        json_free(c->lines);
    } else {
        struct json *chart = json_new_object();
        json_set(chart, "title", json_new_string(title));
        json_set(chart, "unit", json_new_string(unit));
        json_set(chart, "group", json_new_string(group));
        json_set(chart, "lines", c->lines);
        json_push(c->charts, chart);
    }
    c->lines = json_new_array();
}

static void add_gpus(struct builder *c, const struct telemetry *t)
{
    static const struct {
        const char *tag, *title;
    } SHOWN[] = {
        {GPU_POWER, "GPU power"},
        {GPU_UTILIZATION, "GPU utilisation"},
        {"nvidia_memory_used", "GPU memory"},
        {"nvidia_sm_clock", "GPU clock"},
        {"nvidia_temperature", "GPU temperature"},
    };
    for (size_t k = 0; k < sizeof SHOWN / sizeof SHOWN[0]; k++) {
        const char *unit = "";
        for (size_t i = 0; i < N_GPU_FIELDS; i++)
            unit = strcmp(GPU_FIELDS[i].tag, SHOWN[k].tag) == 0 ? GPU_FIELDS[i].unit : unit;
        for (size_t i = 0; i < t->n_sources; i++) {
            const struct gpus *g = &t->sources[i].gpus;
            for (size_t j = 0; j < g->n; j++) {
                const struct timeline_series *s =
                    timeline_find(&g->timeline, SHOWN[k].tag, "gpu", g->items[j].uuid);
                struct bins b;
                char name[128];
                if (!s)
                    continue;
                fill(&b, &g->timeline, s, c->window, false);
                snprintf(name, sizeof name, "%d %.100s", g->items[j].index, g->items[j].name);
                add_line(c, name, &b, 1);
            }
        }
        end_chart(c, SHOWN[k].title, unit, "gpu");
    }
}

static void put_name(struct buf *out, const struct timeline_series *s)
{
    for (size_t i = 0; i < s->n_labels; i++)
        buf_printf(out, "%s%s %s", i ? ", " : "", s->labels[i].name, s->labels[i].value);
    if (s->n_labels == 0)
        buf_puts(out, s->name);
}

/* All series of that name: a chart, when any of them changed. False: nothing to see. */
static bool add_metric(struct builder *c, const struct timeline *t, const char *name, bool is_rate)
{
    bool has_changed = false;
    for (size_t i = 0; i < t->n_series; i++) {
        const struct timeline_series *s = &t->series[i];
        struct bins b;
        struct buf label = {0};
        if (strcmp(s->name, name) != 0)
            continue;
        fill(&b, t, s, c->window, is_rate);
        has_changed = has_changed || b.most > b.least;
        put_name(&label, s);
        if (!is_rate || b.most > 0)
            add_line(c, label.data, &b, 1);
        buf_free(&label);
    }
    if (!has_changed) {
        json_free(c->lines);
        c->lines = json_new_array();
    }
    return has_changed;
}

static void add_server(struct builder *c, const struct telemetry_source *source)
{
    const struct timeline *t = &source->values;
    for (size_t i = 0, n = 0; i < t->n_series && n < TELEMETRY_SERIES_CHARTS; i++) {
        const char *name = t->series[i].name;
        const struct timeline_family *f = timeline_family_of(t, name);
        bool has_parts = f && (f->type == PROMETHEUS_HISTOGRAM || f->type == PROMETHEUS_SUMMARY);
        bool is_counter = f && f->type == PROMETHEUS_COUNTER;
        if (has_parts || timeline_find(t, name, NULL, NULL) != &t->series[i] ||
            !add_metric(c, t, name, is_counter))
            continue;
        n++;
        const char *unit = server_metrics_unit(name);
        char text[64];
        snprintf(text, sizeof text, "%s%s",
                 is_counter ? (unit ? unit : "")
                 : unit     ? unit
                            : "",
                 is_counter ? "/s" : "");
        end_chart(c, name, is_counter && !unit ? "per second" : text, "server");
    }
}

static void add_self(struct builder *c, const struct telemetry *t)
{
    struct bins b;
    const struct timeline_series *cpu = timeline_find(&t->self, SELF_CPU, NULL, NULL);
    if (cpu) {
        fill(&b, &t->self, cpu, c->window, true);
        add_line(c, "all threads", &b, 100);
    }
    for (size_t i = 0; i < t->self.n_series; i++) {
        const struct timeline_series *s = &t->self.series[i];
        if (strcmp(s->name, SELF_THREAD) != 0)
            continue;
        fill(&b, &t->self, s, c->window, true);
        if (b.most > 0.005)
            add_line(c, timeline_label(s, "thread"), &b, 100);
    }
    end_chart(c, "CPU of the client", "% of a core", "client");
}

void telemetry_series_json(struct buf *out, const struct report *r)
{
    struct builder c = {json_new_array(), json_new_array(), &report_main_phase(r)->load};
    if (c.window->end_ns > c.window->start_ns) {
        add_gpus(&c, r->telemetry);
        for (size_t i = 0; i < r->telemetry->n_sources; i++)
            add_server(&c, &r->telemetry->sources[i]);
        add_self(&c, r->telemetry);
    }
    struct json *root = json_new_object();
    json_set(root, "schema_version", json_new_int(1));
    json_set(root, "window_s",
             json_new_double(clock_seconds(c.window->end_ns - c.window->start_ns)));
    json_set(root, "charts", c.charts);
    json_print(out, root, 0);
    buf_putc(out, '\n');
    json_free(root);
    json_free(c.lines);
}
