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

#define LINES_TAIL ".jsonl"
#define LINES_FILE "profile_export" LINES_TAIL

/* ---- one run -------------------------------------------------------------------------------- */

static void add_value(struct compare_run *run, double value)
{
    if ((run->n & (run->n - 1)) == 0) /* full at every power of two */
        run->values = xrealloc(run->values, (run->n ? 2 * run->n : 1) * sizeof *run->values);
    run->values[run->n++] = value;
}

struct reading {
    struct compare_input *input;
    const struct metric *const *metrics;
    size_t n_metrics;
};

/* NULL: the line is no record of a request. */
static const char *phase_of(const struct json *record)
{
    const struct json *phase = json_get(json_get(record, "metadata"), "benchmark_phase");
    bool is_record = phase && json_type(phase) == JSON_STRING && json_get(record, "metrics");
    return is_record ? json_string(phase) : NULL;
}

/* Requests that the client itself canceled neither succeeded nor failed. */
static void take_record(const struct reading *r, const struct json *record)
{
    const struct json *canceled = json_get(json_get(record, "metadata"), "was_cancelled");
    bool is_failed = json_get(record, "error") != NULL;
    if (is_failed && canceled && json_type(canceled) == JSON_BOOL && json_bool(canceled))
        return;
    r->input->requests.n++;
    r->input->requests.n_failed += is_failed;
    for (size_t i = 0; !is_failed && i < r->n_metrics; i++) {
        const struct json *value =
            json_get(json_get(json_get(record, "metrics"), r->metrics[i]->tag), "value");
        if (value && json_type(value) == JSON_NUMBER)
            add_value(&r->input->runs[i], json_number(value));
    }
}

static bool read_line(void *self, const char *line, size_t size, struct error *err)
{
    const struct reading *r = self;
    struct json *tree = json_parse(line, size, err);
    if (!tree)
        return false;
    const char *phase = phase_of(tree);
    bool is_record = phase != NULL;
    if (is_record && strcmp(phase, "profiling") == 0)
        take_record(r, tree);
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
    struct reading r = {.input = in, .metrics = metrics, .n_metrics = n_metrics};
    bool ok = lines_read(in->path, read_line, &r, err);
    for (size_t i = 0; ok && i < n_metrics; i++) {
        if (in->runs[i].n == 0)
            ok = fail(err, ERR_INVALID, "%s: no successful request has %s (%zu of %zu failed)",
                      in->path, metrics[i]->tag, in->requests.n_failed, in->requests.n);
        else
            qsort(in->runs[i].values, in->runs[i].n, sizeof(double), compare_doubles);
    }
    return ok;
}

/* The manifest in a directory; *out is NULL when there is none. */
static bool read_manifest(struct json **out, const char *dir, struct error *err)
{
    char *path = xasprintf("%s/" MANIFEST_FILE, dir);
    *out = file_exists(path) ? json_read_file(path, err) : NULL;
    bool ok = *out || !file_exists(path);
    free(path);
    return ok;
}

/* What the run of a manifest called its record lines. The caller frees it. */
static char *name_lines(const struct json *manifest)
{
    const struct json *artifacts = json_get(json_get(manifest, "config"), "artifacts");
    const struct json *prefix = json_get(artifacts, "prefix");
    return prefix && json_type(prefix) == JSON_STRING
               ? xasprintf("%s" LINES_TAIL, json_string(prefix))
               : xstrdup(LINES_FILE);
}

/* The caller frees it. */
static char *dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? xasprintf("%.*s", (int)(slash - path + (slash == path)), path) : xstrdup(".");
}

/* Fails when the manifest beside the records is that of other ones. */
static bool check_name(const struct compare_input *in, struct error *err)
{
    const char *slash = strrchr(in->path, '/'), *name = slash ? slash + 1 : in->path;
    char *wanted = name_lines(in->manifest);
    bool ok =
        !in->manifest || strcmp(name, wanted) == 0 ||
        fail(err, ERR_INVALID, "%s: the " MANIFEST_FILE " beside it is of %s", in->path, wanted);
    free(wanted);
    return ok;
}

/* Takes the path. */
static bool add_run(struct compare_inputs *out, char *path, const struct metric *const *metrics,
                    struct error *err)
{
    if (out->n_items == COMPARE_MAX_RUNS) {
        fail(err, ERR_INVALID, "%s: more than %d runs", path, COMPARE_MAX_RUNS);
        free(path);
        return false;
    }
    out->items = xrealloc(out->items, (out->n_items + 1) * sizeof *out->items);
    struct compare_input *in = &out->items[out->n_items++];
    *in = (struct compare_input){.path = path, .runs = xcalloc(out->n_metrics, sizeof *in->runs)};
    char *dir = dir_of(path);
    bool ok = read_lines(in, metrics, out->n_metrics, err) &&
              read_manifest(&in->manifest, dir, err) && check_name(in, err);
    free(dir);
    return ok;
}

/* ---- the records in a directory ------------------------------------------------------------- */

/* Ends the reading after one line. */
static bool look_at_line(void *self, const char *line, size_t size, struct error *err)
{
    struct json *tree = json_parse(line, size, NULL);
    *(bool *)self = tree && phase_of(tree);
    json_free(tree);
    return fail(err, ERR_INVALID, "enough");
}

static bool has_records(const char *path)
{
    bool is_record = false;
    lines_read(path, look_at_line, &is_record, NULL);
    return is_record;
}

/* The name of a file of records in a directory other than those called known; NULL: none is left.
 * The caller frees it. */
static char *find_other(struct dirent **entries, int n, const char *dir, const char *known)
{
    static const size_t N_TAIL = sizeof LINES_TAIL - 1;
    char *found = NULL;
    for (int i = 0; !found && i < n; i++) {
        const char *name = entries[i]->d_name;
        size_t size = strlen(name);
        if (size <= N_TAIL || strcmp(name + size - N_TAIL, LINES_TAIL) != 0 ||
            strcmp(name, known) == 0)
            continue;
        char *path = xasprintf("%s/%s", dir, name);
        if (has_records(path))
            found = xstrdup(name);
        free(path);
    }
    return found;
}

/* The records that the manifest names or, without one, those that there are. Two files of them are
 * of two runs, and the manifest is of one. */
static bool choose_lines(char **out, struct dirent **entries, int n, const char *dir,
                         const struct json *manifest, struct error *err)
{
    char *name = name_lines(manifest), *path = xasprintf("%s/%s", dir, name), *other = NULL;
    bool is_there = file_exists(path), ok = true;
    if (!is_there && !manifest) {
        free(name);
        name = find_other(entries, n, dir, "");
        is_there = name != NULL;
    }
    other = find_other(entries, n, dir, name ? name : "");
    if (other && is_there)
        ok = fail(err, ERR_INVALID,
                  "%s has records of two runs, %s and %s: move those that don't count elsewhere",
                  dir, name, other);
    else if (other)
        ok = fail(err, ERR_INVALID, "%s has a " MANIFEST_FILE " of %s but the records %s", dir,
                  name, other);
    *out = ok && is_there ? xasprintf("%s/%s", dir, name) : NULL;
    free(name);
    free(path);
    free(other);
    return ok;
}

/* The path of the records of the run in a directory, which the caller frees; *out is NULL when it
 * is none of a run. */
static bool find_lines(char **out, const char *dir, struct error *err)
{
    struct dirent **entries;
    struct json *manifest = NULL;
    int n = scandir(dir, &entries, NULL, alphasort); /* sorted: the result must not vary */
    *out = NULL;
    if (n < 0)
        return errno == ENOTDIR || fail(err, ERR_IO, "can't read %s: %s", dir, strerror(errno));
    bool ok =
        read_manifest(&manifest, dir, err) && choose_lines(out, entries, n, dir, manifest, err);
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
    json_free(manifest);
    return ok;
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
        bool is_itself = strcmp(name, ".") == 0; /* the directory of a run */
        char *dir = is_itself ? xstrdup(path) : xasprintf("%s/%s", path, name), *lines = NULL;
        if (ok && strcmp(name, "..") != 0)
            ok = find_lines(&lines, dir, err) && (!lines || add_run(out, lines, metrics, err));
        free(dir);
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
                                    : add_run(out, xstrdup(path), metrics, err);
    if (ok && out->n_items == 0)
        return fail(err, ERR_INVALID,
                    "%s: no " LINES_FILE " nor other records in it or in its directories", path);
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
