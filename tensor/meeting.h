/* Where a fixed number of threads meet: all wait for the last one, then all go on with the same
 * answer. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t turn;
    int n, n_here;
    unsigned round;
    bool all, answer; /* of those who are here; of the last round */
    bool is_broken;
};

void meeting_init(struct meeting *m, int n);
void meeting_destroy(struct meeting *m);

/* Wait until n threads have come: true when all of them said true. False at once, for those who
 * wait as well, when the meeting is broken. */
bool meeting_agree(struct meeting *m, bool mine);

/* For good, from any thread. False when it was broken already. */
bool meeting_break(struct meeting *m);
bool meeting_is_broken(struct meeting *m);
