#include "client/prompts.h"

#include <string.h>

#include "base/json.h"

#define NAMES_PASS 65536 /* names looked at between two trims */

/* How an entry lies on the shelf: this head, then its texts one behind another, each with its NUL.
 * One that is not there has no byte. */
enum part { TEXT, SESSION, CORRELATION, TYPE, BODY, JSON, N_PARTS };

struct head {
    uint64_t sizes[N_PARTS]; /* the NUL included */
    uint64_t turn, line;
    int64_t isl;
    double timestamp_ms;
    bool has_timestamp, is_named;
};

void prompts_init(struct prompts *p, const char *dir)
{
    *p = (struct prompts){0};
    shelf_init(&p->shelf, dir);
}

void prompts_free(struct prompts *p)
{
    shelf_close(&p->shelf);
    *p = (struct prompts){0};
}

/* ---- writing -------------------------------------------------------------------------------- */

static size_t text_size(const char *text) { return text ? strlen(text) + 1 : 0; }

bool prompts_put(struct prompts *p, const struct draft *d, struct error *err)
{
    const void *const parts[N_PARTS] = {d->text,
                                        d->session_id,
                                        d->correlation,
                                        d->content_type,
                                        d->body.data ? d->body.data : "",
                                        d->json.data};
    struct head head;
    memset(&head, 0, sizeof head); /* the gaps too: they are written */
    head.turn = d->turn;
    head.line = d->line;
    head.isl = d->isl;
    head.timestamp_ms = d->timestamp_ms;
    head.has_timestamp = d->has_timestamp;
    head.is_named = d->is_named;
    for (size_t i = 0; i < BODY; i++)
        head.sizes[i] = text_size(parts[i]);
    head.sizes[BODY] = d->body.size + 1;
    head.sizes[JSON] = d->json.size ? d->json.size + 1 : 0;
    bool ok = shelf_append(&p->shelf, &head, sizeof head, err);
    for (size_t i = 0; ok && i < N_PARTS; i++)
        ok = head.sizes[i] == 0 || shelf_append(&p->shelf, parts[i], head.sizes[i], err);
    p->n_entries++;
    p->n_named += d->is_named;
    return ok && shelf_end(&p->shelf, err);
}

bool prompts_done(struct prompts *p, struct error *err) { return shelf_done(&p->shelf, err); }

/* ---- reading -------------------------------------------------------------------------------- */

struct prompts_reader prompts_reader(const struct prompts *p)
{
    return (struct prompts_reader){.shelf = {.shelf = &p->shelf}};
}

void prompts_reader_free(struct prompts_reader *r) { shelf_reader_free(&r->shelf); }

struct prompts_entry prompts_view(const char *row)
{
    const char *parts[N_PARTS], *at = row + sizeof(struct head);
    struct head head;
    memcpy(&head, row, sizeof head);
    for (size_t k = 0; k < N_PARTS; at += head.sizes[k++])
        parts[k] = head.sizes[k] ? at : NULL;
    return (struct prompts_entry){
        .row = row,
        .text = parts[TEXT],
        .session_id = parts[SESSION],
        .is_named = head.is_named,
        .correlation = parts[CORRELATION],
        .turn = head.turn,
        .line = head.line,
        .has_timestamp = head.has_timestamp,
        .timestamp_ms = head.timestamp_ms,
        .isl = head.isl,
        .body = parts[BODY],
        .content_type = parts[TYPE],
        .json = parts[JSON] ? parts[JSON] : parts[BODY],
        .body_bytes = head.sizes[BODY] - 1,
        .json_bytes = head.sizes[parts[JSON] ? JSON : BODY] - 1,
    };
}

struct prompts_entry prompts_at(struct prompts_reader *r, size_t i)
{
    size_t size;
    return prompts_view(shelf_at(&r->shelf, i, &size));
}

struct prompts_entry prompts_take(struct prompts_reader *r, size_t i, char **owned)
{
    size_t size;
    const char *row = shelf_at(&r->shelf, i, &size);
    *owned = NULL;
    if (r->shelf.shelf->bytes.has_file)
        row = *owned = memcpy(xmalloc(size), row, size);
    return prompts_view(row);
}

/* ---- looking for names ---------------------------------------------------------------------- */

struct name {
    uint64_t hash, entry;
};

static int by_name(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

static uint64_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash;
}

static bool list_names(const struct prompts *p, bool only_named, struct spill *names,
                       struct error *err)
{
    struct prompts_reader reader = prompts_reader(p);
    bool ok = true;
    for (size_t i = 0; ok && i < p->n_entries; i++) {
        const struct prompts_entry e = prompts_at(&reader, i);
        const struct name name = {hash_text(e.session_id), i};
        if (e.turn == 0 && (e.is_named || !only_named))
            ok = spill_append(names, &name, sizeof name, err);
    }
    prompts_reader_free(&reader);
    return ok && spill_done(names, err);
}

static bool is_same_name(struct prompts_reader readers[2], const struct name *a,
                         const struct name *b)
{
    return strcmp(prompts_at(&readers[0], a->entry).session_id,
                  prompts_at(&readers[1], b->entry).session_id) == 0;
}

bool prompts_twins(const struct prompts *p, bool only_named, bool *found, size_t *a, size_t *b,
                   struct error *err)
{
    struct spill names = {.dir = p->shelf.bytes.dir};
    struct prompts_reader readers[2] = {prompts_reader(p), prompts_reader(p)};
    bool ok = list_names(p, only_named, &names, err) &&
              spill_sort(&names, sizeof(struct name), by_name, err);
    const struct name *list = (const void *)names.at;
    *found = false;
    for (size_t i = 1; ok && !*found && i < names.size / sizeof *list; i++) {
        for (size_t k = i; !*found && k > 0 && list[k - 1].hash == list[i].hash; k--) {
            *found = is_same_name(readers, &list[k - 1], &list[i]);
            *a = list[k - 1].entry;
            *b = list[i].entry;
        }
        if (i % NAMES_PASS == 0)
            spill_trim(&names);
    }
    prompts_reader_free(&readers[0]);
    prompts_reader_free(&readers[1]);
    spill_close(&names);
    return ok;
}

/* ---- all of it ------------------------------------------------------------------------------ */

void prompts_hash(const struct prompts *p, uint8_t digest[SHA256_SIZE])
{
    struct sha256 *whole = sha256_begin();
    struct prompts_reader reader = prompts_reader(p);
    for (size_t i = 0; i < p->n_entries; i++) {
        const struct prompts_entry e = prompts_at(&reader, i);
        uint8_t one[SHA256_SIZE];
        sha256(e.body, e.body_bytes, one);
        sha256_add(whole, one, sizeof one);
    }
    prompts_reader_free(&reader);
    sha256_end(whole, digest);
}

void prompts_print_inputs(const struct prompts *p, FILE *out)
{
    struct buf text = {0};
    struct prompts_reader reader = prompts_reader(p);
    buf_puts(&text, "{\n  \"data\": [");
    for (size_t i = 0; i < p->n_entries; i++) {
        const struct prompts_entry e = prompts_at(&reader, i);
        if (e.turn > 0) {
            buf_puts(&text, ",\n        ");
        } else {
            buf_puts(&text, i ? "\n      ]\n    },\n    {\n      \"session_id\": "
                              : "\n    {\n      \"session_id\": ");
            json_print_string(&text, e.session_id, strlen(e.session_id));
            buf_puts(&text, ",\n      \"payloads\": [\n        ");
        }
        fields_format_json(&text, e.json, 2, 4);
        fwrite(text.data, 1, text.size, out);
        buf_clear(&text);
    }
    buf_puts(&text, p->n_entries ? "\n      ]\n    }\n  ]\n}" : "\n  ]\n}");
    fwrite(text.data, 1, text.size, out);
    buf_free(&text);
    prompts_reader_free(&reader);
}
