#include "client/shelf.h"

#include <string.h>

#define PASS_BYTES ((size_t)8 << 20)

bool shelf_append(struct shelf *s, const void *bytes, size_t size, struct error *err)
{
    return spill_append(&s->bytes, bytes, size, err);
}

bool shelf_end(struct shelf *s, struct error *err)
{
    const uint64_t end = s->bytes.size;
    s->n++;
    return spill_append(&s->ends, &end, sizeof end, err);
}

bool shelf_done(struct shelf *s, struct error *err)
{
    return spill_done(&s->bytes, err) && spill_done(&s->ends, err);
}

static size_t end_of(const struct shelf *s, size_t i)
{
    uint64_t end;
    memcpy(&end, s->ends.at + i * sizeof end, sizeof end);
    return (size_t)end;
}

const char *shelf_at(const struct shelf *s, size_t i, size_t *size)
{
    size_t from = i ? end_of(s, i - 1) : 0;
    *size = end_of(s, i) - from;
    return s->bytes.at + from;
}

void shelf_trim(const struct shelf *s)
{
    spill_trim(&s->bytes);
    spill_trim(&s->ends);
}

void shelf_pass(const struct shelf *s, size_t *seen, size_t size)
{
    *seen += size;
    if (*seen < PASS_BYTES)
        return;
    shelf_trim(s);
    *seen = 0;
}

void shelf_close(struct shelf *s)
{
    spill_close(&s->bytes);
    spill_close(&s->ends);
    s->n = 0;
}
