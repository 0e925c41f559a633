/* From a name to a directory: the cache first, the hub when it must be. */
#include "hub/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "hub/blob.h"
#include "hub/download.h"
#include "hub/needed.h"

bool hub_is_model_id(const char *text)
{
    struct model_id id = {0};
    bool is_one = model_id_parse(&id, text, NULL, NULL);
    model_id_free(&id);
    return is_one;
}

/* "transformer/config.json, vae/config.json and 3 more" */
static char *list_names(const struct names *names)
{
    const size_t n_shown = 3;
    struct buf text = {0};
    for (size_t i = 0; i < names->n_items && i < n_shown; i++)
        buf_printf(&text, "%s%s", i ? ", " : "", names->items[i]);
    if (names->n_items > n_shown)
        buf_printf(&text, " and %zu more", names->n_items - n_shown);
    return text.data ? text.data : xstrdup("");
}

/* Add to missing those files of a snapshot that are no longer what they were. */
static void find_damage(const struct session *s, const char *snapshot_dir,
                        const struct names *files, struct names *missing)
{
    for (size_t i = 0; i < files->n_items; i++) {
        char *etag = cache_etag_of(snapshot_dir, files->items[i]);
        if (etag && blob_check(&s->cache, etag, -1, s->options->verify, s->options->cancel) ==
                        BLOB_DAMAGED) {
            log_warning("%s/%s is damaged: its checksum is wrong", snapshot_dir, files->items[i]);
            names_add(missing, files->items[i]);
        }
        free(etag);
    }
}

/* Look in the cache; a failure says what is missing there. */
static bool find_cached(const struct session *s, char **snapshot_dir, struct error *err)
{
    char *commit = cache_find_commit(&s->cache, s->id.revision);
    if (!commit) {
        return fail(err, ERR_NOT_FOUND, "%s revision '%s' is not in the cache %s", s->id.repo,
                    s->id.revision, s->environment.cache_dir);
    }
    struct names all = {0}, missing = {0};
    char *dir = cache_snapshot_path(&s->cache, commit);
    needed_locally(dir, s->options, &all, &missing);
    if (missing.n_items == 0)
        find_damage(s, dir, &all, &missing);
    bool is_canceled = s->options->cancel && atomic_load(s->options->cancel);
    bool ok = missing.n_items == 0 && !is_canceled;
    if (is_canceled) {
        fail(err, ERR_CANCELED, "interrupted");
    } else if (ok) {
        *snapshot_dir = dir;
        dir = NULL;
    } else {
        char *names = list_names(&missing);
        fail(err, ERR_NOT_FOUND,
             "%s revision '%s' is not complete in the cache %s: %s missing or damaged", s->id.repo,
             s->id.revision, s->environment.cache_dir, names);
        free(names);
    }
    names_free(&all);
    names_free(&missing);
    free(dir);
    free(commit);
    return ok;
}

/* The hub, and the cache when the hub can't be reached. */
static bool fetch(struct session *s, char **snapshot_dir, struct error *err)
{
    bool has_asked;
    struct error trouble = {0}, not_cached = {0};
    if (download_run(s, snapshot_dir, &has_asked, &trouble))
        return true;
    bool may_use_cache = !has_asked && trouble.code == ERR_IO && s->options->n_include == 0;
    if (may_use_cache && find_cached(s, snapshot_dir, &not_cached)) {
        log_warning("using the copy in the cache, which may be old: %s", trouble.text);
        return true;
    }
    return fail(err, trouble.code, "%s", trouble.text);
}

static bool find_offline(const struct session *s, char **snapshot_dir, struct error *err)
{
    struct error trouble = {0};
    if (find_cached(s, snapshot_dir, &trouble))
        return true;
    return fail(err, trouble.code,
                "%s; offline (HF_HUB_OFFLINE or --offline), so it can't be fetched", trouble.text);
}

bool hub_fetch(const struct hub_options *options, const char *model, char **snapshot_dir,
               struct error *err)
{
    struct session s;
    *snapshot_dir = NULL;
    bool ok = session_open(&s, options, model, err) &&
              (s.environment.is_offline ? find_offline(&s, snapshot_dir, err)
                                        : fetch(&s, snapshot_dir, err));
    session_close(&s);
    return ok;
}

bool hub_locate(const struct hub_options *options, const char *model, char **snapshot_dir,
                struct error *err)
{
    struct session s;
    struct hub_options all = *options;
    all.n_include = 0;
    *snapshot_dir = NULL;
    bool ok = session_open(&s, &all, model, err);
    if (ok && s.environment.is_offline) {
        ok = find_offline(&s, snapshot_dir, err);
    } else if (ok && !find_cached(&s, snapshot_dir, NULL)) {
        ok = fetch(&s, snapshot_dir, err);
    }
    session_close(&s);
    return ok;
}
