/* A thread with sigwait() instead of a handler: nothing here has to be async-signal-safe, and
 * OpenMP's threads, which inherit the blocked signals, can't be hit by them. */
#include "server/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"

struct interrupt {
    pthread_t thread;
    sigset_t signals, before;
    atomic_bool is_deferred, has_come, is_closing;
};

static void *interrupt_main(void *arg)
{
    struct interrupt *i = arg;
    int signal;
    pthread_setname_np(pthread_self(), "interrupt");
    while (sigwait(&i->signals, &signal) == 0 && !atomic_load(&i->is_closing)) {
        bool is_second = atomic_exchange(&i->has_come, true);
        if (is_second || !atomic_load(&i->is_deferred))
            _exit(1);
    }
    return NULL;
}

struct interrupt *interrupt_open(void)
{
    struct interrupt *i = xcalloc(1, sizeof *i);
    sigemptyset(&i->signals);
    sigaddset(&i->signals, SIGINT);
    sigaddset(&i->signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &i->signals, &i->before);
    if (pthread_create(&i->thread, NULL, interrupt_main, i) != 0) {
        pthread_sigmask(SIG_SETMASK, &i->before, NULL);
        free(i);
        return NULL;
    }
    return i;
}

void interrupt_defer(struct interrupt *i)
{
    if (i)
        atomic_store(&i->is_deferred, true);
}

bool interrupt_came(const struct interrupt *i) { return i && atomic_load(&i->has_come); }

void interrupt_close(struct interrupt *i)
{
    if (!i)
        return;
    atomic_store(&i->is_closing, true);
    pthread_kill(i->thread, SIGINT); /* wakes it; blocked everywhere else */
    pthread_join(i->thread, NULL);
    pthread_sigmask(SIG_SETMASK, &i->before, NULL);
    free(i);
}
