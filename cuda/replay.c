/* Repeated work as CUDA graphs.
 *
 * A denoising step is a thousand launches that are the same in every step: the plan fixes the
 * scratch addresses, only the uploaded time and the factor of the final axpy differ. So the table's
 * operations are not run but noted. The list ends where the host takes part: at an upload,
 * download, sync or change of memory; and at axpy, whose factor changes. A long list that is met
 * for the second time is captured into a graph, from the third on the graph is launched. A list
 * that differs in anything is another list: nobody has to say what repeats, and a wrong replay
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
#include "cuda/cuda_internal.h"
#include "tensor/team.h"

enum {
    MAX_COMMANDS = 8192,
    LEAST_COMMANDS = 16, /* below that a graph saves nothing */
    MAX_LISTS = 8,
    MAX_TENSORS = 6,
    MAX_RANGES = 8, /* within one another */
};

enum op {
    OP_LINEAR,
    OP_CONV2D,
    OP_ATTENTION,
    OP_LAYER_NORM,
    OP_RMS_NORM,
    OP_RMS_NORM_ROPE,
    OP_GROUP_NORM,
    OP_ACTIVATE,
    OP_ADD,
    OP_MUL,
    OP_GATED_ADD,
    OP_AFFINE,
    OP_EMBED,
    OP_COPY,
    OP_EXCHANGE,
    OP_TO_RGB8,
    OP_RANGE_BEGIN, /* of a tool's range, with its name and number; only where a tool listens */
    OP_RANGE_END,
};

/* One call: tensors in the order of the operation's parameters, then its numbers. */
struct command {
    enum op op;
    int n_tensors;
    struct tensor tensors[MAX_TENSORS];
    float scalars[2];
    int numbers[4];
    const char *name;
    int64_t counts[SHARE_MAX]; /* of an exchange */
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

/* --- commands ---------------------------------------------------------------------------------*/

static bool is_same_tensor(const struct tensor *a, const struct tensor *b)
{
    if (a->data != b->data || a->dtype != b->dtype || a->rank != b->rank ||
        a->is_packed != b->is_packed)
        return false;
    for (int i = 0; i < a->rank; i++) {
        if (a->dims[i] != b->dims[i] || a->strides[i] != b->strides[i])
            return false;
    }
    return true;
}

static bool is_same_command(const struct command *a, const struct command *b)
{
    if (a->op != b->op || a->name != b->name || a->n_tensors != b->n_tensors ||
        a->scalars[0] != b->scalars[0] || a->scalars[1] != b->scalars[1] ||
        memcmp(a->numbers, b->numbers, sizeof a->numbers) != 0 ||
        memcmp(a->counts, b->counts, sizeof a->counts) != 0)
        return false;
    for (int i = 0; i < a->n_tensors; i++) {
        if (!is_same_tensor(&a->tensors[i], &b->tensors[i]))
            return false;
    }
    return true;
}

static void run_command(struct backend *b, const struct command *m)
{
    const struct tensor *t = m->tensors;
    const int *n = m->numbers;
    switch (m->op) {
    case OP_LINEAR:
        cuda_linear(b, t[0], t[1], t[2], t[3], (enum activation)n[0]);
        break;
    case OP_CONV2D:
        cuda_conv2d(b, t[0], t[1], t[2], t[3], n[0], n[1], n[2], n[3]);
        break;
    case OP_ATTENTION:
        cuda_attention(b, t[0], t[1], t[2], t[3], t[4], m->scalars[0], n[0] != 0);
        break;
    case OP_LAYER_NORM:
        cuda_layer_norm(b, t[0], t[1], t[2], t[3], t[4], t[5], m->scalars[0]);
        break;
    case OP_RMS_NORM:
        cuda_rms_norm(b, t[0], t[1], t[2], m->scalars[0]);
        break;
    case OP_RMS_NORM_ROPE:
        cuda_rms_norm_rope(b, t[0], t[1], m->scalars[0], t[2], t[3]);
        break;
    case OP_GROUP_NORM:
        cuda_group_norm(b, t[0], t[1], t[2], t[3], n[0], m->scalars[0], (enum activation)n[1]);
        break;
    case OP_ACTIVATE:
        cuda_activate(b, t[0], t[1], (enum activation)n[0]);
        break;
    case OP_ADD:
        cuda_add(b, t[0], t[1], t[2]);
        break;
    case OP_MUL:
        cuda_mul(b, t[0], t[1], t[2]);
        break;
    case OP_GATED_ADD:
        cuda_gated_add(b, t[0], t[1], t[2]);
        break;
    case OP_AFFINE:
        cuda_affine(b, t[0], t[1], m->scalars[0], m->scalars[1]);
        break;
    case OP_EMBED:
        cuda_embed(b, t[0], t[1], t[2]);
        break;
    case OP_COPY:
        cuda_copy(b, t[0], t[1]);
        break;
    case OP_EXCHANGE:
        cuda_exchange(b, t[0], t[1], m->counts);
        break;
    case OP_TO_RGB8:
        cuda_to_rgb8(b, t[0], t[1]);
        break;
    case OP_RANGE_BEGIN:
        cuda_range_push(m->name, n[0]);
        break;
    case OP_RANGE_END:
        cuda_range_pop();
        break;
    }
}

static void run_commands(struct cuda *c, const struct command *commands, int n)
{
    for (int i = 0; i < n; i++)
        run_command(&c->backend, &commands[i]);
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
        run_command(&c->backend, &l->commands[open[i]]);
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
            is_same = is_same_command(&l->commands[k], &r->pending[k]);
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
            run_command(&c->backend, &l->commands[i]);
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

/* --- the table's entries ----------------------------------------------------------------------*/

static void note(struct backend *b, struct command m)
{
    struct cuda *c = cuda_use(b);
    if (c->replay->n_pending == MAX_COMMANDS)
        cuda_replay_flush(c);
    c->replay->pending[c->replay->n_pending++] = m;
}

static void note_linear(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                        struct tensor bias, enum activation act)
{
    note(b,
         (struct command){
             .op = OP_LINEAR, .n_tensors = 4, .tensors = {out, x, w, bias}, .numbers = {(int)act}});
}

static void note_conv2d(struct backend *b, struct tensor out, struct tensor x, struct tensor w,
                        struct tensor bias, int stride, int pad_top, int pad_left, int upsample)
{
    note(b, (struct command){.op = OP_CONV2D,
                             .n_tensors = 4,
                             .tensors = {out, x, w, bias},
                             .numbers = {stride, pad_top, pad_left, upsample}});
}

static void note_attention(struct backend *b, struct tensor out, struct tensor q, struct tensor k,
                           struct tensor v, struct tensor bias, float scale, bool is_causal)
{
    note(b, (struct command){.op = OP_ATTENTION,
                             .n_tensors = 5,
                             .tensors = {out, q, k, v, bias},
                             .scalars = {scale},
                             .numbers = {is_causal}});
}

static void note_layer_norm(struct backend *b, struct tensor out, struct tensor x,
                            struct tensor weight, struct tensor bias, struct tensor scale,
                            struct tensor shift, float eps)
{
    note(b, (struct command){.op = OP_LAYER_NORM,
                             .n_tensors = 6,
                             .tensors = {out, x, weight, bias, scale, shift},
                             .scalars = {eps}});
}

static void note_rms_norm(struct backend *b, struct tensor out, struct tensor x,
                          struct tensor weight, float eps)
{
    note(b, (struct command){
                .op = OP_RMS_NORM, .n_tensors = 3, .tensors = {out, x, weight}, .scalars = {eps}});
}

static void note_rms_norm_rope(struct backend *b, struct tensor x, struct tensor weight, float eps,
                               struct tensor cos, struct tensor sin)
{
    note(b, (struct command){.op = OP_RMS_NORM_ROPE,
                             .n_tensors = 4,
                             .tensors = {x, weight, cos, sin},
                             .scalars = {eps}});
}

static void note_group_norm(struct backend *b, struct tensor out, struct tensor x,
                            struct tensor weight, struct tensor bias, int groups, float eps,
                            enum activation act)
{
    note(b, (struct command){.op = OP_GROUP_NORM,
                             .n_tensors = 4,
                             .tensors = {out, x, weight, bias},
                             .scalars = {eps},
                             .numbers = {groups, (int)act}});
}

static void note_activate(struct backend *b, struct tensor out, struct tensor x,
                          enum activation act)
{
    note(b, (struct command){
                .op = OP_ACTIVATE, .n_tensors = 2, .tensors = {out, x}, .numbers = {(int)act}});
}

static void note_add(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    note(b, (struct command){.op = OP_ADD, .n_tensors = 3, .tensors = {out, x, y}});
}

static void note_mul(struct backend *b, struct tensor out, struct tensor x, struct tensor y)
{
    note(b, (struct command){.op = OP_MUL, .n_tensors = 3, .tensors = {out, x, y}});
}

static void note_gated_add(struct backend *b, struct tensor out, struct tensor gate,
                           struct tensor x)
{
    note(b, (struct command){.op = OP_GATED_ADD, .n_tensors = 3, .tensors = {out, gate, x}});
}

/* The end of a step: its factor is another one each time. */
static void end_axpy(struct backend *b, struct tensor out, float alpha, struct tensor x)
{
    cuda_replay_flush(cuda_use(b));
    cuda_axpy(b, out, alpha, x);
}

static void note_affine(struct backend *b, struct tensor out, struct tensor x, float scale,
                        float shift)
{
    note(b, (struct command){
                .op = OP_AFFINE, .n_tensors = 2, .tensors = {out, x}, .scalars = {scale, shift}});
}

static void note_embed(struct backend *b, struct tensor out, struct tensor table, struct tensor ids)
{
    note(b, (struct command){.op = OP_EMBED, .n_tensors = 3, .tensors = {out, table, ids}});
}

static void note_copy(struct backend *b, struct tensor out, struct tensor x)
{
    note(b, (struct command){.op = OP_COPY, .n_tensors = 2, .tensors = {out, x}});
}

static void note_exchange(struct backend *b, struct tensor to, struct tensor from,
                          const int64_t *counts)
{
    struct command m = {.op = OP_EXCHANGE, .n_tensors = 2, .tensors = {to, from}};
    memcpy(m.counts, counts, (size_t)b->share.n * sizeof *counts);
    note(b, m);
}

static void note_to_rgb8(struct backend *b, struct tensor out, struct tensor x)
{
    note(b, (struct command){.op = OP_TO_RGB8, .n_tensors = 2, .tensors = {out, x}});
}

/* Ranges keep their place among operations; before all of them, they need not wait: so a step's
 * number, which differs each time, is not a part of its list. */
static void note_range_begin(struct backend *b, const char *name, int index)
{
    if (cuda_use(b)->replay->n_pending == 0)
        cuda_range_push(name, index);
    else
        note(b, (struct command){.op = OP_RANGE_BEGIN, .numbers = {index}, .name = name});
}

static void note_range_end(struct backend *b)
{
    if (cuda_use(b)->replay->n_pending == 0)
        cuda_range_pop();
    else
        note(b, (struct command){.op = OP_RANGE_END});
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
    struct backend_ops *ops = &c->ops;
    if (ops->range_begin) {
        ops->range_begin = note_range_begin;
        ops->range_end = note_range_end;
    }
    ops->linear = note_linear;
    ops->conv2d = note_conv2d;
    ops->attention = note_attention;
    ops->layer_norm = note_layer_norm;
    ops->rms_norm = note_rms_norm;
    ops->rms_norm_rope = note_rms_norm_rope;
    ops->group_norm = note_group_norm;
    ops->activate = note_activate;
    ops->add = note_add;
    ops->mul = note_mul;
    ops->gated_add = note_gated_add;
    ops->axpy = end_axpy;
    ops->affine = note_affine;
    ops->embed = note_embed;
    ops->copy = note_copy;
    ops->exchange = note_exchange;
    ops->to_rgb8 = note_to_rgb8;
    return true;
}
