/* `fluxperf determinism`: does the same seed give the same pictures, whatever else goes on? */
#pragma once

#include "client/determinism_images.h"
#include "client/runs.h"

/* Returns the exit code: 0 all pictures are equal, 3 some are not, 1 a request failed or the
 * command ended early, 2 wrong usage. */
int determinism_main(int argc, char **argv, int first);
void determinism_help(void);

#define DETERMINISM_ANY (-1)

/* Pictures of a run against those of a reference run, prompt by prompt. */
struct determinism_check {
    char *name;              /* owned */
    size_t reference, other; /* indices of runs */
    int reference_index;     /* of the picture within its answer; DETERMINISM_ANY: the same as */
    int other_index;         /* the other's; DETERMINISM_ANY: all */
    /* found */
    bool is_made;
    size_t n_pairs, n_equal;
    size_t n_missing;               /* pairs of which one picture is absent */
    struct determinism_pair *pairs; /* owned: those that differ */
};

struct determinism_pair {
    const struct determinism_picture *reference, *other; /* owned by the runs */
    struct determinism_distance distance;
};

/* One run that is wanted. */
struct determinism_plan {
    char *name;           /* owned: what it is, in words */
    int64_t concurrency;  /* requests in flight */
    int64_t n_per_prompt; /* requests for each prompt */
    int64_t n;            /* pictures a request */
    int64_t seed;         /* of the pictures */
};

struct determinism {
    struct runs runs;
    int64_t n_prompts;
    struct determinism_plan *plans; /* owned, n_plans; the first one is the reference */
    size_t n_plans;
    struct determinism_check *checks; /* owned */
    size_t n_checks;
    struct runs_result *results;      /* owned, of the first n_results plans */
    struct determinism_run *pictures; /* owned, likewise */
    size_t n_results;
};

/* The table of the console, and determinism.json. */
void determinism_print(struct buf *out, const struct determinism *d);
bool determinism_write_json(const struct determinism *d, struct error *err);

/* Over the pairs of a check that differ; NaN and -1 when no distance is known. */
double determinism_least_psnr(const struct determinism_check *c);
int determinism_max_difference(const struct determinism_check *c);
