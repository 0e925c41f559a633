/* fluxperf: a load generator for image generation servers. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "base/args.h"
#include "client/ab.h"
#include "client/calibrate.h"
#include "client/capacity.h"
#include "client/compare.h"
#include "client/determinism.h"
#include "client/extract.h"
#include "client/options.h"
#include "client/profile.h"
#include "client/repeat.h"
#include "client/report_html_plot.h"
#include "client/sweep.h"
#include "text/tokenize_lines.h"
#include "text/tokenizer.h"

static void print_help(void)
{
    puts("Usage: fluxperf COMMAND [option...]\n"
         "\n"
         "Commands:\n"
         "  profile          send image requests to a server and report latencies\n"
         "  repeat           make the same run several times and report how the numbers differ\n"
         "  ab               run against two servers in turn and tell whether one is slower\n"
         "  sweep            make a run at every combination of values of options\n"
         "  capacity         find the highest load at which objectives hold\n"
         "  determinism      tell whether the same seed gives the same pictures\n"
         "  calibrate        measure the client itself: its error and its ceiling\n"
         "  compare          tell whether a run is slower than another, and how sure that is\n"
         "  plot             draw the report of a run again from its files\n"
         "  extract-images   write the pictures of a raw export to files\n"
         "  tokenize         print the token ids of JSON strings read from stdin\n"
         "\n"
         "fluxperf COMMAND --help explains a command; fluxperf --version prints the version.\n"
         "\n"
         "Exit codes: 0 done, 1 the run or any request failed, 2 wrong usage; ab, compare, "
         "capacity\n"
         "and determinism have more, which their help explains.");
}

static int fail_with(const struct error *err, const char *help)
{
    int code = error_exit_code(err->code);
    fprintf(stderr, "fluxperf: error: %s\n", err->text);
    if (code == 2)
        fprintf(stderr, "fluxperf: see %s\n", help);
    return code;
}

static bool wants_help(int argc, char **argv, int first)
{
    for (int i = first; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

/* ---- extract-images ------------------------------------------------------------------------- */

static int run_extract(int argc, char **argv, int first)
{
    struct error err = {0};
    struct arg_list names = {0};
    int code = 0;
    size_t n_written = 0;
    if (wants_help(argc, argv, first)) {
        args_help("fluxperf extract-images [INPUT [DIR]]",
                  "Write the pictures in a raw export (profile --export-level raw) to "
                  "DIR/image_LINE_INDEX.png, .jpg or .webp. INPUT is by default " EXTRACT_INPUT
                  ", DIR is " EXTRACT_DIR ".",
                  NULL, 0);
        return 0;
    }
    if (!args_parse(NULL, 0, argc, argv, first, NULL, &names, NULL, &err)) {
        code = fail_with(&err, "fluxperf extract-images --help");
    } else if (names.n_items > 2) {
        fputs("fluxperf: error: too many arguments: INPUT and DIR are all\n", stderr);
        code = 2;
    } else if (!extract_images(names.n_items > 0 ? names.items[0] : EXTRACT_INPUT,
                               names.n_items > 1 ? names.items[1] : EXTRACT_DIR, &n_written,
                               &err)) {
        fprintf(stderr, "fluxperf: error: %s\n", err.text);
        code = 1;
    } else if (n_written == 0) {
        fputs("fluxperf: error: the file has no pictures\n", stderr);
        code = 1;
    }
    args_free(&names);
    return code;
}

/* ---- tokenize ------------------------------------------------------------------------------- */

struct tokenize_options {
    const char *tokenizer;
};

static const struct option TOKENIZE_OPTIONS[] = {
    {"--tokenizer", NULL, "NAME", ARG_STRING, offsetof(struct tokenize_options, tokenizer),
     .group = "Options",
     .help = "gpt2 (built in, default) or a folder with vocab.json, merges.txt"},
};

static int run_tokenize(int argc, char **argv, int first)
{
    struct error err = {0};
    struct tokenize_options o = {.tokenizer = "gpt2"};
    if (wants_help(argc, argv, first)) {
        args_help("fluxperf tokenize [--tokenizer NAME]",
                  "Read one JSON string per line from stdin and print one JSON array of token ids "
                  "per line.",
                  TOKENIZE_OPTIONS, 1);
        return 0;
    }
    if (!args_parse(TOKENIZE_OPTIONS, 1, argc, argv, first, &o, NULL, NULL, &err))
        return fail_with(&err, "fluxperf tokenize --help");
    struct tokenizer *t = NULL;
    bool is_builtin = strcmp(o.tokenizer, "gpt2") == 0 || strcmp(o.tokenizer, "builtin") == 0;
    bool ok = (is_builtin ? tokenizer_open_gpt2_builtin(&t, &err)
                          : tokenizer_open_gpt2(&t, o.tokenizer, &err)) &&
              tokenize_lines(t, stdin, stdout, &err);
    tokenizer_close(t);
    return ok ? 0 : fail_with(&err, "fluxperf tokenize --help");
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv, int first);
    void (*help)(void);
} COMMANDS[] = {
    {"profile", profile_main, options_help},
    {"repeat", repeat_main, repeat_help},
    {"ab", ab_main, ab_help},
    {"sweep", sweep_main, sweep_help},
    {"capacity", capacity_main, capacity_help},
    {"determinism", determinism_main, determinism_help},
    {"calibrate", calibrate_main, calibrate_help},
    {"compare", compare_main, compare_help},
    {"plot", report_html_plot_main, report_html_plot_help},
};

#define KEPT_MEMORY (16 << 20) /* bytes, of each thread */

/* Pictures come and go by the megabyte: keep what they used for the next one, instead of taking
 * each page from the system anew. */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, KEPT_MEMORY / 2);
    mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
}

/* What went to stdout must have arrived: a full disk behind `> junit.xml` is no success. */
static int check_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "fluxperf: error: can't write to the standard output: %s\n", strerror(errno));
    return 1;
}

static int run(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "--version") == 0) {
        puts("fluxperf " FLUXBENCH_VERSION);
        return 0;
    }
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0 ||
        strcmp(command, "help") == 0) {
        print_help();
        return 0;
    }
    for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++) {
        if (strcmp(command, COMMANDS[i].name) != 0)
            continue;
        if (!wants_help(argc, argv, 2))
            return COMMANDS[i].run(argc, argv, 2);
        COMMANDS[i].help();
        return 0;
    }
    if (strcmp(command, "extract-images") == 0)
        return run_extract(argc, argv, 2);
    if (strcmp(command, "tokenize") == 0)
        return run_tokenize(argc, argv, 2);
    if (*command)
        fprintf(stderr, "fluxperf: error: unknown command '%s'\n", command);
    else
        fputs("fluxperf: error: no command given\n", stderr);
    fputs("fluxperf: fluxperf --help lists the commands\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    keep_memory();
    return check_output(run(argc, argv));
}
