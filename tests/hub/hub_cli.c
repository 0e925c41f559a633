/* The hub's library as a program, for black-box tests:
 *
 *     hub_cli download ID [OPTIONS]    the sub-command, as fluxserve has it
 *     hub_cli locate ID [--verify]     hub_locate(): what a server does when it starts */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub/download_command.h"
#include "hub/hub.h"

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "download") == 0)
        return hub_download_command(argc, argv, 2);
    if (argc < 3 || strcmp(argv[1], "locate") != 0)
        return 2;
    struct error err = {0};
    struct hub_options options = {.verify = argc > 3 && strcmp(argv[3], "--verify") == 0,
                                  .retry_s = 0.05};
    char *dir = NULL;
    bool ok = hub_locate(&options, argv[2], &dir, &err);
    if (ok)
        printf("%s\n", dir);
    else
        fprintf(stderr, "error: %s\n", err.text);
    free(dir);
    return ok ? 0 : error_exit_code(err.code);
}
