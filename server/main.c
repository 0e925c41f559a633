/* fluxserve: the first word chooses the sub-command; without one, or when it is an option, the
 * server starts. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hub/download_command.h"
#include "server/commands.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv, int first);
    const char *about;
} COMMANDS[] = {
    {"serve", command_serve, "serve a pipeline over HTTP (the default)"},
    {"generate", command_generate, "make images without HTTP"},
    {"plan", command_plan, "print what a model needs: parameters, FLOPs, memory"},
    {"quantize", command_quantize, "write a model folder with int8, fp8 or 4-bit weights"},
    {"tokenize", command_tokenize, "print the token ids of texts"},
    {"download", hub_download_command, "fetch a model into the cache"},
    {"selftest", command_selftest, "compare a CUDA device with the CPU, operation by operation"},
    {"bench-ops", command_bench_ops, "time the operations of FLUX.1 on a CUDA device"},
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

/* OpenMP's threads spin between parallel loops by default, which on a machine with anything else to
 * do (a client, another server) makes a small model ten times slower. The runtime reads its
 * environment before main(), so set it and start this program again, once; nothing happens when the
 * user has chosen. Measured: tiny-flux-dev, 64x64, 2 busy cores: 4 steps in 3-6 s, or 0.3 s. */
static void let_threads_sleep(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    char self[PATH_MAX]; /* by its own name, which becomes the name of the process */
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size <= 0)
        return;
    self[size] = '\0';
    setenv("OMP_WAIT_POLICY", "passive", 1);
    execv(self, argv); /* returns only when it can't be done: then it stays slower */
}

int main(int argc, char **argv)
{
    let_threads_sleep(argv);
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
