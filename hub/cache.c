/* Paths, refs and links. Everything that readers look at appears by rename(). */
#include "hub/cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "hub/digest.h"
#include "hub/model_id.h"

/* Left free on the disk, for links, refs and everybody else. */
#define SPARE_BYTES (INT64_C(64) << 20)

void cache_repo_init(struct cache_repo *c, const char *cache_dir, const char *repo)
{
    int owner = (int)strcspn(repo, "/");
    const char *name = repo + owner + 1;
    c->root = xstrdup(cache_dir);
    c->folder = xasprintf("%s/models--%.*s--%s", cache_dir, owner, repo, name);
    c->locks = xasprintf("%s/.locks/models--%.*s--%s", cache_dir, owner, repo, name);
}

void cache_repo_free(struct cache_repo *c)
{
    free(c->root);
    free(c->folder);
    free(c->locks);
    *c = (struct cache_repo){0};
}

char *cache_blob_path(const struct cache_repo *c, const char *etag)
{
    return xasprintf("%s/blobs/%s", c->folder, etag);
}

char *cache_lock_path(const struct cache_repo *c, const char *etag)
{
    return xasprintf("%s/%s.lock", c->locks, etag);
}

char *cache_snapshot_path(const struct cache_repo *c, const char *commit)
{
    return xasprintf("%s/snapshots/%s", c->folder, commit);
}

/* ---- refs ----------------------------------------------------------------------------------- */

char *cache_find_commit(const struct cache_repo *c, const char *revision)
{
    if (model_id_is_commit(revision))
        return xstrdup(revision);
    char *path = xasprintf("%s/refs/%s", c->folder, revision);
    struct buf text = {0};
    char *commit = NULL;
    if (file_read(&text, path, NULL)) {
        buf_putc(&text, '\0');
        text.data[strcspn(text.data, " \r\n")] = '\0';
        if (model_id_is_commit(text.data))
            commit = xstrdup(text.data);
    }
    buf_free(&text);
    free(path);
    return commit;
}

bool cache_write_ref(const struct cache_repo *c, const char *revision, const char *commit,
                     struct error *err)
{
    char *before = cache_find_commit(c, revision);
    bool is_known = before && strcmp(before, commit) == 0;
    free(before);
    if (is_known)
        return true;
    char *path = xasprintf("%s/refs/%s", c->folder, revision);
    char *folder = xstrndup(path, (size_t)(strrchr(path, '/') - path));
    bool ok = dir_make(folder, err) && file_write(path, commit, strlen(commit), err);
    free(folder);
    free(path);
    return ok;
}

/* ---- folders and links ---------------------------------------------------------------------- */

static void write_tag(const struct cache_repo *c)
{
    static const char TAG[] = "Signature: 8a477f597d28d172789f06886806bc55\n"
                              "# This is a cache of models: backups may leave it out.\n"
                              "# See https://bford.info/cachedir/\n";
    char *path = xasprintf("%s/CACHEDIR.TAG", c->root);
    if (!file_exists(path))
        (void)file_write(path, TAG, sizeof TAG - 1, NULL); /* a courtesy: may fail */
    free(path);
}

bool cache_prepare(const struct cache_repo *c, struct error *err)
{
    static const char *const PARTS[] = {"blobs", "snapshots", "refs"};
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof PARTS / sizeof PARTS[0]; i++) {
        char *path = xasprintf("%s/%s", c->folder, PARTS[i]);
        ok = dir_make(path, err);
        free(path);
    }
    if (ok)
        write_tag(c);
    return ok;
}

bool cache_link(const struct cache_repo *c, const char *commit, const char *file, const char *etag,
                struct error *err)
{
    struct buf target = {0};
    char *path = xasprintf("%s/snapshots/%s/%s", c->folder, commit, file);
    char *folder = xstrndup(path, (size_t)(strrchr(path, '/') - path));
    /* a name of this process and file only; readers never see it, it is renamed at once */
    char *temporary = xasprintf("%s.%ld.tmp", path, (long)getpid());
    for (const char *p = file; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        buf_puts(&target, "../");
    buf_printf(&target, "../blobs/%s", etag);

    char before[512];
    ssize_t size = readlink(path, before, sizeof before - 1);
    before[size > 0 ? size : 0] = '\0';
    bool ok = strcmp(before, target.data) == 0;
    if (!ok) {
        ok = dir_make(folder, err);
        if (ok) {
            unlink(temporary);
            ok = symlink(target.data, temporary) == 0 && rename(temporary, path) == 0;
            if (!ok)
                fail(err, ERR_IO, "can't link %s: %s", path, strerror(errno));
        }
    }
    free(temporary);
    free(folder);
    free(path);
    buf_free(&target);
    return ok;
}

char *cache_etag_of(const char *snapshot_dir, const char *file)
{
    char target[512];
    char *path = xasprintf("%s/%s", snapshot_dir, file);
    ssize_t size = readlink(path, target, sizeof target - 1);
    bool is_there = file_exists(path);
    free(path);
    if (size <= 0 || !is_there)
        return NULL;
    target[size] = '\0';
    const char *slash = strrchr(target, '/');
    const char *etag = slash ? slash + 1 : target;
    return digest_kind_of(etag) != DIGEST_NONE ? xstrdup(etag) : NULL;
}

/* ---- room ----------------------------------------------------------------------------------- */

const char *cache_size_text(char text[16], int64_t bytes)
{
    static const char *const UNITS[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 999.5 && unit + 1 < sizeof UNITS / sizeof UNITS[0]; unit++)
        value /= 1000;
    snprintf(text, 16, unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value, UNITS[unit]);
    return text;
}

bool cache_check_room(const struct cache_repo *c, int64_t bytes, struct error *err)
{
    struct statvfs disk;
    char need[16], have[16];
    if (bytes == 0 || statvfs(c->folder, &disk) != 0)
        return true; /* nothing to store, or a file system that doesn't say */
    double free_bytes = (double)disk.f_bavail * (double)disk.f_frsize;
    if (free_bytes >= (double)bytes + (double)SPARE_BYTES)
        return true;
    return fail(err, ERR_IO,
                "not enough disk space in %s: %s are needed and %s are free; make room, or set "
                "HF_HUB_CACHE to another disk",
                c->root, cache_size_text(need, bytes), cache_size_text(have, (int64_t)free_bytes));
}
