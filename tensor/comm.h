/* How the back ends of a team pass data to each other: a table of five functions.
 *
 * Each rank has a struct comm of its own. It says what it sends and receives, piece by piece, and
 * then exchange() lets all of it happen at once, in whatever order the ranks get there; the k-th
 * piece from rank a to rank b is the k-th one that b receives from a, and as long. Two
 * implementations: in one process for back ends that compute at the call (comm_local_open), and
 * NCCL for CUDA devices (cuda/nccl.c). */
#pragma once

#include <stddef.h>

#include "tensor/backend.h"

struct comm {
    const struct comm_ops *ops;
};

struct comm_ops {
    /* Note a piece of memory of the back end; it stays until the exchange has happened. To and from
     * oneself too. */
    void (*send)(struct comm *c, int to, const void *data, size_t bytes);
    void (*receive)(struct comm *c, int from, void *data, size_t bytes);
    /* Do all that was noted since the last exchange: queued behind the back end's work and in order
     * with what follows, or at once where there is no queue. */
    bool (*exchange)(struct comm *c, struct error *err);
    /* From any thread, after a rank was lost: exchanges that wait end, later ones fail. */
    void (*give_up)(struct comm *c);
    void (*close)(struct comm *c);
};

/* n ranks whose memory is the process's own. They are closed together, when no thread uses them. */
bool comm_local_open(struct comm **comms, int n, struct error *err);
