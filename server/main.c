/* fluxserve: the first word chooses the sub-command; without one, or when it is an option, the
 * server starts. */
#include <stdio.h>
#include <string.h>

#include "server/commands.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv, int first);
    const char *about;
} COMMANDS[] = {
    {"serve", command_serve, "serve a pipeline over HTTP (the default)"},
    {"generate", command_generate, "make images without HTTP"},
    {"plan", command_plan, "print what a model needs: parameters, FLOPs, memory"},
    {"tokenize", command_tokenize, "print the token ids of texts"},
    {"healthcheck", command_healthcheck, "exit 0 when a server is ready"},
};

enum { N_COMMANDS = sizeof COMMANDS / sizeof COMMANDS[0] };

static void print_commands(FILE *out)
{
    fprintf(out, "Commands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-14s%s\n", COMMANDS[i].name, COMMANDS[i].about);
    fprintf(out, "\n`fluxserve COMMAND --help` lists a command's options.\n");
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "-";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_commands(stdout);
        printf("\n");
        return command_serve(argc, argv, 1);
    }
    if (*word == '-')
        return command_serve(argc, argv, 1);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(word, COMMANDS[i].name) == 0)
            return COMMANDS[i].run(argc, argv, 2);
    }
    fprintf(stderr, "fluxserve: unknown command '%s'\n", word);
    print_commands(stderr);
    return 2;
}
