#include "client/record.h"

#include <stdlib.h>

#include "client/answer_memory.h"

#define SMALL_BODY ((size_t)16 << 10)

const struct buf *record_body(const struct record *r)
{
    return r->known ? &r->known->body : &r->body;
}

void record_free_verdict(struct record *r)
{
    answer_forget(r);
    free(r->error.message);
    free(r->served_model);
    free(r->images);
    free(r->digests);
    stages_free(r->stages);
    r->error = (struct record_error){0};
    r->served_model = NULL;
    r->images = NULL;
    r->digests = NULL;
    r->stages = NULL;
}

/* All but the record itself and its body. */
static void free_parts(struct record *r)
{
    record_free_verdict(r);
    free(r->owned_row);
    free(r->transfer_text);
    free(r->reason);
    free(r->content_type);
    free(r->server_timing);
    free(r->server_build);
}

void record_reset(struct record *r)
{
    free_parts(r);
    if (r->body.capacity > SMALL_BODY)
        buf_free(&r->body);
    struct buf body = r->body;
    *r = (struct record){.body = body};
    if (body.data)
        buf_clear(&r->body);
}

void record_free(struct record *r)
{
    if (!r)
        return;
    free_parts(r);
    buf_free(&r->body);
    free(r);
}
