/* Retries. A try that brought bytes starts the count anew, so that a large file comes through a
 * connection that breaks every minute. */
#include "hub/request.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/refusal.h"

#define MAX_TRIES 6
#define MAX_FIRST_TRIES 3 /* of the first request, when nobody answers at all: 3 s */
#define FIRST_PAUSE_S 1.0
#define MAX_PAUSE_S 30.0
#define MAX_RETRY_AFTER_S 600 /* a longer wait is the user's decision */
#define MAX_RESTARTS 3
#define LOOK_NS (50 * NS_PER_MS)

void request_escape(struct buf *out, const char *text, bool escapes_slash)
{
    for (const char *p = text; *p; p++) {
        if (isalnum((unsigned char)*p) || strchr("-_.~", *p) || (*p == '/' && !escapes_slash))
            buf_putc(out, *p);
        else
            buf_printf(out, "%%%02X", (unsigned char)*p);
    }
}

static bool pause_for(const struct session *s, double seconds, struct error *err)
{
    int64_t end = clock_now_ns() + (int64_t)(seconds * (double)NS_PER_S);
    for (int64_t now = clock_now_ns(); now < end; now = clock_now_ns()) {
        if (atomic_load(&s->stop))
            return fail(err, ERR_CANCELED, "interrupted");
        clock_sleep_until_ns(end - now < LOOK_NS ? end : now + LOOK_NS);
    }
    return true;
}

static double pause_s(const struct session *s, int n_failed, const struct transfer_answer *a)
{
    double pause = s->options->retry_s > 0 ? s->options->retry_s : FIRST_PAUSE_S;
    for (int i = 1; i < n_failed && pause < MAX_PAUSE_S; i++)
        pause *= 2;
    if (pause > MAX_PAUSE_S)
        pause = MAX_PAUSE_S;
    bool is_told = a->end == TRANSFER_ANSWERED && a->retry_after_s >= 0;
    return is_told && (double)a->retry_after_s > pause ? (double)a->retry_after_s : pause;
}

/* Nothing more to ask for. */
static bool is_success(const struct request *r, const struct transfer_answer *a)
{
    if (a->end != TRANSFER_ANSWERED)
        return false;
    if (r->is_head)
        return a->status == 200 || (a->status / 100 == 3 && *a->etag);
    return (a->status == 200 || a->status == 206) &&
           (!r->position || r->size < 0 || *r->position == r->size);
}

/* The hub can't or won't go on where we stand: begin anew. */
static bool is_out_of_step(const struct request *r, const struct transfer_answer *a, int64_t from)
{
    if (!r->position || from == 0)
        return false;
    return (a->end == TRANSFER_ANSWERED && a->status == 416) ||
           (a->status == 206 && a->range_from != from) || a->end == TRANSFER_REFUSED;
}

static int max_tries(const struct request *r, const struct transfer_answer *a)
{
    return !r->file && a->end == TRANSFER_CUT && a->status == 0 ? MAX_FIRST_TRIES : MAX_TRIES;
}

static struct refusal judge(const struct session *s, const struct request *r,
                            struct transfer_answer *a)
{
    if (a->end == TRANSFER_ANSWERED && (a->status == 200 || a->status == 206)) {
        a->end = TRANSFER_CUT; /* without a word: a body whose length was not announced */
        snprintf(a->detail, sizeof a->detail, "%" PRId64 " of %" PRId64 " bytes came",
                 r->position ? *r->position : 0, r->size);
    }
    struct refusal refusal = refusal_of(a, &s->environment, &s->id, r->file);
    if (a->end == TRANSFER_ANSWERED && a->retry_after_s > MAX_RETRY_AFTER_S)
        refusal.is_final = true;
    return refusal;
}

bool request_run(struct session *s, struct transfer *t, const struct request *r,
                 struct transfer_answer *answer, struct error *err)
{
    const char *what = r->file ? r->file : "the list of files";
    int n_restarts = 0;
    for (int n_failed = 1;; n_failed++) {
        int64_t from = r->position ? *r->position : 0;
        struct transfer_request request = {
            .url = r->url, .is_head = r->is_head, .from = from, .sink = r->sink, .self = r->self};
        transfer_run(t, &request, answer);
        if (answer->end == TRANSFER_STOPPED)
            return fail(err, ERR_CANCELED, "interrupted");
        if (is_success(r, answer))
            return true;
        if (r->position && *r->position > from)
            n_failed = 1; /* there was progress */
        if (answer->end == TRANSFER_REFUSED && err->code != ERR_NONE)
            return false; /* the sink's own reason */
        if (is_out_of_step(r, answer, from) && n_restarts++ < MAX_RESTARTS) {
            log_warning("%s: %s won't continue at byte %" PRId64 " (%d): from the start", what,
                        answer->host, from, answer->status);
            *r->position = 0;
            continue;
        }
        if (answer->end == TRANSFER_REFUSED)
            return fail(err, ERR_IO, "%s: more bytes came than announced", what);
        struct refusal refusal = judge(s, r, answer);
        if (refusal.is_final || n_failed >= max_tries(r, answer)) {
            char tries[32] = "";
            if (!refusal.is_final)
                snprintf(tries, sizeof tries, " (%d times)", n_failed);
            return fail(err, refusal.code, "%s%s%s%s", refusal.is_final ? "" : what,
                        refusal.is_final ? "" : ": ", refusal.text, tries);
        }
        double pause = pause_s(s, n_failed, answer);
        log_warning("%s: %s; trying again in %.1f s", what, refusal.text, pause);
        if (!pause_for(s, pause, err))
            return false;
    }
}
