/* From options to what a run sends: the data set, and when its rows are due if they say so. */
#pragma once

#include "client/options.h"
#include "client/prompts.h"
#include "client/schedule.h"
#include "client/tokens.h"

struct data_set {
    struct tokens *tokens; /* NULL for --tokenizer none */
    struct prompts prompts;
    struct schedule schedule; /* empty without --fixed-schedule */
};

/* Read or make the prompts and write their bodies. */
bool data_set_open(struct data_set *d, const struct options *o, struct error *err);
void data_set_close(struct data_set *d);
