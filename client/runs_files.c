/* The files of the commands that make several runs: what all of them have in common. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/report.h"
#include "client/runs.h"

double runs_value(const struct runs_result *result, const char *tag, const char *stat)
{
    const struct metric_value *v = metrics_get(&result->metrics, tag);
    return v ? report_stat(v, stat) : NAN;
}

char *runs_command(const struct runs *r)
{
    struct buf rest = {0}, text = {0};
    options_print_command(&rest, (int)r->base.n_items, r->base.items, 0);
    buf_printf(&text, "fluxperf %s", r->command);
    for (size_t i = 0; i < r->own.n_items; i++)
        buf_printf(&text, r->own.items[i][0] == '-' ? " %s" : " '%s'", r->own.items[i]);
    buf_puts(&text, rest.data + strlen("fluxperf profile"));
    buf_free(&rest);
    return text.data;
}

struct json *runs_json(const struct runs *r)
{
    struct json *root = json_new_object();
    char *command = runs_command(r);
    json_set(root, "schema_version", json_new_int(1));
    json_set(root, "generator", json_new_string("fluxperf " FLUXBENCH_VERSION));
    json_set(root, "command", json_new_string(command));
    json_set(root, "random_seed", json_new_int(r->seed));
    json_set(root, "is_complete", json_new_bool(!r->reason[0]));
    if (r->reason[0])
        json_set(root, "incomplete_reason", json_new_string(r->reason));
    free(command);
    return root;
}

static struct json *metric_of(const struct metric_value *v)
{
    struct json *o = json_new_object();
    json_set(o, "unit", json_new_string(v->metric->unit));
    for (size_t k = 0; REPORT_STATS[k]; k++) {
        double value = report_stat(v, REPORT_STATS[k]);
        if (!isnan(value))
            json_set(o, REPORT_STATS[k], json_new_double(value));
    }
    return o;
}

struct json *runs_json_result(const struct runs_result *result)
{
    struct json *o = json_new_object(), *metrics = json_new_object();
    json_set(o, "run", json_new_string(result->name));
    json_set(o, "successful_requests", json_new_int((int64_t)result->n_succeeded));
    json_set(o, "failed_requests", json_new_int((int64_t)result->n_failed));
    if (result->failure[0])
        json_set(o, "failure", json_new_string(result->failure));
    for (size_t i = 0; i < result->metrics.n_values; i++) {
        const struct metric_value *v = &result->metrics.values[i];
        if (v->metric->table != TABLE_NONE)
            json_set(metrics, v->metric->tag, metric_of(v));
    }
    json_set(o, "metrics", metrics);
    return o;
}

bool runs_write(const struct runs *r, const char *name, const struct buf *text, struct error *err)
{
    char *path = xasprintf("%s/%s", r->dir, name);
    bool ok = file_write(path, text->data, text->size, err);
    free(path);
    return ok;
}

bool runs_write_json(const struct runs *r, const char *name, struct json *root, struct error *err)
{
    struct buf text = {0};
    json_print(&text, root, 2);
    buf_putc(&text, '\n');
    bool ok = runs_write(r, name, &text, err);
    buf_free(&text);
    json_free(root);
    return ok;
}

void runs_print_file(struct buf *out, const struct runs *r, const char *what, const char *name)
{
    char *path = xasprintf("%s/%s", r->dir, name);
    if (access(path, F_OK) == 0)
        buf_printf(out, "%s: %s\n", what, path);
    free(path);
}
