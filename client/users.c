#include "client/users.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"

struct sessions {
    struct spill list;
    const uint64_t *first; /* entries with turn 0, and the end behind them */
    size_t n;
};

/* One of the places in the round of requests: it always has a user. */
struct place {
    int64_t user; /* numbered from 1 */
    size_t session;
    size_t n_turns; /* that this user sends */
    size_t n_sent;
};

struct plan {
    struct sessions sessions;
    size_t n_taken; /* sessions given to users */
    int64_t last_user;
};

static bool find_sessions(struct sessions *s, const struct prompts *prompts, struct error *err)
{
    struct prompts_reader reader = prompts_reader(prompts);
    bool ok = true;
    const uint64_t end = prompts->n_entries;
    for (uint64_t i = 0; ok && i < end; i++) {
        if (prompts_at(&reader, i).turn > 0)
            continue;
        s->n++;
        ok = spill_append(&s->list, &i, sizeof i, err);
    }
    prompts_reader_free(&reader);
    ok = ok && spill_append(&s->list, &end, sizeof end, err) && spill_done(&s->list, err);
    s->first = (const void *)s->list.at;
    return ok;
}

static size_t turns_of(const struct sessions *s, size_t i) { return s->first[i + 1] - s->first[i]; }

/* A user with the next session; n_turns 0: all of it. */
static struct place next_user(struct plan *p, size_t n_turns)
{
    assert(p->sessions.n > 0);
    size_t session = p->n_taken++ % p->sessions.n, n_all = turns_of(&p->sessions, session);
    return (struct place){.user = ++p->last_user,
                          .session = session,
                          .n_turns = n_turns && n_turns < n_all ? n_turns : n_all};
}

static int64_t divisor(int64_t a, int64_t b) { return b ? divisor(b, a % b) : a; }

/* The least step above 1 that visits all of n places; 1 when there is none. */
static int64_t find_step(int64_t n)
{
    for (int64_t step = 2; step < n; step++) {
        if (divisor(n, step) == 1)
            return step;
    }
    return 1;
}

/* The users that are there at the start. User i has been there for (n - i) / n of a session's
 * length, which decides how many turns are left to it and which place it has. */
static void place_first(struct plan *p, struct place *places, int64_t n, size_t n_entries)
{
    int64_t mean_turns = (int64_t)nearbyint((double)n_entries / (double)p->sessions.n);
    int64_t length = mean_turns > 2 ? mean_turns - 1 : 1; /* in gaps between turns */
    int64_t step = divisor(n, length) > 1 ? find_step(n) : 0;
    p->last_user = 1; /* has just sent its last turn */
    for (int64_t i = 1; i < n; i++) {
        int64_t age = (n - i) * length;
        int64_t slot = step ? i * step % n : age % n;
        places[n - slot] = next_user(p, (size_t)(length - age / n));
    }
    places[0] = next_user(p, 0);
}

bool users_plan(struct schedule *s, const struct prompts *prompts, int64_t n_users, double rate_hz,
                size_t n, const char *dir, struct error *err)
{
    struct plan p = {.sessions = {.list = {.dir = dir}}};
    struct place *places = xcalloc((size_t)n_users, sizeof *places);
    bool ok = find_sessions(&p.sessions, prompts, err);
    schedule_init(s, dir, n_users);
    if (ok)
        place_first(&p, places, n_users, prompts->n_entries);
    for (size_t i = 0; ok && i < n; i++) {
        struct place *place = &places[i % (size_t)n_users];
        if (place->n_sent == place->n_turns)
            *place = next_user(&p, 0);
        ok = schedule_put(s, (int64_t)((double)i / rate_hz * (double)NS_PER_S),
                          p.sessions.first[place->session] + place->n_sent, place->user,
                          place->n_sent > 0, err);
        place->n_sent++;
    }
    free(places);
    spill_close(&p.sessions.list);
    return ok && schedule_done(s, err);
}
