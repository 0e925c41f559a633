#include "client/compare_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "client/lines.h"
#include "client/manifest.h"

#define LINES_FILE "profile_export.jsonl"

/* ---- one run -------------------------------------------------------------------------------- */

static void add_value(struct compare_run *run, double value)
{
    if ((run->n & (run->n - 1)) == 0) /* full at every power of two */
        run->values = xrealloc(run->values, (run->n ? 2 * run->n : 1) * sizeof *run->values);
    run->values[run->n++] = value;
}

struct reading {
    struct compare_run *runs; /* one for each metric */
    const struct metric *const *metrics;
    size_t n_metrics;
};

static bool read_line(void *self, const char *line, size_t size, struct error *err)
{
    const struct reading *r = self;
    struct json *tree = json_parse(line, size, err);
    if (!tree)
        return false;
    const struct json *phase = json_get(json_get(tree, "metadata"), "benchmark_phase");
    const struct json *values = json_get(tree, "metrics");
    bool is_record = phase && json_type(phase) == JSON_STRING && values;
    bool counts =
        is_record && strcmp(json_string(phase), "profiling") == 0 && !json_get(tree, "error");
    for (size_t i = 0; counts && i < r->n_metrics; i++) {
        const struct json *value = json_get(json_get(values, r->metrics[i]->tag), "value");
        if (value && json_type(value) == JSON_NUMBER)
            add_value(&r->runs[i], json_number(value));
    }
    json_free(tree);
    return is_record || fail(err, ERR_INVALID,
                             "no record of a request: metadata.benchmark_phase "
                             "and metrics are missing");
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool read_lines(struct compare_input *in, const struct metric *const *metrics,
                       size_t n_metrics, struct error *err)
{
    struct reading r = {.runs = in->runs, .metrics = metrics, .n_metrics = n_metrics};
    bool ok = lines_read(in->path, read_line, &r, err);
    for (size_t i = 0; ok && i < n_metrics; i++) {
        if (in->runs[i].n == 0)
            ok = fail(err, ERR_INVALID, "%s: no successful request has %s", in->path,
                      metrics[i]->tag);
        else
            qsort(in->runs[i].values, in->runs[i].n, sizeof(double), compare_doubles);
    }
    return ok;
}

static bool read_manifest(struct compare_input *in, struct error *err)
{
    const char *slash = strrchr(in->path, '/');
    int n_dir = slash ? (int)(slash - in->path) : 1;
    char *path = xasprintf("%.*s/" MANIFEST_FILE, n_dir, slash ? in->path : ".");
    bool ok = true;
    if (file_exists(path)) {
        in->manifest = json_read_file(path, err);
        ok = in->manifest != NULL;
    }
    free(path);
    return ok;
}

static bool add_run(struct compare_inputs *out, const char *path,
                    const struct metric *const *metrics, struct error *err)
{
    if (out->n_items == COMPARE_MAX_RUNS)
        return fail(err, ERR_INVALID, "%s: more than %d runs", path, COMPARE_MAX_RUNS);
    out->items = xrealloc(out->items, (out->n_items + 1) * sizeof *out->items);
    struct compare_input *in = &out->items[out->n_items++];
    *in = (struct compare_input){.path = xstrdup(path),
                                 .runs = xcalloc(out->n_metrics, sizeof *in->runs)};
    return read_lines(in, metrics, out->n_metrics, err) && read_manifest(in, err);
}

/* ---- a directory of runs -------------------------------------------------------------------- */

static bool add_directory(struct compare_inputs *out, const char *path,
                          const struct metric *const *metrics, struct error *err)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort); /* sorted: the result must not vary */
    if (n < 0)
        return fail(err, ERR_IO, "can't read %s: %s", path, strerror(errno));
    bool ok = true;
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        bool is_inside = strcmp(name, "..") != 0;
        bool is_itself = strcmp(name, ".") == 0; /* the directory of a run */
        char *lines = is_itself ? xasprintf("%s/" LINES_FILE, path)
                                : xasprintf("%s/%s/" LINES_FILE, path, name);
        if (ok && is_inside && file_exists(lines))
            ok = add_run(out, lines, metrics, err);
        free(lines);
        free(entries[i]);
    }
    free(entries);
    return ok;
}

bool compare_read(struct compare_inputs *out, const char *path, const struct metric *const *metrics,
                  size_t n_metrics, struct error *err)
{
    struct stat info;
    *out = (struct compare_inputs){.n_metrics = n_metrics};
    if (stat(path, &info) != 0)
        return fail(err, ERR_INVALID, "can't read %s: %s", path, strerror(errno));
    bool ok = S_ISDIR(info.st_mode) ? add_directory(out, path, metrics, err)
                                    : add_run(out, path, metrics, err);
    if (ok && out->n_items == 0)
        return fail(err, ERR_INVALID, "%s: no " LINES_FILE " in it or in its directories", path);
    return ok;
}

void compare_inputs_free(struct compare_inputs *in)
{
    for (size_t i = 0; i < in->n_items; i++) {
        for (size_t k = 0; k < in->n_metrics; k++)
            free(in->items[i].runs[k].values);
        free(in->items[i].runs);
        free(in->items[i].path);
        json_free(in->items[i].manifest);
    }
    free(in->items);
    *in = (struct compare_inputs){0};
}
