#include "client/request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

void request_headers_free(struct request_headers *h)
{
    for (size_t i = 0; i < h->n_items; i++) {
        free(h->items[i].name);
        free(h->items[i].value);
    }
    free(h->items);
    *h = (struct request_headers){0};
}

void request_target_free(struct request_target *t)
{
    for (size_t i = 0; i < t->n_urls; i++)
        free(t->urls[i]);
    free(t->urls);
    request_headers_free(&t->extra);
    *t = (struct request_target){0};
}

/* ---- address -------------------------------------------------------------------------------- */

static bool ends_with(const struct buf *b, const char *tail)
{
    size_t n = strlen(tail);
    return b->size >= n && memcmp(b->data + b->size - n, tail, n) == 0;
}

bool request_url(struct buf *out, const char *base, const char *path, struct error *err)
{
    const char *scheme_end = strstr(base, "://");
    bool is_web = !scheme_end || strncasecmp(base, "http://", 7) == 0 ||
                  strncasecmp(base, "https://", 8) == 0;
    if (!is_web)
        return fail_field(err, "--url", "--url is '%s': must start with http:// or https://", base);
    const char *host = scheme_end ? scheme_end + 3 : base;
    if (strcspn(host, "/?#") == 0 || *host == ':' || strpbrk(base, " \t\r\n"))
        return fail_field(err, "--url", "--url is '%s': must be like http://localhost:30000", base);

    struct buf url = {0};
    size_t n = strcspn(base, "?#");
    if (!scheme_end)
        buf_puts(&url, "http://");
    buf_append(&url, base, n);
    while (ends_with(&url, "/"))
        url.data[--url.size] = '\0';

    if (*path && *path != '/')
        buf_putc(&url, '/');
    if (*path && !ends_with(&url, path)) {
        if (ends_with(&url, "/v1") && strncmp(path, "/v1/", 4) == 0)
            path += 3;
        buf_puts(&url, path);
    }
    if (base[n] == '?') {
        size_t n_query = strcspn(base + n, "#");
        buf_append(&url, base + n, n_query);
    }
    buf_append(out, url.data, url.size);
    buf_free(&url);
    return true;
}

void request_base(struct buf *out, const char *url)
{
    const char *host = strstr(url, "://") + 3;
    buf_append(out, url, (size_t)(host - url) + strcspn(host, "/?#"));
}

/* ---- headers -------------------------------------------------------------------------------- */

void request_push_header(struct request_headers *h, const char *name, const char *value)
{
    h->items = xrealloc(h->items, (h->n_items + 1) * sizeof *h->items);
    h->items[h->n_items++] = (struct request_header){xstrdup(name), xstrdup(value)};
}

static bool check_header(const char *name, const char *value, struct error *err)
{
    static const char TOKEN[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (!*name || name[strspn(name, TOKEN)])
        return fail_field(err, "--header", "--header: '%s' is no header name", name);
    for (const char *p = value; *p; p++) {
        if ((unsigned char)*p < 0x20 && *p != '\t')
            return fail_field(err, "--header", "--header %s: the value has a control character",
                              name);
    }
    return true;
}

static bool add_checked(struct request_headers *h, const char *name, const char *value,
                        struct error *err)
{
    if (!check_header(name, value, err))
        return false;
    request_push_header(h, name, value);
    return true;
}

static bool add_object(struct request_headers *h, const char *text, struct error *err)
{
    struct json *tree = json_parse(text, strlen(text), err);
    if (!tree)
        return error_prefix(err, "--header");
    bool ok = true;
    for (const struct json *child = json_first(tree); ok && child; child = json_next(child)) {
        if (json_type(child) != JSON_STRING)
            ok = fail_field(err, "--header", "--header %s is a %s: must be a string",
                            json_key(child), json_type_name(json_type(child)));
        else
            ok = add_checked(h, json_key(child), json_string(child), err);
    }
    json_free(tree);
    return ok;
}

/* Length of the first pair of text: up to the comma before the next piece that has a colon. */
static size_t pair_size(const char *text)
{
    for (size_t n = 0;;) {
        n += strcspn(text + n, ",");
        if (!text[n])
            return n;
        const char *next = text + n + 1;
        size_t n_next = strcspn(next, ",");
        if (memchr(next, ':', n_next))
            return n;
        n++;
    }
}

bool request_add_header(struct request_headers *h, const char *text, struct error *err)
{
    text += strspn(text, " \t");
    if (*text == '{')
        return add_object(h, text, err);
    if (!*text)
        return fail_field(err, "--header", "--header is empty: must be Name:value");
    while (*text) {
        text += strspn(text, " \t");
        size_t n = pair_size(text), n_name = strcspn(text, ":");
        if (n_name >= n)
            return fail_field(err, "--header", "--header is '%s': must be Name:value", text);
        char *name = xstrndup(text, n_name);
        const char *from = text + n_name + 1;
        from += strspn(from, " \t");
        char *value = xstrndup(from, (size_t)(text + n - from));
        for (size_t at = strlen(name); at > 0 && name[at - 1] == ' '; at--)
            name[at - 1] = '\0';
        bool ok = add_checked(h, name, value, err);
        free(name);
        free(value);
        if (!ok)
            return false;
        text += n + (text[n] == ',');
    }
    return true;
}

void request_each_header(const struct request_target *target, const struct record *r,
                         request_header_fn put, void *self)
{
    put(self, "User-Agent", REQUEST_USER_AGENT);
    put(self, "X-Request-ID", r->request_id);
    put(self, "X-Correlation-ID", record_correlation(r));
    for (size_t i = 0; i < target->extra.n_items; i++)
        put(self, target->extra.items[i].name, target->extra.items[i].value);
    put(self, "Accept", "application/json");
    put(self, "Content-Type", r->payload_type ? r->payload_type : "application/json");
    put(self, "X-Session-Affinity", record_correlation(r));
}

static void push_header(void *self, const char *name, const char *value)
{
    request_push_header(self, name, value);
}

void request_make_headers(struct request_headers *out, const struct request_target *target,
                          const struct record *r)
{
    request_each_header(target, r, push_header, out);
}

bool request_header_is_secret(const char *name)
{
    static const char *const PARTS[] = {"auth",       "cookie",  "token",     "secret",  "password",
                                        "credential", "session", "signature", "api-key", "apikey"};
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        if (strcasestr(name, PARTS[i]))
            return true;
    }
    return false;
}

/* ---- body ----------------------------------------------------------------------------------- */

void request_body(struct buf *out, const char *prompt, const char *model,
                  const struct fields *extra, const struct fields *row)
{
    struct fields body = {0};
    fields_set_string(&body, "prompt", prompt);
    fields_set_string(&body, "model", model);
    fields_set_string(&body, "response_format", "b64_json");
    fields_set(&body, "n", "1");
    fields_merge(&body, extra);
    fields_merge(&body, row);
    fields_print(out, &body, 0, 0);
    fields_free(&body);
}
