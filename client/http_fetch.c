/* A blocking exchange for everything that is not measured. */
#include <stdlib.h>

#include "client/http.h"
#include "client/http_exchange.h"

static struct curl_slist *make_list(const struct request_headers *headers)
{
    struct curl_slist *list = NULL;
    for (size_t i = 0; headers && i < headers->n_items; i++) {
        const struct request_header *h = &headers->items[i];
        /* a header without value is written with ';' for this library */
        char *line = *h->value ? xasprintf("%s: %s", h->name, h->value) : xasprintf("%s;", h->name);
        list = curl_slist_append(list, line);
        free(line);
    }
    return curl_slist_append(list, "Expect:"); /* never wait for "100 Continue" */
}

static size_t on_fetched(char *data, size_t one, size_t size, void *self)
{
    (void)one;
    struct buf *out = self;
    if (out->size + size > HTTP_MAX_BODY)
        return 0;
    buf_append(out, data, size);
    return size;
}

static int on_progress(void *self, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load((const atomic_bool *)self); /* not 0 ends the transfer */
}

bool http_fetch(const char *url, const struct request_connect *connect,
                const struct request_headers *headers, const struct buf *body, int64_t timeout_ms,
                const atomic_bool *cancel_flag, struct buf *out, int *status, struct error *err)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        return fail(err, ERR_MEMORY, "can't set up the HTTP library");
    struct curl_slist *list = make_list(headers);
    exchange_set_common(easy, url, connect, timeout_ms);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_fetched);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, out);
    if (body) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body->data);
    }
    if (cancel_flag) {
        curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(easy, CURLOPT_XFERINFODATA, (void *)cancel_flag);
    }
    CURLcode code = curl_easy_perform(easy);
    long answered = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answered);
    *status = (int)answered;
    curl_slist_free_all(list);
    curl_easy_cleanup(easy);
    if (code == CURLE_OK)
        return true;
    char *shown = request_url_shown(url);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        fail(err, ERR_CANCELED, "GET %s: given up", shown);
    else
        fail(err, ERR_IO, "%s %s: %s", body ? "POST" : "GET", shown, curl_easy_strerror(code));
    free(shown);
    return false;
}
