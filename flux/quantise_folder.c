/* Two passes: the first one only measures, so that a full disk is known beforehand. */
#include "flux/quantise_folder.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "flux/config.h"
#include "flux/folder_copy.h"
#include "flux/part_files.h"
#include "flux/safetensors_write.h"

/* --- the report -------------------------------------------------------------------------------*/

double quantise_relative(struct quantise_error e)
{
    return e.power > 0 ? sqrt(e.error_2 / e.power) : 0;
}

/* "transformer_blocks.12.attn.to_q.weight" -> "transformer_blocks.*.attn.to_q": the first number.
 */
static char *kind_name(const char *name)
{
    size_t at = 0, size = strlen(name) - strlen(".weight");
    while (at < size && !(isdigit((unsigned char)name[at]) && name[at - 1] == '.')) {
        at++;
    }
    size_t end = at;
    while (end < size && isdigit((unsigned char)name[end])) {
        end++;
    }
    return at == size ? xstrndup(name, size)
                      : xasprintf("%.*s*%.*s", (int)at, name, (int)(size - end), name + end);
}

static void report_add(struct quantise_report *r, const char *name, struct quantise_error e)
{
    char *kind = kind_name(name);
    struct quantise_kind *k = NULL;
    for (size_t i = 0; i < r->n_kinds && k == NULL; i++) {
        k = strcmp(r->kinds[i].name, kind) == 0 ? &r->kinds[i] : NULL;
    }
    if (k == NULL) {
        r->kinds = xrealloc(r->kinds, (r->n_kinds + 1) * sizeof *r->kinds);
        k = &r->kinds[r->n_kinds++];
        *k = (struct quantise_kind){.name = xstrdup(kind), .worst = -1};
    }
    free(kind);
    k->n_layers++;
    k->sum.error_2 += e.error_2;
    k->sum.power += e.power;
    if (quantise_relative(e) > k->worst) {
        k->worst = quantise_relative(e);
        free(k->worst_name);
        k->worst_name = xstrdup(name);
    }
}

void quantise_report_free(struct quantise_report *report)
{
    for (size_t i = 0; i < report->n_kinds; i++) {
        free(report->kinds[i].name);
        free(report->kinds[i].worst_name);
    }
    free(report->kinds);
    *report = (struct quantise_report){0};
}

/* --- one file ---------------------------------------------------------------------------------*/

struct job {
    const struct quantise_folder *q;
    struct quantise_report *report;
    const char *folder; /* where it is written */
    struct json *map;   /* of the part's index: name -> file */
    int64_t total_size; /* of the part's data */
};

/* A tensor of the new file: data of an old one, or made from it. */
struct item {
    struct safetensors_spec spec;
    char *scale_name; /* owned; of scales */
};

static bool is_quantised(const struct quantise_folder *q, const struct safetensors_raw *raw)
{
    return quantise_scheme(q->quant, raw->name, raw->rank) != QUANT_NONE;
}

/* Fill items with what a tensor becomes; returns how many. */
static int items_of(const struct quantise_folder *q, const struct safetensors_raw *raw,
                    struct item items[2])
{
    struct safetensors_spec *s = &items[0].spec;
    items[0] = (struct item){0};
    *s = (struct safetensors_spec){.name = raw->name,
                                   .type = raw->type,
                                   .type_bytes = raw->type_bytes,
                                   .rank = raw->rank,
                                   .bytes = raw->bytes};
    memcpy(s->dims, raw->dims, sizeof s->dims);
    if (!is_quantised(q, raw)) {
        return 1;
    }
    struct tensor t = tensor_make(NULL, quant_dtype(q->quant), SHAPE(raw->dims[0], raw->dims[1]));
    enum dtype scale = quant_scale_dtype(t.dtype);
    s->type = quantise_stored(q->quant);
    s->type_bytes = 1;
    s->dims[1] = quant_code_bytes(t.dtype, t.dims[1]);
    s->bytes = quant_codes_size(t);
    items[1] = (struct item){.scale_name = xasprintf("%s%s", raw->name, QUANTISE_SCALE_SUFFIX)};
    items[1].spec =
        (struct safetensors_spec){.name = items[1].scale_name,
                                  .type = quantise_stored_scale(q->quant),
                                  .type_bytes = dtype_bytes(scale),
                                  .rank = 2,
                                  .dims = {t.dims[0], quant_n_scales(t.dtype, t.dims[1])},
                                  .bytes = tensor_bytes(t) - quant_codes_size(t)};
    return 2;
}

/* Write one tensor as its one or two items. */
static bool write_items(const struct job *j, struct safetensors_writer *w,
                        const struct safetensors *file, const struct safetensors_raw *raw,
                        const struct item *items, struct error *err)
{
    const struct quantise_folder *q = j->q;
    if (q->may_continue != NULL && !q->may_continue(q->ctx)) {
        return fail(err, ERR_CANCELED, "canceled");
    }
    if (!is_quantised(q, raw)) {
        return safetensors_write(w, &items[0].spec, raw->data, err);
    }
    struct tensor from, to = {0};
    struct quantise_error error = {0};
    bool ok = safetensors_find(file, raw->name, &from, err);
    if (ok && from.dtype != DTYPE_F32 && from.dtype != DTYPE_BF16 && from.dtype != DTYPE_F16) {
        ok = fail(err, ERR_INVALID, "%s: dtype %s can't be quantised (F32, BF16 or F16 can)",
                  raw->name, raw->type);
    }
    ok = ok && (quantise_matrix(q->backend, from, q->quant, &to, &error, err) ||
                error_prefix(err, "%s", raw->name));
    ok = ok && safetensors_write(w, &items[0].spec, to.data, err) &&
         safetensors_write(w, &items[1].spec, to.scales, err);
    if (ok) {
        report_add(j->report, raw->name, error);
    }
    free(to.data);
    return ok;
}

/* The new form of a weight file; without a folder it is only measured. */
static bool convert(struct job *j, const char *path, const char *name, struct error *err)
{
    struct safetensors *file = NULL;
    if (!safetensors_open_file(&file, path, err)) {
        return false;
    }
    size_t n = safetensors_count(file), n_items = 0;
    struct item *items = xcalloc(2 * n + 1, sizeof *items);
    struct safetensors_spec *specs = xcalloc(2 * n + 1, sizeof *specs);
    struct safetensors_raw raw;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        ok = safetensors_raw(file, i, &raw, err);
        n_items += ok ? (size_t)items_of(j->q, &raw, items + n_items) : 0;
        j->report->bytes_before += ok && j->folder == NULL ? raw.bytes : 0;
    }
    for (size_t i = 0; i < n_items; i++) {
        specs[i] = items[i].spec;
        j->total_size += (int64_t)specs[i].bytes;
        json_set(j->map, specs[i].name, json_new_string(name));
    }
    if (ok && j->folder != NULL) {
        char *to = xasprintf("%s/%s", j->folder, name);
        struct safetensors_writer *w = NULL;
        struct json *metadata = json_new_object();
        json_set(metadata, "format", json_new_string("pt"));
        json_set(metadata, "quant_method", json_new_string(QUANTISE_METHOD));
        json_set(metadata, "scheme", json_new_string(dtype_name(quant_dtype(j->q->quant))));
        ok = safetensors_create(&w, to, specs, n_items, metadata, err);
        for (size_t i = 0, at = 0; ok && i < n; i++) {
            (void)safetensors_raw(file, i, &raw, NULL);
            struct item pair[2] = {{.spec = specs[at]}, {.spec = specs[at + 1]}};
            ok = write_items(j, w, file, &raw, pair, err);
            at += is_quantised(j->q, &raw) ? 2 : 1;
        }
        ok = safetensors_finish(w, ok ? err : NULL) && ok;
        json_free(metadata);
        free(to);
    }
    for (size_t i = 0; i < n_items; i++) {
        free(items[i].scale_name);
    }
    free(items);
    free(specs);
    safetensors_close(file);
    return ok || error_prefix(err, "%s", path);
}

/* --- one part ---------------------------------------------------------------------------------*/

static bool write_json(const char *folder, const char *name, const struct json *root,
                       struct error *err)
{
    struct buf text = {0};
    char *path = xasprintf("%s/%s", folder, name);
    json_print(&text, root, 2);
    buf_putc(&text, '\n');
    bool ok = file_write(path, text.data, text.size, err);
    buf_free(&text);
    free(path);
    return ok;
}

/* The part's config with the scheme in it. */
static bool write_config(const struct job *j, const char *from, struct error *err)
{
    char *path = xasprintf("%s/config.json", from);
    struct json *config = json_read_file(path, err);
    bool ok = config != NULL;
    if (ok) {
        struct json *node = json_new_object();
        json_set(node, "quant_method", json_new_string(QUANTISE_METHOD));
        json_set(node, "scheme", json_new_string(dtype_name(quant_dtype(j->q->quant))));
        if (j->q->quant == QUANT_Q4) {
            json_set(node, "group_size", json_new_int(QUANT_GROUP));
        }
        json_set(config, "quantization_config", node);
        ok = write_json(j->folder, "config.json", config, err);
    }
    json_free(config);
    free(path);
    return ok;
}

static bool was_seen(const struct json *list, const char *name)
{
    for (const struct json *e = json_first(list); e != NULL; e = json_next(e)) {
        if (strcmp(json_string(e), name) == 0) {
            return true;
        }
    }
    return false;
}

/* Names of the part's weight files as an array: the single one, or all of the index. */
static struct json *weight_files(const char *dir, const char *base, struct error *err)
{
    char *single = xasprintf("%s/%s.safetensors", dir, base);
    char *index_path = xasprintf("%s.index.json", single);
    struct json *files = json_new_array(), *index = NULL;
    bool ok = true;
    if (file_exists(single)) {
        char *name = xasprintf("%s.safetensors", base);
        json_push(files, json_new_string(name));
        free(name);
    } else {
        struct safetensors *all = NULL; /* checks the index and all files */
        ok = safetensors_open(&all, dir, base, err);
        safetensors_close(all);
        index = ok ? json_read_file(index_path, err) : NULL;
    }
    const struct json *map = index == NULL ? NULL : json_get(index, "weight_map");
    for (const struct json *e = map == NULL ? NULL : json_first(map); e != NULL; e = json_next(e)) {
        if (!was_seen(files, json_string(e))) {
            json_push(files, json_new_string(json_string(e)));
        }
    }
    json_free(index);
    free(single);
    free(index_path);
    if (!ok) {
        json_free(files);
    }
    return ok ? files : NULL;
}

/* The list of files, unless readers find the only one by its name. */
static bool write_index(const struct job *j, const char *base, struct error *err)
{
    char *single = xasprintf("%s/%s.safetensors", j->folder, base);
    char *name = xasprintf("%s.safetensors.index.json", base);
    bool ok = file_exists(single);
    if (!ok) {
        struct json *index = json_new_object(), *metadata = json_new_object();
        json_set(metadata, "total_size", json_new_int(j->total_size));
        json_set(index, "metadata", metadata);
        json_set(index, "weight_map", json_copy(j->map));
        ok = write_json(j->folder, name, index, err);
        json_free(index);
    }
    free(single);
    free(name);
    return ok;
}

/* to: the new model folder, or NULL to measure; *bytes gains what the part takes. */
static bool convert_part(const struct quantise_folder *q, struct quantise_report *report,
                         enum part part, const char *to, uint64_t *bytes, struct error *err)
{
    char *from = xasprintf("%s/%s", q->from, part_folder(part));
    char *folder = to == NULL ? NULL : xasprintf("%s/%s", to, part_folder(part));
    struct job j = {.q = q, .report = report, .folder = folder, .map = json_new_object()};
    struct json *files = weight_files(from, part_base(part), err);
    bool ok = files != NULL;
    for (const struct json *e = ok ? json_first(files) : NULL; ok && e != NULL; e = json_next(e)) {
        char *path = xasprintf("%s/%s", from, json_string(e));
        ok = convert(&j, path, json_string(e), err);
        free(path);
    }
    ok = ok && (folder == NULL || write_index(&j, part_base(part), err));
    ok = ok && (folder == NULL || write_config(&j, from, err));
    *bytes += (uint64_t)j.total_size;
    json_free(files);
    json_free(j.map);
    free(from);
    free(folder);
    return ok;
}

/* --- the folder -------------------------------------------------------------------------------*/

static const enum part PARTS[] = {T5, TRANSFORMER};
enum { N_QUANTISED = sizeof PARTS / sizeof PARTS[0] };

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), tail = strlen(end);
    return size >= tail && strcmp(text + size - tail, end) == 0;
}

/* What is not copied: weights in single files, which no part is read from then, and what the
 * quantised parts write themselves. */
static bool is_skipped(void *ctx, const char *name)
{
    static const char *const WEIGHTS[] = {
        ".safetensors", ".safetensors.index.json", ".gguf", ".bin", ".ckpt", ".pt"};
    (void)ctx;
    const char *slash = strchr(name, '/');
    bool is_own = slash == NULL;
    bool is_weight = false;
    for (size_t i = 0; i < sizeof WEIGHTS / sizeof WEIGHTS[0]; i++) {
        is_weight = is_weight || ends_with(name, WEIGHTS[i]);
    }
    for (int i = 0; i < N_QUANTISED && slash != NULL; i++) {
        const char *folder = part_folder(PARTS[i]);
        is_own = is_own ||
                 (strncmp(name, folder, strlen(folder)) == 0 && slash == name + strlen(folder));
    }
    return is_own && (is_weight || (slash != NULL && strcmp(slash, "/config.json") == 0));
}

static bool check_room(const struct quantise_folder *q, const char *parent, uint64_t bytes,
                       struct error *err)
{
    struct statvfs fs;
    if (statvfs(parent, &fs) != 0) {
        return fail(err, ERR_IO, "%s: can't be made: %s", q->to, strerror(errno));
    }
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    return room >= bytes || fail(err, ERR_IO, "%s: needs %.2f GiB of disk, %.2f GiB are free",
                                 q->to, (double)bytes / 0x1p30, (double)room / 0x1p30);
}

static bool check_model(const struct quantise_folder *q, struct error *err)
{
    struct flux_config config;
    if (!flux_config_read(&config, q->from, err)) {
        return false;
    }
    for (int i = 0; i < N_QUANTISED; i++) {
        enum quant quant = config.quant[PARTS[i]];
        if (quant != QUANT_NONE) {
            return fail(err, ERR_INVALID, "%s: its %s is quantised already, as %s", q->from,
                        part_folder(PARTS[i]), dtype_name(quant_dtype(quant)));
        }
    }
    return true;
}

static bool fill(const struct quantise_folder *q, struct quantise_report *report, const char *to,
                 struct error *err)
{
    uint64_t ignored = 0;
    bool ok = folder_copy_tree(q->from, to, is_skipped, NULL, err);
    for (int i = 0; ok && i < N_QUANTISED; i++) {
        ok = convert_part(q, report, PARTS[i], to, &ignored, err);
    }
    return ok;
}

bool quantise_folder(const struct quantise_folder *q, struct quantise_report *report,
                     struct error *err)
{
    enum { SLACK = 1 << 20 }; /* headers, configs */
    uint64_t others = 0;
    *report = (struct quantise_report){0};
    if (file_exists(q->to)) {
        return fail(err, ERR_INVALID, "%s: exists already; name a folder that doesn't", q->to);
    }
    bool ok = check_model(q, err) && folder_measure_tree(q->from, is_skipped, NULL, &others, err);
    for (int i = 0; ok && i < N_QUANTISED; i++) {
        ok = convert_part(q, report, PARTS[i], NULL, &report->bytes_after, err);
    }
    char *to = xstrdup(q->to);
    while (strlen(to) > 1 && ends_with(to, "/")) {
        to[strlen(to) - 1] = '\0';
    }
    char *slash = strrchr(to, '/');
    char *parent =
        slash == NULL ? xstrdup(".") : xstrndup(to, slash == to ? 1 : (size_t)(slash - to));
    char *made = xasprintf("%s.incomplete-%ld", to, (long)getpid());
    ok = ok && check_room(q, parent, others + report->bytes_after + SLACK, err) &&
         (mkdir(made, 0777) == 0 ||
          fail(err, ERR_IO, "%s: can't be made: %s", made, strerror(errno)));
    if (ok) {
        ok = fill(q, report, made, err) &&
             (rename(made, to) == 0 ||
              fail(err, ERR_IO, "%s: can't be renamed to %s: %s", made, to, strerror(errno)));
        if (!ok) {
            folder_remove_tree(made);
        }
    }
    free(to);
    free(parent);
    free(made);
    return ok;
}
