#include "client/draft.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client/edit.h"
#include "client/request.h"
#include "client/words.h"

struct draft_maker {
    struct draft_options options;
    struct random texts;
    struct edit_image_maker *images; /* owned: of edits */
    size_t n_sessions;
    char *session; /* owned: of the last draft */
};

void draft_free(struct draft *d)
{
    free(d->text);
    free(d->session_id);
    free(d->correlation);
    free(d->image);
    fields_free(&d->extra);
    free(d->content_type);
    buf_free(&d->body);
    buf_free(&d->json);
    *d = (struct draft){0};
}

struct draft_maker *draft_maker_open(const struct draft_options *options)
{
    struct draft_maker *m = xcalloc(1, sizeof *m);
    m->options = *options;
    random_init(&m->texts, options->seed, "dataset.prompt.corpus");
    if (options->shape) {
        m->images = xmalloc(sizeof *m->images);
        edit_image_maker_init(m->images, options->shape, options->seed);
    }
    return m;
}

void draft_maker_close(struct draft_maker *m)
{
    if (!m)
        return;
    free(m->images);
    free(m->session);
    free(m);
}

/* ---- parts ---------------------------------------------------------------------------------- */

static bool make_text(struct draft_maker *m, struct draft *d, struct error *err)
{
    struct buf prompt = {0};
    if (d->text)
        return true;
    if (!m->options.tokens)
        return fail_field(err, "--tokenizer",
                          "input_length: --tokenizer none can't make prompts of a length");
    words_prompt(&prompt, &m->texts, m->options.tokens, d->n_tokens);
    d->text = prompt.data;
    return true;
}

static void name(struct draft_maker *m, struct draft *d)
{
    size_t number = d->turn == 0 ? m->n_sessions++ : 0;
    d->is_named = d->session_id != NULL;
    if (d->turn > 0 && m->session)
        d->session_id = xstrdup(m->session);
    else if (!d->session_id && m->options.is_seeded)
        d->session_id = xasprintf("session_%06zu", number);
    if (!d->session_id) {
        d->session_id = xmalloc(UUID_SIZE);
        random_uuid(d->session_id);
    }
    free(m->session);
    m->session = xstrdup(d->session_id);
    if (m->options.correlation_mark)
        d->correlation = xasprintf("%s%s", m->options.correlation_mark, d->session_id);
}

/* The form of an edit; its picture is read, or made up when the row has none. */
static bool make_form(struct draft_maker *m, struct draft *d, struct error *err)
{
    struct buf file = {0};
    struct edit_form form = {0};
    bool is_url = d->image && edit_image_is_url(d->image);
    struct edit_input in = {d->text, m->options.model, is_url ? d->image : NULL, &file};
    bool ok = is_url || (d->image ? edit_image_read(&file, d->image, err)
                                  : edit_image_make(m->images, &file, err));
    ok = ok && edit_form_make(&form, &in, m->options.extra, &d->extra, err);
    buf_free(&file);
    d->body = form.body;
    d->json = form.json;
    d->content_type = form.content_type;
    return ok;
}

/* Tokens of the prompt that is sent: --extra-inputs may have replaced the entry's text. */
static int64_t count_sent_tokens(const struct tokens *tokens, const struct buf *body)
{
    int64_t n = -1;
    const char *prompt = NULL;
    struct json *tree = json_parse(body->data, body->size, NULL);
    if (tree && json_read_string(tree, "prompt", &prompt, NULL) && prompt)
        n = tokens_count(tokens, prompt, strlen(prompt));
    json_free(tree);
    return n;
}

static void make_json(struct draft_maker *m, struct draft *d)
{
    const struct tokens *tokens = m->options.tokens;
    bool is_replaced =
        fields_get(m->options.extra, "prompt") != NULL || fields_get(&d->extra, "prompt") != NULL;
    request_body(&d->body, d->text, m->options.model, m->options.extra, &d->extra);
    if (tokens && is_replaced)
        d->isl = count_sent_tokens(tokens, &d->body);
    else if (tokens)
        d->isl = tokens_count(tokens, d->text, strlen(d->text));
}

bool draft_finish(struct draft_maker *m, struct draft *d, struct error *err)
{
    const struct tokens *tokens = m->options.tokens;
    d->isl = -1;
    if (!make_text(m, d, err))
        return false;
    name(m, d);
    if (!m->options.shape) {
        make_json(m, d);
        return true;
    }
    if (tokens)
        d->isl = tokens_count(tokens, d->text, strlen(d->text));
    return make_form(m, d, err);
}
