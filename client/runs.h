/* What the commands share that make several runs of `profile`: their options dealt out, one
 * directory with a directory per run, one seed for all, pauses, signals, and why it ended.
 *
 * SIGINT: the present run goes on to its end and is the last; again: it ends early; again: at once.
 * SIGTERM ends the run early. Either way the command writes what it has. */
#pragma once

#include <stdint.h>

#include "base/json.h"
#include "client/metrics.h"
#include "client/options.h"
#include "client/runs_args.h"

#define RUNS_MAX 9999

/* What all of them take besides their own options. */
#define RUNS_SEE_PROFILE " fluxperf profile --help explains the options of profile."
#define RUNS_PAUSE_HELP "seconds to wait between two runs; default 0"

struct runs {
    const char *command;   /* "repeat" */
    struct runs_args base; /* owned: options of profile that all runs have */
    struct runs_args own;  /* owned: the words of the command itself */
    char *dir;             /* owned: the place of all files */
    double pause_s;
    int64_t seed;     /* of all runs */
    size_t n_begun;   /* runs */
    int code;         /* exit code so far: that of the worst run */
    bool wants_end;   /* a signal came */
    char reason[400]; /* why the command ended before its end; "": it did not */
};

/* One run that took place. */
struct runs_result {
    char name[32]; /* of its directory, below that of the command */
    size_t number; /* from 1 */
    size_t n_succeeded, n_failed;
    bool is_unreachable;    /* no request reached the server, or none any more */
    char failure[300];      /* the first kind, "" when none failed */
    struct metrics metrics; /* owned */
};

/* Deal argv out and read the command's own options into config by its rows (as args_parse). */
bool runs_read(struct runs *r, const char *command, const struct option *rows, size_t n_rows,
               int argc, char **argv, int first, void *config, struct arg_list *positionals,
               struct error *err);

/* Check a command line of profile as far as that goes without a server: its options and its
 * prompts. out (may be NULL) gets the options: options_free, also on failure. */
bool runs_check(const struct runs_args *args, struct options *out, struct error *err);

/* Choose seed and directory after example, the command line of the first run (checked before), and
 * make the place: files of earlier runs in it are removed. Signals are blocked from here on. */
bool runs_open(struct runs *r, const struct options *example, struct error *err);
void runs_close(struct runs *r);

/* Remove the files of earlier runs from dir/run_0001 and so on. */
void runs_clear(const char *dir, const struct options *example);

/* Make one run into DIR/name with args, a command line made from r->base, after a pause. False: it
 * did not take place or ended early, and r->reason says why. out is to be freed in both cases. */
bool runs_make(struct runs *r, const char *name, const struct runs_args *args,
               struct runs_result *out);
void runs_result_free(struct runs_result *out);

/* Let the command end for that reason, with exit code 1. Returns false. */
bool runs_stop(struct runs *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As runs_stop when no request of the run succeeded: there is nothing to count. */
bool runs_need_success(struct runs *r, const struct runs_result *result);

/* ---- files ---------------------------------------------------------------------------------- */

/* A statistic as the files name it: "avg", "p95", ...; NaN when the metric or it is absent. */
double runs_value(const struct runs_result *result, const char *tag, const char *stat);

/* The command as it was given, credentials replaced; the caller frees it. */
char *runs_command(const struct runs *r);
/* The head of a command's JSON file: command, seed, whether and why it is incomplete. */
struct json *runs_json(const struct runs *r);
/* One run: name, requests, and all metrics that the console shows. */
struct json *runs_json_result(const struct runs_result *result);

/* Write root (freed) as DIR/name. */
bool runs_write_json(const struct runs *r, const char *name, struct json *root, struct error *err);
bool runs_write(const struct runs *r, const char *name, const struct buf *text, struct error *err);

/* A line with the path of DIR/name, when there is such a file. */
void runs_print_file(struct buf *out, const struct runs *r, const char *what, const char *name);

/* Say on stderr why the command ended early, if it did. Returns the exit code. */
int runs_conclude(const struct runs *r, size_t n_made, const char *what);
/* Say what went wrong after runs were made, as when a file can't be written or read. Returns 1. */
int runs_break(const struct error *err);
/* Say what was wrong with the command line. Returns the exit code. */
int runs_fail(const char *command, const struct error *err);
