/* The command line of the serve command, and rules between its options. */
#pragma once

#include "base/args.h"
#include "flux/step_profile.h"
#include "server/backends.h"
#include "server/images_api.h"
#include "server/load_options.h"

struct server_options {
    const char *model_path; /* NULL: the embedded model */
    struct load_wish load_wish;
    struct flux_load load; /* what load_wish says */
    struct arg_list served_names;
    bool is_strict;
    const char *host;
    int64_t port;
    struct backends_wish backend;
    int64_t num_gpus; /* a multiple of backend.degree; 0: the CPU */
    struct images_limits limits;
    int64_t max_queue, max_body_bytes, max_form_bytes, max_connections, timeout_s;
    int64_t store_images, store_bytes;
    const char *profile_steps;   /* NULL or "": none */
    struct step_profile profile; /* what profile_steps says */
    int log_level;
    bool wants_help, wants_version;
    bool gave_num_gpus; /* as opposed to the default */
};

/* Read environment and argv[first..argc). On success options_free later. */
bool options_parse(struct server_options *options, int argc, char **argv, int first,
                   struct error *err);
void options_free(struct server_options *options);
void options_help(const char *usage);

/* Say which options have no effect on the back end that was opened ("cpu" or "cuda"): one warning
 * each. */
void options_warn(const struct server_options *options, const char *backend);
