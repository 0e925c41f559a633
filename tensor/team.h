/* Several back ends that make one picture together, each from its share of the tokens.
 *
 * A rank is a back end, a thread and a struct comm. Model code runs once on each rank, at the same
 * time: it computes with its own tokens, and op_exchange() is where all of them need each other.
 * What must be decided alike everywhere is agreed upon. When a rank is lost, somebody breaks the
 * team, so that nobody waits for it: exchanges end, every agreement is a no, for good.
 *
 * Source of the division: Jacobs et al. 2023, DeepSpeed Ulysses. */
#pragma once

#include "tensor/comm.h"

/* Make a team of n back ends, of which none has a team yet. The comms are taken over, the back ends
 * by the one of rank 0: backend_close() of it closes them all. On failure nothing is. */
bool team_form(struct backend *const *backends, struct comm *const *comms, int n,
               struct error *err);
void team_close(struct team *t); /* all but the back end of rank 0 */

int team_size(const struct team *t);                          /* 1 for NULL */
struct backend *team_backend(const struct team *t, int rank); /* not owned */

/* task(ctx, rank) for all ranks at once, rank 0 on the calling thread, the others always on the
 * same ones; all done on return. */
void team_run(struct team *t, void (*task)(void *ctx, int rank), void *ctx);

/* Called by all ranks in turn: true when all of them say true. A back end that is alone agrees with
 * itself. */
bool team_agree(struct backend *b, bool mine);

/* From any thread, after a rank was lost. */
void team_break(struct team *t);
bool team_is_broken(struct team *t); /* false for NULL */

/* op_exchange() by the rank's struct comm. */
void team_exchange(struct backend *b, struct tensor to, struct tensor from, const int64_t *counts);
