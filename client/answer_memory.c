#include "client/answer_memory.h"

#include <stdlib.h>
#include <string.h>

static void *copy(const void *from, size_t size)
{
    return memcpy(xmalloc(size ? size : 1), from, size);
}

bool answer_memory_recall(const struct answer_memory *m, struct record *r)
{
    if (m->body.size == 0 || r->body.size != m->body.size ||
        memcmp(r->body.data, m->body.data, m->body.size) != 0)
        return false;
    r->n_returned = r->n_decoded = m->n_images;
    r->usage_prompt_tokens = m->usage_prompt_tokens;
    r->usage_completion_tokens = m->usage_completion_tokens;
    r->image_bytes = m->image_bytes;
    r->image_pixels = m->image_pixels;
    r->images = copy(m->images, m->n_images * sizeof *m->images);
    r->digests = copy(m->digests, m->n_images * sizeof *m->digests);
    r->served_model = m->served_model ? xstrdup(m->served_model) : NULL;
    return true;
}

void answer_memory_keep(struct answer_memory *m, struct record *r)
{
    if (r->body.size > ANSWER_MEMORY_MAX)
        return;
    answer_memory_free(m);
    m->body = r->body;
    r->body = (struct buf){0};
    m->n_images = r->n_returned;
    m->usage_prompt_tokens = r->usage_prompt_tokens;
    m->usage_completion_tokens = r->usage_completion_tokens;
    m->image_bytes = r->image_bytes;
    m->image_pixels = r->image_pixels;
    m->images = copy(r->images, m->n_images * sizeof *m->images);
    m->digests = copy(r->digests, m->n_images * sizeof *m->digests);
    m->served_model = r->served_model ? xstrdup(r->served_model) : NULL;
}

void answer_memory_free(struct answer_memory *m)
{
    buf_free(&m->body);
    free(m->images);
    free(m->digests);
    free(m->served_model);
    *m = (struct answer_memory){0};
}
