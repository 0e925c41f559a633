/* The table FIELDS is the API: name, kind, range, where the value goes. Rules between fields stand
 * in one function each below it. */
#include "server/images_api.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "text/unicode.h"

enum kind { KIND_STRING, KIND_CHOICE, KIND_INT, KIND_DOUBLE, KIND_BOOL };

static const int64_t MAX_SAFE_INTEGER = (INT64_C(1) << 53) - 1; /* exact in every JSON reader */
enum { MAX_SIDE_PX = 65536, DEFAULT_FILE_QUALITY = 95, MAX_SCALE = 1000 };

struct field {
    const char *name;
    enum kind kind;
    size_t offset; /* in struct images_request */
    double min, max;
    const char *choices; /* "a|b|c" */
    const char *why;     /* added to the error text of a choice */
    bool has_no_effect;  /* accepted for compatibility, and listed as ignored */
    bool is_of_edits;    /* unknown elsewhere */
};

#define AT(member) offsetof(struct images_request, member)

static const struct field FIELDS[] = {
    {"prompt", KIND_STRING, AT(prompt), .choices = NULL},
    {"negative_prompt", KIND_STRING, AT(negative_prompt), .choices = NULL},
    {"model", KIND_STRING, AT(model), .choices = NULL},
    {"user", KIND_STRING, AT(user), .choices = NULL},
    {"n", KIND_INT, AT(n), 1, FLUX_MAX_ROWS, .choices = NULL},
    {"size", KIND_STRING, AT(size), .choices = NULL},
    {"width", KIND_INT, AT(width_px), 1, MAX_SIDE_PX, .choices = NULL},
    {"height", KIND_INT, AT(height_px), 1, MAX_SIDE_PX, .choices = NULL},
    {"num_inference_steps", KIND_INT, AT(steps), 1, FLUX_MAX_STEPS, .choices = NULL},
    {"guidance_scale", KIND_DOUBLE, AT(guidance_scale), 0, MAX_SCALE, .choices = NULL},
    {"true_cfg_scale", KIND_DOUBLE, AT(true_cfg_scale), 0, MAX_SCALE, .choices = NULL},
    {"max_sequence_length", KIND_INT, AT(max_sequence_length), 1, FLUX_MAX_SEQUENCE,
     .choices = NULL},
    {"seed", KIND_INT, AT(seed), 0, (double)((INT64_C(1) << 53) - 1), .choices = NULL},
    {"generator_device", KIND_CHOICE, AT(generator_device), .choices = "cpu|cuda", .why = ""},
    {"response_format", KIND_CHOICE, AT(response_format), .choices = "b64_json|url", .why = ""},
    {"output_format", KIND_CHOICE, AT(output_format), .choices = "png|jpeg|webp", .why = ""},
    {"output_compression", KIND_INT, AT(output_compression), 0, 100, .choices = NULL},
    {"output_quality", KIND_INT, AT(output_quality), 0, 100, .choices = NULL},
    {"quality", KIND_CHOICE, AT(quality), .choices = "auto|standard|hd|low|medium|high", .why = "",
     .has_no_effect = true},
    {"style", KIND_CHOICE, AT(style), .choices = "vivid|natural", .why = "", .has_no_effect = true},
    {"background", KIND_CHOICE, AT(background), .choices = "auto|opaque",
     .why = " (the pictures have no alpha channel)"},
    {"stream", KIND_BOOL, AT(wants_stream), .choices = NULL},
    {"strength", KIND_DOUBLE, AT(strength), 0, 1, .choices = NULL, .is_of_edits = true},
};

enum { N_FIELDS = sizeof FIELDS / sizeof FIELDS[0] };

static const struct field *find_field(const char *name)
{
    for (size_t i = 0; i < N_FIELDS; i++) {
        if (strcmp(FIELDS[i].name, name) == 0)
            return &FIELDS[i];
    }
    return NULL;
}

bool images_is_text(const char *field)
{
    const struct field *f = find_field(field);
    return !f || f->kind == KIND_STRING || f->kind == KIND_CHOICE;
}

/* --- single fields -----------------------------------------------------------------------------*/

static bool is_choice(const char *choices, const char *value)
{
    size_t size = strlen(value);
    for (const char *p = choices; *p;) {
        size_t n = strcspn(p, "|");
        if (n == size && memcmp(p, value, n) == 0)
            return true;
        p += n + (p[n] == '|');
    }
    return false;
}

static bool read_choice(const struct json *body, const struct field *f, const char **value,
                        struct error *err)
{
    if (!json_read_string(body, f->name, value, err))
        return false;
    if (!*value || is_choice(f->choices, *value))
        return true;
    struct buf list = {0};
    for (const char *p = f->choices; *p; p++)
        *p == '|' ? buf_puts(&list, ", ") : buf_putc(&list, *p);
    fail_field(err, f->name, "%s '%s': must be one of %s%s", f->name, *value, list.data, f->why);
    buf_free(&list);
    return false;
}

static bool read_field(struct images_request *r, const struct field *f, struct error *err)
{
    void *at = (char *)r + f->offset;
    switch (f->kind) {
    case KIND_STRING:
        return json_read_string(r->body, f->name, at, err);
    case KIND_CHOICE:
        return read_choice(r->body, f, at, err);
    case KIND_INT:
        return json_read_int(r->body, f->name, (int64_t)f->min, (int64_t)f->max, at, err);
    case KIND_DOUBLE:
        return json_read_double(r->body, f->name, f->min, f->max, at, err);
    case KIND_BOOL:
        return json_read_bool(r->body, f->name, at, err);
    }
    return false;
}

/* --- rules -------------------------------------------------------------------------------------*/

static bool check_prompt(const char *name, const char *prompt, const struct images_limits *limits,
                         struct error *err)
{
    size_t size = prompt ? strlen(prompt) : 0;
    if (size > (size_t)limits->max_prompt_bytes) {
        return fail_field(err, name, "%s: %zu bytes long, must be at most %lld", name, size,
                          (long long)limits->max_prompt_bytes);
    }
    return true;
}

static bool check_limit(const char *name, int64_t value, int64_t limit, struct error *err)
{
    if (value <= limit)
        return true;
    return fail_field(err, name, "%s %lld: this server's limit is %lld", name, (long long)value,
                      (long long)limit);
}

bool images_parse_size(const char *text, int *width_px, int *height_px)
{
    char *end = NULL;
    long width = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : 0;
    bool has_x = end && *end == 'x' && isdigit((unsigned char)end[1]);
    long height = has_x ? strtol(end + 1, &end, 10) : 0;
    if (!has_x || *end || width < 1 || height < 1 || width > MAX_SIDE_PX || height > MAX_SIDE_PX)
        return false;
    *width_px = (int)width;
    *height_px = (int)height;
    return true;
}

/* "WxH" or "auto"; width and height override it one by one. */
static bool apply_size(struct images_request *r, struct error *err)
{
    int width, height;
    if (!r->size || strcmp(r->size, "auto") == 0)
        return true;
    if (!images_parse_size(r->size, &width, &height)) {
        return fail_field(err, "size",
                          "size '%s': must be WIDTHxHEIGHT in pixels, as in 1024x1024, or auto",
                          r->size);
    }
    r->width_px = width;
    r->height_px = height;
    return true;
}

static bool check_size(const struct images_request *r, const struct images_limits *limits,
                       struct error *err)
{
    const int64_t pixels = r->width_px * r->height_px;
    if (pixels <= limits->max_pixels)
        return true;
    return fail_field(err, r->size ? "size" : "width",
                      "size %lldx%lld: %lld pixels, this server's limit is %lld",
                      (long long)r->width_px, (long long)r->height_px, (long long)pixels,
                      (long long)limits->max_pixels);
}

/* OpenAI says output_compression, SGLang output_quality; both mean the file's quality. */
static bool apply_file_quality(struct images_request *r, struct error *err)
{
    int64_t quality = DEFAULT_FILE_QUALITY;
    if (r->output_compression >= 0)
        quality = r->output_compression;
    if (r->output_quality >= 0)
        quality = r->output_quality;
    if (r->output_compression >= 0 && r->output_compression != quality) {
        return fail_field(err, "output_quality",
                          "output_quality %lld and output_compression %lld mean the same: give one",
                          (long long)r->output_quality, (long long)r->output_compression);
    }
    r->file_quality = quality < 1 ? 1 : (int)quality;
    return true;
}

static bool apply_seed(struct images_request *r, struct error *err)
{
    if (r->seed < 0) {
        uint32_t random;
        while (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {}
        r->seed = random;
    } else if (r->seed > MAX_SAFE_INTEGER - (r->n - 1)) {
        return fail_field(err, "seed", "seed %lld: must be at most %lld with n = %lld",
                          (long long)r->seed, (long long)(MAX_SAFE_INTEGER - (r->n - 1)),
                          (long long)r->n);
    }
    for (int64_t i = 0; i < r->n; i++)
        r->seeds[i] = (uint64_t)(r->seed + i);
    return true;
}

static void note_ignored(struct images_request *r, const char *name)
{
    size_t used = strlen(r->ignored), room = sizeof r->ignored - used;
    if (strlen(name) + 2 <= room)
        snprintf(r->ignored + used, room, "%s%s", used ? "," : "", name);
}

/* Unknown fields, and known ones that change nothing here. */
static void list_ignored(struct images_request *r)
{
    for (const struct json *child = json_first(r->body); child; child = json_next(child)) {
        const struct field *known = find_field(json_key(child));
        if (!known || known->has_no_effect || (known->is_of_edits && !r->is_edit))
            note_ignored(r, json_key(child));
    }
}

static void set_defaults(struct images_request *r, const struct flux_spec *defaults,
                         const struct images_limits *limits)
{
    r->n = 1;
    r->width_px = defaults->width_px;
    r->height_px = defaults->height_px;
    r->steps = defaults->steps < limits->max_steps ? defaults->steps : limits->max_steps;
    r->guidance_scale = defaults->guidance_scale;
    r->true_cfg_scale = defaults->true_cfg_scale;
    r->strength = defaults->strength;
    r->max_sequence_length = defaults->max_sequence_length;
    r->seed = r->output_compression = r->output_quality = -1;
}

static bool parse_object(struct images_request *r, const char *body, size_t size, struct error *err)
{
    if (!utf8_valid(body, size))
        return fail(err, ERR_INVALID, "the body is not valid UTF-8");
    r->body = json_parse(body, size, err);
    if (!r->body)
        return error_prefix(err, "body");
    if (json_type(r->body) != JSON_OBJECT) {
        return fail(err, ERR_INVALID, "the body is a JSON %s: must be an object",
                    json_type_name(json_type(r->body)));
    }
    return true;
}

bool images_parse(struct images_request *r, const char *body, size_t size,
                  const struct images_limits *limits, const struct flux_spec *defaults,
                  struct error *err)
{
    return parse_object(r, size ? body : "", size, err) && images_read(r, limits, defaults, err);
}

bool images_read(struct images_request *r, const struct images_limits *limits,
                 const struct flux_spec *defaults, struct error *err)
{
    set_defaults(r, defaults, limits);
    for (size_t i = 0; i < N_FIELDS; i++) {
        if (FIELDS[i].is_of_edits && !r->is_edit)
            continue;
        /* size comes before width and height in the table, which override it */
        if (!read_field(r, &FIELDS[i], err))
            return false;
        if (FIELDS[i].offset == AT(size) && !apply_size(r, err))
            return false;
    }
    if (!r->prompt || !*r->prompt)
        return fail_field(err, "prompt", "prompt: missing or empty, must be a text");
    if (r->wants_stream)
        return fail_field(err, "stream", "stream true: this server does not stream, must be false");
    r->wants_url = r->response_format && strcmp(r->response_format, "url") == 0;
    r->format = image_format_parse(r->output_format ? r->output_format : "png");
    list_ignored(r);
    return check_prompt("prompt", r->prompt, limits, err) &&
           check_prompt("negative_prompt", r->negative_prompt, limits, err) &&
           check_limit("n", r->n, limits->max_n, err) &&
           check_limit("num_inference_steps", r->steps, limits->max_steps, err) &&
           check_size(r, limits, err) && apply_file_quality(r, err) && apply_seed(r, err);
}

void images_request_free(struct images_request *r)
{
    json_free(r->body);
    image_free(&r->picture);
    *r = (struct images_request){0};
}

struct flux_spec images_spec(const struct images_request *r, const struct flux_spec *defaults)
{
    struct flux_spec spec = *defaults;
    spec.prompts = &r->prompt;
    spec.negative_prompts = r->negative_prompt ? &r->negative_prompt : NULL;
    spec.n_prompts = 1;
    spec.images_per_prompt = (int)r->n;
    spec.width_px = (int)r->width_px;
    spec.height_px = (int)r->height_px;
    spec.steps = (int)r->steps;
    spec.guidance_scale = r->guidance_scale;
    spec.true_cfg_scale = r->true_cfg_scale;
    spec.max_sequence_length = (int)r->max_sequence_length;
    spec.init_rgb = r->picture.rgb;
    spec.strength = r->strength;
    spec.seeds = r->seeds;
    spec.n_seeds = (int)r->n;
    spec.draws_as_cuda = r->generator_device && strcmp(r->generator_device, "cuda") == 0;
    spec.max_batch = 1; /* a picture does not depend on its neighbours */
    return spec;
}

void images_rename_field(struct error *err)
{
    static const char *const NAMES[][2] = {
        {"steps", "num_inference_steps"},
        {"prompts", "prompt"},
        {"negative_prompts", "negative_prompt"},
        {"seeds", "seed"},
        {"images_per_prompt", "n"},
        {"width_px", "width"},
        {"height_px", "height"},
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strcmp(err->field, NAMES[i][0]) == 0)
            snprintf(err->field, sizeof err->field, "%s", NAMES[i][1]);
    }
}
