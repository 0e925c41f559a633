/* Parsing anything; what parses prints as a text that parses and prints the same again. */
#include <string.h>

#include "base/json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct json *root = json_parse((const char *)data, size, &err);
    if (!root) {
        CLAIM(err.code == ERR_INVALID);
        return 0;
    }
    struct buf once = {0}, twice = {0}, pretty = {0};
    json_print(&once, root, 0);
    json_print(&pretty, root, 2);
    struct json *again = json_parse(pretty.data, pretty.size, &err);
    CLAIM(again);
    json_print(&twice, again, 0);
    CLAIM(strcmp(once.data, twice.data) == 0);
    json_free(root);
    json_free(again);
    buf_free(&once);
    buf_free(&twice);
    buf_free(&pretty);
    return 0;
}
