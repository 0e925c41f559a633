/* Streamed weights: layers in host memory that pass through two buffers of the device.
 *
 * While the operations of one layer run on c->stream, the next one is copied into the other buffer
 * on a stream of its own. Two events per buffer keep the order, and the host waits for neither:
 *
 *     loaded   recorded behind the copies; operations that read the buffer wait for it
 *     used     recorded behind the operations of the layer before the first one of another layer;
 *              copies into the buffer wait for it
 *
 * The next layer is asked for when the last weight of this one was read (each is read once in a
 * pass), so that its operations are queued already: a copy from pageable memory holds the host up,
 * but not the device. Which layer comes next is a guess, the one that was adopted next, and the
 * first of the chain after the last; a wrong guess costs a copy. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cuda/cuda_internal.h"

enum { N_BUFFERS = 2, ALIGN = 256 };

struct cuda_layer {
    struct cuda_layer *older; /* in the list of all */
    struct cuda_layer *first; /* of its chain */
    struct cuda_layer *after; /* used next */
    struct cuda_weight *weights;
    size_t bytes;
    int chain, number;
    int n_weights, n_read; /* n_read: since it was last begun */
};

struct buffer {
    char *data;               /* owned */
    struct cuda_layer *layer; /* that is there or on its way; NULL: none */
    cudaEvent_t loaded, used; /* owned */
};

struct cuda_streams {
    cudaStream_t copies; /* owned */
    struct buffer buffers[N_BUFFERS];
    size_t buffer_bytes, largest_bytes; /* as allocated; as needed */
    struct cuda_layer *layers;          /* owned: the last one first */
    struct buffer *current;             /* whose layer is being used; NULL: none */
};

/* --- adopting ---------------------------------------------------------------------------------*/

static bool open_streams(struct cuda *c, struct error *err)
{
    struct cuda_streams *s = c->streams;
    if (s)
        return true;
    s = c->streams = calloc(1, sizeof *s);
    if (!s)
        return fail(err, ERR_MEMORY, "no memory for streamed layers");
    cudaError_t status = cudaStreamCreateWithFlags(&s->copies, cudaStreamNonBlocking);
    for (int i = 0; i < N_BUFFERS && status == cudaSuccess; i++) {
        status = cudaEventCreateWithFlags(&s->buffers[i].loaded, cudaEventDisableTiming);
        if (status == cudaSuccess)
            status = cudaEventCreateWithFlags(&s->buffers[i].used, cudaEventDisableTiming);
    }
    return status == cudaSuccess ||
           fail(err, ERR_DEVICE, "stream of copies: %s", cudaGetErrorString(status));
}

/* The layer that backend.home names, made if the last one is another. */
static struct cuda_layer *layer_of(struct cuda *c)
{
    struct cuda_streams *s = c->streams;
    const struct weight_home *home = &c->backend.home;
    struct cuda_layer *last = s->layers;
    if (last && last->chain == home->chain && last->number == home->layer)
        return last;
    struct cuda_layer *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    bool is_first = !last || last->chain != home->chain;
    *l = (struct cuda_layer){.older = last, .chain = home->chain, .number = home->layer};
    l->after = l->first = is_first ? l : last->first;
    if (!is_first)
        last->after = l;
    s->layers = l;
    return l;
}

static bool allocate_host(struct cuda_weight *w, size_t bytes, struct error *err)
{
    void *memory = NULL;
    if (!w->is_pinned) {
        memory = malloc(bytes);
    } else if (cudaMallocHost(&memory, bytes) != cudaSuccess) {
        (void)cudaGetLastError();
        return fail(err, ERR_MEMORY,
                    "no page-locked host memory for %.1f MiB; ordinary memory is used without "
                    "--pin-cpu-memory",
                    (double)bytes / 0x1p20);
    }
    w->host = memory;
    return memory || fail(err, ERR_MEMORY, "no host memory for %.1f MiB", (double)bytes / 0x1p20);
}

void cuda_stream_drop(struct cuda_weight *w)
{
    if (w->is_pinned)
        (void)cudaFreeHost(w->host);
    else
        free(w->host);
    w->host = NULL;
}

bool cuda_stream_add(struct cuda *c, struct cuda_weight *w, size_t bytes, struct error *err)
{
    w->is_pinned = c->backend.home.is_pinned;
    if (!open_streams(c, err) || !allocate_host(w, bytes, err))
        return false;
    w->layer = layer_of(c);
    if (!w->layer) {
        cuda_stream_drop(w);
        return fail(err, ERR_MEMORY, "no memory for a layer");
    }
    struct cuda_layer *l = w->layer;
    w->bytes = bytes;
    w->offset = l->bytes;
    w->sibling = l->weights;
    l->weights = w;
    l->n_weights++;
    l->bytes += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (l->bytes > c->streams->largest_bytes)
        c->streams->largest_bytes = l->bytes;
    return true;
}

/* --- using ------------------------------------------------------------------------------------*/

static void log_layers(const struct cuda_streams *s)
{
    size_t bytes = 0;
    int n = 0;
    bool is_pinned = false;
    for (const struct cuda_layer *l = s->layers; l; l = l->older, n++) {
        bytes += l->bytes;
        is_pinned = is_pinned || l->weights->is_pinned;
    }
    log_info("offloaded layers=%d host_mib=%.1f page_locked=%s device_buffer_mib=%.1f", n,
             (double)bytes / 0x1p20, is_pinned ? "yes" : "no",
             N_BUFFERS * (double)s->buffer_bytes / 0x1p20);
}

/* Both buffers, as large as the largest layer; they grow when another model is opened. */
static bool reserve(struct cuda *c)
{
    struct cuda_streams *s = c->streams;
    if (s->largest_bytes <= s->buffer_bytes)
        return true;
    s->current = NULL;
    s->buffer_bytes = 0;
    for (int i = 0; i < N_BUFFERS; i++) {
        struct buffer *buffer = &s->buffers[i];
        cudaFree(buffer->data); /* waits for what still uses it */
        buffer->layer = NULL;
        buffer->data = backend_alloc(&c->backend, s->largest_bytes, &c->backend.fault);
        if (!buffer->data)
            return error_prefix(&c->backend.fault, "two buffers for streamed layers");
    }
    s->buffer_bytes = s->largest_bytes;
    log_layers(s);
    return true;
}

static struct buffer *other(struct cuda_streams *s)
{
    return s->current == &s->buffers[0] ? &s->buffers[1] : &s->buffers[0];
}

/* Queue the copies of a layer into a buffer that is not current. */
static bool load(struct cuda *c, struct buffer *buffer, struct cuda_layer *l)
{
    struct cuda_streams *s = c->streams;
    bool is_done = cuda_check(c, cudaStreamWaitEvent(s->copies, buffer->used, 0), "stream layer");
    buffer->layer = l;
    for (struct cuda_weight *w = l->weights; w && is_done; w = w->sibling) {
        w->data = buffer->data + w->offset;
        is_done = cuda_check(
            c, cudaMemcpyAsync(w->data, w->host, w->bytes, cudaMemcpyHostToDevice, s->copies),
            "stream layer");
    }
    if (is_done && cuda_check(c, cudaEventRecord(buffer->loaded, s->copies), "stream layer"))
        return true;
    buffer->layer = NULL;
    return false;
}

bool cuda_stream_begin(struct cuda *c, struct cuda_weight *w)
{
    struct cuda_streams *s = c->streams;
    if (!w || !w->layer || (s->current && s->current->layer == w->layer))
        return true;
    if (!reserve(c))
        return false;
    if (s->current && !cuda_check(c, cudaEventRecord(s->current->used, c->stream), "stream layer"))
        return false;
    struct buffer *buffer = other(s);
    if (buffer->layer != w->layer && !load(c, buffer, w->layer))
        return false;
    s->current = buffer;
    w->layer->n_read = 0;
    return cuda_check(c, cudaStreamWaitEvent(c->stream, buffer->loaded, 0), "stream layer");
}

void cuda_stream_end(struct cuda *c, struct cuda_weight *w)
{
    struct cuda_streams *s = c->streams;
    if (!w || !w->layer || ++w->layer->n_read != w->layer->n_weights)
        return;
    struct cuda_layer *next = w->layer->after;
    if (next != w->layer && other(s)->layer != next)
        (void)load(c, other(s), next);
}

/* --- tables -----------------------------------------------------------------------------------*/

struct cuda_weight *cuda_stream_table(const struct cuda *c, struct tensor t)
{
    const char *at = t.data;
    for (const struct cuda_layer *l = c->streams ? c->streams->layers : NULL; l; l = l->older) {
        struct cuda_weight *w = l->weights;
        if (w->is_table && at >= w->host && at < w->host + w->bytes)
            return w;
    }
    return NULL;
}

struct tensor cuda_stream_window(const struct cuda_weight *w, struct tensor t)
{
    if (w)
        t.data = (char *)w->data + ((char *)t.data - w->host);
    return t;
}

bool cuda_stream_has(const struct cuda *c, const struct tensor *t)
{
    return t->is_packed ? ((const struct cuda_weight *)t->data)->layer != NULL
                        : cuda_stream_table(c, *t) != NULL;
}

void cuda_stream_close(struct cuda *c)
{
    struct cuda_streams *s = c->streams;
    if (!s)
        return;
    if (s->copies) {
        (void)cudaStreamSynchronize(s->copies);
        (void)cudaStreamDestroy(s->copies);
    }
    for (int i = 0; i < N_BUFFERS; i++) {
        (void)cudaFree(s->buffers[i].data);
        if (s->buffers[i].loaded)
            (void)cudaEventDestroy(s->buffers[i].loaded);
        if (s->buffers[i].used)
            (void)cudaEventDestroy(s->buffers[i].used);
    }
    while (s->layers) {
        struct cuda_layer *l = s->layers;
        s->layers = l->older;
        free(l);
    }
    free(s);
    c->streams = NULL;
}
