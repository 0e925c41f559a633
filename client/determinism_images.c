#include "client/determinism_images.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "client/answer.h"
#include "client/lines.h"

#define PEAK 255.0

/* ---- record lines --------------------------------------------------------------------------- */

static void add_picture(struct determinism_run *r, const char *prompt, const char *request_id,
                        size_t index, const char *sha256)
{
    if ((r->n_pictures & (r->n_pictures - 1)) == 0) /* full at every power of two */
        r->pictures =
            xrealloc(r->pictures, (r->n_pictures ? 2 * r->n_pictures : 1) * sizeof *r->pictures);
    struct determinism_picture *p = &r->pictures[r->n_pictures++];
    *p = (struct determinism_picture){.prompt = xstrdup(prompt), .index = index};
    snprintf(p->request_id, sizeof p->request_id, "%s", request_id);
    snprintf(p->sha256, sizeof p->sha256, "%s", sha256);
}

static bool read_record(void *self, const char *line, size_t size, struct error *err)
{
    struct json *tree = json_parse(line, size, err);
    const struct json *metadata = json_get(tree, "metadata");
    const char *phase = NULL, *prompt = NULL, *id = NULL;
    if (!tree)
        return false;
    bool ok = json_read_string(metadata, "benchmark_phase", &phase, err) &&
              json_read_string(metadata, "conversation_id", &prompt, err) &&
              json_read_string(metadata, "x_request_id", &id, err);
    bool is_named = phase && prompt && id;
    if (ok && !is_named)
        ok = fail(err, ERR_INVALID, "no record of a request: names are missing in metadata");
    bool counts = is_named && strcmp(phase, "profiling") == 0 && !json_get(tree, "error");
    const struct json *image = ok && counts ? json_first(json_get(tree, "images")) : NULL;
    for (size_t i = 0; ok && image; image = json_next(image), i++) {
        const char *sha256 = NULL;
        ok = json_read_string(image, "sha256", &sha256, err);
        if (ok && sha256)
            add_picture(self, prompt, id, i, sha256);
    }
    json_free(tree);
    return ok;
}

bool determinism_run_read(struct determinism_run *r, const char *dir, struct error *err)
{
    char *path = xasprintf("%s/profile_export.jsonl", dir);
    *r = (struct determinism_run){.dir = xstrdup(dir)};
    bool ok = lines_read(path, read_record, r, err);
    free(path);
    return ok;
}

void determinism_run_free(struct determinism_run *r)
{
    for (size_t i = 0; i < r->n_pictures; i++)
        free(r->pictures[i].prompt);
    free(r->pictures);
    free(r->dir);
    *r = (struct determinism_run){0};
}

const struct determinism_picture *determinism_run_find(const struct determinism_run *r,
                                                       const char *prompt, size_t index)
{
    for (size_t i = 0; i < r->n_pictures; i++) {
        if (r->pictures[i].index == index && strcmp(r->pictures[i].prompt, prompt) == 0)
            return &r->pictures[i];
    }
    return NULL;
}

/* ---- the raw export ------------------------------------------------------------------------- */

struct wanted {
    const struct determinism_picture *picture;
    struct image *out;
    bool is_found;
};

static bool decode(const struct json *entry, struct image *out, struct error *err)
{
    const char *b64 = NULL;
    struct buf file = {0};
    if (!json_read_string(entry, "b64_json", &b64, err))
        return false;
    if (!b64)
        return fail(err, ERR_INVALID, "the answer has no b64_json");
    if (strncmp(b64, "data:", 5) == 0 && strchr(b64, ','))
        b64 = strchr(b64, ',') + 1;
    bool ok = base64_decode(&file, b64, strlen(b64), err) &&
              image_decode(out, file.data, file.size, ANSWER_MAX_SIDE_PX, err);
    buf_free(&file);
    return ok;
}

static bool decode_answer(struct wanted *w, const struct json *line, struct error *err)
{
    const struct json *response = json_first(json_get(line, "responses"));
    const char *text = NULL;
    if (!json_read_string(response, "text", &text, err) || !text)
        return fail(err, ERR_INVALID, "no answer in the raw export");
    struct json *answer = json_parse(text, strlen(text), err);
    const struct json *entry = json_first(json_get(answer, "data"));
    for (size_t i = 0; entry && i < w->picture->index; i++)
        entry = json_next(entry);
    bool ok = answer && (entry ? decode(entry, w->out, err)
                               : fail(err, ERR_INVALID, "the answer has too few pictures"));
    json_free(answer);
    return ok;
}

/* Lines are megabytes long: only the one with the request's name is parsed. It stands near the
 * beginning. */
static bool read_raw(void *self, const char *line, size_t size, struct error *err)
{
    struct wanted *w = self;
    char name[UUID_SIZE + 20];
    snprintf(name, sizeof name, "\"x_request_id\":\"%s\"", w->picture->request_id);
    if (w->is_found || !memmem(line, size < 4096 ? size : 4096, name, strlen(name)))
        return true;
    w->is_found = true;
    struct json *tree = json_parse(line, size, err);
    bool ok = tree && decode_answer(w, tree, err);
    json_free(tree);
    return ok;
}

bool determinism_run_decode(const struct determinism_run *r, const struct determinism_picture *p,
                            struct image *out, struct error *err)
{
    struct wanted w = {.picture = p, .out = out};
    char *path = xasprintf("%s/profile_export_raw.jsonl", r->dir);
    *out = (struct image){0};
    bool ok = lines_read(path, read_raw, &w, err) &&
              (w.is_found || fail(err, ERR_INVALID, "%s: has no request %s", path, p->request_id));
    free(path);
    return ok;
}

/* ---- distance ------------------------------------------------------------------------------- */

struct determinism_distance determinism_measure(const struct image *a, const struct image *b)
{
    struct determinism_distance d = {.is_known = a->rgb && b->rgb && a->width_px == b->width_px &&
                                                 a->height_px == b->height_px};
    if (!d.is_known)
        return d;
    size_t n_pixels = (size_t)a->width_px * (size_t)a->height_px, n_differing = 0;
    double squares = 0;
    for (size_t i = 0; i < n_pixels; i++) {
        bool is_equal = true;
        for (size_t k = 3 * i; k < 3 * i + 3; k++) {
            int difference = abs((int)a->rgb[k] - (int)b->rgb[k]);
            is_equal = is_equal && difference == 0;
            squares += (double)difference * difference;
            d.max_difference = difference > d.max_difference ? difference : d.max_difference;
        }
        n_differing += !is_equal;
    }
    d.share = (double)n_differing / (double)n_pixels;
    d.psnr_db = 10 * log10(PEAK * PEAK / (squares / (3 * (double)n_pixels))); /* inf for equal */
    return d;
}
