#include "client/wait.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "client/edit.h"
#include "client/http.h"

#define PROMPT "A red fox" /* of the trial image */
#define TRIAL_PX 64        /* sides of the picture that is edited */
#define MAX_TRY_MS 600000  /* a cold server may take long for its first image */
#define SLEEP_STEP_NS (100 * NS_PER_MS)

static bool has_model(const struct json *list, const char *model)
{
    for (const struct json *m = json_first(json_get(list, "data")); m; m = json_next(m)) {
        const char *id = NULL;
        if (json_read_string(m, "id", &id, NULL) && id && strcmp(id, model) == 0)
            return true;
    }
    return false;
}

static bool check_models(const struct options *o, const atomic_bool *stop, int64_t timeout_ms,
                         struct error *err)
{
    struct buf url = {0}, answer = {0};
    int status = 0;
    request_base(&url, o->target.urls[0]);
    size_t n_base = url.size;
    buf_puts(&url, "/v1/models");
    bool ok = http_fetch(url.data, &o->target.connect, &o->target.extra, NULL, timeout_ms, stop,
                         &answer, &status, err);
    if (ok && status == 404) { /* no list: being there is all that can be asked */
        url.data[url.size = n_base] = '\0';
        ok = http_fetch(url.data, &o->target.connect, &o->target.extra, NULL, timeout_ms, stop,
                        &answer, &status, err);
        if (ok && status >= 500)
            ok = fail(err, ERR_BUSY, "GET %s: status %d", url.data, status);
    } else if (ok && status != 200) {
        ok = fail(err, ERR_BUSY, "GET %s: status %d", url.data, status);
    } else if (ok) {
        struct json *list = json_parse(answer.data ? answer.data : "", answer.size, err);
        ok = list && has_model(list, o->model);
        if (list && !ok)
            fail(err, ERR_BUSY, "%s does not list the model %s", url.data, o->model);
        json_free(list);
    }
    buf_free(&url);
    buf_free(&answer);
    return ok;
}

/* An edit of noise, or a picture from nothing. */
static bool make_trial(struct buf *body, char **type, const struct options *o, struct error *err)
{
    static const struct fields NONE = {0};
    if (!o->kind->takes_images) {
        request_body(body, PROMPT, o->model, &o->extra, &NONE);
        return true;
    }
    const struct edit_image_shape shape = {TRIAL_PX, 0, TRIAL_PX, 0, EDIT_PNG};
    struct edit_image_maker *maker = xmalloc(sizeof *maker);
    struct buf file = {0};
    struct edit_form form = {0};
    const struct edit_input in = {PROMPT, o->model, NULL, &file};
    edit_image_maker_init(maker, &shape, 0);
    bool ok =
        edit_image_make(maker, &file, err) && edit_form_make(&form, &in, &o->extra, &NONE, err);
    if (ok) {
        *type = xstrdup(form.content_type);
        buf_append(body, form.body.data, form.body.size);
    }
    edit_form_free(&form);
    buf_free(&file);
    free(maker);
    return ok;
}

static bool check_inference(const struct options *o, const atomic_bool *stop, int64_t timeout_ms,
                            struct error *err)
{
    struct record r = {0};
    struct request_headers headers = {0};
    struct buf body = {0}, answer = {0};
    int status = 0;
    random_uuid(r.request_id);
    random_uuid(r.correlation_id);
    char *type = NULL;
    bool ok = make_trial(&body, &type, o, err);
    r.payload_type = type;
    request_make_headers(&headers, &o->target, &r);
    ok = ok && http_fetch(o->target.urls[0], &o->target.connect, &headers, &body, timeout_ms, stop,
                          &answer, &status, err);
    char *shown = request_url_shown(o->target.urls[0]);
    if (ok && (status < 200 || status > 299))
        ok = fail(err, ERR_BUSY, "POST %s: status %d", shown, status);
    free(shown);
    free(type);
    request_headers_free(&headers);
    buf_free(&body);
    buf_free(&answer);
    return ok;
}

static bool check(const struct options *o, const atomic_bool *stop, int64_t left_ns,
                  struct error *err)
{
    int64_t timeout_ms = left_ns / NS_PER_MS + 1;
    timeout_ms = timeout_ms < MAX_TRY_MS ? timeout_ms : MAX_TRY_MS;
    if (o->wait_mode != WAIT_INFERENCE && !check_models(o, stop, timeout_ms, err))
        return false;
    return o->wait_mode == WAIT_MODELS || check_inference(o, stop, timeout_ms, err);
}

static void sleep_until(int64_t until_ns, const atomic_bool *stop)
{
    for (int64_t now_ns; (now_ns = clock_now_ns()) < until_ns && !atomic_load(stop);) {
        int64_t next_ns = now_ns + SLEEP_STEP_NS;
        clock_sleep_until_ns(next_ns < until_ns ? next_ns : until_ns);
    }
}

bool wait_for_model(const struct options *o, const atomic_bool *stop, struct error *err)
{
    int64_t end_ns = clock_now_ns() + (int64_t)(o->wait_timeout_s * (double)NS_PER_S);
    int64_t interval_ns = (int64_t)(o->wait_interval_s * (double)NS_PER_S);
    for (;;) {
        struct error why = {0};
        int64_t now_ns = clock_now_ns();
        if (check(o, stop, end_ns > now_ns ? end_ns - now_ns : 0, &why))
            return true;
        if (atomic_load(stop))
            return fail(err, ERR_CANCELED, "interrupted while waiting for the server");
        now_ns = clock_now_ns();
        if (now_ns >= end_ns)
            return fail(err, ERR_BUSY, "the server is not ready after %g s: %s", o->wait_timeout_s,
                        why.text);
        log_info("waiting for the server: %s", why.text);
        sleep_until(now_ns + interval_ns < end_ns ? now_ns + interval_ns : end_ns, stop);
    }
}
