/* What tests do with the stand-in for cuDNN (cudnn.c). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct cudnn_sim {
    size_t version;   /* that it says it is */
    bool is_wrong;    /* results are, a little */
    bool has_no_plan; /* its proposals are refused by the device */
    bool fails;       /* execution does */
    bool is_slow;     /* takes longer than any kernel */
    int n_plans, n_executions;
};

extern struct cudnn_sim cudnn_sim;
