#include "client/record.h"

#include <stdlib.h>

void record_free(struct record *r)
{
    if (!r)
        return;
    free(r->transfer_text);
    free(r->reason);
    free(r->content_type);
    free(r->error.message);
    free(r->server_timing);
    free(r->server_build);
    free(r->served_model);
    free(r->images);
    free(r->digests);
    stages_free(r->stages);
    buf_free(&r->body);
    free(r);
}
