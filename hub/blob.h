/* Contents in the cache, each under its checksum: fetching one so that it is whole, right and
 * fetched once, and looking whether it still is.
 *
 * Hashing 34 GB at every start would cost a minute. So small blobs (16 MiB) are hashed whenever
 * they are checked, and large ones only when size or time of modification differ from those in
 * .verified/ETAG, which is written when the checksum was right. A large blob that another program
 * has fetched has no such note and is trusted, until hub_options.verify asks for all. */
#pragma once

#include "hub/session.h"

enum blob_state { BLOB_GOOD, BLOB_ABSENT, BLOB_DAMAGED };

/* Judge the blob by its name. size < 0: any; verify: hash in any case. Gives up with BLOB_GOOD when
 * *stop becomes true; stop may be NULL. */
enum blob_state blob_check(const struct cache_repo *c, const char *etag, int64_t size, bool verify,
                           const atomic_bool *stop);

/* Forget a blob that is damaged. */
void blob_remove(const struct cache_repo *c, const char *etag);

/* The bytes of it that an interrupted download has left, and this one will continue. */
int64_t blob_resumable_bytes(const struct cache_repo *c, const char *etag, int64_t size);

struct blob_wish {
    const char *file; /* the path inside the model, for messages */
    const char *url;
    const char *etag; /* has a digest_kind */
    int64_t size;     /* bytes */
};

/* Make sure that the blob is there and right: take its lock, continue BLOB.incomplete, verify,
 * rename. What doesn't verify is thrown away and fetched again, twice. */
bool blob_fetch(struct session *s, struct transfer *t, const struct blob_wish *wish,
                struct error *err);
