/* The tokenize command: JSON strings in, arrays of ids out, with the tokenizers of a checkpoint. */
#include <stdio.h>
#include <stdlib.h>

#include "base/args.h"
#include "server/commands.h"
#include "server/model_dir.h"
#include "text/tokenize_lines.h"

enum encoder { ENCODER_NONE = -1, ENCODER_CLIP, ENCODER_T5 };

struct config {
    const char *model_path;
    int encoder;
    bool wants_help;
};

static const struct option OPTIONS[] = {
    {"--model-path", "--model", "DIR", ARG_STRING, offsetof(struct config, model_path),
     .help =
         "model directory in the diffusers layout, or owner/name[@revision] of a hub; without it "
         "the embedded small model"},
    {"--encoder", NULL, NULL, ARG_CHOICE, offsetof(struct config, encoder), .choices = "clip|t5",
     .help = "whose tokenizer: tokenizer/ or tokenizer_2/; required"},
    {"--help", "-h", NULL, ARG_FLAG, offsetof(struct config, wants_help),
     .help = "print this text and exit"},
};

enum { N_OPTIONS = sizeof OPTIONS / sizeof OPTIONS[0] };

static bool tokenize(const struct config *c, struct error *err)
{
    bool is_clip = c->encoder == ENCODER_CLIP;
    struct tokenizer *tokenizer = NULL;
    struct buf dir = {0};
    bool ok = model_dir_find(&dir, c->model_path, MODEL_ALL, err);
    if (ok) {
        buf_puts(&dir, is_clip ? "/tokenizer" : "/tokenizer_2");
        ok = (is_clip ? tokenizer_open_clip : tokenizer_open_t5)(&tokenizer, dir.data, err) &&
             tokenize_lines(tokenizer, stdin, stdout, err);
    }
    if (ok && fflush(stdout) != 0)
        ok = fail(err, ERR_IO, "can't write to stdout");
    tokenizer_close(tokenizer);
    buf_free(&dir);
    return ok;
}

int command_tokenize(int argc, char **argv, int first)
{
    struct config c = {.encoder = ENCODER_NONE};
    struct error err = {0};
    bool ok = args_parse(OPTIONS, N_OPTIONS, argc, argv, first, &c, NULL, NULL, &err);
    if (ok && c.wants_help) {
        args_help("fluxserve tokenize --encoder clip|t5 [--model-path DIR] < LINES",
                  "Read one JSON string per line, print one JSON array of token ids per line.",
                  OPTIONS, N_OPTIONS);
        return 0;
    }
    if (ok && c.encoder == ENCODER_NONE)
        ok = fail_field(&err, "--encoder", "--encoder is missing: must be clip or t5");
    if (ok && tokenize(&c, &err))
        return 0;
    fprintf(stderr, "fluxserve tokenize: error: %s\n", err.text);
    return error_exit_code(err.code);
}
