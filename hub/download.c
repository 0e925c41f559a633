/* The order of things: the list of files and the commit they belong to; model_index.json; the small
 * files of the parts it names; the weights that their indexes name. Each batch is described first
 * (HEAD), so that the disk is known to have room before the first large byte, then fetched. The ref
 * is written last: who is offline later finds either the whole new revision or the old one. */
#include "hub/download.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "hub/blob.h"
#include "hub/digest.h"
#include "hub/needed.h"
#include "hub/parallel.h"
#include "hub/request.h"

#define MAX_LIST_BYTES ((size_t)64 << 20)

struct download {
    char *commit;
    char *snapshot_dir;
    struct names listed; /* all files of the revision */
};

/* One file of a batch. */
struct file {
    char *name, *url;
    char etag[136];
    int64_t size;
};

struct batch {
    const struct download *download;
    struct file *files;
    size_t n_files;
};

/* ---- session -------------------------------------------------------------------------------- */

bool session_open(struct session *s, const struct hub_options *options, const char *model,
                  struct error *err)
{
    *s = (struct session){.options = options};
    meter_init(&s->meter);
    if (!model_id_parse(&s->id, model, options->revision, err) ||
        !environment_read(&s->environment, options, err))
        return false;
    cache_repo_init(&s->cache, s->environment.cache_dir, s->id.repo);
    return true;
}

void session_close(struct session *s)
{
    for (size_t i = 0; i < s->n_transfers; i++)
        transfer_close(s->transfers[i]);
    cache_repo_free(&s->cache);
    environment_free(&s->environment);
    model_id_free(&s->id);
}

/* ---- the list of files ---------------------------------------------------------------------- */

static bool take_text(void *self, int64_t offset, const void *bytes, size_t size)
{
    struct buf *text = self;
    if (offset == 0)
        buf_clear(text);
    if (size > MAX_LIST_BYTES - text->size)
        return false;
    buf_append(text, bytes, size);
    return true;
}

/* {"sha": commit, "siblings": [{"rfilename": path}, ...]} */
static bool read_list(struct download *d, const struct json *root, struct error *err)
{
    const char *commit = NULL;
    const struct json *files = json_get(root, "siblings");
    if (!json_read_string(root, "sha", &commit, err))
        return false;
    if (!commit || !model_id_is_commit(commit) || json_type(root) != JSON_OBJECT || !files)
        return fail(err, ERR_IO, "no \"sha\" and \"siblings\" in it: this is no hub's answer");
    d->commit = xstrdup(commit);
    for (const struct json *f = json_first(files); f; f = json_next(f)) {
        const char *name = NULL;
        if (!json_read_string(f, "rfilename", &name, err))
            return false;
        if (!name || !model_id_is_safe_path(name))
            return fail(err, ERR_IO, "'%.80s' is no file name that can be stored",
                        name ? name : "");
        names_add(&d->listed, name);
    }
    return true;
}

/* The only item of its run. */
static bool fetch_list(void *self, struct session *s, struct transfer *t, size_t item,
                       struct error *err)
{
    (void)item;
    struct download *d = self;
    struct buf url = {0}, text = {0};
    struct transfer_answer answer;
    buf_printf(&url, "%s/api/models/%s/revision/", s->environment.endpoint, s->id.repo);
    request_escape(&url, s->id.revision, true);
    struct request request = {.url = url.data, .sink = take_text, .self = &text, .size = -1};
    bool ok = request_run(s, t, &request, &answer, err);
    if (ok) {
        struct error nonsense = {0}; /* not the caller's fault */
        struct json *root = json_parse(text.data ? text.data : "", text.size, &nonsense);
        ok = root && read_list(d, root, &nonsense);
        json_free(root);
        if (!ok)
            fail(err, ERR_IO, "%s: %s", url.data, nonsense.text);
    }
    buf_free(&text);
    buf_free(&url);
    return ok;
}

/* ---- one batch ------------------------------------------------------------------------------ */

static bool describe_file(void *self, struct session *s, struct transfer *t, size_t item,
                          struct error *err)
{
    const struct batch *b = self;
    struct file *f = &b->files[item];
    struct transfer_answer a;
    struct request request = {.file = f->name, .url = f->url, .is_head = true, .size = -1};
    if (!request_run(s, t, &request, &a, err))
        return false;
    if (strcmp(a.commit, b->download->commit) != 0) {
        return fail(err, ERR_IO,
                    "%s: the answer is of commit '%s' instead of %s (X-Repo-Commit): is %s a hub?",
                    f->name, a.commit, b->download->commit, s->environment.endpoint);
    }
    if (digest_kind_of(a.etag) == DIGEST_NONE || a.size < 0) {
        return fail(err, ERR_IO,
                    "%s: the hub gives no %s, so that the download couldn't be verified", f->name,
                    a.size < 0 ? "size" : "checksum");
    }
    memcpy(f->etag, a.etag, sizeof f->etag);
    f->size = a.size;
    return true;
}

static bool fetch_file(void *self, struct session *s, struct transfer *t, size_t item,
                       struct error *err)
{
    const struct batch *b = self;
    const struct file *f = &b->files[item];
    struct blob_wish wish = {.file = f->name, .url = f->url, .etag = f->etag, .size = f->size};
    return blob_fetch(s, t, &wish, err) &&
           cache_link(&s->cache, b->download->commit, f->name, f->etag, err);
}

/* Announce what is to come, and look whether it fits. */
static bool check_room(struct session *s, const struct batch *b, struct error *err)
{
    int64_t total = 0, missing = 0;
    for (size_t i = 0; i < b->n_files; i++) {
        const struct file *f = &b->files[i];
        if (f->size > INT64_MAX - total)
            return fail(err, ERR_IO, "the sizes that the hub gives add up to nonsense");
        total += f->size;
        char *path = cache_blob_path(&s->cache, f->etag);
        if (!file_exists(path))
            missing += f->size - blob_resumable_bytes(&s->cache, f->etag, f->size);
        free(path);
    }
    meter_expect(&s->meter, total, (int64_t)b->n_files);
    return cache_check_room(&s->cache, missing, err);
}

static bool fetch_batch(struct session *s, const struct download *d, const struct names *names,
                        struct error *err)
{
    struct batch b = {.download = d, .n_files = names->n_items};
    b.files = xcalloc(b.n_files, sizeof *b.files);
    for (size_t i = 0; i < b.n_files; i++) {
        struct buf url = {0};
        buf_printf(&url, "%s/%s/resolve/%s/", s->environment.endpoint, s->id.repo, d->commit);
        request_escape(&url, names->items[i], false);
        b.files[i] = (struct file){.name = names->items[i], .url = url.data};
    }
    bool ok = parallel_run(s, b.n_files, describe_file, &b, err) && check_room(s, &b, err) &&
              parallel_run(s, b.n_files, fetch_file, &b, err);
    for (size_t i = 0; i < b.n_files; i++)
        free(b.files[i].url);
    free(b.files);
    return ok;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static bool fetch_included(struct session *s, const struct download *d, struct error *err)
{
    struct names names = {0};
    for (size_t i = 0; i < d->listed.n_items; i++) {
        for (size_t p = 0; p < s->options->n_include; p++) {
            if (fnmatch(s->options->include[p], d->listed.items[i], 0) == 0)
                names_add(&names, d->listed.items[i]);
        }
    }
    bool ok = names.n_items > 0
                  ? fetch_batch(s, d, &names, err)
                  : fail(err, ERR_NOT_FOUND, "none of the %zu files of %s matches --include '%s'",
                         d->listed.n_items, s->id.repo, s->options->include[0]);
    names_free(&names);
    return ok;
}

static bool fetch_pipeline(struct session *s, const struct download *d, struct error *err)
{
    struct names index = {0}, small = {0}, weights = {0};
    names_add(&index, "model_index.json");
    bool ok = names_has(&d->listed, "model_index.json")
                  ? true
                  : fail(err, ERR_NOT_FOUND,
                         "%s has no model_index.json: it is no model in the diffusers layout",
                         s->id.repo);
    ok = ok && fetch_batch(s, d, &index, err) &&
         needed_small(d->snapshot_dir, &d->listed, &small, err) && fetch_batch(s, d, &small, err) &&
         needed_weights(d->snapshot_dir, &d->listed, s->options, &weights, err) &&
         fetch_batch(s, d, &weights, err);
    names_free(&index);
    names_free(&small);
    names_free(&weights);
    return ok;
}

bool download_run(struct session *s, char **snapshot_dir, bool *has_asked, struct error *err)
{
    struct download d = {0};
    char size[16];
    *has_asked = parallel_run(s, 1, fetch_list, &d, err);
    bool ok = *has_asked;
    if (ok) {
        d.snapshot_dir = cache_snapshot_path(&s->cache, d.commit);
        log_info("fetching %s revision=%s commit=%s into %s", s->id.repo, s->id.revision, d.commit,
                 s->environment.cache_dir);
        ok =
            cache_prepare(&s->cache, err) &&
            (s->options->n_include > 0 ? fetch_included(s, &d, err) : fetch_pipeline(s, &d, err)) &&
            cache_write_ref(&s->cache, s->id.revision, d.commit, err);
        meter_end(&s->meter);
    }
    if (ok) {
        log_info("%s is complete: %s fetched", s->id.repo,
                 cache_size_text(size, atomic_load(&s->meter.received_bytes)));
        *snapshot_dir = d.snapshot_dir;
        d.snapshot_dir = NULL;
    }
    names_free(&d.listed);
    free(d.snapshot_dir);
    free(d.commit);
    return ok;
}
