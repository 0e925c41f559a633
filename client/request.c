#include "client/request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

#define REDACTED "<redacted>"

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

/* Behind the host, with or without brackets, stands nothing or a port. */
static bool has_good_port(const char *host)
{
    size_t n = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', n), *end = host + n;
    const char *from = at ? at + 1 : host;
    const char *close = *from == '[' ? memchr(from, ']', (size_t)(end - from)) : NULL;
    const char *colon = memchr(close ? close : from, ':', (size_t)(end - (close ? close : from)));
    if ((*from == '[' && !close) || (close && close + 1 != end && close[1] != ':'))
        return false;
    long port = 0;
    for (const char *p = colon ? colon + 1 : end; p < end && port < 100000; p++) {
        if (*p < '0' || *p > '9')
            return false;
        port = port * 10 + (*p - '0');
    }
    return !colon || colon + 1 == end || (port >= 1 && port <= 65535);
}

bool request_url(struct buf *out, const char *base, const char *path, struct error *err)
{
    const char *scheme_end = strstr(base, "://");
    bool is_web = !scheme_end || strncasecmp(base, "http://", 7) == 0 ||
                  strncasecmp(base, "https://", 8) == 0;
    if (!is_web)
        return fail_field(err, "--url", "--url is '%s': must start with http:// or https://", base);
    const char *host = scheme_end ? scheme_end + 3 : base;
    if (!has_good_port(host))
        return fail_field(err, "--url",
                          "--url is '%s': the port must be 1 to 65535, and an IPv6 "
                          "address in brackets",
                          base);
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
    if (strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0)
        return fail_field(err, "--header", "--header %s: the client sets it by the body", name);
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

bool request_has_header(const struct request_headers *h, const char *name)
{
    size_t i = 0;
    while (i < h->n_items && strcasecmp(h->items[i].name, name) != 0)
        i++;
    return i < h->n_items;
}

#define N_IN_FRONT 3 /* of our own fields before the user's */

void request_each_header(const struct request_target *target, const struct record *r,
                         request_header_fn put, void *self)
{
    const struct request_header ours[] = {
        {"User-Agent", REQUEST_USER_AGENT},
        {"X-Request-ID", (char *)r->request_id},
        {"X-Correlation-ID", (char *)record_correlation(r)},
        {"Accept", "application/json"},
        {"Content-Type", (char *)(r->payload_type ? r->payload_type : "application/json")},
        {"X-Session-Affinity", (char *)record_correlation(r)},
    };
    for (size_t k = 0; k < sizeof ours / sizeof ours[0]; k++) {
        for (size_t i = 0; k == N_IN_FRONT && i < target->extra.n_items; i++)
            put(self, target->extra.items[i].name, target->extra.items[i].value);
        if (!request_has_header(&target->extra, ours[k].name))
            put(self, ours[k].name, ours[k].value);
    }
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
    static const char *const PARTS[] = {"auth",     "cookie",     "token",   "secret",
                                        "password", "credential", "session", "signature",
                                        "-key",     "_key",       "apikey",  "passwd"};
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        if (strcasestr(name, PARTS[i]))
            return true;
    }
    return false;
}

static void put_shown_query(struct buf *out, const char *query)
{
    while (*query) {
        size_t n = strcspn(query, "&#"), n_name = strcspn(query, "=&#");
        char *name = xstrndup(query, n_name);
        bool is_secret = n_name < n && (request_header_is_secret(name) ||
                                        !strcasecmp(name, "key") || !strcasecmp(name, "sig"));
        buf_append(out, query, is_secret ? n_name + 1 : n);
        if (is_secret)
            buf_puts(out, REDACTED);
        free(name);
        query += n;
        if (*query)
            buf_putc(out, *query++);
    }
}

char *request_url_shown(const char *url)
{
    struct buf out = {0};
    const char *scheme_end = strstr(url, "://");
    const char *host = scheme_end ? scheme_end + 3 : url;
    size_t n = strcspn(host, "/?#");
    buf_append(&out, url, (size_t)(host - url));
    for (size_t at = n; at > 0; at--) {
        if (host[at - 1] != '@')
            continue;
        buf_puts(&out, REDACTED "@");
        host += at;
        break;
    }
    n = strcspn(host, "?");
    buf_append(&out, host, n);
    if (host[n])
        buf_putc(&out, '?');
    put_shown_query(&out, host[n] ? host + n + 1 : "");
    return out.data ? out.data : xstrdup("");
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
