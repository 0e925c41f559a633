/* Ranks in one process: each posts its list, all meet, each fetches what the others have posted for
 * it, and all meet again before anybody's memory changes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tensor/comm.h"
#include "tensor/meeting.h"

struct piece {
    int peer;
    void *data;
    size_t bytes;
};

struct pieces {
    struct piece *all; /* owned */
    size_t n, capacity;
};

struct local {
    struct comm comm; /* first */
    struct group *group;
    int rank;
    struct pieces sent, received;
};

struct group {
    struct meeting meeting;
    int n_open;
    struct local ranks[SHARE_MAX];
};

static void note(struct pieces *list, int peer, void *data, size_t bytes)
{
    if (list->n == list->capacity) {
        list->capacity = 2 * list->capacity + 16;
        list->all = xrealloc(list->all, list->capacity * sizeof *list->all);
    }
    list->all[list->n++] = (struct piece){peer, data, bytes};
}

static void local_send(struct comm *c, int to, const void *data, size_t bytes)
{
    note(&((struct local *)c)->sent, to, (void *)(uintptr_t)data, bytes);
}

static void local_receive(struct comm *c, int from, void *data, size_t bytes)
{
    note(&((struct local *)c)->received, from, data, bytes);
}

/* Fill the pieces that rank `from` sends here, in order; false when lists do not belong together.
 */
static bool fetch(const struct local *l, int from)
{
    const struct pieces *sent = &l->group->ranks[from].sent;
    size_t next = 0;
    for (size_t i = 0; i < l->received.n; i++) {
        const struct piece *here = &l->received.all[i];
        if (here->peer != from) {
            continue;
        }
        while (next < sent->n && sent->all[next].peer != l->rank) {
            next++;
        }
        if (next == sent->n || sent->all[next].bytes != here->bytes) {
            return false;
        }
        memcpy(here->data, sent->all[next++].data, here->bytes);
    }
    return true;
}

static bool local_exchange(struct comm *c, struct error *err)
{
    struct local *l = (struct local *)c;
    bool is_posted = meeting_agree(&l->group->meeting, true), is_whole = is_posted;
    for (int from = 0; from < l->group->meeting.n && is_whole; from++) {
        is_whole = fetch(l, from);
    }
    bool is_done = is_posted && meeting_agree(&l->group->meeting, is_whole);
    l->sent.n = l->received.n = 0;
    return is_done || fail(err, ERR_INTERNAL, "exchange between ranks: %s",
                           meeting_is_broken(&l->group->meeting)
                               ? "given up, as another one has failed"
                               : "what one sends is not what the other one expects");
}

static void local_give_up(struct comm *c)
{
    (void)meeting_break(&((struct local *)c)->group->meeting);
}

static void local_close(struct comm *c)
{
    struct local *l = (struct local *)c;
    struct group *group = l->group;
    free(l->sent.all);
    free(l->received.all);
    if (--group->n_open == 0) {
        meeting_destroy(&group->meeting);
        free(group);
    }
}

bool comm_local_open(struct comm **comms, int n, struct error *err)
{
    static const struct comm_ops OPS = {local_send, local_receive, local_exchange, local_give_up,
                                        local_close};
    assert(n > 1 && n <= SHARE_MAX);
    struct group *group = calloc(1, sizeof *group);
    if (group == NULL) {
        return fail(err, ERR_MEMORY, "no memory for %d ranks", n);
    }
    meeting_init(&group->meeting, n);
    group->n_open = n;
    for (int i = 0; i < n; i++) {
        group->ranks[i] = (struct local){.comm.ops = &OPS, .group = group, .rank = i};
        comms[i] = &group->ranks[i].comm;
    }
    return true;
}
