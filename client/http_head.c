#include "client/http_head.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

/* Fields that libcurl sets or acts on. */
static bool has_framing_field(const struct request_headers *headers)
{
    static const char *const NAMES[] = {"Host", "Expect", "Connection", "Upgrade"};
    for (size_t i = 0; i < headers->n_items; i++) {
        for (size_t k = 0; k < sizeof NAMES / sizeof NAMES[0]; k++) {
            if (strcasecmp(headers->items[i].name, NAMES[k]) == 0)
                return true;
        }
    }
    return false;
}

static bool is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 0x80)
        text++;
    return *text == '\0';
}

/* A part of the address, or NULL. To be freed by curl_free. */
static char *part(CURLU *parsed, CURLUPart what)
{
    char *text = NULL;
    return curl_url_get(parsed, what, &text, 0) == CURLUE_OK ? text : NULL;
}

bool http_head_begin(struct buf *out, const struct request_target *target, const char *url)
{
    CURLU *parsed = curl_url();
    bool is_ours = !target->connect.is_http2 && !has_framing_field(&target->extra) &&
                   is_ascii(url) && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK;
    char *scheme = part(parsed, CURLUPART_SCHEME), *user = part(parsed, CURLUPART_USER);
    char *host = part(parsed, CURLUPART_HOST), *port = part(parsed, CURLUPART_PORT);
    char *path = part(parsed, CURLUPART_PATH), *query = part(parsed, CURLUPART_QUERY);
    is_ours = is_ours && scheme && host && path && !user && strcasecmp(scheme, "http") == 0;
    if (is_ours) {
        bool has_port = port && strcmp(port, "80") != 0;
        buf_printf(out, "POST %s%s%s HTTP/1.1\r\nHost: %s%s%s\r\n", path, query ? "?" : "",
                   query ? query : "", host, has_port ? ":" : "", has_port ? port : "");
    }
    char *const parts[] = {scheme, user, host, port, path, query};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        curl_free(parts[i]);
    curl_url_cleanup(parsed);
    return is_ours;
}

static void put_field(void *self, const char *name, const char *value)
{
    struct buf *out = self;
    size_t n = strlen(value);
    buf_append(out, name, strlen(name));
    buf_append(out, ": ", n ? 2 : 1);
    buf_append(out, value, n);
    buf_append(out, "\r\n", 2);
}

void http_head_end(struct buf *out, const struct request_target *target, const struct record *r)
{
    request_each_header(target, r, put_field, out);
    if (target->connect.says_close)
        put_field(out, "Connection", "close");
    buf_append(out, "Content-Length: ", 16);
    buf_put_int(out, (int64_t)r->payload_bytes);
    buf_append(out, "\r\n\r\n", 4);
}
