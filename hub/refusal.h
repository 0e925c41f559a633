/* What an unsuccessful answer means, in words for the user, and whether to ask again. */
#pragma once

#include "hub/environment.h"
#include "hub/model_id.h"
#include "hub/transfer.h"

struct refusal {
    bool is_final;        /* asking again won't help */
    enum error_code code; /* of the error, once it is given up */
    char text[400];       /* what happened, and what the user can do */
};

/* file is the path inside the model, or NULL for the list of its files. The answer is not a
 * success: it isn't TRANSFER_ANSWERED, or its status is not 200 or 206 (or 3xx for HEAD). */
struct refusal refusal_of(const struct transfer_answer *answer, const struct environment *e,
                          const struct model_id *id, const char *file);
