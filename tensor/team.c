/* Threads that wait for a task, and the walk over the pieces of an exchange. */
#include "tensor/team.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "tensor/meeting.h"

struct rank {
    struct team *team;
    int number;
    struct backend *backend;
    struct comm *comm;
    pthread_t thread; /* not of rank 0 */
};

struct team {
    int n;
    struct rank ranks[SHARE_MAX];
    struct meeting agreement;
    /* The task, and the meetings before and after it. */
    struct meeting begin, end;
    void (*task)(void *ctx, int rank); /* NULL: go home */
    void *ctx;
};

static void *rank_main(void *arg)
{
    const struct rank *r = arg;
    struct team *t = r->team;
    for (;;) {
        (void)meeting_agree(&t->begin, true);
        if (t->task == NULL) {
            return NULL;
        }
        t->task(t->ctx, r->number);
        (void)meeting_agree(&t->end, true);
    }
}

void team_run(struct team *t, void (*task)(void *ctx, int rank), void *ctx)
{
    t->task = task;
    t->ctx = ctx;
    (void)meeting_agree(&t->begin, true);
    task(ctx, 0);
    (void)meeting_agree(&t->end, true);
}

bool team_form(struct backend *const *backends, struct comm *const *comms, int n, struct error *err)
{
    assert(n > 1 && n <= SHARE_MAX);
    struct team *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return fail(err, ERR_MEMORY, "no memory for a team of %d", n);
    }
    t->n = n;
    meeting_init(&t->agreement, n);
    meeting_init(&t->begin, n);
    meeting_init(&t->end, n);
    for (int i = 0; i < n; i++) {
        assert(backends[i]->team == NULL);
        t->ranks[i] =
            (struct rank){.team = t, .number = i, .backend = backends[i], .comm = comms[i]};
        backends[i]->share = (struct share){.rank = i, .n = n};
        backends[i]->team = t;
    }
    for (int i = 1; i < n; i++) {
        if (pthread_create(&t->ranks[i].thread, NULL, rank_main, &t->ranks[i]) != 0) {
            log_error("can't start the thread of rank %d", i);
            abort();
        }
    }
    return true;
}

void team_close(struct team *t)
{
    t->task = NULL;
    (void)meeting_agree(&t->begin, true);
    for (int i = 1; i < t->n; i++) {
        pthread_join(t->ranks[i].thread, NULL);
    }
    for (int i = 0; i < t->n; i++) {
        t->ranks[i].comm->ops->close(t->ranks[i].comm);
    }
    for (int i = 1; i < t->n; i++) {
        backend_close(t->ranks[i].backend);
    }
    meeting_destroy(&t->agreement);
    meeting_destroy(&t->begin);
    meeting_destroy(&t->end);
    free(t);
}

int team_size(const struct team *t) { return t == NULL ? 1 : t->n; }

struct backend *team_backend(const struct team *t, int rank)
{
    assert(rank >= 0 && rank < t->n);
    return t->ranks[rank].backend;
}

bool team_agree(struct backend *b, bool mine)
{
    return b->team == NULL ? mine : meeting_agree(&b->team->agreement, mine);
}

void team_break(struct team *t)
{
    if (!meeting_break(&t->agreement)) {
        return;
    }
    for (int i = 0; i < t->n; i++) {
        t->ranks[i].comm->ops->give_up(t->ranks[i].comm);
    }
}

bool team_is_broken(struct team *t) { return t != NULL && meeting_is_broken(&t->agreement); }

/* --- exchange ---------------------------------------------------------------------------------*/

static char *at(struct tensor t, int64_t elements)
{
    return (char *)t.data + elements * (int64_t)dtype_bytes(t.dtype);
}

void team_exchange(struct backend *b, struct tensor to, struct tensor from, const int64_t *counts)
{
    struct team *t = b->team;
    struct comm *c = t->ranks[b->share.rank].comm;
    bool is_joining = to.rank == 3;
    struct tensor joined = is_joining ? to : from, split = is_joining ? from : to;
    int64_t width = joined.dims[2], own = counts[b->share.rank];
    size_t row = (size_t)width * dtype_bytes(joined.dtype);
    for (int64_t batch = 0; batch < joined.dims[0]; batch++) {
        int64_t token = batch * joined.dims[1];
        for (int peer = 0; peer < t->n; token += counts[peer++]) {
            char *theirs = at(joined, token * width);
            char *ours = at(split, peer * split.strides[0] + batch * split.strides[1]);
            size_t joined_bytes = (size_t)counts[peer] * row, split_bytes = (size_t)own * row;
            if (theirs == ours) { /* it is where it belongs */
                continue;
            }
            c->ops->send(c, peer, is_joining ? ours : theirs,
                         is_joining ? split_bytes : joined_bytes);
            c->ops->receive(c, peer, is_joining ? theirs : ours,
                            is_joining ? joined_bytes : split_bytes);
        }
    }
    struct error err = {0};
    if (!c->ops->exchange(c, &err) && !team_is_broken(t)) {
        fail(&b->fault, err.code, "%s", err.text);
        team_break(t); /* the others would wait for what was not sent */
    }
}
