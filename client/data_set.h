/* From options to what a run sends: the data set, and when its rows are due if they say so. */
#pragma once

#include "client/options.h"
#include "client/prompts.h"
#include "client/schedule.h"
#include "client/tokens.h"

struct data_set {
    char *dir;             /* owned: where what is large may lie, without a name */
    struct tokens *tokens; /* NULL for --tokenizer none */
    struct prompts prompts;
    struct schedule schedule; /* empty without --fixed-schedule or users */
};

/* Read or make the prompts and write their bodies. Whatever their number, they take little memory.
 * Large ones lie in the directory of the results, or above it while there is none yet. */
bool data_set_open(struct data_set *d, const struct options *o, struct error *err);
void data_set_close(struct data_set *d);
