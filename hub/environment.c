/* Names, precedence and expansion ("~", "$NAME") are those of the Python library huggingface_hub,
 * so that both find the same cache and the same token. A variable that is set but empty counts as
 * not set. */
#include "hub/environment.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"

#define DEFAULT_ENDPOINT "https://huggingface.co"
#define DEFAULT_STALL_S 30
#define MAX_STALL_S 3600

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool is_true(const char *name)
{
    static const char *const WORDS[] = {"1", "ON", "YES", "TRUE"};
    const char *value = variable(name);
    for (size_t i = 0; value && i < sizeof WORDS / sizeof WORDS[0]; i++) {
        if (strcasecmp(value, WORDS[i]) == 0)
            return true;
    }
    return false;
}

/* Append the value of $NAME or ${NAME} at text, which starts with '$', and return what follows.
 * Anything that is no known variable stays as it is. */
static const char *expand_variable(struct buf *out, const char *text)
{
    bool is_braced = text[1] == '{';
    const char *from = text + (is_braced ? 2 : 1), *to = from;
    while (isalnum((unsigned char)*to) || *to == '_')
        to++;
    char *name = xstrndup(from, (size_t)(to - from));
    const char *value = to > from && (!is_braced || *to == '}') ? getenv(name) : NULL;
    free(name);
    if (!value) {
        buf_putc(out, '$');
        return text + 1;
    }
    buf_puts(out, value);
    return is_braced ? to + 1 : to;
}

static char *expand(const char *path)
{
    struct buf out = {0};
    const char *home = variable("HOME");
    if (path[0] == '~' && (path[1] == '/' || !path[1]) && home) {
        buf_puts(&out, home);
        path++;
    }
    while (*path) {
        if (*path == '$')
            path = expand_variable(&out, path);
        else
            buf_putc(&out, *path++);
    }
    return out.data ? out.data : xstrdup("");
}

/* The folder of everything of the hub's programs, or NULL when there is no home either. */
static char *find_home(void)
{
    if (variable("HF_HOME"))
        return expand(variable("HF_HOME"));
    if (variable("XDG_CACHE_HOME")) {
        char *path = xasprintf("%s/huggingface", variable("XDG_CACHE_HOME"));
        char *expanded = expand(path);
        free(path);
        return expanded;
    }
    return variable("HOME") ? expand("~/.cache/huggingface") : NULL;
}

static bool find_cache(struct environment *e, const struct hub_options *options, const char *home,
                       struct error *err)
{
    const char *given = options->cache_dir                  ? options->cache_dir
                        : variable("HF_HUB_CACHE")          ? variable("HF_HUB_CACHE")
                        : variable("HUGGINGFACE_HUB_CACHE") ? variable("HUGGINGFACE_HUB_CACHE")
                                                            : NULL;
    if (!given && !home)
        return fail(err, ERR_INVALID, "HOME is not set: set HF_HOME to say where models are kept");
    e->cache_dir = given ? expand(given) : xasprintf("%s/hub", home);
    if (e->cache_dir[0] != '/') { /* so that messages and results say where it is */
        char *here = getcwd(NULL, 0);
        char *absolute = xasprintf("%s/%s", here ? here : ".", e->cache_dir);
        free(here);
        free(e->cache_dir);
        e->cache_dir = absolute;
    }
    return true;
}

static bool find_endpoint(struct environment *e, struct error *err)
{
    const char *given = variable("HF_ENDPOINT") ? variable("HF_ENDPOINT") : DEFAULT_ENDPOINT;
    size_t size = strlen(given);
    while (size > 0 && given[size - 1] == '/')
        size--;
    e->endpoint = xstrndup(given, size);
    bool is_url = strncmp(given, "https://", 8) == 0 || strncmp(given, "http://", 7) == 0;
    if (!is_url || strpbrk(given, " \t\r\n?#@"))
        return fail(err, ERR_INVALID, "HF_ENDPOINT '%s': must be like %s", given, DEFAULT_ENDPOINT);
    return true;
}

/* Tokens come with stray line ends; what is left has to fit into one header line. */
static bool set_token(struct environment *e, const char *text, const char *source,
                      struct error *err)
{
    static const char SPACE[] = " \t\r\n";
    text += strspn(text, SPACE);
    size_t size = strlen(text);
    while (size > 0 && strchr(SPACE, text[size - 1]))
        size--;
    for (size_t i = 0; i < size; i++) {
        if (!isgraph((unsigned char)text[i]))
            return fail(err, ERR_INVALID, "%s holds no token: must be one word like hf_...",
                        source);
    }
    if (size > 0)
        e->token = xstrndup(text, size);
    return true;
}

static bool find_token(struct environment *e, const char *home, struct error *err)
{
    if (variable("HF_TOKEN_PATH"))
        e->token_path = expand(variable("HF_TOKEN_PATH"));
    else if (home)
        e->token_path = xasprintf("%s/token", home);
    if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN"))
        return true;
    if (variable("HF_TOKEN"))
        return set_token(e, variable("HF_TOKEN"), "HF_TOKEN", err);
    if (variable("HUGGING_FACE_HUB_TOKEN")) /* its older name */
        return set_token(e, variable("HUGGING_FACE_HUB_TOKEN"), "HUGGING_FACE_HUB_TOKEN", err);
    if (!e->token_path || access(e->token_path, F_OK) != 0)
        return true;
    struct buf text = {0};
    bool ok = file_read(&text, e->token_path, err) &&
              set_token(e, text.data ? text.data : "", e->token_path, err);
    buf_free(&text);
    return ok;
}

static bool find_timeout(struct environment *e, struct error *err)
{
    const char *given = variable("HF_HUB_DOWNLOAD_TIMEOUT");
    e->stall_s = DEFAULT_STALL_S;
    if (!given)
        return true;
    char *end;
    errno = 0;
    long seconds = strtol(given, &end, 10);
    if (errno || *end || seconds < 1 || seconds > MAX_STALL_S) {
        return fail(err, ERR_INVALID,
                    "HF_HUB_DOWNLOAD_TIMEOUT '%s': must be whole seconds from 1 to %d", given,
                    MAX_STALL_S);
    }
    e->stall_s = seconds;
    return true;
}

bool environment_read(struct environment *e, const struct hub_options *options, struct error *err)
{
    char *home = find_home();
    e->is_offline =
        options->is_offline || is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE");
    bool ok = find_cache(e, options, home, err) && find_endpoint(e, err) &&
              find_token(e, home, err) && find_timeout(e, err);
    free(home);
    return ok;
}

void environment_free(struct environment *e)
{
    free(e->cache_dir);
    free(e->endpoint);
    free(e->token);
    free(e->token_path);
    *e = (struct environment){0};
}
