/* POST /v1/images/generations, the wish: a JSON body becomes a validated flux_spec. No sockets, no
 * model. Each field is a row of a table; see docs/server.md for what it means. */
#pragma once

#include "base/json.h"
#include "flux/flux.h"
#include "image/image.h"

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
    int64_t n, width_px, height_px, steps, max_sequence_length;
    int64_t seed; /* of the first image; chosen at random when not given */
    double guidance_scale, true_cfg_scale;
    int64_t output_compression, output_quality; /* -1: not given */
    bool wants_stream;

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
void images_request_free(struct images_request *request);

/* The pipeline's wish; it points into request, and at request itself. */
struct flux_spec images_spec(const struct images_request *request,
                             const struct flux_spec *defaults);

/* Parse "WIDTHxHEIGHT", each 1..65536; false leaves both as they were. */
bool images_parse_size(const char *text, int *width_px, int *height_px);

/* Rename err->field from a flux_spec's member to the API's field ("steps" to
 * "num_inference_steps"). */
void images_rename_field(struct error *err);
