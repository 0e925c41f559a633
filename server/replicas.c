/* A plain array: workers know nothing of each other, they only share the queue. */
#include "server/replicas.h"

#include <assert.h>
#include <stdlib.h>

struct replicas {
    int n;
    struct worker *workers[];
};

static const char *const STATES[] = {
    [WORKER_STARTING] = "starting", [WORKER_READY] = "ready",     [WORKER_FAILED] = "failed",
    [WORKER_LOST] = "device_lost",  [WORKER_STOPPED] = "stopped",
};

const char *replicas_state_name(enum worker_state state) { return STATES[state]; }

struct replicas *replicas_start(const struct worker_config *config, int n)
{
    struct replicas *r = xcalloc(1, sizeof *r + (size_t)n * sizeof *r->workers);
    struct worker_config one = *config;
    r->n = n;
    for (one.replica = 0; one.replica < n; one.replica++)
        r->workers[one.replica] = worker_start(&one);
    return r;
}

int replicas_n(const struct replicas *r) { return r->n; }

struct worker_facts replicas_facts(const struct replicas *r, int replica)
{
    assert(replica >= 0 && replica < r->n);
    return worker_facts(r->workers[replica]);
}

enum worker_state replicas_state(const struct replicas *r)
{
    static const enum worker_state ORDER[] = {WORKER_FAILED, WORKER_LOST, WORKER_STARTING,
                                              WORKER_READY};
    for (size_t k = 0; k < sizeof ORDER / sizeof ORDER[0]; k++) {
        for (int i = 0; i < r->n; i++) {
            if (worker_state(r->workers[i]) == ORDER[k])
                return ORDER[k];
        }
    }
    return WORKER_STOPPED;
}

bool replicas_are_done(const struct replicas *r)
{
    for (int i = 0; i < r->n; i++) {
        enum worker_state state = worker_state(r->workers[i]);
        if (state == WORKER_STARTING || state == WORKER_READY)
            return false;
    }
    return true;
}

const struct flux *replicas_model(const struct replicas *r)
{
    enum worker_state state = replicas_state(r);
    if (state == WORKER_FAILED || state == WORKER_STARTING)
        return NULL;
    return worker_model(r->workers[0]);
}

void replicas_interrupt(struct replicas *r)
{
    for (int i = 0; i < r->n; i++)
        worker_interrupt(r->workers[i]);
}

bool replicas_join(struct replicas *r, struct error *err)
{
    bool ok = true;
    for (int i = 0; i < r->n; i++)
        ok = worker_join(r->workers[i], ok ? err : NULL) && ok;
    free(r);
    return ok;
}

/* --- metrics -----------------------------------------------------------------------------------*/

static double up(struct worker_facts facts) { return facts.state == WORKER_READY; }
static double requests(struct worker_facts facts) { return (double)facts.n_requests; }
static double busy(struct worker_facts facts) { return facts.busy_s; }

static const struct {
    const char *name, *type, *help;
    double (*value)(struct worker_facts facts);
} METRICS[] = {
    {"fluxserve_replica_up", "gauge", "1 while the replica serves.", up},
    {"fluxserve_replica_requests_total", "counter", "Requests that the replica ended.", requests},
    {"fluxserve_replica_busy_seconds_total", "counter", "Seconds spent on them.", busy},
};

void replicas_print(const struct replicas *r, struct buf *out)
{
    for (size_t m = 0; m < sizeof METRICS / sizeof METRICS[0]; m++) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", METRICS[m].name, METRICS[m].help,
                   METRICS[m].name, METRICS[m].type);
        for (int i = 0; i < r->n; i++)
            buf_printf(out, "%s{replica=\"%d\"} %.9g\n", METRICS[m].name, i,
                       METRICS[m].value(worker_facts(r->workers[i])));
    }
}
