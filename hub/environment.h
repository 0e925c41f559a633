/* Where the cache is and how the hub is asked, out of options and environment variables. */
#pragma once

#include "hub/hub.h"

struct environment {
    char *cache_dir;
    char *endpoint;   /* without a slash at the end */
    char *token;      /* a secret: for the endpoint's host, and for no log; NULL: none */
    char *token_path; /* the file that is read when HF_TOKEN is not set; for messages */
    bool is_offline;
    int64_t stall_s; /* a transfer that stands still so long is given up and tried again */
};

/* ERR_INVALID names the variable at fault. environment_free also after a failure. */
bool environment_read(struct environment *e, const struct hub_options *options, struct error *err);
void environment_free(struct environment *e);
