/* The hub's own rules for names: letters, digits, '-', '_' and '.'; no "--" and no "..", which
 * separate parts in folder names of the cache; no '-' or '.' at either end; 96 characters. */
#include "hub/model_id.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define MAX_REPO_CHARS 96
#define MAX_REVISION_CHARS 200
#define COMMIT_DIGITS 40

bool model_id_is_commit(const char *text)
{
    return strlen(text) == COMMIT_DIGITS && strspn(text, "0123456789abcdef") == COMMIT_DIGITS;
}

bool model_id_is_safe_path(const char *path)
{
    for (const char *p = path;; p++) {
        size_t size = strcspn(p, "/");
        if (size == 0 || (size == 1 && *p == '.') || (size == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        for (size_t i = 0; i < size; i++) {
            if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f || p[i] == '\\')
                return false;
        }
        p += size;
        if (!*p)
            return true;
    }
}

static bool is_part(const char *text, size_t size)
{
    if (size == 0 || strchr("-.", text[0]) || strchr("-.", text[size - 1]))
        return false;
    for (size_t i = 0; i < size; i++) {
        if (!isalnum((unsigned char)text[i]) && !strchr("-_.", text[i]))
            return false;
        if (i > 0 && text[i] == text[i - 1] && strchr("-.", text[i]))
            return false;
    }
    return true;
}

static bool is_repo(const char *repo)
{
    size_t size = strlen(repo), owner = strcspn(repo, "/");
    return size <= MAX_REPO_CHARS && owner < size && is_part(repo, owner) &&
           is_part(repo + owner + 1, size - owner - 1);
}

static bool is_revision(const char *revision)
{
    if (strlen(revision) > MAX_REVISION_CHARS || !model_id_is_safe_path(revision))
        return false;
    return strcspn(revision, " ~^:?*[@") == strlen(revision); /* git's own rules for names */
}

bool model_id_parse(struct model_id *id, const char *text, const char *revision, struct error *err)
{
    size_t size = strcspn(text, "@");
    id->repo = xstrndup(text, size);
    id->revision = xstrdup(revision ? revision : text[size] ? text + size + 1 : "main");
    if (!is_repo(id->repo)) {
        return fail(err, ERR_INVALID,
                    "'%s' is no model name: must be owner/name or owner/name@revision", text);
    }
    if (!is_revision(id->revision)) {
        return fail(err, ERR_INVALID,
                    "'%s' is no revision: must be a branch, a tag or a commit hash", id->revision);
    }
    return true;
}

void model_id_free(struct model_id *id)
{
    free(id->repo);
    free(id->revision);
    *id = (struct model_id){0};
}
