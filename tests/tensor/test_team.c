/* Ranks in one process: pieces arrive where they belong, agreements hold, and nobody hangs when one
 * gives up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/plan.h"
#include "tensor/team.h"

#include <cmocka.h> /* last: it defines fail */

enum { N = 3, BATCH = 2, WIDTH = 2, ROUNDS = 50 };

/* The plan has memory calls that do nothing, which is what a team of them needs. */
static struct plan plans[N];
static struct comm *comms[N];
static struct team *team;

static int form(void **state)
{
    struct backend *backends[N];
    struct error err = {0};
    (void)state;
    for (int i = 0; i < N; i++) {
        plan_init(&plans[i], DTYPE_F32);
        backends[i] = &plans[i].backend;
    }
    if (!comm_local_open(comms, N, &err) || !team_form(backends, comms, N, &err)) {
        return -1;
    }
    team = backends[0]->team;
    return 0;
}

static int part(void **state)
{
    (void)state;
    backend_close(&plans[0].backend);
    return 0;
}

/* What each rank saw; threads report here, since asserting is for the test's own thread. */
static struct {
    int wrong[N];
    bool answers[N][ROUNDS];
    struct error errors[N];
} seen;

static struct backend *rank_backend(int rank) { return team_backend(team, rank); }

/* --- the table of functions -------------------------------------------------------------------*/

/* Two pieces to everybody, oneself too: of 1 + to and of 4 bytes that say from whom and to whom. */
static void send_all_to_all(void *ctx, int rank)
{
    struct comm *c = comms[rank];
    (void)ctx;
    uint8_t out[N][2][8], in[N][2][8];
    memset(in, 0xff, sizeof in);
    for (int round = 0; round < ROUNDS; round++) {
        for (int peer = 0; peer < N; peer++) {
            memset(out[peer][0], 16 * rank + peer, 8);
            memset(out[peer][1], round, 8);
            c->ops->send(c, peer, out[peer][0], 1 + (size_t)peer);
            c->ops->send(c, peer, out[peer][1], 4);
        }
        for (int peer = N - 1; peer >= 0; peer--) {
            c->ops->receive(c, peer, in[peer][0], 1 + (size_t)rank);
            c->ops->receive(c, peer, in[peer][1], 4);
        }
        seen.wrong[rank] += !c->ops->exchange(c, &seen.errors[rank]);
        for (int peer = 0; peer < N; peer++) {
            seen.wrong[rank] += in[peer][0][0] != 16 * peer + rank ||
                                in[peer][0][rank] != 16 * peer + rank ||
                                in[peer][0][1 + rank] != 0xff || in[peer][1][3] != round;
        }
    }
}

static void pieces_arrive_in_order_and_nothing_beyond_them(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    team_run(team, send_all_to_all, NULL);
    for (int i = 0; i < N; i++) {
        assert_int_equal(seen.wrong[i], 0);
    }
}

/* Rank 1 expects more than rank 0 sends. */
static void send_too_little(void *ctx, int rank)
{
    struct comm *c = comms[rank];
    char bytes[8] = "";
    (void)ctx;
    if (rank == 0) {
        c->ops->send(c, 1, bytes, 4);
    } else if (rank == 1) {
        c->ops->receive(c, 0, bytes, 5);
    }
    seen.wrong[rank] = c->ops->exchange(c, &seen.errors[rank]);
}

static void lists_that_do_not_match_are_an_error_of_all(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    team_run(team, send_too_little, NULL);
    for (int i = 0; i < N; i++) {
        assert_int_equal(seen.wrong[i], 0);
        assert_int_equal(seen.errors[i].code, ERR_INTERNAL);
        assert_non_null(strstr(seen.errors[i].text, "is not what the other one expects"));
    }
}

/* --- tokens for heads -------------------------------------------------------------------------*/

static const int64_t COUNTS[N] = {3, 2, 1};
enum { TOKENS = 6 };

/* Of batch b, token t (counted over all ranks), rank's cut, column w. */
static float value(int64_t b, int64_t t, int64_t cut, int64_t w)
{
    return (float)(((b * TOKENS + t) * N + cut) * WIDTH + w);
}

static void there_and_back(void *ctx, int rank)
{
    struct backend *b = rank_backend(rank);
    int64_t own = COUNTS[rank], first = rank == 0 ? 0 : rank == 1 ? 3 : 5;
    float mine[N * BATCH * 3 * WIDTH], back[N * BATCH * 3 * WIDTH], all[BATCH * TOKENS * WIDTH];
    struct tensor split = tensor_make(mine, DTYPE_F32, SHAPE(N, BATCH, own, WIDTH));
    struct tensor joined = tensor_make(all, DTYPE_F32, SHAPE(BATCH, TOKENS, WIDTH));
    (void)ctx;
    for (int64_t i = 0; i < tensor_elements(split); i++) {
        int64_t w = i % WIDTH, t = i / WIDTH % own, batch = i / WIDTH / own % BATCH;
        mine[i] = value(batch, first + t, i / WIDTH / own / BATCH, w);
        back[i] = -1;
    }
    team_exchange(b, joined, split, COUNTS);
    for (int64_t i = 0; i < tensor_elements(joined); i++) {
        seen.wrong[rank] +=
            all[i] != value(i / WIDTH / TOKENS, i / WIDTH % TOKENS, rank, i % WIDTH);
    }
    team_exchange(b, tensor_make(back, DTYPE_F32, SHAPE(N, BATCH, own, WIDTH)), joined, COUNTS);
    seen.wrong[rank] += memcmp(back, mine, tensor_bytes(split)) != 0;
}

static void tokens_are_exchanged_for_heads_and_back(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    team_run(team, there_and_back, NULL);
    for (int i = 0; i < N; i++) {
        assert_int_equal(seen.wrong[i], 0);
    }
}

/* --- agreeing ---------------------------------------------------------------------------------*/

static bool vote(int rank, int round) { return round % (rank + 2) != 0; }

static void agree(void *ctx, int rank)
{
    (void)ctx;
    for (int round = 0; round < ROUNDS; round++) {
        seen.answers[rank][round] = team_agree(rank_backend(rank), vote(rank, round));
    }
}

static void all_hear_whether_all_said_yes(void **state)
{
    (void)state;
    team_run(team, agree, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        bool all = vote(0, round) && vote(1, round) && vote(2, round);
        for (int i = 0; i < N; i++) {
            assert_int_equal(seen.answers[i][round], all);
        }
    }
}

static void one_that_is_alone_agrees_with_itself(void **state)
{
    (void)state;
    struct plan alone;
    plan_init(&alone, DTYPE_F32);
    assert_true(team_agree(&alone.backend, true));
    assert_false(team_agree(&alone.backend, false));
    assert_int_equal(team_size(alone.backend.team), 1);
    assert_false(team_is_broken(alone.backend.team));
}

/* Rank 1 leaves; the others are or get into an exchange and an agreement. */
static void lose_one(void *ctx, int rank)
{
    float all[TOKENS] = {0}, own[N * 3] = {0};
    struct backend *b = rank_backend(rank);
    (void)ctx;
    if (rank == 1) {
        team_break(team);
        return;
    }
    team_exchange(b, tensor_make(all, DTYPE_F32, SHAPE(1, TOKENS, 1)),
                  tensor_make(own, DTYPE_F32, SHAPE(N, 1, COUNTS[rank], 1)), COUNTS);
    seen.answers[rank][0] = team_agree(b, true);
}

static void nobody_waits_for_one_that_is_lost(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    seen.answers[0][0] = seen.answers[2][0] = true;
    assert_false(team_is_broken(team));
    team_run(team, lose_one, NULL);
    assert_true(team_is_broken(team));
    assert_false(seen.answers[0][0]);
    assert_false(seen.answers[2][0]);
    assert_int_equal(rank_backend(0)->fault.code, ERR_NONE); /* the lost one's fault says it */
    memset(&seen, 0, sizeof seen);
    team_run(team, lose_one, NULL); /* later ones end at once */
    team_break(team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pieces_arrive_in_order_and_nothing_beyond_them, form, part),
        cmocka_unit_test_setup_teardown(tokens_are_exchanged_for_heads_and_back, form, part),
        cmocka_unit_test_setup_teardown(all_hear_whether_all_said_yes, form, part),
        cmocka_unit_test_setup_teardown(one_that_is_alone_agrees_with_itself, form, part),
        cmocka_unit_test_setup_teardown(lists_that_do_not_match_are_an_error_of_all, form, part),
        cmocka_unit_test_setup_teardown(nobody_waits_for_one_that_is_lost, form, part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
