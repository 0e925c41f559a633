/* A barrier that carries one bit and can be given up. */
#include "tensor/meeting.h"

void meeting_init(struct meeting *m, int n)
{
    *m = (struct meeting){.n = n, .all = true};
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->turn, NULL);
}

void meeting_destroy(struct meeting *m)
{
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->turn);
}

bool meeting_agree(struct meeting *m, bool mine)
{
    pthread_mutex_lock(&m->lock);
    unsigned round = m->round;
    m->all = m->all && mine;
    if (++m->n_here == m->n) {
        m->answer = m->all;
        m->all = true;
        m->n_here = 0;
        m->round++;
        pthread_cond_broadcast(&m->turn);
    }
    while (m->round == round && !m->is_broken) {
        pthread_cond_wait(&m->turn, &m->lock);
    }
    /* The next round can't end before everybody has left this one. */
    bool answer = m->answer && !m->is_broken;
    pthread_mutex_unlock(&m->lock);
    return answer;
}

bool meeting_break(struct meeting *m)
{
    pthread_mutex_lock(&m->lock);
    bool was_broken = m->is_broken;
    m->is_broken = true;
    pthread_cond_broadcast(&m->turn);
    pthread_mutex_unlock(&m->lock);
    return !was_broken;
}

bool meeting_is_broken(struct meeting *m)
{
    pthread_mutex_lock(&m->lock);
    bool is_broken = m->is_broken;
    pthread_mutex_unlock(&m->lock);
    return is_broken;
}
