/* POST /v1/images/generations and /v1/images/edits, the wish: a JSON body, or a form and its
 * picture, becomes a validated flux_spec. No sockets, no model. Each field is a row of a table; see
 * docs/server.md for what it means. */
#pragma once

#include "base/json.h"
#include "flux/flux.h"
#include "image/image.h"
#include "server/form.h"

/* What the server allows, from its options. */
struct images_limits {
    int64_t max_n, max_steps, max_pixels, max_prompt_bytes;
};

/* Zero-initialise; images_request_free. Strings belong to body. Numbers that were not given hold
 * the model's default. */
struct images_request {
    struct json *body;                                   /* owned */
    const char *prompt, *negative_prompt, *model, *user; /* NULL: not given */
    const char *quality, *style, *background;            /* NULL: not given */
    const char *size, *response_format, *output_format;  /* NULL: not given */
    const char *generator_device;                        /* NULL: not given */
    int64_t n, width_px, height_px, steps, max_sequence_length;
    int64_t seed; /* of the first image; chosen at random when not given */
    double guidance_scale, true_cfg_scale, strength;
    int64_t output_compression, output_quality; /* -1: not given */
    bool wants_stream;

    /* of edits */
    bool is_edit;
    struct image picture; /* owned; to start from, width_px x height_px */

    /* what follows from the above */
    bool wants_url;
    enum image_format format;
    int file_quality;              /* 1..100, for image_encode() */
    uint64_t seeds[FLUX_MAX_ROWS]; /* seed, seed + 1, ...: one each */
    char ignored[256];             /* names of fields without effect, for the log: "style,foo" */
};

/* Read and judge size bytes of JSON. defaults are those of the model. On failure err->field is the
 * request's field at fault. */
bool images_parse(struct images_request *request, const char *body, size_t size,
                  const struct images_limits *limits, const struct flux_spec *defaults,
                  struct error *err);
/* The same from a form: the picture to edit stands in its part "image", and is the size. */
bool images_parse_edit(struct images_request *request, const struct form *form,
                       const struct images_limits *limits, const struct flux_spec *defaults,
                       struct error *err);
/* Judge what stands in request->body, an object that request owns. For the two above. */
bool images_read(struct images_request *request, const struct images_limits *limits,
                 const struct flux_spec *defaults, struct error *err);
/* True when a field's value is text, not a number or a boolean; so are those of unknown ones. */
bool images_is_text(const char *field);
void images_request_free(struct images_request *request);

/* The pipeline's wish; it points into request, and at request itself. */
struct flux_spec images_spec(const struct images_request *request,
                             const struct flux_spec *defaults);

/* Parse "WIDTHxHEIGHT", each 1..65536; false leaves both as they were. */
bool images_parse_size(const char *text, int *width_px, int *height_px);

/* Rename err->field from a flux_spec's member to the API's field ("steps" to
 * "num_inference_steps"). */
void images_rename_field(struct error *err);
