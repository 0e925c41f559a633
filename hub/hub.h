/* Models by name. `owner/name[@revision]` becomes a local directory in the diffusers layout: one in
 * the Hugging Face cache, which is shared with every other program that follows its layout, or one
 * that is downloaded into it first.
 *
 * The environment decides what options leave open: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME and
 * XDG_CACHE_HOME where the cache is; HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE,
 * HF_HUB_DOWNLOAD_TIMEOUT and the proxies how the hub is asked (docs/models.md lists all).
 *
 * Failures: ERR_INVALID a malformed name or setting; ERR_NOT_FOUND no such model, revision or file,
 * or not in the cache while offline; ERR_CANCELED; ERR_IO everything else, in words that say what
 * to do. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Zero-initialised options are the defaults. Nothing is owned. */
struct hub_options {
    const char *cache_dir;      /* NULL: by the environment */
    const char *revision;       /* branch, tag or commit; NULL: by the name's @, else main */
    const char *const *include; /* shell patterns of the files to fetch (hub_fetch only); */
    size_t n_include;           /* 0: those that the pipeline needs */
    const char *const *without; /* parts ("transformer", "vae") whose weights are not needed */
    size_t n_without;
    int64_t n_parallel;        /* downloads at a time; 0: 4 */
    double retry_s;            /* pause before the first retry, doubled each time; 0: 1 */
    bool is_offline;           /* ask no hub, whatever the environment says */
    bool verify;               /* hash every file again, not only those that may have changed */
    const atomic_bool *cancel; /* set it to make a call return ERR_CANCELED; may be NULL */
};

/* True when text has the form owner/name or owner/name@revision. Whether a directory of that name
 * exists is the caller's question, and should come first. */
bool hub_is_model_id(const char *text);

/* Find the model's directory: in the cache, without any request when all that the pipeline needs is
 * there, else by hub_fetch(). Files that changed since they were verified are found and fetched
 * again. The caller frees *snapshot_dir. Takes as long as a download; progress goes to stderr. */
bool hub_locate(const struct hub_options *options, const char *model, char **snapshot_dir,
                struct error *err);

/* Ask the hub what the revision is now, and fetch what is missing of it. When the hub can't be
 * reached, or offline, a complete copy in the cache is good enough (with a warning). The caller
 * frees *snapshot_dir. */
bool hub_fetch(const struct hub_options *options, const char *model, char **snapshot_dir,
               struct error *err);
