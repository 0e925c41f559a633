#include "client/prompts.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client/random.h"
#include "client/request.h"
#include "client/words.h"

void prompts_free(struct prompts *p)
{
    for (size_t i = 0; i < p->n_entries; i++) {
        struct prompts_entry *e = &p->entries[i];
        free(e->text);
        free(e->session_id);
        free(e->correlation);
        free(e->image);
        fields_free(&e->extra);
        free(e->content_type);
        buf_free(&e->body);
        buf_free(&e->json);
    }
    free(p->entries);
    *p = (struct prompts){0};
}

struct prompts_entry *prompts_add(struct prompts *p, char *text)
{
    p->entries = xrealloc(p->entries, (p->n_entries + 1) * sizeof *p->entries);
    struct prompts_entry *e = &p->entries[p->n_entries++];
    *e = (struct prompts_entry){.text = text, .isl = -1};
    return e;
}

const struct buf *prompts_json(const struct prompts_entry *e)
{
    return e->json.size > 0 ? &e->json : &e->body;
}

/* ---- synthetic ------------------------------------------------------------------------------ */

void prompts_make_texts(struct prompts *p, int64_t seed, const struct tokens *tokens)
{
    struct random text;
    random_init(&text, seed, "dataset.prompt.corpus");
    for (size_t i = 0; i < p->n_entries; i++) {
        struct prompts_entry *e = &p->entries[i];
        struct buf prompt = {0};
        if (e->text)
            continue;
        words_prompt(&prompt, &text, tokens, e->n_tokens);
        e->text = prompt.data;
    }
}

void prompts_make(struct prompts *p, size_t n, double mean, double std, int64_t seed,
                  const struct tokens *tokens)
{
    for (size_t i = 0; i < n; i++)
        prompts_add(p, NULL);
    prompts_fill(p, mean, std, seed, tokens);
}

void prompts_fill(struct prompts *p, double mean, double std, int64_t seed,
                  const struct tokens *tokens)
{
    struct random lengths;
    random_init(&lengths, seed, "dataset.prompt.length");
    for (size_t i = 0; i < p->n_entries; i++)
        p->entries[i].n_tokens = random_length(&lengths, mean, std);
    prompts_make_texts(p, seed, tokens);
}

void prompts_make_sessions(struct prompts *p, size_t n, double mean, double std, int64_t seed)
{
    struct random turns;
    random_init(&turns, seed, "composer.conversation.turn_count");
    for (size_t i = 0; i < n; i++) {
        int64_t n_turns = random_length(&turns, mean, std);
        for (int64_t k = 0; k < n_turns; k++)
            prompts_add(p, NULL)->turn = (size_t)k;
    }
}

/* ---- both ----------------------------------------------------------------------------------- */

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

void prompts_name(struct prompts *p, bool is_seeded)
{
    size_t n_sessions = 0;
    for (size_t i = 0; i < p->n_entries; i++) {
        struct prompts_entry *e = &p->entries[i];
        size_t number = e->turn == 0 ? n_sessions++ : 0;
        if (e->turn > 0)
            e->session_id = xstrdup(p->entries[i - 1].session_id);
        else if (!e->session_id && is_seeded)
            e->session_id = xasprintf("session_%06zu", number);
        if (!e->session_id) {
            e->session_id = xmalloc(UUID_SIZE);
            random_uuid(e->session_id);
        }
    }
}

void prompts_finish(struct prompts *p, const struct tokens *tokens, bool is_seeded,
                    const char *model, const struct fields *extra)
{
    prompts_name(p, is_seeded);
    for (size_t i = 0; i < p->n_entries; i++) {
        struct prompts_entry *e = &p->entries[i];
        request_body(&e->body, e->text, model, extra, &e->extra);
        if (tokens)
            e->isl = count_sent_tokens(tokens, &e->body);
    }
}

void prompts_print_inputs(const struct prompts *p, struct buf *out)
{
    buf_puts(out, "{\n  \"data\": [");
    for (size_t i = 0; i < p->n_entries; i++) {
        const struct prompts_entry *e = &p->entries[i];
        if (e->turn > 0) {
            buf_puts(out, ",\n        ");
        } else {
            buf_puts(out,
                     i ? ",\n    {\n      \"session_id\": " : "\n    {\n      \"session_id\": ");
            json_print_string(out, e->session_id, strlen(e->session_id));
            buf_puts(out, ",\n      \"payloads\": [\n        ");
        }
        fields_format_json(out, prompts_json(e)->data, 2, 4);
        if (i + 1 == p->n_entries || e[1].turn == 0)
            buf_puts(out, "\n      ]\n    }");
    }
    buf_puts(out, "\n  ]\n}");
}
