#include "client/live.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

void live_open(struct live *l)
{
    *l = (struct live){0};
    pthread_mutex_init(&l->lock, NULL);
}

void live_close(struct live *l) { pthread_mutex_destroy(&l->lock); }

/* Failures of one type and code are of one kind; the first one's message is shown. */
static void add_error(struct live *l, const struct record_error *e)
{
    char text[LIVE_TEXT], head[LIVE_TEXT / 2 + 20];
    int n = e->code ? snprintf(head, sizeof head, "%d %.100s", e->code, e->type)
                    : snprintf(head, sizeof head, "%.100s", e->type);
    for (size_t i = 0; i < l->n_errors; i++) {
        if (strncmp(l->errors[i].text, head, (size_t)n) == 0) {
            l->errors[i].n++;
            return;
        }
    }
    if (l->n_errors == LIVE_ERRORS)
        return;
    snprintf(text, sizeof text, "%s: %.*s", head, LIVE_TEXT - 3 - n, e->message);
    memcpy(l->errors[l->n_errors].text, text, sizeof text);
    l->errors[l->n_errors++].n = 1;
}

void live_add(struct live *l, const struct record *r)
{
    if (record_was_canceled(r))
        return;
    pthread_mutex_lock(&l->lock);
    if (l->phase != r->phase) {
        l->phase = r->phase;
        l->n = 0;
    }
    if (record_succeeded(r))
        l->ms[l->n++ % LIVE_LATENCIES] = clock_seconds(r->end_ns - r->start_ns) * 1000;
    else
        add_error(l, &r->error);
    pthread_mutex_unlock(&l->lock);
}

void live_read(struct live *l, struct live *out)
{
    pthread_mutex_lock(&l->lock);
    out->phase = l->phase;
    out->n = l->n;
    out->n_errors = l->n_errors;
    memcpy(out->ms, l->ms, sizeof out->ms);
    memcpy(out->errors, l->errors, sizeof out->errors);
    pthread_mutex_unlock(&l->lock);
}
