#include "client/users.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"

struct sessions {
    size_t *first; /* owned: entries with turn 0, and the end behind them */
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

static struct sessions find_sessions(const struct prompts *prompts)
{
    struct sessions s = {xcalloc(prompts->n_entries + 1, sizeof *s.first), 0};
    for (size_t i = 0; i < prompts->n_entries; i++) {
        if (prompts->entries[i].turn == 0)
            s.first[s.n++] = i;
    }
    s.first[s.n] = prompts->n_entries;
    return s;
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

void users_plan(struct schedule *s, const struct prompts *prompts, int64_t n_users, double rate_hz,
                size_t n)
{
    struct plan p = {.sessions = find_sessions(prompts)};
    struct place *places = xcalloc((size_t)n_users, sizeof *places);
    place_first(&p, places, n_users, prompts->n_entries);
    schedule_reserve(s, n);
    s->n_places = n_users;
    for (size_t i = 0; i < n; i++) {
        struct place *place = &places[i % (size_t)n_users];
        if (place->n_sent == place->n_turns)
            *place = next_user(&p, 0);
        if (place->n_sent == 0)
            s->names[i] = xasprintf("%lld", (long long)place->user);
        s->due_ns[i] = (int64_t)((double)i / rate_hz * (double)NS_PER_S);
        s->entry[i] = p.sessions.first[place->session] + place->n_sent;
        s->follows[i] = place->n_sent > 0;
        s->correlation[i] = s->follows[i] ? s->correlation[i - (size_t)n_users] : s->names[i];
        place->n_sent++;
    }
    free(places);
    free(p.sessions.first);
}
