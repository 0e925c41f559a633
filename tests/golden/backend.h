/* Where the reference cases run: golden_cases is linked once per back end. */
#pragma once

#include "tensor/backend.h"

/* n: of back ends that make each picture together. */
bool golden_open(struct backend **out, enum dtype compute, int n, struct error *err);

/* Complaints of the back end's own checks since the last call, printed; after each case. */
int golden_complaints(void);
