#include "hub/download_command.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/args.h"
#include "hub/hub.h"

#define EXIT_INTERRUPTED 130 /* as shells say it of SIGINT */

struct config {
    struct hub_options hub;
    struct arg_list include;
    bool wants_help;
};

static const struct option OPTIONS[] = {
    {"--revision", NULL, "REV", ARG_STRING, offsetof(struct config, hub.revision),
     .help = "branch, tag or commit (default: what follows @ in ID, else main)"},
    {"--include", NULL, "PATTERN", ARG_LIST, offsetof(struct config, include),
     .help = "fetch the files that match, such as 'vae/*', instead of those that the pipeline "
             "needs"},
    {"--cache-dir", NULL, "DIR", ARG_STRING, offsetof(struct config, hub.cache_dir),
     .help =
         "the cache (default: $HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub)"},
    {"--parallel", "--max-workers", "N", ARG_INT, offsetof(struct config, hub.n_parallel), 1, 16,
     .help = "files at a time (default 4)"},
    {"--retry-delay", NULL, "SECONDS", ARG_DOUBLE, offsetof(struct config, hub.retry_s), 0.01, 60,
     .help = "pause before a request is tried again, doubled each time (default 1)"},
    {"--verify", NULL, NULL, ARG_FLAG, offsetof(struct config, hub.verify),
     .help = "hash all files that are there already, and fetch damaged ones again"},
    {"--offline", NULL, NULL, ARG_FLAG, offsetof(struct config, hub.is_offline),
     .help = "ask no hub: only say whether all is in the cache, as HF_HUB_OFFLINE=1 does"},
    {"--help", "-h", NULL, ARG_FLAG, offsetof(struct config, wants_help),
     .help = "print this text and exit"},
};

enum { N_OPTIONS = sizeof OPTIONS / sizeof OPTIONS[0] };

/* ---- Ctrl-C --------------------------------------------------------------------------------- */

struct interrupt {
    pthread_t thread;
    sigset_t signals;
    atomic_bool *cancel, is_closing;
};

/* The first signal ends the download in good order, the second one at once. */
static void *interrupt_main(void *arg)
{
    struct interrupt *i = arg;
    int number;
    pthread_setname_np(pthread_self(), "interrupt");
    while (sigwait(&i->signals, &number) == 0 && !atomic_load(&i->is_closing)) {
        if (atomic_exchange(i->cancel, true))
            _exit(EXIT_INTERRUPTED);
    }
    return NULL;
}

static bool fetch(const struct config *c, const char *model, char **dir, struct error *err)
{
    atomic_bool cancel = false;
    struct interrupt i = {.cancel = &cancel};
    struct hub_options options = c->hub;
    sigset_t before;
    options.cancel = &cancel;
    options.include = c->include.items;
    options.n_include = c->include.n_items;
    sigemptyset(&i.signals);
    sigaddset(&i.signals, SIGINT);
    sigaddset(&i.signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &i.signals, &before);
    if (pthread_create(&i.thread, NULL, interrupt_main, &i) != 0) {
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return fail(err, ERR_MEMORY, "can't start a thread");
    }
    bool ok = hub_fetch(&options, model, dir, err);
    atomic_store(&i.is_closing, true);
    pthread_kill(i.thread, SIGINT); /* wakes it; blocked everywhere else */
    pthread_join(i.thread, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

/* ---- the command ---------------------------------------------------------------------------- */

static bool run(int argc, char **argv, int first, struct config *c, struct arg_list *words,
                char **dir, struct error *err)
{
    if (!args_parse(OPTIONS, N_OPTIONS, argc, argv, first, c, words, NULL, err))
        return false;
    if (c->wants_help) {
        args_help("fluxserve download ID [OPTIONS]",
                  "Fetch a model from the hub into the cache that Hugging Face programs share, and "
                  "print its directory. ID is owner/name or owner/name@revision.",
                  OPTIONS, N_OPTIONS);
        return true;
    }
    if (words->n_items != 1)
        return fail(err, ERR_INVALID, "%zu names given: must be one, like owner/name",
                    words->n_items);
    return fetch(c, words->items[0], dir, err);
}

int hub_download_command(int argc, char **argv, int first)
{
    struct config c = {0};
    struct arg_list words = {0};
    struct error err = {0};
    char *dir = NULL;
    bool ok = run(argc, argv, first, &c, &words, &dir, &err);
    if (dir)
        printf("%s\n", dir);
    free(dir);
    args_free(&words);
    args_free(&c.include);
    if (ok && fflush(stdout) != 0)
        ok = fail(&err, ERR_IO, "can't write to stdout");
    if (ok)
        return 0;
    fprintf(stderr, "fluxserve download: error: %s\n", err.text);
    if (err.code == ERR_CANCELED) {
        fprintf(stderr, "What has arrived stays; the same command continues.\n");
        return EXIT_INTERRUPTED;
    }
    return error_exit_code(err.code);
}
