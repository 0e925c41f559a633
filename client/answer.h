/* The verdict on one answer: did it bring pictures? Off the timing path, in the records thread. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "client/answer_memory.h"
#include "client/record.h"
#include "image/image.h"

#define ANSWER_MAX_SIDE_PX 16384

/* Where pictures given as addresses come from. */
struct answer_source {
    void *self;
    /* Append the file behind url (absolute, or relative to the server of record r). */
    bool (*fetch)(void *self, const struct record *r, const char *url, struct buf *out,
                  struct error *err);
    /* Look at a picture that decoded, the file and its pixels. NULL: nobody wants to. */
    void (*show)(void *self, const struct record *r, const struct buf *file,
                 const struct image *pixels);
};

/* Fill error, n_returned, n_decoded, images, digests and stages of a record whose transfer has
 * ended. A request succeeds when its status is 2xx, data[] has at least one entry and every entry
 * is a picture that decodes. The type of a failure is one of:
 *
 *   ClientConnectorDNSError ClientConnectorError ServerDisconnectedError TimeoutError
 *   ResponseTooLargeError ClientError          no complete answer came; no code
 *   RequestCancellationError                   given up by us, at the end or on purpose; code 499
 *   the reason phrase                          status outside 2xx; code = status
 *   InvalidInferenceResultError                2xx, but no JSON object, or an empty one
 *   NoImageError                               data[] is missing or empty, or an entry has neither
 *                                              b64_json nor url
 *   InvalidBase64Error  UndecodableImageError  the entry is no base64, the bytes are no picture
 *   ImageFetchError                            the url of the entry gave nothing
 *
 * (the names known from AIPerf where it has one for the same case).
 *
 * Returns true when the verdict is worth remembering: a success, judged anew from the bytes of the
 * body alone. */
bool answer_judge(struct record *r, const struct answer_source *source);

/* The same for a record with a known answer (answer_memory_recognise), without looking at it. */
void answer_recall(struct record *r);
