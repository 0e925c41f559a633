/* The layout of the Hugging Face cache, for one model.
 *
 *     CACHE/models--owner--name/refs/main                  the commit that main was last seen at
 *                               blobs/ETAG                 contents, by checksum
 *                               snapshots/COMMIT/vae/...   relative symlinks into blobs/
 *                               .no_exist/                 files known to be missing; not used here
 *                               .verified/ETAG             ours: see blob.h
 *     CACHE/.locks/models--owner--name/ETAG.lock
 *
 * Source: the layout's description in the documentation of huggingface_hub, "Understand caching".
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct cache_repo {
    char *folder; /* CACHE/models--owner--name */
    char *locks;
    char *root; /* CACHE */
};

void cache_repo_init(struct cache_repo *c, const char *cache_dir, const char *repo);
void cache_repo_free(struct cache_repo *c);

/* Paths; the caller frees them. */
char *cache_blob_path(const struct cache_repo *c, const char *etag);
char *cache_lock_path(const struct cache_repo *c, const char *etag);
char *cache_snapshot_path(const struct cache_repo *c, const char *commit);

/* The commit that a revision stood for when it was last fetched (itself, when it is a full commit
 * hash), or NULL. The caller frees it. */
char *cache_find_commit(const struct cache_repo *c, const char *revision);

/* Remember it. Readers see the old or the new one. Nothing is written when nothing changes, so
 * that a read-only cache is no failure. */
bool cache_write_ref(const struct cache_repo *c, const char *revision, const char *commit,
                     struct error *err);

/* Make the folders, and CACHEDIR.TAG, by which backup programs know a cache. */
bool cache_prepare(const struct cache_repo *c, struct error *err);

/* Let snapshots/COMMIT/file be a relative link to the blob, replacing what was there. */
bool cache_link(const struct cache_repo *c, const char *commit, const char *file, const char *etag,
                struct error *err);

/* The checksum that snapshot_dir/file is stored under, or NULL when it is no link into blobs/ or
 * the link leads nowhere. The caller frees it. */
char *cache_etag_of(const char *snapshot_dir, const char *file);

/* Fail when the disk has no room for so many bytes more. */
bool cache_check_room(const struct cache_repo *c, int64_t bytes, struct error *err);

/* "1.5 GB", in units of 1000, for messages; text holds 16 bytes at least. */
const char *cache_size_text(char text[16], int64_t bytes);
