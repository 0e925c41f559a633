/* Redirects, headers and the token. What an answer means is the caller's business: see refusal.c.
 */
#include "hub/transfer.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/buf.h"

#define MAX_REDIRECTS 10
#define CONNECT_S 20L
#define BUFFER_BYTES (512L << 10) /* bytes that one call of the sink gets, at most */
#define USER_AGENT "fluxbench/" FLUXBENCH_VERSION

struct transfer {
    CURL *easy;
    struct transfer_options options;
    char error[CURL_ERROR_SIZE];
    /* of the request that runs */
    const struct transfer_request *request;
    struct transfer_answer *answer;
    char *location; /* absolute address of a redirect; owned */
    int64_t offset; /* where the next byte of the body belongs */
    bool has_linked_etag, has_linked_size, is_sink_full;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_init(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

/* ---- addresses ------------------------------------------------------------------------------ */

/* One part of an address, as a string of ours; "" when it isn't there. */
static char *url_part(const char *url, CURLUPart part)
{
    CURLU *parts = curl_url();
    char *text = NULL;
    if (parts && curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
        curl_url_get(parts, part, &text, CURLU_DEFAULT_PORT);
    char *copy = xstrdup(text ? text : "");
    curl_free(text);
    curl_url_cleanup(parts);
    return copy;
}

static bool is_part_equal(const char *a, const char *b, CURLUPart part)
{
    char *of_a = url_part(a, part), *of_b = url_part(b, part);
    bool is_equal = *of_a && strcasecmp(of_a, of_b) == 0;
    free(of_a);
    free(of_b);
    return is_equal;
}

static bool is_same_origin(const char *a, const char *b)
{
    return is_part_equal(a, b, CURLUPART_SCHEME) && is_part_equal(a, b, CURLUPART_HOST) &&
           is_part_equal(a, b, CURLUPART_PORT);
}

static bool is_https(const char *url) { return strncasecmp(url, "https://", 8) == 0; }

/* ---- callbacks ------------------------------------------------------------------------------ */

static void begin_hop(struct transfer *t, const char *url)
{
    struct transfer_answer *a = t->answer;
    *a = (struct transfer_answer){.size = -1, .retry_after_s = -1, .range_from = -1};
    char *host = url_part(url, CURLUPART_HOST);
    snprintf(a->host, sizeof a->host, "%s", host);
    free(host);
    a->is_foreign = !is_same_origin(url, t->options.endpoint);
    t->has_linked_etag = t->has_linked_size = t->is_sink_full = false;
    t->offset = 0;
    t->error[0] = '\0';
}

/* Numbers that are no numbers count as absent. */
static int64_t read_number(const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return errno || end == text || value < 0 ? -1 : (int64_t)value;
}

static void read_etag(struct transfer_answer *a, const char *value)
{
    if (strncmp(value, "W/", 2) == 0)
        value += 2;
    size_t size = strlen(value);
    if (size >= 2 && value[0] == '"' && value[size - 1] == '"')
        value++, size -= 2;
    if (size < sizeof a->etag)
        snprintf(a->etag, sizeof a->etag, "%.*s", (int)size, value);
}

/* Seconds, or a date. */
static int64_t read_retry_after(const char *value)
{
    int64_t seconds = read_number(value);
    if (seconds >= 0)
        return seconds;
    time_t date = curl_getdate(value, NULL), now = time(NULL);
    return date < 0 ? -1 : date > now ? (int64_t)(date - now) : 0;
}

static void read_header(struct transfer *t, const char *name, const char *value)
{
    struct transfer_answer *a = t->answer;
    if (strcasecmp(name, "x-repo-commit") == 0) {
        snprintf(a->commit, sizeof a->commit, "%s", value);
    } else if (strcasecmp(name, "x-linked-etag") == 0) {
        t->has_linked_etag = true;
        read_etag(a, value);
    } else if (strcasecmp(name, "etag") == 0 && !t->has_linked_etag) {
        read_etag(a, value);
    } else if (strcasecmp(name, "x-linked-size") == 0) {
        t->has_linked_size = true;
        a->size = read_number(value);
    } else if (strcasecmp(name, "content-length") == 0 && !t->has_linked_size &&
               a->status / 100 != 3) {
        a->size = read_number(value);
    } else if (strcasecmp(name, "content-range") == 0 && strncasecmp(value, "bytes ", 6) == 0) {
        a->range_from = read_number(value + 6);
    } else if (strcasecmp(name, "retry-after") == 0) {
        a->retry_after_s = read_retry_after(value);
    } else if (strcasecmp(name, "x-error-code") == 0) {
        snprintf(a->error_code, sizeof a->error_code, "%s", value);
    } else if (strcasecmp(name, "x-error-message") == 0) {
        snprintf(a->error_message, sizeof a->error_message, "%s", value);
    }
}

static size_t on_header(char *bytes, size_t one, size_t size, void *self)
{
    (void)one;
    struct transfer *t = self;
    char *line = xstrndup(bytes, size);
    line[strcspn(line, "\r\n")] = '\0';
    char *colon = strchr(line, ':');
    if (strncmp(line, "HTTP/", 5) == 0) {
        char *space = strchr(line, ' ');
        t->answer->status = space ? (int)strtol(space, NULL, 10) : 0;
    } else if (colon) {
        *colon = '\0';
        read_header(t, line, colon + 1 + strspn(colon + 1, " \t"));
    }
    free(line);
    return size;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *self)
{
    (void)one;
    struct transfer *t = self;
    const struct transfer_answer *a = t->answer;
    if ((a->status != 200 && a->status != 206) || !t->request->sink)
        return size; /* the page that goes with a redirect or a refusal */
    if (t->offset == 0 && a->status == 206)
        t->offset = a->range_from;
    if (t->offset < 0 || !t->request->sink(t->request->self, t->offset, bytes, size)) {
        t->is_sink_full = true;
        return 0;
    }
    t->offset += (int64_t)size;
    return size;
}

static int on_progress(void *self, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(((const struct transfer *)self)->options.stop); /* not 0 ends it */
}

/* ---- one hop -------------------------------------------------------------------------------- */

static struct curl_slist *make_headers(const struct transfer *t)
{
    /* identity: sizes and ranges are those of the file, not of a compressed form */
    struct curl_slist *list = curl_slist_append(NULL, "Accept-Encoding: identity");
    if (t->options.token && !t->answer->is_foreign) {
        char *line = xasprintf("Authorization: Bearer %s", t->options.token);
        list = curl_slist_append(list, line);
        free(line);
    }
    if (!list)
        abort(); /* out of memory */
    return list;
}

static void set_options(struct transfer *t, const char *url, struct curl_slist *headers)
{
    CURL *easy = t->easy;
    const char *ca_file = getenv("SSL_CERT_FILE"), *ca_dir = getenv("SSL_CERT_DIR");
    curl_easy_reset(easy); /* keeps connections */
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* not for a proxy */
    curl_easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (ca_file && *ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
    if (ca_dir && *ca_dir)
        curl_easy_setopt(easy, CURLOPT_CAPATH, ca_dir);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)t->options.stall_s);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* a proxy's are not the hub's */
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, t);
    if (t->request->is_head)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (t->request->from > 0) {
        char range[32];
        snprintf(range, sizeof range, "%lld-", (long long)t->request->from);
        curl_easy_setopt(easy, CURLOPT_RANGE, range);
    }
}

static enum transfer_end judge(const struct transfer *t, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return TRANSFER_ANSWERED;
    case CURLE_ABORTED_BY_CALLBACK:
        return TRANSFER_STOPPED;
    case CURLE_WRITE_ERROR:
        return t->is_sink_full ? TRANSFER_REFUSED : TRANSFER_CUT;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PEER_FAILED_VERIFICATION: /* certificate */
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_OUT_OF_MEMORY:
        return TRANSFER_FAILED;
    default:
        return TRANSFER_CUT;
    }
}

static const char *reason_of(const struct transfer *t, CURLcode code)
{
    if (code == CURLE_SSL_CACERT_BADFILE)
        return "no certificates to check the hub's by: install ca-certificates, or correct "
               "SSL_CERT_FILE";
    return *t->error ? t->error : curl_easy_strerror(code);
}

static void run_hop(struct transfer *t, const char *url)
{
    struct transfer_answer *a = t->answer;
    begin_hop(t, url);
    struct curl_slist *headers = make_headers(t);
    set_options(t, url, headers);
    CURLcode code = curl_easy_perform(t->easy);
    a->end = judge(t, code);
    if (code != CURLE_OK)
        snprintf(a->detail, sizeof a->detail, "%s", reason_of(t, code));

    char *location = NULL; /* absolute, whatever the header says */
    curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &location);
    free(t->location);
    t->location = location ? xstrdup(location) : NULL;
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
}

/* ---- public --------------------------------------------------------------------------------- */

bool transfer_open(struct transfer **out, const struct transfer_options *options, struct error *err)
{
    struct transfer *t = xcalloc(1, sizeof *t);
    pthread_once(&library_once, library_init);
    t->options = *options;
    t->easy = curl_easy_init();
    *out = t;
    return t->easy ? true : fail(err, ERR_MEMORY, "can't set up the HTTP library");
}

void transfer_close(struct transfer *t)
{
    if (!t)
        return;
    curl_easy_cleanup(t->easy);
    free(t->location);
    free(t);
}

void transfer_run(struct transfer *t, const struct transfer_request *request,
                  struct transfer_answer *answer)
{
    char *url = xstrdup(request->url);
    t->request = request;
    t->answer = answer;
    for (int hop = 0;; hop++) {
        run_hop(t, url);
        bool is_redirect =
            answer->end == TRANSFER_ANSWERED && answer->status / 100 == 3 && t->location != NULL;
        /* the hub describes a file where it hands over to the storage host */
        bool is_handover = is_redirect && request->is_head && t->has_linked_etag &&
                           !is_same_origin(t->location, t->options.endpoint);
        if (!is_redirect || is_handover)
            break;
        const char *reason = hop == MAX_REDIRECTS ? "too many redirects"
                             : is_https(url) && !is_https(t->location)
                                 ? "it redirects from https to an unprotected address"
                                 : NULL;
        if (reason) {
            answer->end = TRANSFER_FAILED;
            snprintf(answer->detail, sizeof answer->detail, "%s", reason);
            break;
        }
        free(url);
        url = t->location;
        t->location = NULL;
    }
    free(url);
    t->request = NULL;
    t->answer = NULL;
}
