/* Any body of POST /v1/images/generations: accepted within the limits, or refused with a reason. */
#include "tests/fuzz/wish.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct images_request request = {0};
    struct error err = {0};
    bool is_accepted = images_parse(&request, (const char *)data, size, &LIMITS, &DEFAULTS, &err);
    check_verdict(&request, is_accepted, &err);
    images_request_free(&request);
    return 0;
}
