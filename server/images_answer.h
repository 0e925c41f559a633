/* POST /v1/images/generations, the answer: finished images become JSON in OpenAI's shape, with our
 * stage times. See docs/server.md for every field. */
#pragma once

#include "server/images_api.h"

struct images_answer {
    const char *id, *model;
    const struct images_request *request;
    const struct flux_result *result;
    const struct buf *files; /* one per image; not used for URLs */
    const struct buf *urls;  /* one per image, or NULL: b64_json */
    int64_t created_s;       /* Unix time */
    double queue_s, encode_s, total_s;
    double peak_memory_mib;
    double flops; /* of all images; NaN: not known */
};

void images_answer_write(struct buf *out, const struct images_answer *a);

/* The value of the Server-Timing header: milliseconds of each stage. */
void images_answer_timing(struct buf *out, const struct images_answer *a);
/* The same for the log line: "queue_ms=1.0 text_ms=...". */
void images_answer_log(struct buf *out, const struct images_answer *a);
