/* Repeated work as CUDA graphs.
 *
 * A denoising step is a thousand launches that are the same in every step: the plan fixes the
 * scratch addresses, only the uploaded time and the factor of the final axpy differ. So the table's
 * operations are not run but noted (command.c). The list ends where the host takes part: at an
 * upload, download, sync or change of memory; and at axpy, whose factor changes. A long list that
 * is met for the second time is captured into a graph, from the third on the graph is launched. A
 * list that differs in anything is another list: nobody has to say what repeats, and a wrong replay
 * cannot happen.
 *
 * The first run of a list is always a plain one: it grows the working memory and lets cuBLASLt's
 * shapes be timed, neither of which may happen during capture.
 *
 * Lists with exchanges between the devices of a team (nccl.c) are replayed by all ranks or by none.
 *
 * A list that reads streamed weights (stream.c) is always run plainly: copies of whole layers take
 * far longer than its launches. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cuda/command.h"
#include "cuda/cuda_internal.h"
#include "tensor/team.h"

enum {
    MAX_COMMANDS = 8192,
    LEAST_COMMANDS = 16, /* below that a graph saves nothing */
    MAX_LISTS = 8,
    MAX_RANGES = 8, /* within one another */
};

struct list {
    struct command *commands; /* owned */
    int n;
    uint64_t used;         /* when, for replacing the oldest */
    cudaGraphExec_t graph; /* NULL until it is captured */
    bool is_hopeless;      /* capturing failed: run it plainly */
};

struct cuda_replay {
    struct command *pending; /* owned: MAX_COMMANDS */
    int n_pending;
    uint64_t clock;
    int n_lists;
    struct list lists[MAX_LISTS];
};

static void run_commands(struct cuda *c, const struct command *commands, int n)
{
    for (int i = 0; i < n; i++)
        command_run(&c->backend, &commands[i]);
}

/* A graph is launched in one go: ranges that begin and end in the list have nothing to show, but
 * those that only begin or only end in it must. */
static void launch(struct cuda *c, const struct list *l)
{
    int open[MAX_RANGES], n_open = 0;
    bool is_heard = c->ops.range_begin != NULL;
    if (is_heard)
        cuda_range_push("graph of operations", l->n);
    cuda_check(c, cudaGraphLaunch(l->graph, c->stream), "cudaGraphLaunch");
    if (is_heard)
        cuda_range_pop();
    for (int i = 0; is_heard && i < l->n; i++) {
        const struct command *m = &l->commands[i];
        if (m->op == OP_RANGE_BEGIN && n_open < MAX_RANGES)
            open[n_open++] = i;
        else if (m->op == OP_RANGE_END && n_open > 0)
            n_open--;
        else if (m->op == OP_RANGE_END)
            cuda_range_pop();
    }
    for (int i = 0; i < n_open; i++)
        command_run(&c->backend, &l->commands[open[i]]);
}

/* --- lists ------------------------------------------------------------------------------------*/

static void list_free(struct list *l)
{
    if (l->graph)
        (void)cudaGraphExecDestroy(l->graph);
    free(l->commands);
    *l = (struct list){0};
}

static struct list *list_find(struct cuda_replay *r)
{
    for (int i = 0; i < r->n_lists; i++) {
        struct list *l = &r->lists[i];
        bool is_same = l->n == r->n_pending;
        for (int k = 0; is_same && k < l->n; k++)
            is_same = command_is_same(&l->commands[k], &r->pending[k]);
        if (is_same)
            return l;
    }
    return NULL;
}

/* Remember the pending commands in the place of the list that was not used for longest. */
static void list_add(struct cuda_replay *r)
{
    size_t bytes = (size_t)r->n_pending * sizeof *r->pending;
    struct command *commands = malloc(bytes);
    if (!commands)
        return; /* no memory to remember it: it runs plainly again */
    struct list *l = &r->lists[0];
    for (int i = 1; i < r->n_lists; i++)
        l = r->lists[i].used < l->used ? &r->lists[i] : l;
    if (r->n_lists < MAX_LISTS)
        l = &r->lists[r->n_lists++];
    list_free(l);
    memcpy(commands, r->pending, bytes);
    *l = (struct list){.commands = commands, .n = r->n_pending, .used = ++r->clock};
}

/* Turn a list into a graph; nothing has run afterwards. */
static void list_capture(struct cuda *c, struct list *l)
{
    cudaGraph_t graph = NULL;
    l->is_hopeless = true;
    if (cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
        (void)cudaGetLastError();
        return;
    }
    for (int i = 0; i < l->n; i++) {
        if (l->commands[i].op < OP_RANGE_BEGIN)
            command_run(&c->backend, &l->commands[i]);
    }
    if (cudaStreamEndCapture(c->stream, &graph) == cudaSuccess && graph &&
        cudaGraphInstantiate(&l->graph, graph, 0) == cudaSuccess)
        l->is_hopeless = false;
    else
        l->graph = NULL;
    if (graph)
        (void)cudaGraphDestroy(graph);
    if (l->is_hopeless)
        log_warning("CUDA graph of %d operations: %s; they are launched one by one", l->n,
                    cudaGetErrorString(cudaGetLastError()));
    else
        log_debug("CUDA graph of %d operations captured", l->n);
}

static bool is_streamed(const struct cuda *c, const struct command *commands, int n)
{
    for (int i = 0; c->streams && i < n; i++) {
        for (int k = 0; k < commands[i].n_tensors; k++) {
            if (cuda_stream_has(c, &commands[i].tensors[k]))
                return true;
        }
    }
    return false;
}

/* Do all ranks do it, when exchanges are in the list? */
static bool agree(struct cuda *c, bool is_shared, bool mine)
{
    return is_shared ? team_agree(&c->backend, mine) : mine;
}

/* Have the list's graph ready. With exchanges in it all ranks capture it at the same time or launch
 * what they have captured at the same time, or none does. */
static bool prepare(struct cuda *c, struct list *l)
{
    bool is_shared = false;
    const struct cuda_replay *r = c->replay;
    for (int i = 0; i < r->n_pending && !is_shared; i++)
        is_shared = r->pending[i].op == OP_EXCHANGE;
    if (!agree(c, is_shared, l && !l->is_hopeless) || !l)
        return false;
    if (agree(c, is_shared, l->graph != NULL))
        return true;
    if (l->graph)
        (void)cudaGraphExecDestroy(l->graph);
    l->graph = NULL;
    list_capture(c, l);
    return agree(c, is_shared, l->graph != NULL);
}

void cuda_replay_flush(struct cuda *c)
{
    struct cuda_replay *r = c->replay;
    if (!r || r->n_pending == 0)
        return;
    if (is_streamed(c, r->pending, r->n_pending)) {
        run_commands(c, r->pending, r->n_pending);
        r->n_pending = 0;
        return;
    }
    struct list *l = r->n_pending >= LEAST_COMMANDS ? list_find(r) : NULL;
    if (l)
        l->used = ++r->clock;
    bool is_ready = r->n_pending >= LEAST_COMMANDS && prepare(c, l);
    if (l && is_ready)
        launch(c, l);
    else
        run_commands(c, r->pending, r->n_pending);
    if (!l && r->n_pending >= LEAST_COMMANDS)
        list_add(r);
    r->n_pending = 0;
}

void cuda_replay_forget(struct cuda *c)
{
    struct cuda_replay *r = c->replay;
    for (int i = 0; r && i < r->n_lists; i++)
        list_free(&r->lists[i]);
    if (r)
        r->n_lists = 0;
}

void cuda_replay_close(struct cuda *c)
{
    cuda_replay_forget(c);
    if (c->replay)
        free(c->replay->pending);
    free(c->replay);
    c->replay = NULL;
}

/* --- noting -----------------------------------------------------------------------------------*/

bool cuda_replay_is_empty(struct backend *b) { return cuda_use(b)->replay->n_pending == 0; }

void cuda_replay_note(struct backend *b, struct command m)
{
    struct cuda *c = cuda_use(b);
    if (c->replay->n_pending == MAX_COMMANDS)
        cuda_replay_flush(c);
    c->replay->pending[c->replay->n_pending++] = m;
}

bool cuda_replay_open(struct cuda *c)
{
    const char *wish = getenv("FLUXBENCH_CUDA_GRAPHS");
    if (wish && strcmp(wish, "0") == 0)
        return true;
    c->replay = calloc(1, sizeof *c->replay);
    if (c->replay)
        c->replay->pending = calloc(MAX_COMMANDS, sizeof *c->replay->pending);
    if (!c->replay || !c->replay->pending)
        return fail(&c->backend.fault, ERR_MEMORY, "no memory for lists of operations");
    command_fill_table(&c->ops);
    return true;
}
