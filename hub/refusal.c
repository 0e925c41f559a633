/* The hub answers 401 for models that don't exist as well, when it isn't told who asks, and tells
 * apart in X-Error-Code. A storage host's refusals are about the signed address that it was given,
 * which expires; the next try gets a new one. */
#include "hub/refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct refusal make(bool is_final, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static struct refusal make(bool is_final, enum error_code code, const char *format, ...)
{
    struct refusal r = {.is_final = is_final, .code = code};
    va_list args;
    va_start(args, format);
    vsnprintf(r.text, sizeof r.text, format, args);
    va_end(args);
    return r;
}

static struct refusal of_gate(int status, const struct environment *e, const char *repo)
{
    if (!e->token) {
        return make(true, ERR_IO,
                    "%s is gated (%d): open %s/%s in a browser, log in and accept its conditions, "
                    "make a token at %s/settings/tokens, and set HF_TOKEN to it",
                    repo, status, e->endpoint, repo, e->endpoint);
    }
    return make(true, ERR_IO,
                "%s is gated and the token's account has no access (%d): open %s/%s in a browser, "
                "log in to that account and accept its conditions; a fine-grained token also needs "
                "the right to read gated models",
                repo, status, e->endpoint, repo);
}

static struct refusal of_unauthorized(const struct environment *e, const char *repo)
{
    if (e->token) {
        return make(true, ERR_IO,
                    "the hub doesn't accept the token (401): make a new one at %s/settings/tokens "
                    "and put it into HF_TOKEN%s%s; or the model %s doesn't exist",
                    e->endpoint, e->token_path ? " or " : "", e->token_path ? e->token_path : "",
                    repo);
    }
    return make(
        true, ERR_IO,
        "%s doesn't exist, or is private or gated (401): look at %s/%s, and if it is there, "
        "set HF_TOKEN to a token from %s/settings/tokens",
        repo, e->endpoint, repo, e->endpoint);
}

static struct refusal of_missing(const struct transfer_answer *a, const struct environment *e,
                                 const struct model_id *id, const char *file)
{
    if (strcmp(a->error_code, "RevisionNotFound") == 0) {
        return make(true, ERR_NOT_FOUND, "%s has no revision '%s' (404): see %s/%s/commits",
                    id->repo, id->revision, e->endpoint, id->repo);
    }
    if (file && strcmp(a->error_code, "RepoNotFound") != 0) {
        return make(true, ERR_NOT_FOUND, "%s has no file %s at revision '%s' (404)", id->repo, file,
                    id->revision);
    }
    return make(true, ERR_NOT_FOUND, "there is no model %s on %s (404)%s", id->repo, e->endpoint,
                e->token ? "" : ", or it is private and needs HF_TOKEN");
}

struct refusal refusal_of(const struct transfer_answer *a, const struct environment *e,
                          const struct model_id *id, const char *file)
{
    if (a->end == TRANSFER_CUT)
        return make(false, ERR_IO, "no complete answer from %s: %s", a->host, a->detail);
    if (a->end != TRANSFER_ANSWERED)
        return make(true, ERR_IO, "can't ask %s: %s", a->host, a->detail);
    if (a->status == 408 || a->status == 429 || a->status >= 500) {
        return make(false, ERR_IO, "%s %s (%d)", a->host,
                    a->status == 429 ? "asks for fewer requests" : "is in trouble", a->status);
    }
    if (a->is_foreign)
        return make(false, ERR_IO, "the storage host %s answers %d", a->host, a->status);
    if (strcmp(a->error_code, "GatedRepo") == 0)
        return of_gate(a->status, e, id->repo);
    if (a->status == 401)
        return of_unauthorized(e, id->repo);
    if (a->status == 403) {
        return make(true, ERR_IO,
                    "access to %s is forbidden (403)%s%s: if %s/%s shows conditions, log in and "
                    "accept them, and check what the token may read",
                    id->repo, *a->error_message ? ": " : "", a->error_message, e->endpoint,
                    id->repo);
    }
    if (a->status == 404)
        return of_missing(a, e, id, file);
    return make(true, ERR_IO, "%s answers %d%s%s", a->host, a->status,
                *a->error_message ? ": " : "", a->error_message);
}
